package client_test

import (
	"context"
	"fmt"

	"github.com/wechatauth/wechatauth/client"
)

// connect returns a client of a server that returns one response to every
// request, and a function that closes the server.
func connect(response string) (*client.Client, func()) {
	wechat := pretend(response)
	c, err := client.New("wx0000000000000001", "app-secret-for-tests",
		client.WithEndpoints(client.Endpoints{Open: wechat.URL, API: wechat.URL}),
		client.WithAccountToken(staticToken("99_account")))
	if err != nil {
		panic(err)
	}
	return c, wechat.Close
}

// staticToken is an account token that another service manages.
type staticToken string

func (s staticToken) AccountToken(context.Context, client.Secret) (client.Secret, error) {
	return client.NewSecret(string(s)), nil
}

func ExampleNew() {
	_, err := client.New("gh_0123456789ab", "app-secret-for-tests")
	fmt.Println(err)
	// Output: client: AppID is an original id (gh_...); copy the AppID, which begins with "wx"
}

func ExampleClient_QRConnectURL() {
	c, err := client.New("wx0000000000000002", "website-secret-for-tests")
	if err != nil {
		panic(err)
	}
	fmt.Println(c.QRConnectURL("https://shop.example/wechat/callback", "4f1c2a9d"))
	// Output:
	// https://open.weixin.qq.com/connect/qrconnect?appid=wx0000000000000002&redirect_uri=https%3A%2F%2Fshop.example%2Fwechat%2Fcallback&response_type=code&scope=snsapi_login&state=4f1c2a9d#wechat_redirect
}

func ExampleClient_UserInfo() {
	c, done := connect(`{"openid":"oEXAMPLE0000000000000000001","nickname":"Lin","headimgurl":"https:\/\/thirdwx.qlogo.cn\/x\/132","privilege":[]}`)
	defer done()
	user, err := c.UserInfo(context.Background(), "99_token", "oEXAMPLE0000000000000000001", client.LangZhCN)
	if err != nil {
		panic(err)
	}
	fmt.Println(user.Nickname, user.AvatarURL)
	// Output: Lin https://thirdwx.qlogo.cn/x/132
}

func ExampleClient_Refresh() {
	c, done := connect(`{"access_token":"99_new","expires_in":7200,"refresh_token":"99_refresh","openid":"oEXAMPLE0000000000000000001","scope":"snsapi_userinfo"}`)
	defer done()
	token, err := c.Refresh(context.Background(), "99_refresh")
	if err != nil {
		panic(err)
	}
	fmt.Println(token.ExpiresIn, token.Scope)
	// Output: 2h0m0s snsapi_userinfo
}

// Check an access_token from a client before using it.
func ExampleClient_CheckToken() {
	c, done := connect(`{"errcode":40003,"errmsg":"invalid openid"}`)
	defer done()
	fmt.Println(c.CheckToken(context.Background(), "99_token", "oEXAMPLE0000000000000000001"))
	// Output: wechat: sns/auth: errcode 40003: invalid openid
}

// The code comes from the button that requests the phone number, not from
// wx.login.
func ExampleClient_PhoneNumber() {
	c, done := connect(`{"errcode":0,"errmsg":"ok","phone_info":{"phoneNumber":"13800138000","purePhoneNumber":"13800138000","countryCode":86,"watermark":{"timestamp":1637744274,"appid":"wx0000000000000001"}}}`)
	defer done()
	phone, err := c.PhoneNumber(context.Background(), "code-of-the-button")
	if err != nil {
		panic(err)
	}
	fmt.Println(phone.CountryCode, phone.PureNumber)
	// Output: 86 13800138000
}

// This example is from WeChat's documentation.
func ExampleVerifySignature() {
	rawData := `{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}`
	fmt.Println(client.VerifySignature("HyVFkGl5F5OQWJZZaNzBBg==", rawData, "75e81ceda165f4ffa64f4068af58c64b8f54b88c"))
	// Output: true
}

// The sentences are meant for people; those of KindConfiguration only for
// operators.
func ExampleError_Text() {
	e := &client.Error{Code: 40164, Endpoint: "sns/oauth2/access_token"}
	fmt.Println(e.Text(client.LangEN))
	fmt.Println(e.Text(client.LangZhCN))
	// Output:
	// This server's IP address is not on the account's allow-list. Add it in WeChat's console.
	// 服务器 IP 不在账号的 IP 白名单内，请在微信后台添加。
}
