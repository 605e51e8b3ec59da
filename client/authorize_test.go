package client

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClient_AuthorizeURL(t *testing.T) {
	account, err := New(testAppID, testSecret)
	require.NoError(t, err)
	platform, err := New(testAppID, "", WithComponent("wx0000000000000002",
		func(context.Context) (Secret, error) { return NewSecret("component-token"), nil }))
	require.NoError(t, err)
	const callback = "https://a.example/cb?x=1&y=b c#f"
	const begin = "https://open.weixin.qq.com/connect/oauth2/authorize?appid=" + testAppID +
		"&redirect_uri=https%3A%2F%2Fa.example%2Fcb%3Fx%3D1%26y%3Db%20c%23f&response_type=code&scope="
	for name, row := range map[string]struct{ got, want string }{
		"base": {
			account.AuthorizeURL(callback, ScopeBase, "s1"),
			begin + "snsapi_base&state=s1#wechat_redirect",
		},
		"options follow state in a fixed order": {
			account.AuthorizeURL(callback, ScopeUserInfo, "s1", ForceSnapShot(), ForcePopup(), ConnectRedirect()),
			begin + "snsapi_userinfo&state=s1&connect_redirect=1&forcePopup=true&forceSnapShot=true#wechat_redirect",
		},
		"component_appid comes last": {
			platform.AuthorizeURL(callback, ScopeBase, "s1", ForcePopup()),
			begin + "snsapi_base&state=s1&forcePopup=true&component_appid=wx0000000000000002#wechat_redirect",
		},
		"hostile scope and state stay inside their parameters": {
			account.AuthorizeURL(callback, "a&b", "c&d=e#f"),
			begin + "a%26b&state=c%26d%3De%23f#wechat_redirect",
		},
		"the QR page": {
			account.QRConnectURL(callback, "s1"),
			"https://open.weixin.qq.com/connect/qrconnect" + begin[len("https://open.weixin.qq.com/connect/oauth2/authorize"):] +
				"snsapi_login&state=s1#wechat_redirect",
		},
		"the QR page in English, with options that do not apply": {
			account.QRConnectURL("https://a.example/", "s1", QRLang(LangEN), ForcePopup()),
			"https://open.weixin.qq.com/connect/qrconnect?appid=" + testAppID +
				"&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=code&scope=snsapi_login&state=s1&lang=en#wechat_redirect",
		},
		"the QR page in Chinese": {
			account.QRConnectURL("https://a.example/", "s1", QRLang(LangZhTW)),
			"https://open.weixin.qq.com/connect/qrconnect?appid=" + testAppID +
				"&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=code&scope=snsapi_login&state=s1&lang=cn#wechat_redirect",
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.want, row.got)
			u, err := url.Parse(row.got)
			require.NoError(t, err)
			assert.NotEmpty(t, u.Query().Get("redirect_uri"))
		})
	}
}

func TestClient_AuthorizeURL_NilOption(t *testing.T) {
	c, err := New(testAppID, testSecret)
	require.NoError(t, err)
	const back = "https://shop.example/callback"
	assert.Equal(t, c.AuthorizeURL(back, ScopeBase, "s1"), c.AuthorizeURL(back, ScopeBase, "s1", nil))
	assert.Equal(t, c.QRConnectURL(back, "s1"), c.QRConnectURL(back, "s1", nil))
}
