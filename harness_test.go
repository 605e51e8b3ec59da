package wechatauth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A site is an application behind the gate on a real server, with a simulated
// WeChat of its own.
type site struct {
	t      *testing.T
	sim    *wechattest.Server
	server *httptest.Server
	auth   *Auth
	logs   *syncBuffer
	clock  *testClock
}

// newSite starts one. Its pages: "/" and everything else is walled and answers
// with the openid and the URL; "/profile" needs the profile; "/public" loads
// the identity if there is one.
func newSite(t *testing.T, opts ...Option) *site {
	t.Helper()
	return startSite(t, wechattest.NewServer(), httptest.NewUnstartedServer(nil), opts...)
}

func startSite(t *testing.T, sim *wechattest.Server, server *httptest.Server, opts ...Option) *site {
	t.Helper()
	s := &site{t: t, sim: sim, server: server, logs: &syncBuffer{}, clock: newTestClock()}
	s.start("http://"+server.Listener.Addr().String(), opts...)
	server.Start()
	return s
}

func (s *site) start(base string, opts ...Option) {
	s.t.Helper()
	opts = append([]Option{
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		WithBaseURL(base),
		WithEndpoints(s.sim.Endpoints()),
		WithLogger(slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		withClock(s.clock.Now),
	}, opts...)
	auth, err := New(opts...)
	require.NoError(s.t, err)
	s.auth = auth
	s.server.Config.Handler = s.routes()
	s.server.Config.ErrorLog = nil
	s.t.Cleanup(func() { s.server.Close(); s.sim.Close() })
}

func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/wechat/", s.auth)
	mux.Handle("/", s.auth.RequireWeChat(http.HandlerFunc(echo)))
	mux.Handle("/profile", s.auth.RequireScope(client.ScopeUserInfo)(http.HandlerFunc(echo)))
	mux.Handle("/public", s.auth.LoadWeChat(http.HandlerFunc(echo)))
	return mux
}

// echo answers with what the gate let through.
func echo(w http.ResponseWriter, r *http.Request) {
	id, ok := IdentityFromContext(r.Context())
	fmt.Fprintf(w, "url=%s logged-in=%t openid=%s nickname=%s scope=%s", r.URL.RequestURI(), ok, id.OpenID, id.Nickname, id.Scope)
}

// testClock is the application's clock; the simulator and Redis have their own.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newTestClock() *testClock { return &testClock{now: time.Now()} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type syncBuffer struct {
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	trailMu.Lock()
	defer trailMu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	trailMu.Lock()
	defer trailMu.Unlock()
	return b.buf.String()
}

// A browser is a cookie jar with WeChat's User-Agent. It follows redirects
// and remembers them.
type browser struct {
	t      *testing.T
	site   *site
	client *http.Client
	trail  []string // every URL asked for, since the last visit began
	header http.Header
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	b := &browser{t: s.t, site: s, header: http.Header{}}
	b.header.Set("User-Agent", wechattest.IPhone)
	b.header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	b.client = &http.Client{
		Jar: jar, Transport: s.server.Client().Transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 20 {
				return fmt.Errorf("more than 20 redirects")
			}
			trailMu.Lock()
			b.trail = append(b.trail, r.URL.String())
			trailMu.Unlock()
			for name := range b.header {
				r.Header[name] = b.header[name]
			}
			return nil
		},
	}
	return b
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body string
}

// visit asks for a page as a browser's address bar does, following redirects.
func (b *browser) visit(target string) answer {
	b.t.Helper()
	return b.do(b.client, http.MethodGet, target, nil, nil)
}

// step asks for a page and follows nothing.
func (b *browser) step(target string) answer {
	b.t.Helper()
	still := *b.client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.do(&still, http.MethodGet, target, nil, nil)
}

// fetch asks as a script does.
func (b *browser) fetch(method, target string) answer {
	b.t.Helper()
	still := *b.client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.do(&still, method, target, nil, http.Header{
		"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"},
	})
}

// post submits a form of the site's own, following redirects.
func (b *browser) post(target string, form url.Values) answer {
	b.t.Helper()
	return b.do(b.client, http.MethodPost, target, strings.NewReader(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	})
}

func (b *browser) do(c *http.Client, method, target string, body io.Reader, header http.Header) answer {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.site.auth.home.base.String() + target
	}
	trailMu.Lock()
	b.trail = []string{target}
	trailMu.Unlock()
	req, err := http.NewRequestWithContext(context.Background(), method, target, body)
	require.NoError(b.t, err)
	for _, h := range []http.Header{b.header, header} {
		for name := range h {
			req.Header[name] = h[name]
		}
	}
	resp, err := c.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return answer{resp, string(text)}
}

// cookie returns the browser's cookie of this name for the site; nil if it
// has none.
func (b *browser) cookie(name string) *http.Cookie {
	for _, c := range b.client.Jar.Cookies(b.site.auth.home.base) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// setCookie plants a cookie in the browser.
func (b *browser) setCookie(name, value string) {
	b.client.Jar.SetCookies(b.site.auth.home.base, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: b.site.auth.home.base.Scheme == "https"}})
}

// authorize goes as far as WeChat's answer, and returns the callback URL
// without asking for it.
func (b *browser) authorize(target string) (callback string) {
	b.t.Helper()
	toWeChat := b.step(target)
	require.Equal(b.t, http.StatusSeeOther, toWeChat.StatusCode, toWeChat.body)
	back := b.step(toWeChat.Header.Get("Location"))
	require.Equal(b.t, http.StatusFound, back.StatusCode, back.body)
	return back.Header.Get("Location")
}

// exchanges is how often WeChat was asked to exchange a code.
func (s *site) exchanges() int { return s.sim.Count("/sns/oauth2/access_token") }

// sessionCookie is the name of the session cookie.
func (s *site) sessionCookie() string { return s.auth.Sessions().Cookie.Name }

// trailMu lets a browser be used by many goroutines at once.
var trailMu sync.Mutex
