package client

import (
	"net/url"
	"strings"
)

// A Scope determines what a user grants to an account.
type Scope string

const (
	ScopeBase     Scope = "snsapi_base"     // the openid, without asking the user
	ScopeUserInfo Scope = "snsapi_userinfo" // also nickname and avatar, with the user's consent
	ScopeLogin    Scope = "snsapi_login"    // login to a website application with a QR code
)

// A Lang is the language of place names in [UserInfo], of the QR code page or
// of [Error.Text].
type Lang string

const (
	LangZhCN Lang = "zh_CN" // simplified Chinese
	LangZhTW Lang = "zh_TW" // traditional Chinese; the QR code page and Error.Text use simplified Chinese instead
	LangEN   Lang = "en"    // English
)

// An AuthorizeOption adds a parameter to the URL of the authorization page or
// of the QR code page. An option that does not apply to the page is ignored,
// and so is nil.
type AuthorizeOption func(*authorizeExtras)

type authorizeExtras struct {
	connectRedirect bool
	forcePopup      bool
	forceSnapShot   bool
	qrLang          Lang
}

// ForcePopup makes WeChat show the consent dialog even if it would skip it
// because the user consented recently. It has no effect for followers who open
// the page from the account's own menu or chat.
func ForcePopup() AuthorizeOption { return func(e *authorizeExtras) { e.forcePopup = true } }

// ForceSnapShot makes WeChat open the page in snapshot mode, with a virtual
// user. It is meant for testing.
func ForceSnapShot() AuthorizeOption { return func(e *authorizeExtras) { e.forceSnapShot = true } }

// ConnectRedirect adds the undocumented parameter connect_redirect=1, which is
// reported to prevent duplicate callbacks. Do not rely on it.
func ConnectRedirect() AuthorizeOption { return func(e *authorizeExtras) { e.connectRedirect = true } }

// QRLang sets the language of the QR code page: English for [LangEN], otherwise
// Chinese.
func QRLang(l Lang) AuthorizeOption { return func(e *authorizeExtras) { e.qrLang = l } }

// AuthorizeURL returns the URL to which a browser inside WeChat is redirected
// to log in with an official account. It must be opened by a link or a
// redirect, not by a fetch.
//
// redirectURI must be absolute, on the domain entered in WeChat's console, and
// without a port. state must be 1 to 128 letters and digits; WeChat returns it
// with the code. The parameters are escaped and in WeChat's documented order,
// which WeChat checks:
// https://developers.weixin.qq.com/doc/service/guide/h5/auth.html.
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

// QRConnectURL returns the URL of the page that shows a website application's
// QR code:
// https://developers.weixin.qq.com/doc/oplatform/developers/dev/auth/web.html.
// The page works in desktop browsers outside WeChat. The scope is [ScopeLogin];
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

// loginPage does not use url.Values, which would sort the parameters that
// follow before these five.
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

// escape works like encodeURIComponent: a space becomes %20, which all decoders
// read alike.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
