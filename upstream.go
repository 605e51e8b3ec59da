package wechatauth

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
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
// as one name. It removes what logs the user in here: the gate's cookies and
// its bearer token.
func (a *Auth) withIdentityHeaders(r *http.Request, id Identity, loggedIn bool) *http.Request {
	ctx := r.Context()
	if ctx.Value(sentKey) == nil {
		ctx = context.WithValue(ctx, sentKey, r.Header)
	}
	r = r.WithContext(ctx) // a copy: the header map of the caller stays as it is
	r.Header = a.headerForUpstream(r.Header)
	stripTrailer(r)
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

// sentKey finds the header as it arrived.
var sentKey = &struct{ name string }{"wechatauth header"}

// asSent returns r with the cookies and the bearer token that a gate further
// out has removed, for a gate or an endpoint behind it.
func asSent(r *http.Request) *http.Request {
	sent, ok := r.Context().Value(sentKey).(http.Header)
	if !ok {
		return r
	}
	r = r.WithContext(r.Context())
	r.Header = maps.Clone(r.Header)
	for _, name := range []string{"Cookie", "Authorization"} {
		if values, ok := sent[name]; ok {
			r.Header[name] = values
		}
	}
	return r
}

// headerForUpstream copies headers without those that claim to be ours, without
// "Connection: X-Wechat-Openid", which would have a proxy drop ours, and without
// our cookies and tokens.
func (a *Auth) headerForUpstream(h http.Header) http.Header {
	kept := make(http.Header, len(h)+5)
	for name, values := range h {
		if claimsIdentity(name) {
			continue
		}
		switch http.CanonicalHeaderKey(name) {
		case "Connection":
			values = withoutOurNames(values)
		case "Cookie":
			values = a.withoutOurCookies(values)
		case "Authorization":
			values = slices.DeleteFunc(slices.Clone(values), func(value string) bool {
				token, _ := bearer(&http.Request{Header: http.Header{"Authorization": {value}}})
				return token != ""
			})
		}
		if len(values) > 0 {
			kept[name] = values
		}
	}
	return kept
}

// withoutOurCookies removes the session cookie and all cookies whose names begin
// as the gate's do. The others keep their order and spelling.
func (a *Auth) withoutOurCookies(lines []string) (kept []string) {
	for _, line := range lines {
		pairs := slices.DeleteFunc(strings.Split(line, ";"), func(pair string) bool {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			name = strings.TrimSpace(name)
			return name == a.sessions.manager.Cookie.Name || strings.HasPrefix(name, cookiePrefix(a.base))
		})
		if len(pairs) > 0 {
			kept = append(kept, strings.TrimSpace(strings.Join(pairs, ";")))
		}
	}
	return kept
}

// withoutOurNames takes the names of our headers out of lists of names.
func withoutOurNames(lists []string) (kept []string) {
	for _, list := range lists {
		names := slices.DeleteFunc(strings.Split(list, ","), claimsIdentity)
		if len(names) > 0 {
			kept = append(kept, strings.Join(names, ","))
		}
	}
	return kept
}

// stripTrailer does for the trailer what headerForUpstream does for the
// header. A trailer is known when the body has been read, and may then have
// more fields than were announced; net/http adds them to the announced ones.
func stripTrailer(r *http.Request) {
	if r.Trailer == nil {
		return // then it adds them to its own request, which nobody behind us sees
	}
	drop := func() {
		maps.DeleteFunc(r.Trailer, func(name string, _ []string) bool { return claimsIdentity(name) })
	}
	drop()
	if r.Body != nil {
		r.Body = &bodyWithTrailer{r.Body, drop}
	}
}

// bodyWithTrailer calls read when the body, and with it the trailer, was read.
type bodyWithTrailer struct {
	io.ReadCloser
	read func()
}

func (b *bodyWithTrailer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.read()
	}
	return n, err
}

// claimsIdentity compares as upstreams do: CGI, WSGI and their kind make one
// name of all that differ in letter case and in what is no letter or digit.
// White space around a name is no part of it.
func claimsIdentity(name string) bool {
	name = strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(strings.TrimSpace(name)))
	return strings.HasPrefix(name, identityHeaderPrefix)
}
