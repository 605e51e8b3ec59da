package wechatauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A switchable store is in memory, and fails as a whole, or only when it is to
// write, while it is told to.
type switchable struct {
	*store.Memory
	down, readOnly atomic.Bool
}

var errSwitchedOff = errors.New("the store is switched off for this test")

func newSwitchable() *switchable { return &switchable{Memory: store.NewMemory()} }

func (s *switchable) fails(write bool) error {
	if s.down.Load() || write && s.readOnly.Load() {
		return errSwitchedOff
	}
	return nil
}

func (s *switchable) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := s.fails(false); err != nil {
		return nil, false, err
	}
	return s.Memory.FindCtx(ctx, token)
}

func (s *switchable) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	if err := s.fails(false); err != nil {
		return nil, 0, false, err
	}
	return s.Memory.FindTTLCtx(ctx, token)
}

func (s *switchable) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := s.fails(true); err != nil {
		return err
	}
	return s.Memory.CommitCtx(ctx, token, b, expiry)
}

func (s *switchable) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if err := s.fails(true); err != nil {
		return false, err
	}
	return s.Memory.UpdateCtx(ctx, token, b, expiry)
}

func (s *switchable) DropCtx(ctx context.Context, token string) (bool, error) {
	if err := s.fails(true); err != nil {
		return false, err
	}
	return s.Memory.DropCtx(ctx, token)
}

func (s *switchable) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.fails(false); err != nil {
		return false, err
	}
	return s.Memory.PutMarkNX(ctx, key, value, ttl)
}

// A walk is a visitor on his way to one of the answers that this library gives.
type walk struct {
	*site
	b     *browser
	store *switchable
}

func newWalk(t *testing.T, opts ...Option) *walk {
	t.Helper()
	st := newSwitchable()
	s := newSite(t, append([]Option{WithStore(st), WithVerifyFile(verifyName, verifyContent)}, opts...)...)
	s.auth.claims.Wait = func(context.Context, time.Duration) error { return errSwitchedOff }
	return &walk{site: s, b: s.browser(), store: st}
}

// comeBack goes to WeChat and asks for the callback, changed if wanted.
func (w *walk) comeBack(change ...string) answer {
	return w.b.step(strings.NewReplacer(change...).Replace(w.b.authorize("/a")))
}

// enter logs the visitor in.
func (w *walk) enter() *walk {
	require.Equal(w.t, http.StatusOK, w.b.visit("/a").StatusCode)
	return w
}

// form posts a form, follows nothing, and says where it comes from.
func (w *walk) form(target, site string, form url.Values) answer {
	still := *w.b.client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w.b.do(&still, http.MethodPost, target, strings.NewReader(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {site},
	})
}

var errRefused = errors.New("refused by the hook of this test")

func refusing(context.Context, Identity) error { return ErrForbidden }

