package leak

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
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/verifyfile"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A walk leads a user to one of the responses of this library.
type walk struct {
	*authtest.Site
	b     *authtest.Browser
	store *authtest.SwitchableStore
}

func newWalk(t *testing.T, opts ...wechatauth.Option) *walk {
	t.Helper()
	st := authtest.NewSwitchableStore()
	s := authtest.NewSite(t, append([]wechatauth.Option{wechatauth.WithStore(st)}, opts...)...)
	s.Wait = func(context.Context, time.Duration) error { return authtest.ErrSwitchedOff }
	return &walk{Site: s, b: s.Browser(), store: st}
}

// comeBack goes to WeChat and requests the callback, changed if wanted.
func (w *walk) comeBack(change ...string) authtest.Response {
	return w.b.Step(strings.NewReplacer(change...).Replace(w.b.Authorize("/a")))
}

// enter logs the user in.
func (w *walk) enter() *walk {
	require.Equal(w.T, http.StatusOK, w.b.Visit("/a").StatusCode)
	return w
}

// form posts a form from a site, and follows no redirect.
func (w *walk) form(target, site string, form url.Values) authtest.Response {
	still := *w.b.Client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w.b.Do(&still, http.MethodPost, target, strings.NewReader(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {site},
	})
}

var errRefused = errors.New("rejected by the hook of this test")

func refusing(context.Context, wechatauth.Identity) error { return wechatauth.ErrForbidden }

