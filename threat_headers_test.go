package wechatauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// What requests say about themselves, and what caches make of answers.

func TestT33_NoHeaderChangesWhereWeChatSendsTheVisitorBack(t *testing.T) {
	s := newSite(t)
	const target = "/a?b=c"
	clean := s.wire(http.MethodGet, target, pageHeader)
	require.Equal(t, http.StatusSeeOther, clean.StatusCode)
	host := s.auth.base.Host
	cases := map[string][]string{
		"another host":                    {"Host: evil.example"},
		"another port":                    {"Host: 127.0.0.1:443"},
		"no port":                         {"Host: 127.0.0.1"},
		"a dot behind":                    {"Host: " + host + "."},
		"capitals":                        {"Host: " + strings.ToUpper(host)},
		"user information":                {"Host: " + host + "@evil.example"},
		"a fragment":                      {"Host: evil.example#" + host},
		"a path":                          {"Host: evil.example/" + host},
		"nothing":                         {"Host: "},
		"two hosts":                       {"Host: " + host, "Host: evil.example"},
		"X-Forwarded-Host":                {"X-Forwarded-Host: evil.example"},
		"X-Forwarded-Host, twice":         {"X-Forwarded-Host: evil.example", "X-Forwarded-Host: " + host},
		"X-Forwarded-Host, a list":        {"X-Forwarded-Host: evil.example, " + host},
		"X-Forwarded-Host that is right":  {"Host: evil.example", "X-Forwarded-Host: " + host},
		"X-Forwarded-Proto http":          {"X-Forwarded-Proto: http"},
		"X-Forwarded-Proto https":         {"X-Forwarded-Proto: https"},
		"X-Forwarded-Proto javascript":    {"X-Forwarded-Proto: javascript"},
		"X-Forwarded-Proto, a list":       {"X-Forwarded-Proto: https,http"},
		"X-Forwarded-Port":                {"X-Forwarded-Port: 1"},
		"X-Forwarded-Prefix":              {"X-Forwarded-Prefix: //evil.example"},
		"X-Forwarded-Uri":                 {"X-Forwarded-Uri: /public"},
		"X-Forwarded-Method":              {"X-Forwarded-Method: OPTIONS"},
		"X-Forwarded-For":                 {"X-Forwarded-For: 127.0.0.1"},
		"Forwarded":                       {"Forwarded: for=127.0.0.1;host=evil.example;proto=http"},
		"X-Original-Host":                 {"X-Original-Host: evil.example"},
		"X-Host":                          {"X-Host: evil.example"},
		"X-Real-Host":                     {"X-Real-Host: evil.example"},
		"X-Original-URL":                  {"X-Original-URL: //evil.example"},
		"X-Rewrite-URL":                   {"X-Rewrite-URL: //evil.example"},
		"Referer":                         {"Referer: https://evil.example/"},
		"Origin":                          {"Origin: https://evil.example"},
		"all of them at once":             {"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-Port: 1", "Forwarded: host=evil.example", "X-Original-URL: //evil.example"},
		"an absolute URL and its host":    nil,
		"an absolute URL and another one": nil,
	}
	for name, header := range cases {
		t.Run(name, func(t *testing.T) {
			var got answer
			switch name {
			case "an absolute URL and its host":
				got = s.wireLines("GET http://evil.example"+target+" HTTP/1.1", "Host: evil.example", pageHeader, "Connection: close")
			case "an absolute URL and another one":
				got = s.wireLines("GET http://evil.example"+target+" HTTP/1.1", "Host: "+host, pageHeader, "Connection: close")
			default:
				got = s.wire(http.MethodGet, target, append(header, pageHeader)...)
			}
			if got.StatusCode == http.StatusBadRequest {
				assert.Empty(t, got.Header["Set-Cookie"], "net/http answers it")
				return
			}
			if len(got.flowCookies()) == 0 { // a hop to the right host first
				require.Equal(t, s.auth.base.String()+target, got.Header.Get("Location"))
				return
			}
			assert.Equal(t, withoutState(clean.Header.Get("Location")), withoutState(got.Header.Get("Location")), "byte for byte")
			assert.Equal(t, attributes(clean), attributes(got))
		})
	}
	t.Run("no host at all", func(t *testing.T) {
		got := s.wireLines("GET "+target+" HTTP/1.0", pageHeader)
		assert.Equal(t, s.auth.base.String()+target, got.Header.Get("Location"))
	})
	t.Run("the page of a failure", func(t *testing.T) {
		want := s.wire(http.MethodGet, "/wechat/callback?code=x", pageHeader)
		for name, header := range cases {
			got := s.wire(http.MethodGet, "/wechat/callback?code=x", append(header, pageHeader)...)
			if strings.Contains(got.body, "<html") {
				assert.Equal(t, want.body, got.body, name)
			}
		}
	})
	t.Run("the 401 of a script", func(t *testing.T) {
		want := s.wire(http.MethodGet, "/api")
		for name, header := range cases {
			if got := s.wire(http.MethodGet, "/api", header...); got.StatusCode != http.StatusBadRequest {
				assert.Equal(t, want.body, got.body, name)
			}
		}
	})
}