// exits are the ways out of the gate and its endpoints.
var exits = []struct {
	name   string
	status int
	opts   []Option
	take   func(w *walk) answer
}{
	{"a page visit is sent to WeChat", 303, nil, func(w *walk) answer { return w.b.step("/a?b=c") }},
	{"a page visit with a session that is no more", 303, nil, func(w *walk) answer {
		w.b.setCookie(w.sessionCookie(), strings.Repeat("a", session.TokenLength))
		return w.b.step("/a")
	}},
	{"a visit on another host is sent to ours", 303, nil, func(w *walk) answer {
		return w.b.step(strings.Replace(w.auth.base.String(), "127.0.0.1", "localhost", 1) + "/a")
	}},
	{"a script without a session", 401, nil, func(w *walk) answer { return w.b.fetch("GET", "/a") }},
	{"a script with a session that is no more", 401, nil, func(w *walk) answer {
		w.b.setCookie(w.sessionCookie(), strings.Repeat("a", session.TokenLength))
		return w.b.fetch("GET", "/a")
	}},
	{"a form without a session", 401, nil, func(w *walk) answer { return w.b.fetch("POST", "/a") }},
	{"a page after a logout", 401, nil, func(w *walk) answer {
		w.enter().form("/wechat/logout", "same-origin", nil)
		return w.b.step("/a")
	}},
	{"the fourth login in a row", 400, nil, func(w *walk) answer {
		w.b.client.Jar = dropping{w.b.client.Jar, w.sessionCookie()}
		return w.b.visit("/a")
	}},
	{"a page while the store is down", 503, nil, func(w *walk) answer {
		w.enter().store.down.Store(true)
		return w.b.step("/a")
	}},
	{"a script while the store is down", 503, nil, func(w *walk) answer {
		w.enter().store.down.Store(true)
		return w.b.fetch("GET", "/a")
	}},
	{"a page whose session cannot be saved", 503, nil, func(w *walk) answer {
		w.handle("/put", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "public, max-age=60")
			w.auth.Sessions().Put(r.Context(), "a", "b")
		})
		w.enter().store.readOnly.Store(true)
		return w.b.step("/put")
	}},
	{"a page for which WithAuthorize refuses", 403, []Option{WithAuthorize(refusing, 0)}, func(w *walk) answer { return w.b.visit("/a") }},
	{"a script for which WithAuthorize refuses", 403, []Option{WithAuthorize(refusing, 0)}, func(w *walk) answer {
		w.b.visit("/a")
		return w.b.fetch("GET", "/a")
	}},
	{"a page that needs the profile", 303, nil, func(w *walk) answer { return w.enter().b.step("/profile") }},
	{"a script that needs the profile", 403, nil, func(w *walk) answer { return w.enter().b.fetch("GET", "/profile") }},
	{"the login", 303, nil, func(w *walk) answer { return w.b.step("/wechat/login?next=/a") }},
	{"the login of who is logged in", 303, nil, func(w *walk) answer { return w.enter().b.step("/wechat/login?next=/a") }},
	{"the login by a script", 401, nil, func(w *walk) answer { return w.b.fetch("GET", "/wechat/login") }},
	{"the login while the store is down", 503, nil, func(w *walk) answer {
		w.enter().store.down.Store(true)
		return w.b.step("/wechat/login")
	}},
	{"the login by POST", 405, nil, func(w *walk) answer { return w.form("/wechat/login", "same-origin", nil) }},
	{"the callback", 303, nil, func(w *walk) answer { return w.comeBack() }},
	{"the callback, again", 303, nil, func(w *walk) answer {
		callback := w.b.authorize("/a")
		w.b.step(callback)
		return w.b.step(callback)
	}},
	{"the callback, again, while the store is down", 503, nil, func(w *walk) answer {
		callback := w.b.authorize("/a")
		w.b.step(callback)
		w.store.down.Store(true)
		return w.b.step(callback)
	}},
	{"the callback by POST", 405, nil, func(w *walk) answer { return w.form("/wechat/callback", "cross-site", nil) }},
	{"the callback without a state", 400, nil, func(w *walk) answer { return w.comeBack("state=", "x=") }},
	{"the callback in another browser", 400, nil, func(w *walk) answer { return w.browser().step(w.b.authorize("/a")) }},
	{"the callback with a flow cookie that was altered", 400, nil, func(w *walk) answer {
		callback := w.b.authorize("/a")
		for _, c := range w.b.client.Jar.Cookies(w.auth.base) {
			w.b.setCookie(c.Name, c.Value+"A")
		}
		return w.b.step(callback)
	}},
	{"the callback after eleven minutes", 400, nil, func(w *walk) answer {
		callback := w.b.authorize("/a")
		w.clock.Advance(11 * time.Minute)
		return w.b.step(callback)
	}},
	{"the callback of who refused", 403, nil, func(w *walk) answer { return w.comeBack("code=", "error=access_denied&x=") }},
	{"the callback while the store is down", 503, nil, func(w *walk) answer {
		callback := w.b.authorize("/a")
		w.store.down.Store(true)
		return w.b.step(callback)
	}},
	{"the callback when the session cannot be saved", 503, nil, func(w *walk) answer {
		callback := w.b.authorize("/a")
		w.store.readOnly.Store(true)
		return w.b.step(callback)
	}},
	{"the visit after it, with a ticket", 303, nil, func(w *walk) answer {
		callback := w.b.authorize("/a")
		w.store.readOnly.Store(true)
		w.b.step(callback)
		w.store.readOnly.Store(false)
		return w.b.step("/a")
	}},
	{"the callback with a code that is used", 303, nil, whenWeChat(wechattest.Errcode(40163))},
	{"the callback with a code that is used, twice", 400, nil, func(w *walk) answer {
		w.sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(40163), wechattest.Errcode(40163))
		return w.b.visit("/a")
	}},
	{"the callback when WeChat answers 502", 502, nil, whenWeChat(wechattest.BadGateway())},
	{"the callback when WeChat does not answer", 504, []Option{WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond})}, whenWeChat(wechattest.Hang())},
	{"the callback when the quota is used up", 503, nil, whenWeChat(wechattest.Errcode(45009))},
	{"the callback when the AppSecret is wrong", 500, nil, whenWeChat(wechattest.Errcode(40125))},
	{"the callback of a user who is blocked", 403, nil, whenWeChat(wechattest.Errcode(50002))},
	{"the callback of a user whom WithOnLogin refuses", 403, []Option{WithOnLogin(refusing)}, func(w *walk) answer { return w.comeBack() }},
	{"the page with the button", 200, nil, func(w *walk) answer { return w.b.step("/wechat/upgrade?next=/profile") }},
	{"the page with the button while the store is down", 503, nil, func(w *walk) answer {
		w.enter().store.down.Store(true)
		return w.b.step("/wechat/upgrade")
	}},
	{"the button", 303, nil, func(w *walk) answer {
		return w.form("/wechat/upgrade", "same-origin", url.Values{"next": {"/profile"}})
	}},
	{"the button on another site", 403, nil, func(w *walk) answer { return w.form("/wechat/upgrade", "cross-site", nil) }},
	{"the button with a form of a megabyte", 400, nil, func(w *walk) answer {
		return w.form("/wechat/upgrade", "same-origin", url.Values{"next": {strings.Repeat("a", 1<<20)}})
	}},
	{"the logout", 303, nil, func(w *walk) answer { return w.enter().form("/wechat/logout", "same-origin", nil) }},
	{"the logout of who is not logged in", 303, nil, func(w *walk) answer { return w.form("/wechat/logout", "same-origin", nil) }},
	{"the logout on another site", 403, nil, func(w *walk) answer { return w.enter().form("/wechat/logout", "cross-site", nil) }},
	{"the logout by GET", 405, nil, func(w *walk) answer { return w.enter().b.step("/wechat/logout") }},
	{"the logout while the store is down", 503, nil, func(w *walk) answer {
		w.enter().store.down.Store(true)
		return w.form("/wechat/logout", "same-origin", nil)
	}},
	{"a path that no endpoint has", 404, nil, func(w *walk) answer { return w.b.step("/wechat/other") }},
	{"the verify file", 200, nil, func(w *walk) answer {
		return siteServing(w.t, func(a *Auth) http.Handler { return a.RequireWeChat(nil) }, WithVerifyFile(verifyName, verifyContent)).
			asWeChat(w.t, http.MethodGet, "/"+verifyName)
	}},
	{"an application's own error handler", 400, []Option{WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f Failure) {
		w.WriteHeader(f.Status)
	})}, func(w *walk) answer { return w.comeBack("state=", "x=") }},
	{"an application's own page", 400, []Option{WithPages(func(w io.Writer, _ Page) error {
		_, err := io.WriteString(w, "own page")
		return err
	})}, func(w *walk) answer { return w.comeBack("state=", "x=") }},
	{"an application's own page that fails", 400, []Option{WithPages(func(io.Writer, Page) error { return errRefused })},
		func(w *walk) answer { return w.comeBack("state=", "x=") }},
	{"a mini program's login", 200, miniProgram, func(w *walk) answer {
		return w.request("POST", "/wechat/mini/login", "", `{"code":"`+w.sim.JSCode(miniApp, person(0))+`"}`)
	}},
	{"a mini program's login with a code of nobody", 401, miniProgram, func(w *walk) answer {
		return w.request("POST", "/wechat/mini/login", "", `{"code":"abc"}`)
	}},
	{"a mini program's login by GET", 405, miniProgram, func(w *walk) answer { return w.request("GET", "/wechat/mini/login", "", "") }},
	{"a mini program's login while the store is down", 503, miniProgram, func(w *walk) answer {
		w.store.down.Store(true)
		return w.request("POST", "/wechat/mini/login", "", `{"code":"`+w.sim.JSCode(miniApp, person(0))+`"}`)
	}},
	{"a ticket into the web-view", 200, miniProgram, func(w *walk) answer {
		return w.request("POST", "/wechat/mini/ticket", w.miniLogin(person(0)), `{"target":"/a"}`)
	}},
	{"a ticket into the web-view for nobody", 401, miniProgram, func(w *walk) answer {
		return w.request("POST", "/wechat/mini/ticket", "", `{"target":"/a"}`)
	}},
	{enterPage, 200, miniProgram, func(w *walk) answer { return w.b.step(w.ticket(w.miniLogin(person(0)), "/a")) }},
	{"the way into the web-view", 303, miniProgram, func(w *walk) answer { return w.openWebView(w.ticket(w.miniLogin(person(0)), "/a")) }},
	{"the way into the web-view, again", 401, miniProgram, func(w *walk) answer {
		enter := w.ticket(w.miniLogin(person(0)), "/a")
		w.openWebView(enter)
		return w.openWebView(enter)
	}},
	{"a mini program where there is none", 404, nil, func(w *walk) answer { return w.request("POST", "/wechat/mini/login", "", `{"code":"abc"}`) }},
	{"a desk is sent to the page of a scan", 303, desks, func(w *walk) answer { return w.b.as(chromeWindows).step("/a") }},
	{"the page of a scan", 200, desks, func(w *walk) answer { return w.b.as(chromeWindows).step("/wechat/scan?next=/a") }},
	{"the state of a scan", 200, desks, func(w *walk) answer {
		w.b.as(chromeWindows).step("/wechat/scan?next=/a")
		return w.b.fetch("GET", "/wechat/scan/status")
	}},
	{"the state of no scan", 200, desks, func(w *walk) answer { return w.b.as(chromeWindows).fetch("GET", "/wechat/scan/status") }},
	{"the scan on a phone that is not logged in", 303, desks, func(w *walk) answer {
		s := &scanSite{site: w.site}
		path, _ := s.show(w.b.as(chromeWindows), "/a")
		return s.phoneOf(person(0)).step(path)
	}},
	{confirmPage, 200, desks, func(w *walk) answer {
		s := &scanSite{site: w.site}
		path, _ := s.show(w.b.as(chromeWindows), "/a")
		return s.phoneOf(person(0)).visit(path)
	}},
	{"the answer of the phone", 200, desks, func(w *walk) answer {
		_, _, got := w.scanned()
		return got
	}},
	{"the scan is done", 303, desks, func(w *walk) answer {
		desk, number, _ := w.scanned()
		still := *desk.client
		still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return desk.do(&still, http.MethodPost, "/wechat/scan?next=/a&number="+number, nil, http.Header{"Sec-Fetch-Site": {"same-origin"}})
	}},
	{"a scan that nobody began", 404, desks, func(w *walk) answer {
		s := &scanSite{site: w.site}
		phone := s.phoneOf(person(0))
		phone.visit("/a")
		return phone.step(s.auth.scanPath(flow.NewState()))
	}},
	{"the relay", 303, nil, func(w *walk) answer {
		s, _ := newRelayedSite(w.t)
		b := s.browser()
		return b.step(b.authorize("/a"))
	}},
	{"the relay asked for another origin", 400, nil, func(w *walk) answer {
		_, front := newRelayedSite(w.t)
		return w.b.step(front.URL + "/relay?code=abc&state=abc")
	}},
	{"the page with WeChat's QR code", 200, []Option{withWebsite(), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR})}, func(w *walk) answer {
		return w.b.as(wechattest.OrdinaryBrowser).step("/wechat/login?next=/a")
	}},
	{"the page that asks to open WeChat", 403, []Option{WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.OpenInWeChat})}, func(w *walk) answer { return w.b.as(wechattest.OrdinaryBrowser).step("/a") }},
	{"the callback in a frame, to be opened again", 200, []Option{withWebsite()}, func(w *walk) answer {
		callback, err := w.sim.CallbackURL(wechattest.Browser(wechattest.OrdinaryBrowser), w.b.as(wechattest.OrdinaryBrowser).step("/a").Header.Get("Location"))
		require.NoError(w.t, err)
		framed := w.browser().as(wechattest.OrdinaryBrowser)
		framed.header.Set("Sec-Fetch-Dest", "iframe")
		framed.header.Set("Sec-Fetch-Mode", "navigate")
		framed.header.Set("Sec-Fetch-Site", "cross-site")
		return framed.step(callback)
	}},
	{"a visitor in snapshot mode", 403, []Option{WithScope(client.ScopeUserInfo)}, func(w *walk) answer {
		w.sim.Enter(wechattest.Snapshot)
		return w.b.visit("/a")
	}},
}

