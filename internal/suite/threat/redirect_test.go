package threat

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/internal/returnto/returntotest"
	"github.com/wechatauth/wechatauth/store"
)

// Where users are sent: codes that leak, return URLs that leave the site,
// redirect loops.

func TestCode(t *testing.T) {
	// WeChat ties a code neither to the browser nor to the redirect_uri it was
	// issued for. An attacker with the code of another user and a pending login
	// can become that user, so no code may leak from here.
	t.Run("T20 callback does not leak it", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		callback := b.Authorize("/a")
		refused := s.Browser().Step(callback)
		done := b.Step(callback)
		assert.Equal(t, http.StatusSeeOther, done.StatusCode)
		assert.Empty(t, done.Text)
		for name, got := range map[string]authtest.Response{"the response of a login": done, "the page of a login that failed": refused} {
			assert.Equal(t, "no-referrer", got.Header.Get("Referrer-Policy"), name)
			assert.Equal(t, "no-store", got.Header.Get("Cache-Control"), name)
			assert.NotRegexp(t, `(?i)<(script|img|iframe|link|object|embed)|src=|url\(|@import|http-equiv`, got.Text, "%s fetches nothing", name)
		}
		assert.Contains(t, refused.Header.Get("Content-Security-Policy"), "default-src 'none'")
	})

	// WeChat appends code and state to any page of ours that an authorize link
	// names, and the author of the link chooses that page and the state.
	t.Run("T21 on another page is removed and not used", func(t *testing.T) {
		const code, ours = "071AbCdEfGhIjKlMnOpQrStUvWxYz012", "0123456789abcdefghijklmnopqrstuv"
		cases := map[string]struct{ asked, next string }{
			"our own state":                      {"/shop?code=" + code + "&state=" + ours + "&a=1", "/shop?a=1"},
			"a short code with our own state":    {"/shop?code=X&state=" + ours + "&a=1", "/shop?a=1"},
			"a state of the link's author":       {"/shop?code=" + code + "&state=Y&a=1", "/shop?a=1"},
			"a long state of the link's author":  {"/shop?code=" + code + "&state=" + strings.Repeat("z", 128) + "&a=1", "/shop?a=1"},
			"no state, as WeChat leaves it":      {"/shop?a=1&code=" + code + "&state=", "/shop?a=1"},
			"the state first":                    {"/shop?state=STATE&a=1&code=" + code, "/shop?a=1"},
			"nothing else":                       {"/shop?code=" + code + "&state=Y", "/shop"},
			"a coupon":                           {"/buy?code=S808996686&state=x", "/buy?code=S808996686&state=x"},
			"a coupon alone, as long as a code":  {"/buy?code=" + code, "/buy?code=" + code},
			"a coupon of 31 letters":             {"/buy?code=" + code[1:] + "&state=x", "/buy?code=" + code[1:] + "&state=x"},
			"a coupon of 33 letters":             {"/buy?code=" + code + "0&state=x", "/buy?code=" + code + "0&state=x"},
			"a state that WeChat does not allow": {"/shop?code=" + code + "&state=a-b", "/shop"},
			"a state with escapes":               {"/shop?code=" + code + "&state=a%3D%3D&a=1", "/shop?a=1"},
			"a state of 129 letters":             {"/shop?code=" + code + "&a=1&state=" + strings.Repeat("z", 129), "/shop?a=1"},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				s := authtest.NewSite(t)
				begun := s.Wire(http.MethodGet, c.asked, authtest.PageHeader)
				assert.Zero(t, s.Exchanges())
				assert.NotContains(t, begun.Header.Get("Location"), "code="+code)
				if c.next != c.asked {
					assert.NotContains(t, s.Logs.String(), code)
				}
				assert.Equal(t, c.next, s.LoginOf(begun).Header.Get("Location"))
				assert.Equal(t, 1, s.Exchanges())

				in := s.LoggedIn(authtest.AliceOpenID).Step(c.asked)
				assert.Contains(t, in.Text, "url="+c.asked+" ", "a logged-in request is not changed")
			})
		}
	})

	t.Run("T23 not in the address bar or the log", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		callback := b.Authorize("/a?b=c")
		u, err := url.Parse(callback)
		require.NoError(t, err)
		code, state := u.Query().Get("code"), u.Query().Get("state")

		got := b.Step(callback)

		assert.Equal(t, http.StatusSeeOther, got.StatusCode, "303, so that no browser repeats the request")
		assert.Equal(t, "/a?b=c", got.Header.Get("Location"))
		for _, line := range append(got.Header["Set-Cookie"], s.Logs.String()) {
			assert.NotContains(t, line, code)
			assert.NotContains(t, line, state)
		}
		again := b.Step("/wechat/callback?code=" + code + "x&state=" + state + "x")
		assert.NotContains(t, again.Text+s.Logs.String(), code)
	})
}