// exits has every response of the gate and its endpoints.
var exits = []struct {
	name   string
	status int
	opts   []wechatauth.Option
	take   func(w *walk) authtest.Response
}{
	{"a page visit is sent to WeChat", 303, nil, func(w *walk) authtest.Response { return w.b.Step("/a?b=c") }},
	{"a page visit with a session that is no more", 303, nil, func(w *walk) authtest.Response {
		w.b.SetCookie(w.SessionCookie(), strings.Repeat("a", session.TokenLength))
		return w.b.Step("/a")
	}},
	{"a visit on another host is redirected", 303, nil, func(w *walk) authtest.Response {
		return w.b.Step(strings.Replace(w.Base.String(), "127.0.0.1", "localhost", 1) + "/a")
	}},
	{"a script without a session", 401, nil, func(w *walk) authtest.Response { return w.b.Fetch("GET", "/a") }},
	{"a script with a session that is no more", 401, nil, func(w *walk) authtest.Response {
		w.b.SetCookie(w.SessionCookie(), strings.Repeat("a", session.TokenLength))
		return w.b.Fetch("GET", "/a")
	}},
	{"a form without a session", 401, nil, func(w *walk) authtest.Response { return w.b.Fetch("POST", "/a") }},
	{"a page after a logout", 401, nil, func(w *walk) authtest.Response {
		w.enter().form("/wechat/logout", "same-origin", nil)
		return w.b.Step("/a")
	}},
	{"the fourth login in a row", 400, nil, func(w *walk) authtest.Response {
		w.b.Client.Jar = authtest.LossyJar{CookieJar: w.b.Client.Jar, Name: w.SessionCookie()}
		return w.b.Visit("/a")
	}},
	{"a page while the store is down", 503, nil, func(w *walk) authtest.Response {
		w.enter().store.Down.Store(true)
		return w.b.Step("/a")
	}},
	{"a script while the store is down", 503, nil, func(w *walk) authtest.Response {
		w.enter().store.Down.Store(true)
		return w.b.Fetch("GET", "/a")
	}},
	{"a page whose session cannot be saved", 503, nil, func(w *walk) authtest.Response {
		w.Handle("/put", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "public, max-age=60")
			w.Auth.Sessions().Put(r.Context(), "a", "b")
		})
		w.enter().store.ReadOnly.Store(true)
		return w.b.Step("/put")
	}},
	{forbiddenPage, 403, []wechatauth.Option{wechatauth.WithAccessCheck(refusing, 0)}, func(w *walk) authtest.Response { return w.b.Visit("/a") }},
	{"a fetch that WithAccessCheck rejects", 403, []wechatauth.Option{wechatauth.WithAccessCheck(refusing, 0)}, func(w *walk) authtest.Response {
		w.b.Visit("/a")
		return w.b.Fetch("GET", "/a")
	}},
	{"a page that needs the profile", 303, nil, func(w *walk) authtest.Response { return w.enter().b.Step("/profile") }},
	{"a script that needs the profile", 403, nil, func(w *walk) authtest.Response { return w.enter().b.Fetch("GET", "/profile") }},
	{"the login", 303, nil, func(w *walk) authtest.Response { return w.b.Step("/wechat/login?next=/a") }},
	{"a login while logged in", 303, nil, func(w *walk) authtest.Response { return w.enter().b.Step("/wechat/login?next=/a") }},
	{"the login by a script", 401, nil, func(w *walk) authtest.Response { return w.b.Fetch("GET", "/wechat/login") }},
	{"the login while the store is down", 503, nil, func(w *walk) authtest.Response {
		w.enter().store.Down.Store(true)
		return w.b.Step("/wechat/login")
	}},
	{"the login by POST", 405, nil, func(w *walk) authtest.Response { return w.form("/wechat/login", "same-origin", nil) }},
	{"the callback", 303, nil, func(w *walk) authtest.Response { return w.comeBack() }},
	{"the callback, again", 303, nil, func(w *walk) authtest.Response {
		callback := w.b.Authorize("/a")
		w.b.Step(callback)
		return w.b.Step(callback)
	}},
	{"the callback, again, while the store is down", 503, nil, func(w *walk) authtest.Response {
		callback := w.b.Authorize("/a")
		w.b.Step(callback)
		w.store.Down.Store(true)
		return w.b.Step(callback)
	}},
	{"the callback by POST", 405, nil, func(w *walk) authtest.Response { return w.form("/wechat/callback", "cross-site", nil) }},
	{"the callback without a state", 400, nil, func(w *walk) authtest.Response { return w.comeBack("state=", "x=") }},
	{"the callback in another browser", 400, nil, func(w *walk) authtest.Response { return w.Browser().Step(w.b.Authorize("/a")) }},
	{"the callback with a flow cookie that was altered", 400, nil, func(w *walk) authtest.Response {
		callback := w.b.Authorize("/a")
		for _, c := range w.b.Client.Jar.Cookies(w.Base) {
			w.b.SetCookie(c.Name, c.Value+"A")
		}
		return w.b.Step(callback)
	}},
	{"the callback after eleven minutes", 400, nil, func(w *walk) authtest.Response {
		callback := w.b.Authorize("/a")
		w.Clock.Advance(11 * time.Minute)
		return w.b.Step(callback)
	}},
	{"the callback after a denial", 403, nil, func(w *walk) authtest.Response { return w.comeBack("code=", "error=access_denied&x=") }},
	{"the callback while the store is down", 503, nil, func(w *walk) authtest.Response {
		callback := w.b.Authorize("/a")
		w.store.Down.Store(true)
		return w.b.Step(callback)
	}},
	{"the callback when the session cannot be saved", 503, nil, func(w *walk) authtest.Response {
		callback := w.b.Authorize("/a")
		w.store.ReadOnly.Store(true)
		return w.b.Step(callback)
	}},
	{"the visit after it, with a ticket", 303, nil, func(w *walk) authtest.Response {
		callback := w.b.Authorize("/a")
		w.store.ReadOnly.Store(true)
		w.b.Step(callback)
		w.store.ReadOnly.Store(false)
		return w.b.Step("/a")
	}},
	{"the callback with a code that is used", 303, nil, whenWeChat(wechattest.Errcode(40163))},
	{"the callback with a code that is used, twice", 400, nil, func(w *walk) authtest.Response {
		w.Sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(40163), wechattest.Errcode(40163))
		return w.b.Visit("/a")
	}},
	{"the callback when WeChat responds with 502", 502, nil, whenWeChat(wechattest.BadGateway())},
	{"the callback when WeChat does not respond", 504, []wechatauth.Option{wechatauth.WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond})}, whenWeChat(wechattest.Hang())},
	{"the callback when the quota is used up", 503, nil, whenWeChat(wechattest.Errcode(45009))},
	{"the callback when the AppSecret is wrong", 500, nil, whenWeChat(wechattest.Errcode(40125))},
	{"the callback of a user who is blocked", 403, nil, whenWeChat(wechattest.Errcode(50002))},
	{"the callback that WithOnLogin rejects", 403, []wechatauth.Option{wechatauth.WithOnLogin(refusing)}, func(w *walk) authtest.Response { return w.comeBack() }},
	{"the page with the button", 200, nil, func(w *walk) authtest.Response { return w.b.Step("/wechat/upgrade?next=/profile") }},
	{"the page with the button while the store is down", 503, nil, func(w *walk) authtest.Response {
		w.enter().store.Down.Store(true)
		return w.b.Step("/wechat/upgrade")
	}},
	{"the button", 303, nil, func(w *walk) authtest.Response {
		return w.form("/wechat/upgrade", "same-origin", url.Values{"next": {"/profile"}})
	}},
	{"the button on another site", 403, nil, func(w *walk) authtest.Response { return w.form("/wechat/upgrade", "cross-site", nil) }},
	{"the button with a form of a megabyte", 400, nil, func(w *walk) authtest.Response {
		return w.form("/wechat/upgrade", "same-origin", url.Values{"next": {strings.Repeat("a", 1<<20)}})
	}},
	{"the logout", 303, nil, func(w *walk) authtest.Response { return w.enter().form("/wechat/logout", "same-origin", nil) }},
	{"a logout while logged out", 303, nil, func(w *walk) authtest.Response { return w.form("/wechat/logout", "same-origin", nil) }},
	{"the logout on another site", 403, nil, func(w *walk) authtest.Response { return w.enter().form("/wechat/logout", "cross-site", nil) }},
	{"the logout by GET", 405, nil, func(w *walk) authtest.Response { return w.enter().b.Step("/wechat/logout") }},
	{"the logout while the store is down", 503, nil, func(w *walk) authtest.Response {
		w.enter().store.Down.Store(true)
		return w.form("/wechat/logout", "same-origin", nil)
	}},
	{"a path that no endpoint has", 404, nil, func(w *walk) authtest.Response { return w.b.Step("/wechat/other") }},
	{"the verify file", 200, nil, func(w *walk) authtest.Response {
		return authtest.NewSiteServing(w.T, func(a *wechatauth.Auth) http.Handler {
			h, err := verifyfile.Handler(a.RequireWeChat(nil), map[string]string{authtest.VerifyName: authtest.VerifyContent})
			require.NoError(w.T, err)
			return h
		}).AsWeChat(w.T, http.MethodGet, "/"+authtest.VerifyName)
	}},
	{"an application's own error handler", 400, []wechatauth.Option{wechatauth.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f wechatauth.Failure) {
		w.WriteHeader(f.Status)
	})}, func(w *walk) authtest.Response { return w.comeBack("state=", "x=") }},
	{"an application's own page", 400, []wechatauth.Option{wechatauth.WithPages(func(w io.Writer, _ wechatauth.Page) error {
		_, err := io.WriteString(w, "own page")
		return err
	})}, func(w *walk) authtest.Response { return w.comeBack("state=", "x=") }},
	{"an application's own page that fails", 400, []wechatauth.Option{wechatauth.WithPages(func(io.Writer, wechatauth.Page) error { return errRefused })},
		func(w *walk) authtest.Response { return w.comeBack("state=", "x=") }},
	{"a mini program's login", 200, miniProgram, func(w *walk) authtest.Response {
		return w.Request("POST", "/wechat/mini/login", "", `{"code":"`+w.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
	}},
	{"a mini program's login with an unknown code", 401, miniProgram, func(w *walk) authtest.Response {
		return w.Request("POST", "/wechat/mini/login", "", `{"code":"abc"}`)
	}},
	{"a mini program's login by GET", 405, miniProgram, func(w *walk) authtest.Response { return w.Request("GET", "/wechat/mini/login", "", "") }},
	{"a mini program's login while the store is down", 503, miniProgram, func(w *walk) authtest.Response {
		w.store.Down.Store(true)
		return w.Request("POST", "/wechat/mini/login", "", `{"code":"`+w.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
	}},
	{"a ticket into the web-view", 200, miniProgram, func(w *walk) authtest.Response {
		return w.Request("POST", "/wechat/mini/ticket", w.MiniLogin(authtest.Person(0)), `{"target":"/a"}`)
	}},
	{"a web-view ticket without a session", 401, miniProgram, func(w *walk) authtest.Response {
		return w.Request("POST", "/wechat/mini/ticket", "", `{"target":"/a"}`)
	}},
	{enterPage, 200, miniProgram, func(w *walk) authtest.Response { return w.b.Step(w.Ticket(w.MiniLogin(authtest.Person(0)), "/a")) }},
	{"the way into the web-view", 303, miniProgram, func(w *walk) authtest.Response { return w.openWebView(w.Ticket(w.MiniLogin(authtest.Person(0)), "/a")) }},
	{"the way into the web-view, again", 401, miniProgram, func(w *walk) authtest.Response {
		enter := w.Ticket(w.MiniLogin(authtest.Person(0)), "/a")
		w.openWebView(enter)
		return w.openWebView(enter)
	}},
	{"a mini program's login without WithMiniProgram", 404, nil, func(w *walk) authtest.Response { return w.Request("POST", "/wechat/mini/login", "", `{"code":"abc"}`) }},
	{"a computer is redirected to the scan page", 303, computers, func(w *walk) authtest.Response { return w.b.As(authtest.ChromeWindows).Step("/a") }},
	{"the page of a scan", 200, computers, func(w *walk) authtest.Response { return w.b.As(authtest.ChromeWindows).Step("/wechat/scan?next=/a") }},
	{"the state of a scan", 200, computers, func(w *walk) authtest.Response {
		w.b.As(authtest.ChromeWindows).Step("/wechat/scan?next=/a")
		return w.b.Fetch("GET", "/wechat/scan/status")
	}},
	{"the state of no scan", 200, computers, func(w *walk) authtest.Response {
		return w.b.As(authtest.ChromeWindows).Fetch("GET", "/wechat/scan/status")
	}},
	{"the scan on a logged-out phone", 303, computers, func(w *walk) authtest.Response {
		s := &authtest.ScanSite{Site: w.Site}
		path, _ := s.Show(w.b.As(authtest.ChromeWindows), "/a")
		return s.PhoneOf(authtest.Person(0)).Step(path)
	}},
	{confirmPage, 200, computers, func(w *walk) authtest.Response {
		s := &authtest.ScanSite{Site: w.Site}
		path, _ := s.Show(w.b.As(authtest.ChromeWindows), "/a")
		return s.PhoneOf(authtest.Person(0)).Visit(path)
	}},
	{"the response to the phone", 200, computers, func(w *walk) authtest.Response {
		_, _, got := w.scanned()
		return got
	}},
	{"the scan is done", 303, computers, func(w *walk) authtest.Response {
		computer, number, _ := w.scanned()
		still := *computer.Client
		still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return computer.Do(&still, http.MethodPost, "/wechat/scan?next=/a&number="+number, nil, http.Header{"Sec-Fetch-Site": {"same-origin"}})
	}},
	{"an unknown scan code", 404, computers, func(w *walk) authtest.Response {
		s := &authtest.ScanSite{Site: w.Site}
		phone := s.PhoneOf(authtest.Person(0))
		phone.Visit("/a")
		return phone.Step("/wechat/scan/" + flow.NewState())
	}},
	{"the relay", 303, nil, func(w *walk) authtest.Response {
		s, _ := authtest.NewRelayedSite(w.T)
		b := s.Browser()
		return b.Step(b.Authorize("/a"))
	}},
	{"the relay with another origin", 400, nil, func(w *walk) authtest.Response {
		_, front := authtest.NewRelayedSite(w.T)
		return w.b.Step(front.URL + "/relay?code=abc&state=abc")
	}},
	{"the page with WeChat's QR code", 200, []wechatauth.Option{authtest.WithWebsite(), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR})}, func(w *walk) authtest.Response {
		return w.b.As(wechattest.Chrome).Step("/wechat/login?next=/a")
	}},
	{"the page that asks to open WeChat", 403, []wechatauth.Option{wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.OpenInWeChat})}, func(w *walk) authtest.Response { return w.b.As(wechattest.Chrome).Step("/a") }},
	{"the callback in a frame, to be opened again", 200, []wechatauth.Option{authtest.WithWebsite()}, func(w *walk) authtest.Response {
		callback, err := w.Sim.CallbackURL(wechattest.Browser(wechattest.Chrome), w.b.As(wechattest.Chrome).Step("/a").Header.Get("Location"))
		require.NoError(w.T, err)
		framed := w.Browser().As(wechattest.Chrome)
		framed.Header.Set("Sec-Fetch-Dest", "iframe")
		framed.Header.Set("Sec-Fetch-Mode", "navigate")
		framed.Header.Set("Sec-Fetch-Site", "cross-site")
		return framed.Step(callback)
	}},
	{"a user in snapshot mode", 403, []wechatauth.Option{wechatauth.WithScope(client.ScopeUserInfo)}, func(w *walk) authtest.Response {
		w.Sim.SetEnvironment(wechattest.Snapshot)
		return w.b.Visit("/a")
	}},
}