// attributes are what an answer says of its cookies beside name and value.
func attributes(a answer) (all []string) {
	for _, line := range a.Header["Set-Cookie"] {
		_, rest, _ := strings.Cut(line, ";")
		all = append(all, rest)
	}
	return all
}

func TestT33_HTTP2AuthorityIsAHostLikeAnyOther(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.EnableHTTP2 = true
	s := &site{t: t, sim: wechattest.NewServer(), server: server, logs: &syncBuffer{}, clock: newTestClock()}
	s.start("https://" + server.Listener.Addr().String())
	server.StartTLS()
	for authority, hop := range map[string]bool{s.auth.base.Host: false, "evil.example": true} {
		r, err := http.NewRequest(http.MethodGet, s.auth.base.String()+"/a?b=c", nil)
		require.NoError(t, err)
		r.Host = authority
		r.Header.Set("Accept", "text/html")
		resp, err := server.Client().Transport.RoundTrip(r)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 2, resp.ProtoMajor)
		location := resp.Header.Get("Location")
		if hop {
			assert.Equal(t, s.auth.base.String()+"/a?b=c", location)
			continue
		}
		assert.Contains(t, location, url.QueryEscape(s.auth.base.String()+"/wechat/callback"))
	}
}

// The application opens /public/ and protects everything else, by mounting.
func TestT35_NoSpellingOfAPathPassesTheGate(t *testing.T) {
	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ADMIN") })
	open := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "public") })
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/public/", open)
	mux.Handle("/", s.auth.RequireWeChat(admin))
	byPrefix := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/public/") {
			open.ServeHTTP(w, r) // and never admin: the gate is not asked to see through it
			return
		}
		s.auth.RequireWeChat(admin).ServeHTTP(w, r)
	})
	for name, app := range map[string]http.Handler{"a mux": mux, "the gate around everything": s.auth.RequireWeChat(admin), "a router that cleans nothing": byPrefix} {
		t.Run(name, func(t *testing.T) {
			s.server.Config.Handler = app
			for _, target := range []string{
				"/admin", "/public/../admin", "/public/%2e%2e/admin", "/public%2f..%2fadmin", "/public/..%2fadmin", "/public;/../admin", "//public/../admin",
				`/public\..\admin`, "/public/..;/admin", "/PUBLIC/x", "/admin?x=/public/", "/admin#/public/", "/admin%23/public/", "/admin/%2e%2e/public/",
				"/public%00/../admin", "/public/./../admin", "/admin/", "//admin", "/./admin", "/%61dmin", "/admin%2f", "/admin;x=1", "/admin.css", "/admin?next=/wechat/",
				"/wechat/../admin", "/wechat%2f..%2fadmin", "/wechat/%2e%2e/admin", "/wechat//admin", "/wechat/admin", "/wechat/callback/../../admin", "/WECHAT/login",
				"http://" + s.auth.base.Host + "/admin", "/healthz", "/favicon.ico", "/robots.txt", "/MP_verify_0123456789abcdef.txt",
			} {
				for range 3 { // the mux sends to a cleaned path first
					got := s.wire(http.MethodGet, target, pageHeader)
					assert.NotContains(t, got.body, "ADMIN", target)
					if got.StatusCode != http.StatusMovedPermanently && got.StatusCode != http.StatusTemporaryRedirect {
						break
					}
					target = got.Header.Get("Location")
				}
			}
			for _, header := range []string{
				"X-Forwarded-Uri: /public/", "X-Original-URL: /public/", "X-Original-URI: /public/", "X-Rewrite-URL: /public/", "X-HTTP-Method-Override: OPTIONS",
				"X-HTTP-Method: OPTIONS", "X-Method-Override: OPTIONS", "X-Forwarded-Method: OPTIONS", "User-Agent: GoogleHC/1.0", "User-Agent: kube-probe/1.30",
				"User-Agent: " + wechattest.IPhone, "X-Forwarded-For: 127.0.0.1", "X-Wechat-Openid: " + aliceOpenID, "Authorization: Bearer x", "Upgrade: websocket",
				"Sec-Purpose: prefetch", "Origin: https://evil.example", "Access-Control-Request-Method: GET", "X-Requested-With: XMLHttpRequest",
			} {
				for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, "TRACE", "CONNECT"} {
					if method == http.MethodOptions && strings.HasPrefix(header, "Access") {
						continue
					}
					got := s.wire(method, "/admin", header)
					assert.NotContains(t, got.body, "ADMIN", "%s with %s", method, header)
				}
			}
		})
	}
	t.Run("a preflight passes without an identity", func(t *testing.T) {
		var identities, seen int
		s.server.Config.Handler = s.auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen++
			if _, ok := IdentityFromContext(r.Context()); ok {
				identities++
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		session := cookieHeader(&http.Cookie{Name: s.sessionCookie(), Value: s.session(aliceOpenID)})
		got := s.wire(http.MethodOptions, "/admin", "Origin: https://m.example", "Access-Control-Request-Method: PUT", session)
		assert.Equal(t, http.StatusNoContent, got.StatusCode)
		assert.Equal(t, 1, seen)
		assert.Zero(t, identities)
	})
}

