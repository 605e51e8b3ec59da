// Package identityheader passes the user's identity to an upstream server in
// request headers. [Handler] wraps the reverse proxy and is used behind the
// middleware:
//
//	auth, err := wechatauth.New(…)
//	…
//	proxy := httputil.NewSingleHostReverseProxy(upstream)
//	http.ListenAndServe(addr, auth.RequireWeChat(identityheader.Handler(proxy, auth)))
//
// The upstream server can trust the headers if it is reachable only through the
// proxy.
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
// header values are ASCII. Headers with empty values are omitted.
const (
	AppID    = "X-Wechat-Appid"
	OpenID   = "X-Wechat-Openid"
	UnionID  = "X-Wechat-Unionid"
	Scope    = "X-Wechat-Scope"
	Nickname = "X-Wechat-Nickname"
)

// prefix is the common prefix of all headers. Headers with this prefix from
// clients are always removed.
const prefix = "x-wechat-"

// Credentials of the middleware, other than the session cookie: the prefixes of
// its other cookies, over https and over plain http, and the prefix of mini
// program tokens.
const (
	hostCookiePrefix = "__Host-wechat_"
	cookiePrefix     = "wechat_"
	tokenPrefix      = "wxm_"
)

// Handler calls next with headers for the request's identity, as determined by
// the middleware of auth, which must wrap it. If there is no identity, it sets
// none.
//
// Handler first removes from every request all headers and trailers that begin
// with "X-Wechat-", in any spelling. It also removes the session cookie of
// auth, cookies whose names begin with "wechat_" or "__Host-wechat_", and
// bearer tokens of mini programs, because with them the upstream server could
// act as the user. next must not contain middleware of auth, which would not
// find the session.
func Handler(next http.Handler, auth *wechatauth.Auth) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		next.ServeHTTP(w, withIdentity(r, id, ok, auth.Sessions().Cookie.Name))
	})
}

// withIdentity returns the request with headers for the identity and without
// such headers from outside. It removes every spelling, because upstream
// servers may treat "X_WeChat_OpenID" and "x-wechat-openid" as the same name.
func withIdentity(r *http.Request, id wechatauth.Identity, loggedIn bool, session string) *http.Request {
	r = r.WithContext(r.Context()) // a copy: the caller's header map must not change
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

// headerForUpstream returns the headers without forged identity headers,
// without "Connection: X-Wechat-Openid", which would make a proxy remove the
// real ones, and without the middleware's cookies and tokens.
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

// withoutOurCookies removes the session cookie and all cookies with the
// middleware's prefixes. The order and spelling of the others remain unchanged.
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

// isOurToken reports whether the value of an Authorization header is a mini
// program's token.
func isOurToken(value string) bool {
	scheme, token, _ := strings.Cut(strings.TrimSpace(value), " ")
	return strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(strings.TrimSpace(token), tokenPrefix)
}

// withoutOurNames removes the identity headers from lists of header names.
func withoutOurNames(lists []string) (kept []string) {
	for _, list := range lists {
		names := slices.DeleteFunc(strings.Split(list, ","), claimsIdentity)
		if len(names) > 0 {
			kept = append(kept, strings.Join(names, ","))
		}
	}
	return kept
}

// stripTrailer removes forged identity headers from the trailer. The trailer is
// known after the body has been read, and may then have more fields than were
// announced; net/http adds them to the announced ones.
func stripTrailer(r *http.Request) {
	if r.Trailer == nil {
		return // net/http then adds trailers to its own request, which next does not see
	}
	drop := func() {
		maps.DeleteFunc(r.Trailer, func(name string, _ []string) bool { return claimsIdentity(name) })
	}
	drop()
	if r.Body != nil {
		r.Body = &bodyWithTrailer{r.Body, drop}
	}
}

// bodyWithTrailer calls read after the body, and with it the trailer, has been
// read.
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

// Close also removes forged trailers: if a handler closes a body before its
// end, net/http reads the rest of the body and the trailer.
func (b *bodyWithTrailer) Close() error {
	defer b.read()
	return b.ReadCloser.Close()
}

// claimsIdentity reports whether a header name may be read as an identity
// header. Some servers, such as those using CGI or WSGI, ignore case and treat
// all characters other than letters and digits alike. White space around a name
// is ignored.
func claimsIdentity(name string) bool {
	name = strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(strings.TrimSpace(name)))
	return strings.HasPrefix(name, prefix)
}