var (
	miniProgram = []Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret)}
	desks       = []Option{WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}
)

const confirmPage = "the page on which a phone confirms"

// scanned is a desk whose QR code a phone has confirmed, and what the phone is
// told.
func (w *walk) scanned() (desk *browser, number string, told answer) {
	s := &scanSite{site: w.site}
	desk = w.b.as(chromeWindows)
	path, _ := s.show(desk, "/a")
	phone := s.phoneOf(person(0))
	s.scan(phone, path)
	return desk, s.confirm(phone, path), phone.visit(path)
}

// whenWeChat is a callback for which WeChat's token endpoint fails once.
func whenWeChat(f wechattest.Fault) func(w *walk) answer {
	return func(w *walk) answer {
		w.sim.Fail("/sns/oauth2/access_token", f)
		return w.comeBack()
	}
}

// varies is how often the headers name Cookie in Vary.
func varies(h http.Header) (n int) {
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(field), "Cookie") {
				n++
			}
		}
	}
	return n
}

// enterPage asks before it opens a web-view.
const enterPage = "the page that opens a web-view"

// openWebView opens a web-view at a ticket's URL as the mini program does.
func (w *walk) openWebView(url string) answer {
	still := *w.b.client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w.b.do(&still, http.MethodGet, url, nil, http.Header{
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"},
	})
}

