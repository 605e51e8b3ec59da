// Package authtest is a harness for tests of whole logins: an application that
// requires a login on a real server, a WeChat simulator, and browsers that
// visit both. It uses only the root package's exported names and internal/knob,
// and knows what an attacker with the AppSecret knows.
package authtest

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Root is the path of the module, for tests of a suite that read its files.
const Root = "../../.."

// A Site is an application that requires a login, on a real server with its own
// WeChat simulator.
type Site struct {
	T      *testing.T
	Sim    *wechattest.Server
	Server *httptest.Server
	Auth   *wechatauth.Auth
	Logs   *Buffer
	Clock  *Clock

	Base    *url.URL     // of the site: scheme and host
	AppID   string       // of its official account
	Log     *slog.Logger // writes into Logs
	Cookies *flow.Jar    // as an attacker with the AppSecret makes them; see [Site.Jar]

	// Wait is how duplicates of a login wait for its leader. A test may replace
	// it before the first request.
	Wait func(ctx context.Context, d time.Duration) error
}

// NewSite starts a site. All its pages require a login and respond with the
// openid and the URL, except "/profile", which requires the profile, and
// "/public", which loads the identity if there is one.
func NewSite(t *testing.T, opts ...wechatauth.Option) *Site {
	t.Helper()
	return StartSite(t, wechattest.NewServer(), httptest.NewUnstartedServer(nil), opts...)
}

// NewTLSSite is [NewSite] on https, where cookies are Secure and __Host-.
func NewTLSSite(t *testing.T, opts ...wechatauth.Option) *Site {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.TLS = nil
	s := &Site{T: t, Sim: wechattest.NewServer(), Server: server, Logs: &Buffer{}, Clock: NewClock()}
	s.Start("https://"+server.Listener.Addr().String(), opts...)
	server.StartTLS()
	return s
}

// StartSite starts a site on this server, with this WeChat.
func StartSite(t *testing.T, sim *wechattest.Server, server *httptest.Server, opts ...wechatauth.Option) *Site {
	t.Helper()
	s := &Site{T: t, Sim: sim, Server: server, Logs: &Buffer{}, Clock: NewClock()}
	s.Start("http://"+server.Listener.Addr().String(), opts...)
	server.Start()
	return s
}

// NewSiteServing starts a site that serves app.
func NewSiteServing(t *testing.T, app func(*wechatauth.Auth) http.Handler, opts ...wechatauth.Option) *Site {
	t.Helper()
	s := &Site{T: t, Sim: wechattest.NewServer(), Server: httptest.NewUnstartedServer(nil), Logs: &Buffer{}, Clock: NewClock()}
	s.Start("http://"+s.Server.Listener.Addr().String(), opts...)
	s.Server.Config.Handler = app(s.Auth)
	s.Server.Start()
	return s
}

