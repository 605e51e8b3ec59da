package wecom

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/wechatauth/wechatauth/client"
)

// ScopePrivateInfo asks the member for the details that [Client.UserDetail]
// returns. The scope without a question is [client.ScopeBase]. WeCom remembers a
// member's consent for 30 days, so a login with this scope does not prove that
// they were asked.
const ScopePrivateInfo client.Scope = "snsapi_privateinfo"

// AuthorizeURL returns the URL to which a browser inside WeCom is redirected to
// log in. It must be opened by a link or a redirect, not by a fetch or in a
// frame. WeChat opens it too; users who are not members of the company then log
// in with an openid (see [UserInfo]).
//
// redirectURI must be absolute and on a trusted domain (可信域名) of the app,
// which is compared with its port. state must be 1 to 128 letters and digits;
// WeCom returns it with the code. The parameters are escaped and in WeCom's
// documented order:
// https://developer.work.weixin.qq.com/document/path/91022.
func (c *Client) AuthorizeURL(redirectURI string, scope client.Scope, state string) string {
	return c.endpoints.Open + "/connect/oauth2/authorize" +
		"?appid=" + escape(c.corpID) +
		"&redirect_uri=" + escape(redirectURI) +
		"&response_type=code" +
		"&scope=" + escape(string(scope)) +
		"&state=" + escape(state) +
		"&agentid=" + strconv.Itoa(c.agentID) + // without it, snsapi_privateinfo fails or becomes snsapi_base
		"#wechat_redirect"
}

// LoginURL returns the URL of the page on which members log in outside WeCom:
// with a QR code, or with one click if WeCom runs on the computer. A frame made
// by @wecom/jssdk shows the same page. redirectURI and state are as for
// [Client.AuthorizeURL]; the code of this page gives no user_ticket. The page is
// in English for [client.LangEN], in Chinese for other languages, and as WeCom
// decides if lang is empty:
// https://developer.work.weixin.qq.com/document/path/98152.
func (c *Client) LoginURL(redirectURI, state string, lang client.Lang) string {
	u := c.endpoints.Login + "/wwlogin/sso/login" +
		"?login_type=CorpApp" +
		"&appid=" + escape(c.corpID) +
		"&agentid=" + strconv.Itoa(c.agentID) +
		"&redirect_uri=" + escape(redirectURI) +
		"&state=" + escape(state)
	switch lang {
	case "":
		return u
	case client.LangEN:
		return u + "&lang=en"
	}
	return u + "&lang=zh"
}

// escape works like encodeURIComponent: a space becomes %20, which all decoders
// read alike.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