// corpus runs f with every return URL of the test data.
func corpus(t *testing.T, f func(kind, raw, want string)) (targets int) {
	t.Helper()
	for kind, file := range map[string]string{"hostile": "hostile.txt", "either": "either.txt", "honest": "honest.txt"} {
		for _, row := range returntotest.Read(t, file) {
			f(kind, row.Raw, row.Want)
			targets++
		}
	}
	return targets
}

// An escapeCount checks where browsers were sent, and counts.
type escapeCount struct{ targets, escapes, refused int }

func (n *escapeCount) judge(t *testing.T, place, kind, raw, want, location string) {
	t.Helper()
	n.targets++
	if faults := faultsOf(location); len(faults) > 0 {
		n.escapes++
		assert.Fail(t, "a redirect leaves the site", "%s: %q: %v", place, raw, faults)
	}
	switch {
	case kind == "hostile":
		assert.Equal(t, "/", location, "%s: %q", place, raw)
	case kind == "honest" && location != want:
		n.refused++
		assert.Equal(t, want, location, "%s: %q", place, raw)
	}
}

// faultsOf checks a Location of a site at any origin.
func faultsOf(location string) []string {
	base, _ := url.Parse(returntotest.Origin)
	return returntotest.Faults(location, "/wechat/", returnto.Site{Base: base, Prefix: "/wechat/", Endpoints: authtest.Endpoints}.Judge)
}

// asOwn returns a URL of the site's origin as one of returntotest.Origin.
func asOwn(s *authtest.Site, location string) string {
	if rest, ok := strings.CutPrefix(location, s.Base.String()); ok {
		return returntotest.Origin + rest
	}
	return location
}