// Start builds the Auth of a site whose fields above Base are set. It does not
// start the server.
func (s *Site) Start(base string, opts ...wechatauth.Option) {
	s.T.Helper()
	s.AppID, s.Base = wechattest.DefaultAppID, MustParse(s.T, base)
	s.Log = slog.New(slog.NewTextHandler(s.Logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Cookies = s.Jar(s.AppID, wechattest.DefaultSecret, "/wechat/callback")
	s.Wait = singleflight.Sleep
	opts = append([]wechatauth.Option{
		wechatauth.WithApp(s.AppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(base),
		wechatauth.WithEndpoints(s.Sim.Endpoints()),
		wechatauth.WithLogger(s.Log),
		wechatauth.WithClock(s.Clock.Now),
		WithWait(func(ctx context.Context, d time.Duration) error { return s.Wait(ctx, d) }),
	}, opts...)
	auth, err := wechatauth.New(opts...)
	require.NoError(s.T, err)
	s.Auth = auth
	s.Server.Config.Handler = s.Routes()
	s.Server.Config.ErrorLog = nil
	s.T.Cleanup(func() { s.Server.Close(); s.Sim.Close() })
}

// Jar returns the cookies of an account of the site; see [NewJar].
func (s *Site) Jar(appID, key, callback string) *flow.Jar {
	s.T.Helper()
	return NewJar(s.T, s.Base, appID, key, callback, s.Clock.Now)
}

// NewJar returns the cookies of an account, sealed with its flow key, which is the
// AppSecret by default. The callback is a path.
func NewJar(t testing.TB, base *url.URL, appID, key, callback string, now func() time.Time) *flow.Jar {
	t.Helper()
	ring, err := seal.New("flow", []byte(key))
	require.NoError(t, err)
	secure := base.Scheme == "https"
	return flow.NewJar(&cookie.Jar{
		Ring: ring, Secure: secure, Bound: []string{appID, base.String() + callback}, Now: now,
	}, flow.Prefix(secure), flow.Tag(appID, callback))
}

// CallbackURL returns the URL to which WeChat redirects the browsers of the
// site.
func (s *Site) CallbackURL() string { return s.Base.String() + "/wechat/callback" }

// Routes returns the pages of the site; see [NewSite].
func (s *Site) Routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/wechat/", s.Auth)
	mux.Handle("/", s.Auth.RequireWeChat(http.HandlerFunc(Echo)))
	mux.Handle("/profile", s.Auth.RequireScope(client.ScopeUserInfo)(http.HandlerFunc(Echo)))
	mux.Handle("/public", s.Auth.LoadWeChat(http.HandlerFunc(Echo)))
	return mux
}

// Echo responds with the identity of the request.
func Echo(w http.ResponseWriter, r *http.Request) {
	id, ok := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "url=%s logged-in=%t openid=%s nickname=%s scope=%s", r.URL.RequestURI(), ok, id.OpenID, id.Nickname, id.Scope)
}

// A Clock is the application's clock. The simulator and Redis have their own.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows the present time.
func NewClock() *Clock { return &Clock{now: time.Now()} }

// Now returns the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A Buffer collects log records of many goroutines.
type Buffer struct {
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (b *Buffer) Write(p []byte) (int, error) {
	trailMu.Lock()
	defer trailMu.Unlock()
	return b.buf.Write(p)
}

// String returns what was written.
func (b *Buffer) String() string {
	trailMu.Lock()
	defer trailMu.Unlock()
	return b.buf.String()
}

// A Browser is a cookie jar with WeChat's User-Agent. It follows redirects
// and remembers them.
type Browser struct {
	T      *testing.T
	Site   *Site
	Client *http.Client
	Trail  []string // every URL requested since the last visit began
	Header http.Header
}

// Browser returns a new browser, with WeChat's User-Agent and no cookies.
func (s *Site) Browser() *Browser {
	s.T.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.T, err)
	b := &Browser{T: s.T, Site: s, Header: http.Header{}}
	b.Header.Set("User-Agent", wechattest.IPhone)
	b.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	b.Client = &http.Client{
		Jar: jar, Transport: s.Server.Client().Transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 20 {
				return fmt.Errorf("more than 20 redirects")
			}
			trailMu.Lock()
			b.Trail = append(b.Trail, r.URL.String())
			trailMu.Unlock()
			for name := range b.Header {
				r.Header[name] = b.Header[name]
			}
			return nil
		},
	}
	return b
}

// A Response is a response whose body has been read.
type Response struct {
	*http.Response
	Text string
}

// Visit requests a page as a browser's address bar does, following redirects.
func (b *Browser) Visit(target string) Response {
	b.T.Helper()
	return b.Do(b.Client, http.MethodGet, target, nil, nil)
}

// Step requests a page and follows no redirect.
func (b *Browser) Step(target string) Response {
	b.T.Helper()
	still := *b.Client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.Do(&still, http.MethodGet, target, nil, nil)
}

// Fetch sends a request as a script does.
func (b *Browser) Fetch(method, target string) Response {
	b.T.Helper()
	still := *b.Client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.Do(&still, method, target, nil, http.Header{
		"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"},
	})
}

// Post submits a form of the site's own, following redirects.
func (b *Browser) Post(target string, form url.Values) Response {
	b.T.Helper()
	return b.Do(b.Client, http.MethodPost, target, strings.NewReader(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	})
}

// StepPost submits a form of the site's own, and follows no redirect.
func (b *Browser) StepPost(target string, form url.Values) Response {
	b.T.Helper()
	still := *b.Client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.Do(&still, http.MethodPost, target, strings.NewReader(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	})
}

