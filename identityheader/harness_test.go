package identityheader

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A site is an application behind the middleware on a real server, with its own
// WeChat simulator.
type site struct {
	t      *testing.T
	sim    *wechattest.Server
	server *httptest.Server
	base   *url.URL
	auth   *wechatauth.Auth
}

// newSite returns a site whose server has not been started.
func newSite(t *testing.T, opts ...wechatauth.Option) *site {
	t.Helper()
	return siteAt(t, "http://", httptest.NewUnstartedServer(nil), opts...)
}

func newTLSSite(t *testing.T, opts ...wechatauth.Option) *site {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.EnableHTTP2 = true
	return siteAt(t, "https://", server, opts...)
}

func siteAt(t *testing.T, scheme string, server *httptest.Server, opts ...wechatauth.Option) *site {
	t.Helper()
	s := &site{t: t, sim: wechattest.NewServer(), server: server}
	t.Cleanup(func() { s.server.Close(); s.sim.Close() })
	s.base = mustParse(t, scheme+server.Listener.Addr().String())
	s.auth = s.newAuth(opts...)
	return s
}

// newAuth returns an Auth for the site.
func (s *site) newAuth(opts ...wechatauth.Option) *wechatauth.Auth {
	s.t.Helper()
	auth, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithMiniProgram(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret),
		wechatauth.WithBaseURL(s.base.String()),
		wechatauth.WithEndpoints(s.sim.Endpoints()),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	require.NoError(s.t, err)
	return auth
}

// serve starts the server.
func (s *site) serve(h http.Handler) *site {
	s.server.Config.Handler = h
	if s.base.Scheme == "https" {
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	return s
}

// sessionCookie is the name of the session cookie.
func (s *site) sessionCookie() string { return s.auth.Sessions().Cookie.Name }

// A browser is an HTTP client with a cookie jar and WeChat's User-Agent.
type browser struct {
	t      *testing.T
	site   *site
	client *http.Client
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &browser{s.t, s, &http.Client{Jar: jar, Transport: s.server.Client().Transport}}
}

// A response is an HTTP response with its body.
type response struct {
	*http.Response
	body string
}

var pageVisit = http.Header{
	"User-Agent": {wechattest.IPhone},
	"Accept":     {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
}

// visit opens a page as a browser does, following redirects.
func (b *browser) visit(target string) response {
	b.t.Helper()
	return b.do(http.MethodGet, target, "", nil)
}

// step opens a page without following redirects.
func (b *browser) step(target string) response {
	b.t.Helper()
	still := *b.client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return (&browser{b.t, b.site, &still}).do(http.MethodGet, target, "", nil)
}

// fetch sends a request as a script does.
func (b *browser) fetch(method, target string) response {
	b.t.Helper()
	return b.do(method, target, "", http.Header{
		"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"},
	})
}

// post submits a form of the site, following redirects.
func (b *browser) post(target string, form url.Values) response {
	b.t.Helper()
	return b.do(http.MethodPost, target, form.Encode(), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	})
}

func (b *browser) do(method, target, body string, header http.Header) response {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.site.base.String() + target
	}
	req, err := http.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	require.NoError(b.t, err)
	for _, h := range []http.Header{pageVisit, header} {
		for name := range h {
			req.Header[name] = h[name]
		}
	}
	resp, err := b.client.Do(req)
	require.NoError(b.t, err)
	return read(b.t, resp)
}

func read(t *testing.T, resp *http.Response) response {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return response{resp, string(text)}
}

// authorize follows a login up to WeChat's redirect and returns the callback
// URL without opening it.
func (b *browser) authorize(target string) (callback string) {
	b.t.Helper()
	toWeChat := b.step(target)
	require.Equal(b.t, http.StatusSeeOther, toWeChat.StatusCode, toWeChat.body)
	back := b.step(toWeChat.Header.Get("Location"))
	require.Equal(b.t, http.StatusFound, back.StatusCode, back.body)
	return back.Header.Get("Location")
}

// cookie returns the value of the browser's cookie with the given name.
func (b *browser) cookie(name string) string {
	for _, c := range b.client.Jar.Cookies(b.site.base) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	b.client.Jar.SetCookies(b.site.base, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: b.site.base.Scheme == "https"}})
}

// cookies returns the browser's Cookie header for the site.
func (b *browser) cookies() string {
	var pairs []string
	for _, c := range b.client.Jar.Cookies(b.site.base) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}

// request sends a request as wx.request does: without cookies.
func (s *site) request(method, path, token, body string) response {
	s.t.Helper()
	r, err := http.NewRequest(method, s.base.String()+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.server.Client().Transport.RoundTrip(r)
	require.NoError(s.t, err)
	return read(s.t, resp)
}

// miniLogin logs a person in and returns the token.
func (s *site) miniLogin() string {
	s.t.Helper()
	code := s.sim.WXLogin(wechattest.DefaultMiniProgramAppID, wechattest.DefaultPeople()[0].Name)
	got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`)
	require.Equal(s.t, http.StatusOK, got.StatusCode, got.body)
	var body struct{ Token string }
	require.NoError(s.t, json.Unmarshal([]byte(got.body), &body))
	require.NotEmpty(s.t, body.Token)
	return body.Token
}

// echo responds with what the middleware passed on.
func echo(w http.ResponseWriter, r *http.Request) {
	_, ok := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "url=%s logged-in=%t", r.URL.RequestURI(), ok)
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}
