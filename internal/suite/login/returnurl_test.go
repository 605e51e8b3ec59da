package login

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/returnto/returntotest"
)

// Every byte, raw and encoded, in a path and in a query: the login ends at the
// requested URL, byte for byte as a browser writes it.
func TestReturnURL_RoundTrip(t *testing.T) {
	s := authtest.NewSite(t)
	s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
	base, ended := s.Base.String(), 0
	for b := range 256 {
		for _, place := range []string{"/files/a%%2Fb%sc", "/files/a?b=%s&c"} {
			for _, written := range []string{string([]byte{byte(b)}), fmt.Sprintf("%%%02X", b), fmt.Sprintf("%%%02x", b)} {
				raw := fmt.Sprintf(place, written)
				if raw[7:] == "a%2Fb#c" || strings.Contains(raw, "=#") {
					continue // a fragment, which no browser sends
				}
				begun := s.Wire(http.MethodGet, raw, authtest.PageHeader)
				if len(written) == 1 && (b <= ' ' || b == 0x7f || b == '%' && strings.HasPrefix(place, "/files/a%%")) {
					assert.Equal(t, http.StatusBadRequest, begun.StatusCode, "%q", raw)
					continue
				}
				want := returntotest.BrowserWrites(raw)
				inPath := strings.HasPrefix(place, "/files/a%%")
				switch {
				case inPath && len(written) > 1 && (b < ' ' || b == 0x7f):
					want = "/" // a control character
				case inPath && b == '\\':
					want = base + strings.ReplaceAll(raw, `\`, "%5C")
				case b == '\\':
					want = strings.ReplaceAll(raw, `\`, "%5C")
				}
				got := s.LoginOf(begun).Header.Get("Location")
				assert.Equal(t, want, got, "%q", raw)
				ended++
			}
		}
	}
	assert.Greater(t, ended, 1200)
	assert.Equal(t, "/files/a%2Fb|c", s.LoginOf(s.Wire(http.MethodGet, "/files/a%2Fb|c", authtest.PageHeader)).Header.Get("Location"))
}

// Routers and http.StripPrefix in front may change r.URL. The return URL is the
// one that the browser requested.
func TestReturnURL_Routers(t *testing.T) {
	s := authtest.NewSite(t)
	gate := s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
	rewritten := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = "/inner", ""
		gate.ServeHTTP(w, r)
	})
	mux := http.NewServeMux()
	mux.Handle("/wechat/", s.Auth)
	mux.Handle("/app/", http.StripPrefix("/app", gate))
	mux.Handle("/old/", rewritten)
	s.Server.Config.Handler = mux
	for _, raw := range []string{"/app/orders?id=7", "/app/a%2Fb|c", "/old/a%2Fb|c?x=|"} {
		assert.Equal(t, raw, s.LoginOf(s.Wire(http.MethodGet, raw, authtest.PageHeader)).Header.Get("Location"))
	}
	absolute := s.WireLines("GET http://"+s.Base.Host+"/app/a%2Fb|c HTTP/1.1", "Host: "+s.Base.Host, authtest.PageHeader, "Connection: close")
	assert.Equal(t, "/app/a%2Fb|c", s.LoginOf(absolute).Header.Get("Location"))
}

// JSON and base64 lengthen some characters, and browsers keep 4,096 bytes of a
// cookie.
func TestReturnURL_TooLarge(t *testing.T) {
	s := authtest.NewSite(t)
	for _, path := range []string{"/wanted?", "/wechat/login?next=/wanted%3F"} {
		for quotes, dropped := range map[int]bool{1000: false, 1600: true} {
			logged := len(s.Logs.String())
			got := s.Wire(http.MethodGet, path+strings.Repeat(`"`, quotes), authtest.PageHeader)
			record := s.Logs.String()[logged:]
			if !dropped {
				assert.NotContains(t, record, "return URL")
				continue
			}
			assert.Contains(t, record, fmt.Sprintf(`detail="return URL replaced by /: too large for the cookie of a login, %d bytes"`, len("/wanted?")+quotes))
			assert.NotContains(t, record, "wanted")
			assert.Equal(t, "/", s.LoginOf(got).Header.Get("Location"))
		}
	}
}

// A return URL may begin with the site's own origin. A rejected one is logged
// with the reason and its length, and without its content.
func TestReturnURL_Origin(t *testing.T) {
	s := authtest.NewMiniSite(t)
	s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
	base := s.Base.String()
	session := authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)})
	for next, c := range map[string]struct{ want, why string }{
		base + "/orders?id=7#a":                   {"/orders?id=7#a", ""},
		strings.ToUpper(base) + "/orders":         {"/orders", ""},
		base:                                      {"/", ""},
		base + "?a=b":                             {"/?a=b", ""},
		base + "#/route":                          {"/#/route", ""},
		"":                                        {"/", ""},
		base + ".evil.example/secret":             {"/", "not a path of the base URL's host"},
		base + "@evil.example/secret":             {"/", "not a path of the base URL's host"},
		base + "1/secret":                         {"/", "not a path of the base URL's host"},
		base + "//evil.example/a":                 {base + "//evil.example/a", ""},
		base + `/\evil.example/a`:                 {base + "/%5Cevil.example/a", ""},
		`/\evil.example/secret`:                   {"/", "a path that browsers read as another host's"},
		base + "/wechat/logout?secret":            {"/", "an endpoint of the middleware"},
		"https://evil.example/secret":             {"/", "not a path of the base URL's host"},
		"//evil.example/secret":                   {"/", "a path that browsers read as another host's"},
		"/secret/../a":                            {"/", "a path with a space, a control character, a dot segment or an invalid escape"},
		"/secret" + strings.Repeat("a", 2042):     {"/", "longer than 2048 bytes"},
		"/secret" + strings.Repeat("\u4f60", 227): {"/", "longer than 2048 bytes"},
	} {
		logged := len(s.Logs.String())
		got := s.Wire(http.MethodGet, "/wechat/login?next="+url.QueryEscape(next), authtest.PageHeader, session)
		assert.Equal(t, c.want, got.Header.Get("Location"), "%q", next)
		record := s.Logs.String()[logged:]
		if c.why == "" {
			assert.NotContains(t, record, "return URL", "%q", next)
			continue
		}
		assert.Contains(t, record, fmt.Sprintf(`detail="return URL replaced by /: %s, %d bytes"`, c.why, len(next)), "%q", next)
		assert.NotContains(t, record, "secret")
	}

	proxied := authtest.NewSite(t, wechatauth.WithBaseURL("https://m.example.com"))
	proxied.Base = authtest.MustParse(t, "https://m.example.com")
	session = authtest.CookieHeader(&http.Cookie{Name: proxied.SessionCookie(), Value: proxied.Session(authtest.AliceOpenID)})
	for next, want := range map[string]string{
		"https://m.example.com:443/orders?id=7":         "/orders?id=7",
		"https://M.example.com:443":                     "/",
		"https://m.example.com:443?a=b":                 "/?a=b",
		"https://m.example.com:443@evil.example/a":      "/",
		"https://m.example.com:443.evil.example/a":      "/",
		"https://m.example.com:4430/a":                  "/",
		"https://m.example.com:80/a":                    "/",
		"https://m.example.com:443//evil.example/a":     "https://m.example.com//evil.example/a",
		`https://m.example.com:443/\evil.example/a`:     "https://m.example.com/%5Cevil.example/a",
		"http://m.example.com//evil.example/a":          "/",
		"https://m.example.com:4430//evil.example/a":    "/",
		"https://m.example.com//wechat/logout":          "/",
		"https://m.example.com:443:443/a":               "/",
		"https://m.example.com./a":                      "/",
		"https://user@m.example.com/a":                  "/",
		"https://m.example.com:443https://evil.example": "/",
	} {
		got := proxied.Wire(http.MethodGet, "/wechat/login?next="+url.QueryEscape(next), "Host: m.example.com", authtest.PageHeader, session)
		assert.Equal(t, want, got.Header.Get("Location"), "%q", next)
	}

	logged := len(s.Logs.String())
	assert.Equal(t, "/", s.LoginOf(s.Wire(http.MethodGet, "/secret/../a", authtest.PageHeader)).Header.Get("Location"))
	assert.Contains(t, s.Logs.String()[logged:], "return URL replaced by /: a path with a space")

	hop := s.Wire(http.MethodGet, "//orders?id=7", authtest.PageHeader, "Host: other.example")
	assert.NotContains(t, hop.Header.Get("Location"), "other.example")

	form := s.Wire(http.MethodPost, "/pay", authtest.PageHeader, "Content-Length: 0", "Referer: "+base+"/cart?id=7")
	assert.Contains(t, form.Text, `href="/wechat/login?next=%2Fcart%3Fid%3D7&amp;again=1"`, "the page with the form, which a GET shows")
	callback := "code=" + strings.Repeat("0a", 16) + "&state=" + strings.Repeat("b1", 16)
	form = s.Wire(http.MethodPost, "/pay", authtest.PageHeader, "Content-Length: 0", "Referer: "+base+"/cart?"+callback+"&id=7")
	assert.Contains(t, form.Text, `href="/wechat/login?next=%2Fcart%3Fid%3D7&amp;again=1"`, "without the code of another user's link")
	login := s.Wire(http.MethodGet, "/wechat/login?next="+url.QueryEscape("/cart?id=7&"+callback+"#a"), authtest.PageHeader)
	assert.Equal(t, "/cart?id=7#a", s.LoginOf(login).Header.Get("Location"), "nor a script's")
	logged = len(s.Logs.String())
	form = s.Wire(http.MethodPost, "/pay", authtest.PageHeader, "Content-Length: 0", "Referer: https://evil.example/cart")
	assert.Contains(t, form.Text, `href="/wechat/login?next=%2F&amp;again=1"`)
	assert.Contains(t, s.Logs.String()[logged:], "return URL replaced by /: not a path of the base URL's host, 25 bytes")
	logged = len(s.Logs.String())
	s.Wire(http.MethodPost, "/pay", authtest.PageHeader, "Content-Length: 0")
	assert.NotContains(t, s.Logs.String()[logged:], "return URL", "a browser may leave the Referer out")

	ticket := s.Request(http.MethodPost, "/wechat/mini/ticket", s.MiniLogin(authtest.Person(0)), `{"target":"`+base+`/orders?id=7"}`)
	var entry struct{ URL string }
	require.NoError(t, json.Unmarshal([]byte(ticket.Text), &entry))
	assert.Equal(t, "/orders?id=7", s.Wire(http.MethodGet, strings.TrimPrefix(entry.URL, base), authtest.PageHeader, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document").Header.Get("Location"))
}

// A request's own path that a browser could resolve to another host ends at
// itself, behind the base URL.
func TestReturnURL_OddPath(t *testing.T) {
	s := authtest.NewSite(t)
	s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
	base := s.Base.String()
	for raw, want := range map[string]string{
		"//orders?id=7": base + "//orders?id=7",
		"//orders?code=A1&state=" + strings.Repeat("aB3d", 8): base + "//orders",
		"/files/a%5Cb":     base + "/files/a%5Cb",
		"/%5Cfiles":        base + "/%5Cfiles",
		"/%EF%BC%8Ffiles":  base + "/%EF%BC%8Ffiles",
		"//wechat/logout":  "/",
		"//wechat//logout": "/",
		"//a/../b":         "/",
		"//a%00b":          "/",
	} {
		begun := s.Wire(http.MethodGet, raw, authtest.PageHeader)
		got := s.LoginOf(begun)
		assert.Equal(t, want, got.Header.Get("Location"), "%q", raw)
		if want != "/" {
			again := s.Wire(http.MethodGet, strings.TrimPrefix(want, base), authtest.PageHeader, authtest.CookieHeader(got.Cookies()...))
			assert.Contains(t, again.Text, "logged-in=true", "%q", raw)
		}
	}
}

// An unusual path is preserved by every link and form that carries it as next.
func TestReturnURL_OddPathInNext(t *testing.T) {
	s := authtest.NewSite(t)
	s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
	odd := s.Base.String() + "//orders?id=7"
	next := "next=" + url.QueryEscape(odd)
	session := func(s *authtest.Site) string {
		return authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: s.Session(authtest.AliceOpenID)})
	}
	post := func(target, body string) authtest.Response {
		return s.WireLines("POST "+target+" HTTP/1.1", "Host: "+s.Base.Host, authtest.PageHeader, session(s), "Sec-Fetch-Site: same-origin",
			"Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(body)), "Connection: close", "", body)
	}

	t.Run("retry link", func(t *testing.T) {
		b := s.Browser()
		u := authtest.MustParse(t, b.Authorize("//orders?id=7"))
		got := b.Step(u.Path + "?" + strings.Replace(u.RawQuery, "code=", "code=%00", 1))
		assert.Contains(t, got.Text, `href="/wechat/login?`+next+`&amp;again=1"`)
		assert.Equal(t, odd, s.LoginOf(s.Wire(http.MethodGet, "/wechat/login?"+next+"&again=1", authtest.PageHeader)).Header.Get("Location"))
	})
	t.Run("scan page", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
		s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo))
		odd := s.Base.String() + "//orders?id=7"
		next := "next=" + url.QueryEscape(odd)
		desktop := "User-Agent: " + authtest.ChromeWindows
		shown := s.Browser().As(authtest.ChromeWindows).Visit("//orders?id=7")
		assert.Equal(t, "/wechat/scan?"+next, shown.Request.URL.RequestURI())
		assert.Equal(t, odd, s.Wire(http.MethodGet, "/wechat/scan?"+next, authtest.PageHeader, desktop, session(s)).Header.Get("Location"))
	})
	t.Run("upgrade", func(t *testing.T) {
		asked := s.Wire(http.MethodGet, "/wechat/upgrade?"+next, authtest.PageHeader, session(s))
		assert.Contains(t, asked.Text, `name="next" value="`+odd+`"`)
		cookies := post("/wechat/upgrade", next).FlowCookies()
		require.Len(t, cookies, 1)
		f, err := s.Cookies.OpenFlow(cookies[0])
		require.NoError(t, err)
		assert.Equal(t, odd, f.Target)
	})
	t.Run("logout", func(t *testing.T) {
		for target, want := range map[string]string{odd: odd, "//orders": "/", s.Base.String() + ".evil.example//orders": "/"} {
			assert.Equal(t, want, post("/wechat/logout", "next="+url.QueryEscape(target)).Header.Get("Location"))
		}
	})
}
