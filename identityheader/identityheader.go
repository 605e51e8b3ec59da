// Package identityheader passes the identity of the user to an upstream server
// in request headers. [Handler] wraps the reverse proxy and belongs behind the
// middleware:
//
//	auth, err := wechatauth.New(…)
//	…
//	proxy := httputil.NewSingleHostReverseProxy(upstream)
//	http.ListenAndServe(addr, auth.RequireWeChat(identityheader.Handler(proxy, auth)))
//
// The upstream server can trust the headers if it is reachable through the
// proxy only.
package identityheader

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth"
)

// The headers that Handler sets. Nickname is percent-encoded UTF-8, because
// header values are ASCII. Headers of an empty value are left out.
const (
	AppID    = "X-Wechat-Appid"
	OpenID   = "X-Wechat-Openid"
	UnionID  = "X-Wechat-Unionid"
	Scope    = "X-Wechat-Scope"
	Nickname = "X-Wechat-Nickname"
)

// prefix is what all of them begin with. Everything that begins so comes from
// us or not at all.
const prefix = "x-wechat-"

// Credentials of the middleware, besides the session cookie: what the names of
// its other cookies begin with, over https and over plain http, and what the
// tokens of mini programs begin with.
const (
	hostCookiePrefix = "__Host-wechat_"
	cookiePrefix     = "wechat_"
	tokenPrefix      = "wxm_"
)

// Handler calls next with the headers of the request's identity, which the
// middleware of auth around it has found. Without an identity it sets none.
// Headers and trailers that begin with "X-Wechat-", in any spelling, are removed
// from every request first. So are the session cookie of auth, the cookies whose
// names begin with "wechat_" or "__Host-wechat_", and bearer tokens of mini
// programs, with which the upstream server could act as the user. next must not
// contain middleware of auth: it would not find the session.
func Handler(next http.Handler, auth *wechatauth.Auth) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		next.ServeHTTP(w, withIdentity(r, id, ok, auth.Sessions().Cookie.Name))
	})
}

// withIdentity returns the request with the identity's headers and without any
// that came from outside: in no spelling, since upstreams read
// "X_WeChat_OpenID" and "x-wechat-openid" as one name.
func withIdentity(r *http.Request, id wechatauth.Identity, loggedIn bool, session string) *http.Request {
	r = r.WithContext(r.Context()) // a copy: the header map of the caller stays as it is
	r.Header = headerForUpstream(r.Header, session)
	stripTrailer(r)
	if !loggedIn {
		return r
	}
	for name, value := range map[string]string{
		AppID: id.AppID, OpenID: id.OpenID, UnionID: id.UnionID,
		Scope: string(id.Scope), Nickname: url.PathEscape(id.Nickname),
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r
}

// headerForUpstream copies headers without those that claim to be ours, without
// "Connection: X-Wechat-Openid", which would have a proxy drop ours, and without
// our cookies and tokens.
func headerForUpstream(h http.Header, session string) http.Header {
	kept := make(http.Header, len(h)+5)
	for name, values := range h {
		if claimsIdentity(name) {
			continue
		}
		switch http.CanonicalHeaderKey(name) {
		case "Connection":
			values = withoutOurNames(values)
		case "Cookie":
			values = withoutOurCookies(values, session)
		case "Authorization":
			values = slices.DeleteFunc(slices.Clone(values), isOurToken)
		}
		if len(values) > 0 {
			kept[name] = values
		}
	}
	return kept
}

// withoutOurCookies removes the session cookie and all cookies whose names begin
// as ours do. The others keep their order and spelling.
func withoutOurCookies(lines []string, session string) (kept []string) {
	for _, line := range lines {
		pairs := slices.DeleteFunc(strings.Split(line, ";"), func(pair string) bool {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			name = strings.TrimSpace(name)
			return name == session || strings.HasPrefix(name, hostCookiePrefix) || strings.HasPrefix(name, cookiePrefix)
		})
		if len(pairs) > 0 {
			kept = append(kept, strings.TrimSpace(strings.Join(pairs, ";")))
		}
	}
	return kept
}

// isOurToken reports whether a value of Authorization is the token of a mini
// program.
func isOurToken(value string) bool {
	scheme, token, _ := strings.Cut(strings.TrimSpace(value), " ")
	return strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(strings.TrimSpace(token), tokenPrefix)
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

// Close also drops forged trailers: net/http reads the rest of the body, and
// the trailer, when a handler closes a body that it has not read to its end.
func (b *bodyWithTrailer) Close() error {
	defer b.read()
	return b.ReadCloser.Close()
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
	return strings.HasPrefix(name, prefix)
}