var (
	miniProgram = []wechatauth.Option{wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret)}
	computers   = []wechatauth.Option{wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}
)

// forbiddenPage has a form with which the user logs out.
const forbiddenPage = "a page that WithAccessCheck rejects"

const confirmPage = "the page on which a phone confirms"

// scanned returns a computer whose QR code a phone has confirmed, and the
// response to the phone.
func (w *walk) scanned() (computer *authtest.Browser, number string, shown authtest.Response) {
	s := &authtest.ScanSite{Site: w.Site}
	computer = w.b.As(authtest.ChromeWindows)
	path, _ := s.Show(computer, "/a")
	phone := s.PhoneOf(authtest.Person(0))
	s.Scan(phone, path)
	return computer, s.Confirm(phone, path), phone.Visit(path)
}

// whenWeChat returns a callback for which WeChat's token endpoint fails once.
func whenWeChat(f wechattest.Fault) func(w *walk) authtest.Response {
	return func(w *walk) authtest.Response {
		w.Sim.Fail("/sns/oauth2/access_token", f)
		return w.comeBack()
	}
}

// varies counts how often the headers name Cookie in Vary.
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

// enterPage asks for a confirmation before a web-view opens.
const enterPage = "the page that opens a web-view"

// openWebView opens a web-view at a ticket's URL as the mini program does.
func (w *walk) openWebView(url string) authtest.Response {
	still := *w.b.Client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w.b.Do(&still, http.MethodGet, url, nil, http.Header{
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"},
	})
}