// get sends a request over a kept-alive connection, with the session and the
// headers of a page visit.
func get(l *authtest.Conn, s *authtest.Site, target string, header ...string) *http.Response {
	lines := append([]string{"GET " + target + " HTTP/1.1", "Host: " + s.Base.Host, authtest.PageHeader}, header...)
	return l.Ask(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

func TestReturnURL(t *testing.T) {
	t.Run("T22 next stays on the site", func(t *testing.T) {
		s := authtest.NewSite(t)
		session := authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)})
		l := authtest.Dial(t, s.Server.Listener.Addr().String())
		logout := func(next string) string {
			body := "next=" + next
			resp := l.Ask(fmt.Sprintf("POST /wechat/logout HTTP/1.1\r\nHost: %s\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", s.Base.Host, len(body), body))
			require.NotNil(t, resp)
			return resp.Header.Get("Location")
		}
		login := func(next string) string {
			resp := get(l, s, "/wechat/login?next="+next, session)
			require.NotNil(t, resp)
			return resp.Header.Get("Location")
		}
		begun := func(next string) string {
			resp := get(l, s, "/wechat/login?next="+next)
			require.NotNil(t, resp)
			cookies := authtest.Response{Response: resp}.FlowCookies()
			require.Len(t, cookies, 1)
			f, err := s.Cookies.OpenFlow(cookies[0])
			require.NoError(t, err)
			return f.Target
		}
		n := escapeCount{}
		own := strings.NewReplacer(returntotest.Origin, s.Base.String(), "http://app.example.com", "https://"+s.Base.Host, "app.example.com", s.Base.Host)
		corpus(t, func(kind, raw, want string) {
			if kind == "hostile" && strings.Contains(raw, "app.example.com") { // hostile for this site's own origin too
				once := url.QueryEscape(own.Replace(raw))
				for place, sent := range map[string]string{"login": login(once), "logout": logout(once), "a login that begins": begun(once)} {
					n.judge(t, place+", own origin", kind, raw, "", asOwn(s, sent))
				}
			}
			once := url.QueryEscape(raw)
			for place, sent := range map[string]string{"login": login(once), "logout": logout(once), "a login that begins": begun(once)} {
				n.judge(t, place, kind, raw, want, sent)
			}
			for range 2 {
				once = url.QueryEscape(once) // escaped once, and twice more than it should be
				for place, sent := range map[string]string{"login": login(once), "logout": logout(once)} {
					n.judge(t, place+", escaped again", "either", once, "", sent)
				}
			}
		})
		for place, query := range map[string]string{"given twice": "/a&next=//evil.example", "given twice, the other way round": "//evil.example&next=/a"} {
			n.judge(t, place, "either", query, "", login(query))
		}
		require.NotZero(t, n.targets)
		t.Logf("targets %d, escapes %d, honest-refused %d", n.targets, n.escapes, n.refused)
	})

	t.Run("T26 rejected and login still succeeds", func(t *testing.T) {
		s := authtest.NewSite(t)
		for _, next := range []string{"", "//evil.example", "https://evil.example/", `/\evil.example`, "javascript:alert(1)", "/wechat/logout", "/a\r\nSet-Cookie: x=1", "/" + strings.Repeat("a", 5000)} {
			b := s.Browser()
			got := b.Visit("/wechat/login?next=" + url.QueryEscape(next))
			assert.Contains(t, got.Text, "url=/ logged-in=true", "%q", next)
		}
	})

	// Request targets as they arrive at a gate that wraps a whole application:
	// no mux has cleaned them.
	t.Run("T27 request target stays on the site", func(t *testing.T) {
		s := authtest.NewSite(t)
		s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
		address := s.Server.Listener.Addr().String()
		n := escapeCount{}
		refusedByNetHTTP := 0
		visit := func(kind, raw, want string, header ...string) {
			if raw == "" || strings.ContainsAny(raw, " \r\n") || kind == "honest" && strings.Contains(raw, "#") {
				return // ends the request line; or a fragment, which no browser sends
			}
			got := s.Wire(http.MethodGet, raw, append(header, authtest.PageHeader)...)
			location := got.Header.Get("Location")
			switch {
			case got.StatusCode == http.StatusBadRequest && kind != "honest":
				refusedByNetHTTP++ // or an invalid callback
				assert.Empty(t, location)
			case len(got.FlowCookies()) == 1:
				assert.True(t, strings.HasPrefix(location, s.Sim.URL+"/connect/"), "%q leads to %q", raw, location)
				f, err := s.Cookies.OpenFlow(got.FlowCookies()[0])
				require.NoError(t, err)
				n.judge(t, "request target", "either", raw, "", asOwn(s, f.Target))
				if kind == "honest" {
					assert.Equal(t, returntotest.DecodeOnce(want), returntotest.DecodeOnce(f.Target), "%q", raw)
				}
			case location != "":
				sent := asOwn(s, location)
				inside := strings.TrimPrefix(sent, returntotest.Origin)
				if u, err := url.Parse(inside); err == nil && (u.Path == "/wechat/login" || u.Path == "/wechat/upgrade") {
					sent = asOwn(s, u.Query().Get("next")) // an endpoint on another host
				} else if len(faultsOf(inside)) == 0 {
					sent = inside
				}
				n.judge(t, "hop", "either", raw, "", sent)
			default:
				if got.StatusCode == http.StatusOK {
					assert.Contains(t, got.Text, `action="/wechat/upgrade"`, "%q", raw)
					return
				}
				assert.GreaterOrEqual(t, got.StatusCode, 400, "%q", raw)
			}
		}
		corpus(t, func(kind, raw, want string) {
			visit(kind, raw, want)
			if kind == "hostile" {
				visit(kind, raw, want, "Host: evil.example")
				visit(kind, "http://evil.example"+raw, want)
			}
		})
		require.NotZero(t, n.targets)

		base := s.Base.String()
		for raw, want := range map[string]string{
			"//evil.example/a": base + "//evil.example/a", "//evil.example": base + "//evil.example", "//%65vil.example/": base + "//%65vil.example/",
			"//[::1]/": base + "//[::1]/", "//evil.example%2f..": "/", `//evil.example\@app/`: base + "//evil.example%5C@app/",
			"///evil.example": base + "///evil.example", `/\evil.example`: base + "/%5Cevil.example", "/%5cevil.example": base + "/%5cevil.example",
			"/%2fevil.example": base + "/%2fevil.example", "/%2f/evil.example": base + "/%2f/evil.example", "/%09/evil.example": "/",
			"/.//evil.example": "/", "/..//evil.example": "/", "/a/..//evil.example": "/", "/%2e%2e//evil.example": "/",
			"/a%00b": "/", "/a%0d%0aSet-Cookie:x=1": "/",
			"/a?next=//evil.example": "/a?next=//evil.example", "/a?b=%zz": "/a?b=%zz", "/%E3%80%82/evil": "/%E3%80%82/evil", "/\xe3\x80\x82evil": "/%E3%80%82evil",
			"/;@evil.example": "/;@evil.example", "/a#//evil.example": "/a%23//evil.example", "*": "/",
		} {
			begun := s.Wire(http.MethodGet, raw, authtest.PageHeader)
			if begun.StatusCode == http.StatusBadRequest {
				assert.Equal(t, "*", raw, "net/http takes * for OPTIONS only")
				continue
			}
			assert.Equal(t, want, s.LoginOf(begun).Header.Get("Location"), "%q", raw)
		}
		foreign := s.WireLines("GET http://evil.example/x HTTP/1.1", "Host: evil.example", authtest.PageHeader, "Connection: close")
		assert.Equal(t, s.Base.String()+"/x", foreign.Header.Get("Location"), "absolute form: the path counts, the host does not")
		foreign = s.WireLines("GET http://evil.example//x HTTP/1.1", "Host: evil.example", authtest.PageHeader, "Connection: close")
		assert.Equal(t, base+"//x", foreign.Header.Get("Location"))
		for _, raw := range []string{"/\x0b/evil.example", "/a%zz"} {
			assert.Equal(t, http.StatusBadRequest, s.Wire(http.MethodGet, raw, authtest.PageHeader).StatusCode, "%q", raw)
		}
		require.NotEmpty(t, address)
		t.Logf("targets %d, escapes %d, honest-refused %d", n.targets, n.escapes, n.refused)
	})

	t.Run("T28 sealed value is checked again", func(t *testing.T) {
		s := authtest.NewSite(t)
		l := authtest.Dial(t, s.Server.Listener.Addr().String())
		n := escapeCount{}
		corpus(t, func(kind, raw, want string) {
			if !utf8.ValidString(raw) {
				return // too long for a sealed value
			}
			f := s.Pending(raw)
			cookie := s.FlowCookie(f)
			s.Grant(1)
			resp := get(l, s, authtest.CallbackOf(f, "code"), authtest.CookieHeader(cookie))
			require.NotNil(t, resp)
			require.Equal(t, http.StatusSeeOther, resp.StatusCode, "%q", raw)
			require.NotEmpty(t, authtest.Response{Response: resp}.SetOf(s.SessionCookie()), "the login still succeeds")
			n.judge(t, "sealed", kind, raw, want, resp.Header.Get("Location"))
		})
		require.NotZero(t, n.targets)
		t.Logf("targets %d, escapes %d, honest-refused %d", n.targets, n.escapes, n.refused)
	})

	t.Run("T29 no header is split", func(t *testing.T) {
		s := authtest.NewSite(t)
		session := authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)})
		for _, ending := range []string{"\r\n", "\n", "\r", "\r\n\r\n", "\u0085", "\u2028", "\x00", "%0d%0a", "%0D%0A%0D%0A", "%E5%98%8A%E5%98%8D"} {
			for _, place := range []string{"/a%s", "/a?b=%s", "/a#%s", "%s", "/%s/a"} {
				next := url.QueryEscape(fmt.Sprintf(place, ending+"Set-Cookie: planted=1"))
				for _, target := range []string{"/wechat/login?next=" + next, "/wechat/upgrade?next=" + next} {
					for _, header := range []string{session, "X-Nothing: 1"} {
						got := s.Wire(http.MethodGet, target, authtest.PageHeader, header)
						assert.Empty(t, got.SetOf("planted"), "%q", target)
						assert.Empty(t, got.Header["Planted"], "%q", target)
						assert.Regexp(t, `^[!-~]*$`, got.Header.Get("Location"), "%q", target)
					}
				}
			}
		}
	})

	t.Run("T31 never an endpoint", func(t *testing.T) {
		endpoints := []string{
			"/wechat", "/wechat/", "/wechat/login", "/wechat/login/", "/wechat/login?next=/a", "/wechat/callback", "/wechat/callback?code=1&state=2",
			"/wechat/logout", "/wechat/logout#x", "/wechat/upgrade", "/wechat/mini/login", "/WeChat/Logout", "/wechat%2flogout", "/wechat%252flogout",
			"/%77echat/logout", "/wechat/%6cogout", "/wechat//logout", "//wechat/logout", "/wechat/./logout", "/wechat/x/../logout", "/wechat/logout/x",
			"/wechat/logout%20", "/wechat/logout%3fx", "/wechat/logout%23",
		}
		s := authtest.NewSite(t)
		session := authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)})
		for _, next := range endpoints {
			assert.Equal(t, "/", s.Wire(http.MethodGet, "/wechat/login?next="+url.QueryEscape(next), authtest.PageHeader, session).Header.Get("Location"), next)
			f := s.Pending(next)
			s.Grant(1)
			assert.Equal(t, "/", s.Wire(http.MethodGet, authtest.CallbackOf(f, "code"), authtest.PageHeader, authtest.CookieHeader(s.FlowCookie(f))).Header.Get("Location"), next)
		}
		b := s.Browser()
		assert.Contains(t, b.Visit("/wechat/login?next=%2Fwechat%2Flogin%3Fnext%3D%252Fwechat%252Flogin").Text, "url=/ logged-in=true")
	})
}

