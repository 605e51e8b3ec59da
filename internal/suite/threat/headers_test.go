package threat

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Claims that requests make about themselves, and caching of responses.

func TestRequestHeaders(t *testing.T) {
	t.Run("T33 redirect_uri does not depend on them", func(t *testing.T) {
		s := authtest.NewSite(t)
		const target = "/a?b=c"
		clean := s.Wire(http.MethodGet, target, authtest.PageHeader)
		require.Equal(t, http.StatusSeeOther, clean.StatusCode)
		host := s.Base.Host
		cases := map[string][]string{
			"another host":                     {"Host: evil.example"},
			"another port":                     {"Host: 127.0.0.1:443"},
			"no port":                          {"Host: 127.0.0.1"},
			"a dot behind":                     {"Host: " + host + "."},
			"capitals":                         {"Host: " + strings.ToUpper(host)},
			"user information":                 {"Host: " + host + "@evil.example"},
			"a fragment":                       {"Host: evil.example#" + host},
			"a path":                           {"Host: evil.example/" + host},
			"nothing":                          {"Host: "},
			"two hosts":                        {"Host: " + host, "Host: evil.example"},
			"X-Forwarded-Host":                 {"X-Forwarded-Host: evil.example"},
			"X-Forwarded-Host, twice":          {"X-Forwarded-Host: evil.example", "X-Forwarded-Host: " + host},
			"X-Forwarded-Host, a list":         {"X-Forwarded-Host: evil.example, " + host},
			"X-Forwarded-Host that is right":   {"Host: evil.example", "X-Forwarded-Host: " + host},
			"X-Forwarded-Proto http":           {"X-Forwarded-Proto: http"},
			"X-Forwarded-Proto https":          {"X-Forwarded-Proto: https"},
			"X-Forwarded-Proto javascript":     {"X-Forwarded-Proto: javascript"},
			"X-Forwarded-Proto, a list":        {"X-Forwarded-Proto: https,http"},
			"X-Forwarded-Port":                 {"X-Forwarded-Port: 1"},
			"X-Forwarded-Prefix":               {"X-Forwarded-Prefix: //evil.example"},
			"X-Forwarded-Uri":                  {"X-Forwarded-Uri: /public"},
			"X-Forwarded-Method":               {"X-Forwarded-Method: OPTIONS"},
			"X-Forwarded-For":                  {"X-Forwarded-For: 127.0.0.1"},
			"Forwarded":                        {"Forwarded: for=127.0.0.1;host=evil.example;proto=http"},
			"X-Original-Host":                  {"X-Original-Host: evil.example"},
			"X-Host":                           {"X-Host: evil.example"},
			"X-Real-Host":                      {"X-Real-Host: evil.example"},
			"X-Original-URL":                   {"X-Original-URL: //evil.example"},
			"X-Rewrite-URL":                    {"X-Rewrite-URL: //evil.example"},
			"Referer":                          {"Referer: https://evil.example/"},
			"Origin":                           {"Origin: https://evil.example"},
			"all of them at once":              {"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-Port: 1", "Forwarded: host=evil.example", "X-Original-URL: //evil.example"},
			"an absolute URL and its host":     nil,
			"an absolute URL and another Host": nil,
		}
		for name, header := range cases {
			t.Run(name, func(t *testing.T) {
				var got authtest.Response
				switch name {
				case "an absolute URL and its host":
					got = s.WireLines("GET http://evil.example"+target+" HTTP/1.1", "Host: evil.example", authtest.PageHeader, "Connection: close")
				case "an absolute URL and another Host":
					got = s.WireLines("GET http://evil.example"+target+" HTTP/1.1", "Host: "+host, authtest.PageHeader, "Connection: close")
				default:
					got = s.Wire(http.MethodGet, target, append(header, authtest.PageHeader)...)
				}
				if got.StatusCode == http.StatusBadRequest {
					assert.Empty(t, got.Header["Set-Cookie"], "net/http responds itself")
					return
				}
				if len(got.FlowCookies()) == 0 { // a redirect to the right host comes first
					require.Equal(t, s.Base.String()+target, got.Header.Get("Location"))
					return
				}
				assert.Equal(t, authtest.WithoutState(clean.Header.Get("Location")), authtest.WithoutState(got.Header.Get("Location")), "byte for byte")
				assert.Equal(t, attributes(clean), attributes(got))
			})
		}
		t.Run("no host at all", func(t *testing.T) {
			got := s.WireLines("GET "+target+" HTTP/1.0", authtest.PageHeader)
			assert.Equal(t, s.Base.String()+target, got.Header.Get("Location"))
		})
		t.Run("the page of a failure", func(t *testing.T) {
			want := s.Wire(http.MethodGet, "/wechat/callback?code=x", authtest.PageHeader)
			for name, header := range cases {
				got := s.Wire(http.MethodGet, "/wechat/callback?code=x", append(header, authtest.PageHeader)...)
				if strings.Contains(got.Text, "<html") {
					assert.Equal(t, want.Text, got.Text, name)
				}
			}
		})
		t.Run("the 401 of a fetch", func(t *testing.T) {
			want := s.Wire(http.MethodGet, "/api")
			for name, header := range cases {
				if got := s.Wire(http.MethodGet, "/api", header...); got.StatusCode != http.StatusBadRequest {
					assert.Equal(t, want.Text, got.Text, name)
				}
			}
		})
	})

	t.Run("T33 HTTP2 authority is treated as Host", func(t *testing.T) {
		server := httptest.NewUnstartedServer(nil)
		server.EnableHTTP2 = true
		s := &authtest.Site{T: t, Sim: wechattest.NewServer(), Server: server, Logs: &authtest.Buffer{}, Clock: authtest.NewClock()}
		s.Start("https://" + server.Listener.Addr().String())
		server.StartTLS()
		for authority, hop := range map[string]bool{s.Base.Host: false, "evil.example": true} {
			r, err := http.NewRequest(http.MethodGet, s.Base.String()+"/a?b=c", nil)
			require.NoError(t, err)
			r.Host = authority
			r.Header.Set("Accept", "text/html")
			resp, err := server.Client().Transport.RoundTrip(r)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, 2, resp.ProtoMajor)
			location := resp.Header.Get("Location")
			if hop {
				assert.Equal(t, s.Base.String()+"/a?b=c", location)
				continue
			}
			assert.Contains(t, location, url.QueryEscape(s.Base.String()+"/wechat/callback"))
		}
	})
}