func TestT36_NoAnswerOfOursMayBeCached(t *testing.T) {
	require.GreaterOrEqual(t, len(exits), 25)
	for _, exit := range exits {
		t.Run(exit.name, func(t *testing.T) {
			w := newWalk(t, exit.opts...)
			shared := &urlCache{inner: w.b.client.Transport, host: w.auth.base.Host}
			w.b.client.Transport = shared
			got := exit.take(w)
			assert.Equal(t, exit.status, got.StatusCode, got.body)
			assert.Equal(t, []string{"no-store"}, got.Header["Cache-Control"])
			assert.Equal(t, []string{"no-cache"}, got.Header["Pragma"])
			assert.Equal(t, 1, varies(got.Header), "%q", got.Header["Vary"])
			if got.StatusCode == http.StatusUnauthorized { // RFC 9110, 15.5.2; of a scheme for which no browser shows a dialog
				assert.Equal(t, []string{"WeChat"}, got.Header["Www-Authenticate"])
			} else {
				assert.Empty(t, got.Header["Www-Authenticate"])
			}
			assert.Empty(t, shared.stored)
		})
	}
}

func TestT43_NoAnswerOfOursTellsItsURLToAnotherSite(t *testing.T) {
	for _, exit := range exits {
		t.Run(exit.name, func(t *testing.T) {
			got := exit.take(newWalk(t, exit.opts...))
			want := "no-referrer"
			if exit.name == "the page with the button" || exit.name == confirmPage || exit.name == enterPage {
				want = "same-origin" // its form needs an Origin
			}
			assert.Equal(t, []string{want}, got.Header["Referrer-Policy"])
			if location := got.Header.Get("Location"); location != "" {
				assert.Equal(t, http.StatusSeeOther, got.StatusCode)
				assert.NotContains(t, location, "code=")
			}
		})
	}
}

