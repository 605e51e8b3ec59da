package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth/client"
)

// pretend returns a server that sends one response to every request.
func pretend(response string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = fmt.Fprint(w, response)
	}))
}

func ExampleClient_AuthorizeURL() {
	c, err := client.New("wx0000000000000001", "app-secret-for-tests")
	if err != nil {
		panic(err)
	}
	fmt.Println(c.AuthorizeURL("https://shop.example/wechat/callback", client.ScopeBase, "4f1c2a9d"))
	// Output:
	// https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx0000000000000001&redirect_uri=https%3A%2F%2Fshop.example%2Fwechat%2Fcallback&response_type=code&scope=snsapi_base&state=4f1c2a9d#wechat_redirect
}

func ExampleClient_Exchange() {
	wechat := pretend(`{"access_token":"99_token","expires_in":7200,"refresh_token":"99_refresh",
		"openid":"oEXAMPLE0000000000000000001","scope":"snsapi_base"}`)
	defer wechat.Close()

	c, err := client.New("wx0000000000000001", "app-secret-for-tests",
		client.WithEndpoints(client.Endpoints{API: wechat.URL})) // omit this to call WeChat itself
	if err != nil {
		panic(err)
	}
	token, err := c.Exchange(context.Background(), "code-from-the-callback")
	if err != nil {
		panic(err)
	}
	fmt.Println(token.OpenID, token.ExpiresIn, token.HasScope(client.ScopeUserInfo))
	fmt.Println(token.AccessToken)
	// Output:
	// oEXAMPLE0000000000000000001 2h0m0s false
	// [redacted]
}

// The kind of an error, not its errcode, determines what to do.
func ExampleError_Kind() {
	wechat := pretend(`{"errcode":40163,"errmsg":"code been used, rid: 65c17d8c-5cf05990-781aabe9"}`)
	defer wechat.Close()

	c, err := client.New("wx0000000000000001", "app-secret-for-tests",
		client.WithEndpoints(client.Endpoints{API: wechat.URL}))
	if err != nil {
		panic(err)
	}
	_, err = c.Exchange(context.Background(), "code-from-the-callback")
	var failure *client.Error
	if errors.As(err, &failure) && failure.Kind() == client.KindRestart {
		fmt.Println(failure.Text(client.LangZhCN))
	}
	fmt.Println(errors.Is(err, client.ErrCodeUsed))
	fmt.Println(err)
	// Output:
	// code 已被使用，请重新登录。
	// true
	// wechat: sns/oauth2/access_token: errcode 40163: code been used, rid 65c17d8c-5cf05990-781aabe9
}

func ExampleClient_Code2Session() {
	wechat := pretend(`{"openid":"oEXAMPLE0000000000000000001","session_key":"AAECAwQFBgcICQoLDA0ODw=="}`)
	defer wechat.Close()

	c, err := client.New("wx0000000000000001", "app-secret-for-tests",
		client.WithEndpoints(client.Endpoints{API: wechat.URL}))
	if err != nil {
		panic(err)
	}
	session, err := c.Code2Session(context.Background(), "code-from-wx.login")
	if err != nil {
		panic(err)
	}
	fmt.Println(session.OpenID)
	fmt.Printf("%+v\n", *session)
	// Output:
	// oEXAMPLE0000000000000000001
	// {OpenID:oEXAMPLE0000000000000000001 UnionID: SessionKey:[redacted]}
}

func ExampleDecrypt() {
	const (
		sessionKey    = "AAECAwQFBgcICQoLDA0ODw==" // from the MiniSession
		iv            = "EBESExQVFhcYGRobHB0eHw==" // from the mini program
		encryptedData = "aLhedzo+Z6es5zW+YHo9susiHnaEYeAkbZXA6vB3xXwsEHApbzM53NsvIVPS8sbzE9Tu3cKoosCIaJ9ReH9c7q8xI4AFlJ8HTHrrdVC0WzSFVEG+Q/SUBzVOfvRAiCzg9pRwA0o1X/SBOShf2kiL8wNfdlkWY+I9rsvJLhx38KMuKKT/eXb9VaR4QFyKtt80/IjKxUoZr1C2aiPr9gug7g=="
	)
	plaintext, err := client.Decrypt(sessionKey, encryptedData, iv, "wx0000000000000001")
	if err != nil {
		panic(err)
	}
	var phone struct {
		PurePhoneNumber string `json:"purePhoneNumber"`
	}
	if err := json.Unmarshal(plaintext, &phone); err != nil {
		panic(err)
	}
	fmt.Println(phone.PurePhoneNumber)

	_, err = client.Decrypt(sessionKey, encryptedData, iv, "wx0000000000000002")
	fmt.Println(errors.Is(err, client.ErrWatermark))
	// Output:
	// 13800138000
	// true
}