// attributes returns the attributes of a response's cookies, without names and
// values.
func attributes(a authtest.Response) (all []string) {
	for _, line := range a.Header["Set-Cookie"] {
		_, rest, _ := strings.Cut(line, ";")
		all = append(all, rest)
	}
	return all
}

func TestRequireWeChat(t *testing.T) {
	// The application opens /public/ and protects everything else, with a mux.
	t.Run("T35 no spelling of a path bypasses it", func(t *testing.T) {
		admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ADMIN") })
		open := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "public") })
		s := authtest.NewSite(t)
		mux := http.NewServeMux()
		mux.Handle("/public/", open)
		mux.Handle("/", s.Auth.RequireWeChat(admin))
		byPrefix := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/public/") {
				open.ServeHTTP(w, r) // and never admin: the gate does not have to see through it
				return
			}
			s.Auth.RequireWeChat(admin).ServeHTTP(w, r)
		})
		for name, app := range map[string]http.Handler{"a mux": mux, "the gate around everything": s.Auth.RequireWeChat(admin), "a router that cleans nothing": byPrefix} {
			t.Run(name, func(t *testing.T) {
				s.Server.Config.Handler = app
				for _, target := range []string{
					"/admin", "/public/../admin", "/public/%2e%2e/admin", "/public%2f..%2fadmin", "/public/..%2fadmin", "/public;/../admin", "//public/../admin",
					`/public\..\admin`, "/public/..;/admin", "/PUBLIC/x", "/admin?x=/public/", "/admin#/public/", "/admin%23/public/", "/admin/%2e%2e/public/",
					"/public%00/../admin", "/public/./../admin", "/admin/", "//admin", "/./admin", "/%61dmin", "/admin%2f", "/admin;x=1", "/admin.css", "/admin?next=/wechat/",
					"/wechat/../admin", "/wechat%2f..%2fadmin", "/wechat/%2e%2e/admin", "/wechat//admin", "/wechat/admin", "/wechat/callback/../../admin", "/WECHAT/login",
					"http://" + s.Base.Host + "/admin", "/healthz", "/favicon.ico", "/robots.txt", "/MP_verify_0123456789abcdef.txt",
				} {
					for range 3 { // the mux first redirects to a cleaned path
						got := s.Wire(http.MethodGet, target, authtest.PageHeader)
						assert.NotContains(t, got.Text, "ADMIN", target)
						if got.StatusCode != http.StatusMovedPermanently && got.StatusCode != http.StatusTemporaryRedirect {
							break
						}
						target = got.Header.Get("Location")
					}
				}
				for _, header := range []string{
					"X-Forwarded-Uri: /public/", "X-Original-URL: /public/", "X-Original-URI: /public/", "X-Rewrite-URL: /public/", "X-HTTP-Method-Override: OPTIONS",
					"X-HTTP-Method: OPTIONS", "X-Method-Override: OPTIONS", "X-Forwarded-Method: OPTIONS", "User-Agent: GoogleHC/1.0", "User-Agent: kube-probe/1.30",
					"User-Agent: " + wechattest.IPhone, "X-Forwarded-For: 127.0.0.1", "X-Wechat-Openid: " + authtest.AliceOpenID, "Authorization: Bearer x", "Upgrade: websocket",
					"Sec-Purpose: prefetch", "Origin: https://evil.example", "Access-Control-Request-Method: GET", "X-Requested-With: XMLHttpRequest",
				} {
					for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, "TRACE", "CONNECT"} {
						if method == http.MethodOptions && strings.HasPrefix(header, "Access") {
							continue
						}
						got := s.Wire(method, "/admin", header)
						assert.NotContains(t, got.Text, "ADMIN", "%s with %s", method, header)
					}
				}
			})
		}
		t.Run("a preflight passes without an identity", func(t *testing.T) {
			var identities, seen int
			s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen++
				if _, ok := wechatauth.IdentityFromContext(r.Context()); ok {
					identities++
				}
				w.WriteHeader(http.StatusNoContent)
			}))
			session := authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)})
			got := s.Wire(http.MethodOptions, "/admin", "Origin: https://m.example", "Access-Control-Request-Method: PUT", session)
			assert.Equal(t, http.StatusNoContent, got.StatusCode)
			assert.Equal(t, 1, seen)
			assert.Zero(t, identities)
		})
	})
}

func TestCallbackParameters(t *testing.T) {
	t.Run("T38 unusual queries", func(t *testing.T) {
		s := authtest.NewSite(t)
		f := s.Pending("/a")
		cookie := authtest.CookieHeader(s.FlowCookie(f))
		ask := func(query string) authtest.Response {
			return s.Wire(http.MethodGet, "/wechat/callback?"+query, authtest.PageHeader, cookie)
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
		assert.Zero(t, s.Exchanges())
		s.Grant(1)
		assert.Equal(t, "/a", ask("code=a&state="+f.State+strings.Repeat("&x=1", 1000)).Header.Get("Location"), "a thousand other parameters do no harm")
		assert.Equal(t, 1, s.Exchanges())
	})
}