func TestT36_VaryNamesCookieOnceWhoeverElseNamesIt(t *testing.T) {
	for _, before := range [][]string{nil, {"Accept-Encoding"}, {"cookie"}, {"Accept-Encoding, COOKIE"}, {"Origin", "Cookie"}} {
		s := siteServing(t, func(a *Auth) http.Handler {
			gate := a.RequireWeChat(http.HandlerFunc(echo))
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Vary"] = before
				gate.ServeHTTP(w, r)
			})
		})
		b := s.browser()
		for _, got := range []answer{b.step("/a"), b.fetch("GET", "/a"), b.step("/wechat/callback"), b.step("/wechat/x"), b.visit("/a")} {
			assert.Equal(t, 1, varies(got.Header), "%q after %q", got.Header["Vary"], before)
			for _, line := range before {
				assert.Contains(t, strings.Join(got.Header["Vary"], ", "), line)
			}
		}
	}
}

// urlCache is a shared cache of the worst kind: it knows a page by its URL
// alone, and keeps every answer to a GET that does not forbid it, Set-Cookie
// and all.
type urlCache struct {
	inner http.RoundTripper
	host  string

	mu     sync.Mutex
	stored map[string]*httptest.ResponseRecorder
}

func (c *urlCache) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.URL.Host != c.host {
		return c.inner.RoundTrip(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept := c.stored[r.URL.String()]; kept != nil {
		return kept.Result(), nil
	}
	resp, err := c.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	control := strings.Join(resp.Header["Cache-Control"], ", ")
	if strings.Contains(control, "no-store") || strings.Contains(control, "private") {
		return resp, nil
	}
	kept := httptest.NewRecorder()
	for name, values := range resp.Header {
		kept.Header()[name] = values
	}
	kept.WriteHeader(resp.StatusCode)
	_, err = io.Copy(kept, resp.Body)
	resp.Body.Close()
	if c.stored == nil {
		c.stored = map[string]*httptest.ResponseRecorder{}
	}
	c.stored[r.URL.String()] = kept
	return kept.Result(), err
}

func TestT36_BehindASharedCacheEverybodySeesHisOwnPages(t *testing.T) {
	own := scs.New()
	own.Store = store.NewMemory()
	apps := map[string]struct {
		opts []Option
		wrap func(a *Auth, page http.Handler) http.Handler
	}{
		"the gate":             {nil, func(a *Auth, page http.Handler) http.Handler { return a.RequireWeChat(page) }},
		"a gate in a gate":     {nil, func(a *Auth, page http.Handler) http.Handler { return a.RequireWeChat(a.RequireWeChat(page)) }},
		"a gate in LoadWeChat": {nil, func(a *Auth, page http.Handler) http.Handler { return a.LoadWeChat(a.RequireWeChat(page)) }},
		"LoadAndSave outside": {[]Option{WithSessionManager(own)}, func(a *Auth, page http.Handler) http.Handler {
			return own.LoadAndSave(a.RequireWeChat(page))
		}},
		"LoadAndSave inside": {[]Option{WithSessionManager(own)}, func(a *Auth, page http.Handler) http.Handler {
			return a.RequireWeChat(own.LoadAndSave(page))
		}},
	}
	for name, app := range apps {
		t.Run(name, func(t *testing.T) {
			s := siteServing(t, func(a *Auth) http.Handler {
				return app.wrap(a, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					a.Sessions().Put(r.Context(), "seen", r.URL.Path)
					echo(w, r)
				}))
			}, app.opts...)
			shared := &urlCache{inner: s.server.Client().Transport, host: s.auth.base.Host}
			for _, person := range wechattest.DefaultPeople() {
				s.sim.Hold(person.Name)
				b := s.browser()
				b.client.Transport = shared
				for _, path := range []string{"/a", "/b", "/a"} {
					got := b.visit(path)
					assert.Contains(t, got.body, "openid="+wechattest.OpenID(wechattest.DefaultAppID, person.Name))
					assert.Contains(t, strings.Join(got.Header["Cache-Control"], ", "), "private, no-cache")
				}
				b.fetch("GET", "/api")
				b.post("/wechat/logout", nil)
			}
			assert.Empty(t, shared.stored)
		})
	}
}