func TestResponse(t *testing.T) {
	t.Run("T36 is not cached", func(t *testing.T) {
		require.GreaterOrEqual(t, len(exits), 25)
		for _, exit := range exits {
			t.Run(exit.name, func(t *testing.T) {
				w := newWalk(t, exit.opts...)
				shared := &urlCache{inner: w.b.Client.Transport, host: w.Base.Host}
				w.b.Client.Transport = shared
				got := exit.take(w)
				assert.Equal(t, exit.status, got.StatusCode, got.Text)
				assert.Equal(t, []string{"no-store"}, got.Header["Cache-Control"])
				assert.Equal(t, []string{"no-cache"}, got.Header["Pragma"])
				assert.Equal(t, 1, varies(got.Header), "%q", got.Header["Vary"])
				if got.StatusCode == http.StatusUnauthorized { // RFC 9110, 15.5.2; with a scheme for which no browser shows a dialog
					assert.Equal(t, []string{"WeChat"}, got.Header["Www-Authenticate"])
				} else {
					assert.Empty(t, got.Header["Www-Authenticate"])
				}
				assert.Empty(t, shared.stored)
			})
		}
	})

	t.Run("T43 Referrer-Policy", func(t *testing.T) {
		for _, exit := range exits {
			t.Run(exit.name, func(t *testing.T) {
				got := exit.take(newWalk(t, exit.opts...))
				want := "no-referrer"
				if exit.name == "the page with the button" || exit.name == confirmPage || exit.name == enterPage || exit.name == forbiddenPage {
					want = "same-origin" // its form needs an Origin
				}
				assert.Equal(t, []string{want}, got.Header["Referrer-Policy"])
				if location := got.Header.Get("Location"); location != "" {
					assert.Equal(t, http.StatusSeeOther, got.StatusCode)
					assert.NotContains(t, location, "code=")
				}
			})
		}
	})
}

