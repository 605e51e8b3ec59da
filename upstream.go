package wechatauth

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// The headers that WithIdentityHeaders sets. HeaderNickname is
// percent-encoded UTF-8, because header values are ASCII. Headers of an
// empty value are left out.
const (
	HeaderAppID    = "X-Wechat-Appid"
	HeaderOpenID   = "X-Wechat-Openid"
	HeaderUnionID  = "X-Wechat-Unionid"
	HeaderScope    = "X-Wechat-Scope"
	HeaderNickname = "X-Wechat-Nickname"
)

// identityHeaderPrefix is what all of them begin with. Everything that begins
// so comes from us or not at all.
const identityHeaderPrefix = "x-wechat-"

// withIdentityHeaders returns the request with the identity's headers, for a
// reverse proxy behind the gate, and without any that came from outside: in
// no spelling, since upstreams read "X_WeChat_OpenID" and "x-wechat-openid"
// as one name.
func withIdentityHeaders(r *http.Request, id Identity, loggedIn bool) *http.Request {
	r = r.WithContext(r.Context()) // a copy: the header map of the caller stays as it is
	r.Header = stripIdentityHeaders(r.Header)
	for name := range r.Trailer {
		if claimsIdentity(name) {
			r.Trailer = stripIdentityHeaders(r.Trailer)
			break
		}
	}
	if !loggedIn {
		return r
	}
	for name, value := range map[string]string{
		HeaderAppID: id.AppID, HeaderOpenID: id.OpenID, HeaderUnionID: id.UnionID,
		HeaderScope: string(id.Scope), HeaderNickname: url.PathEscape(id.Nickname),
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r
}

// stripIdentityHeaders copies headers without those that claim to be ours.
func stripIdentityHeaders(h http.Header) http.Header {
	kept := make(http.Header, len(h)+5)
	for name, values := range h {
		if !claimsIdentity(name) {
			kept[name] = values
		}
	}
	return kept
}

// claimsIdentity compares as upstreams do: letter case, and '_' for '-', make
// no difference to CGI, WSGI and their kind. White space around a name is no
// part of it.
func claimsIdentity(name string) bool {
	name = strings.ToLower(textproto.TrimString(name))
	name = strings.Map(func(c rune) rune {
		if c == '_' || c == ' ' || c == '.' {
			return '-'
		}
		return c
	}, name)
	return strings.HasPrefix(name, identityHeaderPrefix)
}