func TestT36_ASessionCookieOfAnOpenPageIsNotForTheNextVisitor(t *testing.T) {
	s := newSite(t)
	s.handle("/cart", func(w http.ResponseWriter, r *http.Request) {
		s.auth.Sessions().Put(r.Context(), "cart", "1")
		w.WriteHeader(http.StatusOK)
	})
	shared := &urlCache{inner: s.server.Client().Transport, host: s.auth.base.Host}
	first, second := s.browser(), s.browser()
	first.client.Transport, second.client.Transport = shared, shared
	first.visit("/cart")
	second.visit("/cart")
	require.NotNil(t, first.cookie(s.sessionCookie()))
	require.NotNil(t, second.cookie(s.sessionCookie()))
	assert.NotEqual(t, first.cookie(s.sessionCookie()).Value, second.cookie(s.sessionCookie()).Value)
}

func TestT36_AHandlersOwnCacheControlStays(t *testing.T) {
	begin := map[string]func(w http.ResponseWriter, r *http.Request){
		"by nothing":     func(http.ResponseWriter, *http.Request) {},
		"by Write":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") },
		"by WriteHeader": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		"by Flush":       func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"by ReadFrom": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("a"))
		},
		"by early hints": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(200) },
		"by a file server": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a.css", time.Time{}, strings.NewReader("a"))
		},
	}
	for name, f := range begin {
		for want, set := range map[string][]string{
			"private, no-cache": nil, "public, max-age=60": {"public, max-age=60"}, "no-store": {"no-store"}, "max-age=5": {"max-age=5"},
		} {
			t.Run(name+", "+want, func(t *testing.T) {
				s := siteServing(t, func(a *Auth) http.Handler {
					return a.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if set != nil {
							w.Header()["Cache-Control"] = set
						}
						f(w, r)
					}))
				})
				b := s.browser()
				got := b.visit("/a")
				assert.Equal(t, []string{want}, got.Header["Cache-Control"])
				assert.Equal(t, 1, varies(got.Header))
			})
		}
	}
}