func TestVary(t *testing.T) {
	t.Run("T36 added once", func(t *testing.T) {
		for _, before := range [][]string{nil, {"Accept-Encoding"}, {"cookie"}, {"Accept-Encoding, COOKIE"}, {"Origin", "Cookie"}} {
			s := authtest.NewSiteServing(t, func(a *wechatauth.Auth) http.Handler {
				gate := a.RequireWeChat(http.HandlerFunc(authtest.Echo))
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Vary"] = before
					gate.ServeHTTP(w, r)
				})
			})
			b := s.Browser()
			for _, got := range []authtest.Response{b.Step("/a"), b.Fetch("GET", "/a"), b.Step("/wechat/callback"), b.Step("/wechat/x"), b.Visit("/a")} {
				assert.Equal(t, 1, varies(got.Header), "%q after %q", got.Header["Vary"], before)
				for _, line := range before {
					assert.Contains(t, strings.Join(got.Header["Vary"], ", "), line)
				}
			}
		}
	})
}

// A urlCache is a shared cache of the worst kind: it uses only the URL as its
// key, and keeps every response to a GET that does not forbid it, including
// Set-Cookie.
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

func TestCacheControl(t *testing.T) {
	t.Run("T36 behind a shared cache", func(t *testing.T) {
		own := scs.New()
		own.Store = store.NewMemory()
		apps := map[string]struct {
			opts []wechatauth.Option
			wrap func(a *wechatauth.Auth, page http.Handler) http.Handler
		}{
			"the gate": {nil, func(a *wechatauth.Auth, page http.Handler) http.Handler { return a.RequireWeChat(page) }},
			"a gate in a gate": {nil, func(a *wechatauth.Auth, page http.Handler) http.Handler {
				return a.RequireWeChat(a.RequireWeChat(page))
			}},
			"a gate in LoadWeChat": {nil, func(a *wechatauth.Auth, page http.Handler) http.Handler { return a.LoadWeChat(a.RequireWeChat(page)) }},
			"LoadAndSave outside": {[]wechatauth.Option{wechatauth.WithSessionManager(own)}, func(a *wechatauth.Auth, page http.Handler) http.Handler {
				return own.LoadAndSave(a.RequireWeChat(page))
			}},
			"LoadAndSave inside": {[]wechatauth.Option{wechatauth.WithSessionManager(own)}, func(a *wechatauth.Auth, page http.Handler) http.Handler {
				return a.RequireWeChat(own.LoadAndSave(page))
			}},
		}
		for name, app := range apps {
			t.Run(name, func(t *testing.T) {
				s := authtest.NewSiteServing(t, func(a *wechatauth.Auth) http.Handler {
					return app.wrap(a, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						a.Sessions().Put(r.Context(), "seen", r.URL.Path)
						authtest.Echo(w, r)
					}))
				}, app.opts...)
				shared := &urlCache{inner: s.Server.Client().Transport, host: s.Base.Host}
				for _, person := range wechattest.DefaultPeople() {
					s.Sim.SetPerson(person.Name)
					b := s.Browser()
					b.Client.Transport = shared
					for _, path := range []string{"/a", "/b", "/a"} {
						got := b.Visit(path)
						assert.Contains(t, got.Text, "openid="+wechattest.OpenID(wechattest.DefaultAppID, person.Name))
						assert.Contains(t, strings.Join(got.Header["Cache-Control"], ", "), "private, no-cache")
					}
					b.Fetch("GET", "/api")
					b.Post("/wechat/logout", nil)
				}
				assert.Empty(t, shared.stored)
			})
		}
	})

	t.Run("T36 public page with a session cookie", func(t *testing.T) {
		s := authtest.NewSite(t)
		s.Handle("/cart", func(w http.ResponseWriter, r *http.Request) {
			s.Auth.Sessions().Put(r.Context(), "cart", "1")
			w.WriteHeader(http.StatusOK)
		})
		shared := &urlCache{inner: s.Server.Client().Transport, host: s.Base.Host}
		first, second := s.Browser(), s.Browser()
		first.Client.Transport, second.Client.Transport = shared, shared
		first.Visit("/cart")
		second.Visit("/cart")
		require.NotNil(t, first.Cookie(s.SessionCookie()))
		require.NotNil(t, second.Cookie(s.SessionCookie()))
		assert.NotEqual(t, first.Cookie(s.SessionCookie()).Value, second.Cookie(s.SessionCookie()).Value)
	})

	t.Run("T36 set by the handler", func(t *testing.T) {
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
					s := authtest.NewSiteServing(t, func(a *wechatauth.Auth) http.Handler {
						return a.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							if set != nil {
								w.Header()["Cache-Control"] = set
							}
							f(w, r)
						}))
					})
					b := s.Browser()
					got := b.Visit("/a")
					assert.Equal(t, []string{want}, got.Header["Cache-Control"])
					assert.Equal(t, 1, varies(got.Header))
				})
			}
		}
	})

	t.Run("T37 page named like a static file", func(t *testing.T) {
		s := authtest.NewSite(t)
		shared := &urlCache{inner: s.Server.Client().Transport, host: s.Base.Host}
		victim, attacker := s.Browser(), s.Browser()
		victim.Client.Transport, attacker.Client.Transport = shared, shared
		victim.Visit("/account")
		for _, path := range []string{
			"/account/a.css", "/account;.js", "/account%2f.css", "/account%00.css", "/account%0a.js", "/account.ico", "/account/..%2fa.png", "/account?x=.jpg", "/account%23.css",
		} {
			seen := victim.Visit(path)
			assert.Contains(t, seen.Text, "logged-in=true", path)
			assert.Equal(t, []string{"private, no-cache"}, seen.Header["Cache-Control"], path)

			got := attacker.Fetch("GET", path)
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode, path)
			assert.Equal(t, []string{"no-store"}, got.Header["Cache-Control"], path)
			assert.Equal(t, []string{"no-store"}, attacker.Step(path).Header["Cache-Control"], path)
		}
		assert.Empty(t, shared.stored)
	})
}