func TestT38_ACallbackWithOddParametersIsOneOrNone(t *testing.T) {
	s := newSite(t)
	f := s.pending("/a")
	cookie := cookieHeader(s.flowCookie(f))
	ask := func(query string) answer {
		return s.wire(http.MethodGet, "/wechat/callback?"+query, pageHeader, cookie)
	}
	refused := map[string]string{
		"two states":             "code=a&state=" + f.State + "&state=" + f.State,
		"two states, one empty":  "code=a&state=" + f.State + "&state",
		"two codes":              "code=a&code=b&state=" + f.State,
		"two codes, one escaped": "code=a&%63ode=b&state=" + f.State,
		"semicolons":             "code=a;state=" + f.State,
		"a semicolon behind":     "code=a&state=" + f.State + ";",
		"a semicolon in between": "code=a&state=" + f.State + "&x=1;y=2",
		"a broken escape":        "code=a&state=" + f.State + "&x=%zz",
		"a thousand states":      "code=a" + strings.Repeat("&state", 1000),
		"a thousand codes":       "state=" + f.State + strings.Repeat("&code", 1000),
	}
	for name, query := range refused {
		assert.Equal(t, http.StatusBadRequest, ask(query).StatusCode, name)
	}
	assert.Zero(t, s.exchanges())
	s.grant(1)
	assert.Equal(t, "/a", ask("code=a&state="+f.State+strings.Repeat("&x=1", 1000)).Header.Get("Location"), "a thousand others do no harm")
	assert.Equal(t, 1, s.exchanges())
}
