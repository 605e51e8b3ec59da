package wechatauth

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// keepers are the ways in which sessions are kept: by the gate's manager and by
// an application's, over stores that do much and little.
func keepers(t *testing.T) map[string]func() []Option {
	own := func(set func(m *scs.SessionManager)) func() []Option {
		return func() []Option {
			m := ownManager(store.New(redistest.Start(t).Pool()))
			set(m)
			return []Option{WithSessionManager(m)}
		}
	}
	return map[string]func() []Option{
		"in memory":  func() []Option { return nil },
		"over Redis": func() []Option { return []Option{WithRedis(redistest.Start(t).Pool())} },
		"over Redis, encrypted": func() []Option {
			return []Option{WithRedis(redistest.Start(t).Pool()), WithSessionEncryption(sessionKeyForTests)}
		},
		"own manager":                          own(func(*scs.SessionManager) {}),
		"own manager, hashed":                  own(func(m *scs.SessionManager) { m.HashTokenInStore = true }),
		"own manager, with an idle timeout":    own(func(m *scs.SessionManager) { m.IdleTimeout = time.Hour }),
		"own manager, this codec":              own(func(m *scs.SessionManager) { m.Codec = store.Codec{} }),
		"own manager, a store that does least": func() []Option { return []Option{WithSessionManager(ownManager(plain{store.NewMemory()}))} },
	}
}

// visitForToken logs in by visiting a page, and returns the session's token.
func (b *browser) visitForToken(target string) string {
	b.t.Helper()
	require.Contains(b.t, b.visit(target).body, "logged-in=true")
	return b.cookie(b.site.sessionCookie()).Value
}

// loaders are the ways in which an application's LoadAndSave and the wall can
// stand to each other.
var loaders = map[string]func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler{
	"no LoadAndSave": func(_ *scs.SessionManager, a *Auth, h http.Handler) http.Handler { return a.RequireWeChat(h) },
	"LoadAndSave outside": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(a.RequireWeChat(h))
	},
	"LoadAndSave inside": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return a.RequireWeChat(m.LoadAndSave(h))
	},
	"LoadAndSave between": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return a.LoadWeChat(m.LoadAndSave(a.RequireWeChat(h)))
	},
}

// ownManager is one of an application's, over a store.
func ownManager(s scs.Store) *scs.SessionManager {
	m := scs.New()
	m.Store = s
	return m
}

// holding is a browser in which a cookie was planted.
func (s *site) holding(name, value string) *browser {
	b := s.browser()
	b.setCookie(name, value)
	return b
}

// tryStep is step where no answer is expected. The connection is a new one: a
// request on a kept one that dies is sent again by net/http.
func (b *browser) tryStep(target string) error {
	still := http.Client{Jar: b.client.Jar, Transport: &http.Transport{DisableKeepAlives: true}}
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := still.Get(target)
	if err == nil {
		resp.Body.Close()
	}
	return err
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

var sessionKeyForTests = []byte("session-key-for-tests-0123456789")

// observing is a function as an Observer.
type observing func(Event)

func (f observing) Observe(_ context.Context, e Event) { f(e) }

// scanSite is a site of two instances on one Redis: browsers on a desk talk to
// the first one, phones to the second.
type scanSite struct {
	*site
	redis *redistest.Server
}

func newScanSite(t *testing.T, opts ...Option) *scanSite {
	t.Helper()
	return newScanSiteWith(t, WithRedis, opts...)
}

// newScanSiteWith has each instance keep its sessions in Redis in this way.
func newScanSiteWith(t *testing.T, sessions func(*redis.Pool) Option, opts ...Option) *scanSite {
	t.Helper()
	server := redistest.Start(t)
	opts = append([]Option{sessions(server.Pool()), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}, opts...)
	s := &scanSite{site: newSite(t, opts...), redis: server}
	first := s.server.Config.Handler
	second := *s.site
	second.auth = nil
	auth, err := New(append([]Option{
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.home.base.String()),
		WithEndpoints(s.sim.Endpoints()), withClock(s.clock.Now), WithLogger(s.auth.logger),
	}, append(opts, sessions(server.Pool()))...)...)
	require.NoError(t, err)
	second.auth = auth
	routes := second.routes()
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if environment.Of(r).InWeChat() {
			routes.ServeHTTP(w, r)
			return
		}
		first.ServeHTTP(w, r)
	})
	return s
}

func (s *scanSite) desk() *browser { return s.browser().as(chromeWindows) }

// phoneOf is the phone of a person of the simulator.
func (s *scanSite) phoneOf(person string) *browser {
	b := s.browser()
	b.setCookie("wechatsim_person", url.QueryEscape(person))
	return b
}

// held is what a browser's scan cookie holds.
func (s *scanSite) held(b *browser) scan.Cookie {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.auth.home.base.String(), nil)
	require.NoError(s.t, err)
	c := b.cookie(s.auth.home.cookies.ScanName())
	require.NotNil(s.t, c, "the browser has no scan cookie")
	r.AddCookie(c)
	held, ok := s.auth.home.scanCookieOf(r)
	require.True(s.t, ok)
	return held
}