func TestPage(t *testing.T) {
	t.Run("T39 echoes nothing of the request", func(t *testing.T) {
		const mark = "7h3m4rk"
		payloads := []string{
			`<script>` + mark + `</script>`, `"><img src=x onerror=` + mark + `>`, `'-` + mark + `-'`, `javascript:` + mark, `</title><svg onload=` + mark + `>`,
		}
		s := authtest.NewSite(t)
		callback, err := url.Parse(s.Browser().Authorize("/a"))
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
					b := s.Browser()
					for _, header := range []string{"User-Agent", "Referer", "Accept-Language", "X-Forwarded-Host", "X-Forwarded-For", "Origin"} {
						b.Header.Set(header, payload)
					}
					b.Header.Set("Accept", "text/html, "+payload)
					b.Header.Set("Cookie", "wechat_flow_"+state[:16]+"="+p+"; "+s.Cookies.LoginCounterName()+"="+p+"; "+s.SessionCookie()+"="+p)
					for _, got := range []authtest.Response{b.Step(target), b.Fetch("GET", target), b.Fetch("POST", target)} {
						assertNotEchoed(t, got, payload, mark)
					}
				})
			}
		}
	})

	t.Run("T39 Content-Security-Policy", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		for _, target := range []string{"/wechat/callback", "/wechat/upgrade", "/wechat/other"} {
			policy := b.Step(target).Header.Get("Content-Security-Policy")
			assert.Regexp(t, `^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; form-action 'self'( `+s.Sim.URL+`)?; base-uri 'none'; frame-ancestors 'none'$`, policy, target)
		}
	})
}

// returnURLs matches the attributes in which our pages carry a return URL: the
// retry link and the field of the form.
var returnURLs = regexp.MustCompile(`(href|value)="/[^"<>]*"`)

// assertNotEchoed asserts that the response contains a value of the request at
// most as a return URL, escaped.
func assertNotEchoed(t *testing.T, got authtest.Response, payload, mark string) {
	t.Helper()
	rest := returnURLs.ReplaceAllString(got.Text, "")
	assert.False(t, strings.Contains(rest, payload) || strings.Contains(rest, mark), "the body repeats something")
	assert.False(t, strings.Contains(strings.ToLower(got.Text), "<script"), "a script is in the body")
	for name, values := range got.Header {
		if name != "Location" {
			assert.NotContains(t, strings.Join(values, "\n"), mark, name)
		}
	}
	if got.Text != "" {
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
