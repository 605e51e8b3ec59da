package wecom_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/wecom"
)

// weCom responds to gettoken with the first body and to other calls with the
// second. It stands in for WeCom.
func weCom(token, other string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := other
		if r.URL.Path == "/cgi-bin/gettoken" {
			body = token
		}
		fmt.Fprint(w, body)
	}))
}

// A member logs in: the browser opens AuthorizeURL, and the callback has a code.
func ExampleNew() {
	server := weCom(`{"errcode":0,"access_token":"T","expires_in":7200}`, `{"errcode":0,"userid":"ZhangSan"}`)
	defer server.Close()
	c, err := wecom.New("ww1234567890abcdef", 1000002, "secret-of-the-app", wecom.WithEndpoints(wecom.Endpoints{API: server.URL}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.AuthorizeURL("https://oa.example.com/callback", client.ScopeBase, "8f0c1d2e"))

	user, err := c.UserInfo(context.Background(), "CODE")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.UserID, user.IsMember())
	// Output:
	// https://open.weixin.qq.com/connect/oauth2/authorize?appid=ww1234567890abcdef&redirect_uri=https%3A%2F%2Foa.example.com%2Fcallback&response_type=code&scope=snsapi_base&state=8f0c1d2e&agentid=1000002#wechat_redirect
	// ZhangSan true
}

// WeCom does not distinguish userids by case, so a program must not either.
func ExampleFoldUserID() {
	fmt.Println(wecom.FoldUserID("ZhangSan") == wecom.FoldUserID("zhangsan"))
	// Output: true
}

// A cache that several instances share remembers that WeCom has rejected the
// secret.
func ExampleRejected() {
	server := weCom(`{"errcode":40001,"errmsg":"invalid credential"}`, "")
	defer server.Close()
	c, err := wecom.New("ww1234567890abcdef", 1000002, "a-wrong-secret", wecom.WithEndpoints(wecom.Endpoints{API: server.URL}))
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.UserInfo(context.Background(), "CODE")
	fmt.Println(wecom.Rejected(err))
	fmt.Println(err)
	// Output:
	// true
	// wechat: cgi-bin/gettoken: errcode 40001: invalid credential
}