func TestT37_APrivatePageUnderANameOfAFileIsPrivate(t *testing.T) {
	s := newSite(t)
	shared := &urlCache{inner: s.server.Client().Transport, host: s.auth.base.Host}
	victim, attacker := s.browser(), s.browser()
	victim.client.Transport, attacker.client.Transport = shared, shared
	victim.visit("/account")
	for _, path := range []string{
		"/account/a.css", "/account;.js", "/account%2f.css", "/account%00.css", "/account%0a.js", "/account.ico", "/account/..%2fa.png", "/account?x=.jpg", "/account%23.css",
	} {
		seen := victim.visit(path)
		assert.Contains(t, seen.body, "logged-in=true", path)
		assert.Equal(t, []string{"private, no-cache"}, seen.Header["Cache-Control"], path)

		got := attacker.fetch("GET", path)
		assert.Equal(t, http.StatusUnauthorized, got.StatusCode, path)
		assert.Equal(t, []string{"no-store"}, got.Header["Cache-Control"], path)
		assert.Equal(t, []string{"no-store"}, attacker.step(path).Header["Cache-Control"], path)
	}
	assert.Empty(t, shared.stored)
}

func TestT39_NothingOfARequestIsEchoed(t *testing.T) {
	const mark = "7h3m4rk"
	payloads := []string{
		`<script>` + mark + `</script>`, `"><img src=x onerror=` + mark + `>`, `'-` + mark + `-'`, `javascript:` + mark, `</title><svg onload=` + mark + `>`,
	}
	s := newSite(t)
	callback, err := url.Parse(s.browser().authorize("/a"))
	require.NoError(t, err)
	state := callback.Query().Get("state")
	for _, payload := range payloads {
		p := url.QueryEscape(payload)
		targets := map[string]string{
			"code":                       "/wechat/callback?code=" + p + "&state=" + state,
			"state":                      "/wechat/callback?code=abc&state=" + p,
			"error":                      "/wechat/callback?error=" + p + "&state=" + state,
			"error_description":          "/wechat/callback?error=a&error_description=" + p + "&state=" + state,
			"a parameter's name":         "/wechat/callback?" + p + "=1&code=abc&state=" + state,
			"next of the login":          "/wechat/login?next=" + p,
			"next of the upgrade":        "/wechat/upgrade?next=" + p,
			"a path on another host":     "/wechat/upgrade?next=//evil.example/" + p,
			"the path of an endpoint":    "/wechat/" + url.PathEscape(payload),
			"again":                      "/wechat/login?again=" + p,
			"next of a page, as a link":  "/wechat/upgrade?next=" + url.QueryEscape("/a?x="+payload),
			"the fragment of a target":   "/wechat/upgrade?next=" + url.QueryEscape("/a#"+payload),
			"a page of the application ": "/" + url.PathEscape(payload) + "?x=" + p,
		}
		for name, target := range targets {
			t.Run(name+" "+payload, func(t *testing.T) {
				b := s.browser()
				for _, header := range []string{"User-Agent", "Referer", "Accept-Language", "X-Forwarded-Host", "X-Forwarded-For", "Origin"} {
					b.header.Set(header, payload)
				}
				b.header.Set("Accept", "text/html, "+payload)
				b.header.Set("Cookie", "wechat_flow_"+state[:16]+"="+p+"; "+s.auth.cookies.TrailName()+"="+p+"; "+s.sessionCookie()+"="+p)
				for _, got := range []answer{b.step(target), b.fetch("GET", target), b.fetch("POST", target)} {
					assertNotEchoed(t, got, payload, mark)
				}
			})
		}
	}
}