// show opens a page on a desk and returns what the QR code there stands for.
func (s *scanSite) show(desk *browser, target string) (path string, c scan.Cookie) {
	s.t.Helper()
	shown := desk.visit(target)
	require.Equal(s.t, http.StatusOK, shown.StatusCode, shown.body)
	c = s.held(desk)
	path = s.auth.home.scanPath(c.Ticket)
	body := html.UnescapeString(shown.body)
	require.Contains(s.t, body, string(page.QRCode(s.auth.home.base.String()+path)), "the QR code is the phone's page")
	require.NotContains(s.t, strings.ReplaceAll(body, string(page.QRCode(s.auth.home.base.String()+path)), ""), c.Ticket)
	return path, c
}

const scanButton = `<button type="submit" name="confirm" value="1">`

// scan opens the QR code on a phone, which asks whether to log the browser in.
func (s *scanSite) scan(phone *browser, path string) {
	s.t.Helper()
	page := phone.visit(path)
	require.Equal(s.t, http.StatusOK, page.StatusCode, page.body)
	require.Contains(s.t, page.body, scanButton)
}

var (
	confirmed   = url.Values{"confirm": {"1"}}
	shownNumber = regexp.MustCompile(`<p class="number"><strong>([0-9]{4})</strong></p>`)
)

// confirm presses the button on a phone, which then shows the number.
func (s *scanSite) confirm(phone *browser, path string) (number string) {
	s.t.Helper()
	page := phone.post(path, confirmed)
	shown := shownNumber.FindStringSubmatch(page.body)
	require.NotNil(s.t, shown, page.body)
	return shown[1]
}

// enter types a number into the page of the browser, whose target it has.
func (b *browser) enter(target, number string) answer {
	return b.post("/wechat/scan", url.Values{"next": {target}, "number": {number}})
}

// wrong returns a number that is not the right one.
func wrong(right string) string {
	if right == "0000" {
		return "0001"
	}
	return "0000"
}

const (
	miniOfA = "wx0000000000000a99"
	miniOfB = "wx0000000000000b99"
)

const (
	shopA = "wx0000000000000aaa"
	shopB = "wx0000000000000bbb"
)

// fixed is a resolver of the tests. Those of package accounts, which imports this
// one, have tests there.
type fixed struct {
	accounts []Account
	appIDOf  func(r *http.Request) string
}

func (f fixed) AppIDOf(r *http.Request) (string, error) {
	if appID := f.appIDOf(r); appID != "" {
		return appID, nil
	}
	return "", errors.New("no account for this request")
}

func (f fixed) Account(_ context.Context, appID string) (Account, error) {
	for _, account := range f.accounts {
		if account.AppID == appID {
			return account, nil
		}
	}
	return Account{}, errors.New("no such account")
}

func (f fixed) Accounts() ([]Account, error) { return f.accounts, nil }

// byHost finds accounts by their BaseURLs.
func byHost(accounts ...Account) AccountResolver {
	return fixed{accounts, func(r *http.Request) string {
		for _, account := range accounts {
			if _, host, _ := strings.Cut(account.BaseURL, "://"); host == r.Host {
				return account.AppID
			}
		}
		return ""
	}}
}

// byPathPrefix finds accounts by the first segment of the path, where path.Clean
// leaves it as it is.
func byPathPrefix(prefixes map[string]Account) AccountResolver {
	first := func(p string) string { return prefixes[p[:strings.IndexByte(p[1:]+"/", '/')+1]+"/"].AppID }
	return fixed{slices.Collect(maps.Values(prefixes)), func(r *http.Request) string {
		if appID := first(r.URL.Path); first(path.Clean(r.URL.Path)) == appID {
			return appID
		}
		return ""
	}}
}

// tokenOf is a source of one token.
type tokenOf string

func (t tokenOf) ComponentToken(context.Context) (client.Secret, error) {
	if t == "" {
		return client.Secret{}, errors.New("no token in this test")
	}
	return client.NewSecret(string(t)), nil
}

const miniApp = wechattest.DefaultMiniProgramAppID

func newMiniSite(t *testing.T, opts ...Option) *site {
	t.Helper()
	return newSite(t, append([]Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret)}, opts...)...)
}

// request asks as wx.request does: without cookies.
func (s *site) request(method, path, token, body string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.auth.home.base.String()+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.server.Client().Transport.RoundTrip(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, string(b)}
}

func person(i int) string { return wechattest.DefaultPeople()[i].Name }

// miniLogin logs a person in and returns the token.
func (s *site) miniLogin(who string) string {
	s.t.Helper()
	got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, who)+`"}`)
	require.Equal(s.t, http.StatusOK, got.StatusCode, got.body)
	var body map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(got.body), &body))
	require.Len(s.t, body, 2, "a token and its life, and nothing else")
	// The session's deadline is by the machine's clock, the answer by the site's,
	// which stood still meanwhile.
	assert.InDelta(s.t, 86400, body["expires_in"], 60)
	assert.Empty(s.t, got.Header["Set-Cookie"])
	return body["token"].(string)
}

// User-Agents of browsers outside WeChat.
const (
	safariPhone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	chromeWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"
)

// as is the browser with another User-Agent.
func (b *browser) as(userAgent string) *browser {
	b.header.Set("User-Agent", userAgent)
	return b
}

// patience is more than a busy machine needs. It is never waited out in a good
// run.
const patience = 20 * time.Second

// allocatedBy returns how many bytes of heap a call took, roughly.
func allocatedBy(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const ()