// Do sends a request, and returns its response with the body read.
func (b *Browser) Do(c *http.Client, method, target string, body io.Reader, header http.Header) Response {
	b.T.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.Site.Base.String() + target
	}
	trailMu.Lock()
	b.Trail = []string{target}
	trailMu.Unlock()
	req, err := http.NewRequestWithContext(context.Background(), method, target, body)
	require.NoError(b.T, err)
	for _, h := range []http.Header{b.Header, header} {
		for name := range h {
			req.Header[name] = h[name]
		}
	}
	resp, err := c.Do(req)
	require.NoError(b.T, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.T, err)
	return Response{resp, string(text)}
}

// Cookie returns the browser's cookie with this name for the site, or nil if it
// has none.
func (b *Browser) Cookie(name string) *http.Cookie {
	for _, c := range b.Client.Jar.Cookies(b.Site.Base) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// SetCookie plants a cookie in the browser.
func (b *Browser) SetCookie(name, value string) {
	b.Client.Jar.SetCookies(b.Site.Base, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: b.Site.Base.Scheme == "https"}})
}

// Authorize goes as far as WeChat's redirect, and returns the callback URL
// without requesting it.
func (b *Browser) Authorize(target string) (callback string) {
	b.T.Helper()
	toWeChat := b.Step(target)
	require.Equal(b.T, http.StatusSeeOther, toWeChat.StatusCode, toWeChat.Text)
	back := b.Step(toWeChat.Header.Get("Location"))
	require.Equal(b.T, http.StatusFound, back.StatusCode, back.Text)
	return back.Header.Get("Location")
}

// Exchanges counts the calls to WeChat that exchange a code.
func (s *Site) Exchanges() int { return s.Sim.Count("/sns/oauth2/access_token") }

// SessionCookie returns the name of the session cookie.
func (s *Site) SessionCookie() string { return s.Auth.Sessions().Cookie.Name }

// trailMu lets many goroutines use a browser concurrently.
var trailMu sync.Mutex

// Allow agrees on the simulator's consent page.
func (b *Browser) Allow(consent Response) Response {
	b.T.Helper()
	return b.RespondConsent(consent, "allow")
}

// RespondConsent responds to the simulator's consent page with "allow" or "deny".
func (b *Browser) RespondConsent(consent Response, choice string) Response {
	b.T.Helper()
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(consent.Text)
	require.NotNil(b.T, ticket, "this is not a consent page: %s", consent.Text)
	form := url.Values{"ticket": {ticket[1]}, "answer": {choice}}
	return b.Post(b.Site.Sim.URL+"/connect/oauth2/authorize_reply", form)
}

var (
	linkTarget  = regexp.MustCompile(`<a [^>]*href="([^"]+)"`)
	postForm    = regexp.MustCompile(`(?s)<form method="post" action="([^"]+)"(.*?)</form>`)
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// Onward follows the first link of a page, or submits its form, as the browser that
// shows it does; without either, it follows the first of the links home and to
// the support. It returns false if there is none.
func (b *Browser) Onward(page Response) (Response, bool) {
	b.T.Helper()
	for name, value := range map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
		b.Header.Set(name, value)
		defer b.Header.Del(name)
	}
	absolute := func(target string) string {
		u, err := page.Request.URL.Parse(html.UnescapeString(target))
		require.NoError(b.T, err)
		return u.String()
	}
	steps, more, _ := strings.Cut(page.Text, `<p class="more">`)
	if m := linkTarget.FindStringSubmatch(steps); m != nil {
		return b.Visit(absolute(m[1])), true
	}
	if m := postForm.FindStringSubmatch(page.Text); m != nil {
		values := url.Values{}
		for _, field := range hiddenField.FindAllStringSubmatch(m[2], -1) {
			values.Set(field[1], html.UnescapeString(field[2]))
		}
		return b.Post(absolute(m[1]), values), true
	}
	if m := linkTarget.FindStringSubmatch(more); m != nil {
		return b.Visit(absolute(m[1])), true
	}
	return Response{}, false
}

// A LossyJar is a jar that loses one cookie.
type LossyJar struct {
	http.CookieJar
	Name string // of the cookie
}

// SetCookies implements [http.CookieJar].
func (d LossyJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	kept := cookies[:0:0]
	for _, c := range cookies {
		if c.Name != d.Name {
			kept = append(kept, c)
		}
	}
	d.CookieJar.SetCookies(u, kept)
}