func TestT39_OurOwnPagesAllowNothingButTheirStyles(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for _, target := range []string{"/wechat/callback", "/wechat/upgrade", "/wechat/other"} {
		policy := b.step(target).Header.Get("Content-Security-Policy")
		assert.Regexp(t, `^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; form-action 'self'( `+s.sim.URL+`)?; base-uri 'none'; frame-ancestors 'none'$`, policy, target)
	}
}

// returnTargets are the attributes in which a page of ours carries one: the
// link to try again and the field of the form.
var returnTargets = regexp.MustCompile(`(href|value)="/[^"<>]*"`)

// assertNotEchoed: what a request says stands in the answer at most as a return
// target, escaped.
func assertNotEchoed(t *testing.T, got answer, payload, mark string) {
	t.Helper()
	rest := returnTargets.ReplaceAllString(got.body, "")
	assert.False(t, strings.Contains(rest, payload) || strings.Contains(rest, mark), "the body repeats something")
	assert.False(t, strings.Contains(strings.ToLower(got.body), "<script"), "a script is in the body")
	for name, values := range got.Header {
		if name != "Location" {
			assert.NotContains(t, strings.Join(values, "\n"), mark, name)
		}
	}
	if got.body != "" {
		assert.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
	}
	if !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		return
	}
	policy := got.Header.Get("Content-Security-Policy")
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
		assert.Contains(t, policy, directive)
	}
	assert.NotContains(t, policy, "unsafe")
	assert.NotContains(t, policy, "script-src")
	assert.Equal(t, "DENY", got.Header.Get("X-Frame-Options"))
}