func TestForm(t *testing.T) {
	t.Run("T32 not redirected", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		for _, header := range []http.Header{
			{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}},
			{"Content-Type": {"application/json"}, "Accept": {"*/*"}},
			{"Content-Type": {"multipart/form-data; boundary=x"}},
		} {
			got := b.Do(b.Client, http.MethodPost, "/pay", strings.NewReader("amount=1"), header)
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
			assert.Empty(t, got.Header["Set-Cookie"])
			assert.Len(t, b.Trail, 1, "no redirect, so that no browser makes a GET of it or sends the body to WeChat")
		}
		assert.Empty(t, s.Sim.Journal())
	})
}

// A choosyJar keeps only the cookies that keep accepts.
type choosyJar struct {
	http.CookieJar
	keep func(c *http.Cookie) bool
}

func (j choosyJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	var kept []*http.Cookie
	for _, c := range cookies {
		if j.keep(c) {
			kept = append(kept, c)
		}
	}
	j.CookieJar.SetCookies(u, kept)
}

// A forgetful store evicts every session immediately.
type forgetful struct{ *store.Memory }

func (forgetful) FindCtx(context.Context, string) ([]byte, bool, error) { return nil, false, nil }

func TestRedirectLoop(t *testing.T) {
	// Configurations and browsers in which a login succeeds and the session is
	// never seen again. New rejects those it can detect; these arise later.
	t.Run("T30 rejected after three logins", func(t *testing.T) {
		cookie := func(change func(c *scs.SessionCookie)) func(s *authtest.Site, b *authtest.Browser) {
			return func(s *authtest.Site, b *authtest.Browser) { change(&s.Auth.Sessions().Cookie) }
		}
		cases := map[string]struct {
			opts  []wechatauth.Option
			upset func(s *authtest.Site, b *authtest.Browser)
			why   wechatauth.Reason
			log   string
		}{
			"the browser drops the session cookie": {nil, func(s *authtest.Site, b *authtest.Browser) {
				b.Client.Jar = choosyJar{b.Client.Jar, func(c *http.Cookie) bool { return c.Name != s.SessionCookie() }}
			}, wechatauth.ReasonSessionCookieNotReturned, "did not send the session cookie back"},
			"the browser keeps small cookies only": {nil, func(s *authtest.Site, b *authtest.Browser) {
				b.Client.Jar = choosyJar{b.Client.Jar, func(c *http.Cookie) bool {
					return strings.Contains(c.Name, "flow") || strings.Contains(c.Name, "trail")
				}}
			}, wechatauth.ReasonSessionCookieNotReturned, "did not send the session cookie back"},
			"the browser keeps cookies by the beginning of their names": {nil, func(s *authtest.Site, b *authtest.Browser) {
				b.Client.Jar = choosyJar{b.Client.Jar, func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, s.Cookies.Prefix()) }}
			}, wechatauth.ReasonSessionCookieNotReturned, "did not send the session cookie back"},
			"a CDN that removes the cookies of callback responses": {nil, func(s *authtest.Site, b *authtest.Browser) {
				s.Server.Config.Handler = withoutCallbackCookies(s.Routes())
			}, wechatauth.ReasonSessionCookieNotReturned, "removes Set-Cookie from them"},
			"such a CDN, and a session that is over": {nil, func(s *authtest.Site, b *authtest.Browser) {
				b.SetCookie(s.SessionCookie(), flow.NewState())
				s.Server.Config.Handler = withoutCallbackCookies(s.Routes())
			}, wechatauth.ReasonSessionCookieNotReturned, "removes Set-Cookie from them"},
			"callbacks on an instance whose clock is seven minutes ahead": {nil, func(s *authtest.Site, b *authtest.Browser) {
				here := s.Routes()
				ahead := s.Instance(wechatauth.WithClock(func() time.Time { return s.Clock.Now().Add(7 * time.Minute) }))
				s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/wechat/callback" {
						ahead.ServeHTTP(w, r)
						return
					}
					here.ServeHTTP(w, r)
				})
			}, wechatauth.ReasonSessionLost, "shared between instances"},
			"Secure over plain http": {nil, func(s *authtest.Site, b *authtest.Browser) {
				s.Auth.Sessions().Cookie.Secure = true
				b.Client.Jar = choosyJar{b.Client.Jar, func(c *http.Cookie) bool { return !c.Secure }}
			}, wechatauth.ReasonSessionCookieNotReturned, "Secure=true"},
			"a path outside of the pages": {nil, cookie(func(c *scs.SessionCookie) { c.Path = "/admin" }), wechatauth.ReasonSessionCookieNotReturned, `Path=\"/admin\"`},
			"another domain":              {nil, cookie(func(c *scs.SessionCookie) { c.Domain = "other.example" }), wechatauth.ReasonSessionCookieNotReturned, `Domain=\"other.example\"`},
			"an invalid name":             {nil, cookie(func(c *scs.SessionCookie) { c.Name = "my session" }), wechatauth.ReasonSessionCookieNotReturned, "name=my session"},
			"SameSite=Strict": {nil, func(s *authtest.Site, b *authtest.Browser) {
				s.Auth.Sessions().Cookie.SameSite = http.SameSiteStrictMode
				b.Client.Jar = choosyJar{b.Client.Jar, func(c *http.Cookie) bool { return c.SameSite != http.SameSiteStrictMode }}
			}, wechatauth.ReasonSessionCookieNotReturned, "SameSite=3"},
			"a store that evicts everything": {[]wechatauth.Option{wechatauth.WithStore(forgetful{store.NewMemory()})}, func(*authtest.Site, *authtest.Browser) {}, wechatauth.ReasonSessionLost, "evicting"},
			"a store whose clock is a day ahead": {[]wechatauth.Option{
				wechatauth.WithLifetime(time.Hour),
				wechatauth.WithStore(store.NewMemory(store.WithClock(func() time.Time { return time.Now().Add(25 * time.Hour) }))),
			}, func(*authtest.Site, *authtest.Browser) {}, wechatauth.ReasonSessionLost, "no such session"},
			"two instances without a common store": {nil, func(s *authtest.Site, b *authtest.Browser) {
				one, two := s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo)), s.Instance().RequireWeChat(http.HandlerFunc(authtest.Echo))
				var n atomic.Int64
				s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if n.Add(1)%2 == 0 {
						two.ServeHTTP(w, r)
						return
					}
					one.ServeHTTP(w, r)
				})
			}, wechatauth.ReasonSessionLost, "shared between instances"},
			"another session manager under the same cookie name": {nil, func(s *authtest.Site, b *authtest.Browser) {
				m := scs.New()
				m.Store = store.NewMemory()
				m.Cookie.Name = s.SessionCookie()
				gate := s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
				s.Server.Config.Handler = m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					m.Put(r.Context(), "seen", "yes")
					gate.ServeHTTP(w, r)
				}))
			}, wechatauth.ReasonSessionLost, "name=wechat_session"},
			"a planted login counter": {nil, func(s *authtest.Site, b *authtest.Browser) {
				s.Server.Config.Handler = planting(s.Routes(), s.Cookies.LoginCounterName()+"=x")
				b.Client.Jar = choosyJar{b.Client.Jar, func(c *http.Cookie) bool { return c.Name != s.SessionCookie() }}
			}, wechatauth.ReasonSessionCookieNotReturned, "did not send the session cookie back"},
			"an application that logs every user out": {nil, func(s *authtest.Site, b *authtest.Browser) {
				s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = s.Auth.Sessions().Destroy(r.Context())
					w.Header().Set("Location", "/a")
					w.WriteHeader(http.StatusSeeOther)
				}))
			}, wechatauth.ReasonSessionCookieNotReturned, "session cookie name=wechat_session"},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				s := authtest.NewSite(t, c.opts...)
				b := s.Browser()
				c.upset(s, b)

				got := b.Visit("/a")

				assert.LessOrEqual(t, s.Sim.Count(authtest.AuthorizeEndpoint), flow.MaxLogins, "redirects to WeChat")
				assert.Equal(t, http.StatusBadRequest, got.StatusCode)
				assert.Contains(t, got.Text, string(c.why))
				assert.Contains(t, s.Logs.String(), "reason="+string(c.why))
				assert.Contains(t, s.Logs.String(), c.log)

				b.Visit("/wechat/login?next=%2Fa&again=1")
				assert.Equal(t, 2*flow.MaxLogins, s.Sim.Count(authtest.AuthorizeEndpoint), "another attempt gets three more redirects")
			})
		}
	})

	// A browser has room for one or two pending logins with long return URLs.
	t.Run("T30 long return URLs", func(t *testing.T) {
		for _, length := range []int{300, 700, 1_000, 1_500, 2_000} {
			t.Run(fmt.Sprint(length), func(t *testing.T) {
				s := authtest.NewSite(t)
				s.Server.Config.Handler = withoutCallbackCookies(s.Routes())
				b := s.Browser()
				got := b.Visit("/a?q=" + strings.Repeat("x", length))
				assert.LessOrEqual(t, s.Sim.Count(authtest.AuthorizeEndpoint), flow.MaxLogins, "redirects to WeChat")
				assert.Equal(t, http.StatusBadRequest, got.StatusCode)
				assert.Contains(t, got.Text, string(wechatauth.ReasonSessionCookieNotReturned))
				assert.Contains(t, s.Logs.String(), "removes Set-Cookie from them")
			})
		}
	})

	// The counter expires by the time inside its seal, so a browser that keeps
	// the cookie longer is not blocked forever.
	t.Run("T30 counter expires", func(t *testing.T) {
		s := authtest.NewSite(t)
		for name, c := range map[string]struct {
			age     time.Duration
			counted bool
		}{
			"at once":                    {0, true},
			"after a minute":             {time.Minute, true},
			"with clocks that are apart": {11 * time.Minute, true},
			"after eleven minutes":       {11*time.Minute + time.Second, false},
			"after a day":                {24 * time.Hour, false},
			"ten minutes ahead":          {-10 * time.Minute, true},
			"more than that ahead":       {-10*time.Minute - time.Second, false},
		} {
			t.Run(name, func(t *testing.T) {
				name := s.Cookies.LoginCounterName()
				value, err := s.Cookies.Seal(flow.LoginCounter{Logins: flow.MaxLogins, At: s.Clock.Now().Add(-c.age).UnixMilli()}, "trail", name)
				require.NoError(t, err)
				got := s.Wire(http.MethodGet, "/a", authtest.PageHeader, authtest.CookieHeader(&http.Cookie{Name: name, Value: value}))
				if c.counted {
					assert.Equal(t, http.StatusBadRequest, got.StatusCode)
					assert.Contains(t, got.Text, string(wechatauth.ReasonSessionCookieNotReturned))
					return
				}
				assert.Equal(t, http.StatusSeeOther, got.StatusCode)
				assert.Len(t, got.FlowCookies(), 1)
			})
		}
	})

	// The store is consulted about pending logins only if there may be a loop.
	// Several tabs are not one.
	t.Run("T30 not several tabs", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		b := s.Browser()
		for range flow.MaxLogins {
			commands := redis.Commands(func() { assert.Len(t, b.Step("/a").FlowCookies(), 1) })
			assert.Empty(t, commands, "up to three pending logins cost the store nothing")
		}
		for range 2 * flow.MaxFlows {
			assert.Len(t, b.Step("/a").FlowCookies(), 1)
		}
		assert.Contains(t, b.Visit("/a").Text, "logged-in=true")

		t.Run("a store that is down stops no login", func(t *testing.T) {
			b := s.Browser()
			for range flow.MaxLogins {
				b.Step("/a")
			}
			redis.Stop()
			assert.Len(t, b.Step("/a").FlowCookies(), 1)
		})
	})

	t.Run("T30 cookies disabled", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		b.Client.Jar = nil
		got := b.Visit("/a")
		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.Contains(t, got.Text, string(wechatauth.ReasonFlowCookieMissing))
		assert.Contains(t, got.Text, "Cookie")
		assert.Contains(t, s.Logs.String(), "reason=flow_cookie_missing")
		assert.Equal(t, 1, s.Sim.Count(authtest.AuthorizeEndpoint))
		assert.Zero(t, s.Exchanges())
	})

	t.Run("T30 not a session that lasts", func(t *testing.T) {
		t.Run("five tabs at once, and then the profile", func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			var callbacks []string
			for i := range 5 {
				callbacks = append(callbacks, b.Authorize(fmt.Sprint("/tab/", i)))
			}
			for _, callback := range callbacks {
				b.Step(callback)
			}
			got := b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
			assert.Contains(t, got.Text, "url=/profile logged-in=true")
			assert.Contains(t, got.Text, "scope=snsapi_userinfo")
		})
		t.Run("a logout and a login, time and again", func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			for range 2 * flow.MaxLogins {
				require.Contains(t, b.Visit("/wechat/login?next=%2Fa").Text, "logged-in=true")
				b.Post("/wechat/logout", url.Values{"next": {"/public"}})
			}
		})
	})
}

