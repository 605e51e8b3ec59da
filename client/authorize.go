package client

import (
	"net/url"
	"strings"
)

// Scope is what a visitor is asked to grant.
type Scope string

const (
	ScopeBase     Scope = "snsapi_base"     // the openid, silently
	ScopeUserInfo Scope = "snsapi_userinfo" // nickname and avatar too, after consent
	ScopeLogin    Scope = "snsapi_login"    // a website application's QR login
)

// Lang is the language of place names in [UserInfo], of the QR page and of
// [Error.Text].
type Lang string

const (
	LangZhCN Lang = "zh_CN" // simplified Chinese
	LangZhTW Lang = "zh_TW" // traditional Chinese; the QR page and Error.Text know one Chinese only
	LangEN   Lang = "en"    // English
)

// AuthorizeOption adds a parameter to an authorize URL or to a QR page's URL.
// An option that the page in question does not know is left out, and so is nil.
type AuthorizeOption func(*authorizeExtras)

type authorizeExtras struct {
	connectRedirect bool
	forcePopup      bool
	forceSnapShot   bool
	qrLang          Lang
}

// ForcePopup makes WeChat show the consent dialog even where it would agree
// silently because the visitor did so lately. It has no effect for followers
// who come from the account's own menu or chat.
func ForcePopup() AuthorizeOption { return func(e *authorizeExtras) { e.forcePopup = true } }

// ForceSnapShot makes WeChat open the page in snapshot mode, with a virtual
// user. It is meant for testing.
func ForceSnapShot() AuthorizeOption { return func(e *authorizeExtras) { e.forceSnapShot = true } }

// ConnectRedirect adds the undocumented connect_redirect=1, which some report
// to prevent WeChat's doubled callbacks. Do not rely on it.
func ConnectRedirect() AuthorizeOption { return func(e *authorizeExtras) { e.connectRedirect = true } }

// QRLang chooses the language of the QR page: English for [LangEN], Chinese
// otherwise.
func QRLang(l Lang) AuthorizeOption { return func(e *authorizeExtras) { e.qrLang = l } }

// AuthorizeURL returns the address that a visitor inside WeChat is sent to for
// a login with an official account: a link or a redirect, never a fetch.
//
// redirectURI is absolute and on the domain configured with WeChat, without a
// port; state is 1 to 128 letters and digits, and comes back with the code.
// Parameters are escaped and stand in WeChat's documented order, which WeChat
// checks: https://developers.weixin.qq.com/doc/service/guide/h5/auth.html.
func (c *Client) AuthorizeURL(redirectURI string, scope Scope, state string, opts ...AuthorizeOption) string {
	extras := collect(opts)
	u := c.loginPage("/connect/oauth2/authorize", redirectURI, scope, state)
	if extras.connectRedirect {
		u += "&connect_redirect=1"
	}
	if extras.forcePopup {
		u += "&forcePopup=true"
	}
	if extras.forceSnapShot {
		u += "&forceSnapShot=true"
	}
	if c.component != nil {
		u += "&component_appid=" + escape(c.component.appID) // must be last
	}
	return u + "#wechat_redirect"
}

// QRConnectURL returns the address of the page with the QR code for a website
// application: https://developers.weixin.qq.com/doc/oplatform/developers/dev/auth/web.html.
// It works in desktop browsers outside WeChat. The scope is [ScopeLogin];
// redirectURI and state are as for [Client.AuthorizeURL].
func (c *Client) QRConnectURL(redirectURI, state string, opts ...AuthorizeOption) string {
	u := c.loginPage("/connect/qrconnect", redirectURI, ScopeLogin, state)
	switch collect(opts).qrLang {
	case "":
	case LangEN:
		u += "&lang=en"
	default:
		u += "&lang=cn"
	}
	return u + "#wechat_redirect"
}

// loginPage writes the five parameters by hand: url.Values would sort what
// follows them in front.
func (c *Client) loginPage(path, redirectURI string, scope Scope, state string) string {
	return c.endpoints.Open + path +
		"?appid=" + escape(c.appID) +
		"&redirect_uri=" + escape(redirectURI) +
		"&response_type=code" +
		"&scope=" + escape(string(scope)) +
		"&state=" + escape(state)
}

func collect(opts []AuthorizeOption) authorizeExtras {
	var extras authorizeExtras
	for _, opt := range opts {
		if opt != nil {
			opt(&extras)
		}
	}
	return extras
}

// escape is encodeURIComponent: a space is %20, which every decoder reads alike.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