// withoutCallbackCookies removes every Set-Cookie from responses of the
// callback.
func withoutCallbackCookies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wechat/callback" {
			h.ServeHTTP(w, r)
			return
		}
		inner := httptest.NewRecorder()
		h.ServeHTTP(inner, r)
		inner.Header().Del("Set-Cookie")
		maps.Copy(w.Header(), inner.Header())
		w.WriteHeader(inner.Code)
		_, _ = inner.Body.WriteTo(w)
	})
}

// planting adds a cookie before those that a browser sends.
func planting(h http.Handler, cookie string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Cookie", strings.TrimSuffix(cookie+"; "+r.Header.Get("Cookie"), "; "))
		h.ServeHTTP(w, r)
	})
}

func TestOtherHost(t *testing.T) {
	// A proxy that rewrites Host makes every page visit look like one on
	// another host. A single redirect to the base URL distinguishes them.
	t.Run("T30 proxy that rewrites Host", func(t *testing.T) {
		s := authtest.NewSite(t)
		gate := s.Routes()
		s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Host = "10.0.0.3:8080"
			gate.ServeHTTP(w, r)
		})
		b := s.Browser()
		assert.Contains(t, b.Visit("/a?b=c").Text, "url=/a?b=c logged-in=true")
		assert.Equal(t, 1, s.Sim.Count(authtest.AuthorizeEndpoint))
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/a?b=c", nil)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("X-Forwarded-Host", s.Base.Host)
		s.Server.Config.Handler.ServeHTTP(w, r)
		assert.Contains(t, w.Header().Get("Location"), s.Sim.URL, "X-Forwarded-Host avoids the redirect")
	})

	// Cookies set on another host would be missing when WeChat redirects the
	// user back.
	t.Run("T33 login moves to the base URL", func(t *testing.T) {
		s := authtest.NewSite(t)
		other := strings.Replace(s.Base.String(), "127.0.0.1", "localhost", 1)
		for asked, shown := range map[string]string{
			"/a?b=c":                             "url=/a?b=c logged-in=true",
			"/wechat/login?next=%2Fa":            "url=/a logged-in=true",
			"/wechat/login?next=%2Fa&again=1":    "url=/a logged-in=true",
			"/wechat/upgrade?next=%2Fprofile":    `action="/wechat/upgrade"`,
			"/wechat/login?next=%2F%2Fevil.test": "url=/ logged-in=true",
		} {
			b := s.Browser()
			got := b.Visit(other + asked)
			assert.Contains(t, got.Text, shown, asked)
			assert.Equal(t, s.Base.Host, got.Request.URL.Host, asked)
			for _, c := range b.Client.Jar.Cookies(&url.URL{Scheme: "http", Host: "localhost"}) {
				assert.Contains(t, c.Name, "hop", "%s: no login starts there", asked)
			}
		}
	})
}
