package threat

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A cookie names a session or a pending login, never a user. An attacker who
// can seal arbitrary values gets no further than a login at WeChat.

// sealedCookies returns the purposes that cookies are sealed for, each with the
// name of the cookie. The purpose "ticket" once held an identity.
func sealedCookies(j *flow.Jar, state string) map[string]string {
	return map[string]string{
		"flow": j.CookieName(state), "trail": j.LoginCounterName(), "snapshot": j.SnapshotName(), "scan": j.ScanName(),
		"ticket": strings.Replace(j.ScanName(), "scan", "ticket", 1),
	}
}

func TestForgedCookies(t *testing.T) {
	t.Run("T77 every purpose is covered", func(t *testing.T) {
		s := authtest.NewSite(t)
		known := sealedCookies(s.Cookies, flow.NewState())
		purposes := regexp.MustCompile(`j\.Jar\.Open\([^"\n]*"([a-z]+)"\)|(?:Place|Find|Seal)\([^"\n]*"([a-z]+)", (?:name|j\.|g\.cookies\.)`)
		t.Chdir(authtest.Root)
		files, err := filepath.Glob("*.go")
		require.NoError(t, err)
		below, err := filepath.Glob("internal/flow/*.go")
		require.NoError(t, err)
		files = append(files, below...)
		found := map[string]bool{}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range purposes.FindAllStringSubmatch(string(source), -1) {
				purpose := strings.Join(match[1:], "")
				found[purpose] = true
				assert.Contains(t, known, purpose, "%s seals a cookie that no test forges", file)
			}
		}
		assert.GreaterOrEqual(t, len(found), 4, "the current cookies are found: %v", found)
	})

	t.Run("T77 stolen AppSecret", func(t *testing.T) {
		kept := store.NewMemory()
		s := authtest.NewSite(t, wechatauth.WithStore(kept), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
		state := flow.NewState()
		targets := []string{"/a", "/public", "/wechat/login?next=/a", "/wechat/scan?next=/a", "/wechat/scan?next=/a&wait=1", "/wechat/callback?code=code&state=" + state}
		for name, c := range forged(t, s.Cookies, state, wechattest.DefaultAppID, authtest.AliceOpenID, s.Clock.Now()) {
			nowhere(s, t, name, []*http.Cookie{c}, targets...)
		}
		all, err := kept.All()
		require.NoError(t, err)
		assert.Empty(t, all, "sessions")
	})

	// An attacker runs their own instance of the library with the stolen
	// AppSecret, a WeChat that returns any identity they like, and a store that
	// fails on demand. They send every cookie that their instance sets to ours.
	t.Run("T77 cookies of an attacker's instance", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
		hostile := wechattest.NewServer()
		t.Cleanup(hostile.Close)
		for _, step := range []string{"", "find", "commit", "settle", "claim"} {
			failing := authtest.NewFaultyStore(s.Clock.Now)
			a := s.Instance(wechatauth.WithEndpoints(hostile.Endpoints()), wechatauth.WithStore(failing), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}),
				authtest.WithWait(func(context.Context, time.Duration) error { return context.DeadlineExceeded }))
			handler := a.RequireWeChat(http.HandlerFunc(authtest.Echo))
			var have []*http.Cookie
			ask := func(target, userAgent string) *http.Response {
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
				r.Host = s.Base.Host
				r.Header.Set("Accept", "text/html")
				r.Header.Set("User-Agent", userAgent)
				for _, c := range have {
					r.AddCookie(c)
				}
				handler.ServeHTTP(w, r)
				have = append(have, w.Result().Cookies()...)
				return w.Result()
			}
			back := s.Browser().Step(ask("/a", wechattest.IPhone).Header.Get("Location"))
			callback := authtest.MustParse(t, back.Header.Get("Location")).RequestURI()
			ask("/wechat/scan?next=/a", authtest.ChromeWindows)
			if step != "" {
				failing.Fail(step, func() error { return authtest.ErrBroken })
			}
			ask(callback, wechattest.IPhone)
			ask(callback, wechattest.IPhone)
			require.NotEmpty(t, have)

			targets := []string{"/a", "/public", "/wechat/login?next=/a", "/wechat/scan?next=/a", callback}
			nowhere(s, t, "all, "+step, have, targets...)
			for _, c := range have {
				nowhere(s, t, c.Name+", "+step, []*http.Cookie{c}, targets...)
			}
		}
	})

	// A tenant knows its own AppSecret and no other. Nor does the AppSecret of
	// one gate make anyone a user of another gate on the same manager.
	t.Run("T76 AppSecret of another account", func(t *testing.T) {
		sim, a, b := authtest.NewShops(t)
		s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}))
		victim := wechattest.OpenID(authtest.ShopB, authtest.Person(0))
		for _, own := range []string{authtest.ShopA, authtest.ShopB} {
			jar := s.Jar(own, a.Secret, "/wechat/callback/"+own) // the attacker's key, at their gate or at the other one
			state := flow.NewState()
			var targets []string
			for _, at := range []struct{ pages, appID string }{{"/a/", authtest.ShopA}, {"/b/", authtest.ShopB}} {
				targets = append(targets, at.pages+"x", "/wechat/login/"+at.appID+"?next="+url.QueryEscape(at.pages+"x"), "/wechat/callback/"+at.appID+"?code=code&state="+state)
			}
			for name, c := range forged(t, jar, state, authtest.ShopB, victim, s.Clock.Now()) {
				nowhere(s, t, name, []*http.Cookie{c}, targets...)
			}
		}
	})

	t.Run("T76 two gates on one manager", func(t *testing.T) {
		sim, a, b := authtest.NewShops(t)
		s := authtest.StartSite(t, sim, httptest.NewUnstartedServer(nil), wechatauth.WithApp(a.AppID, a.Secret))
		other := s.Instance(wechatauth.WithApp(b.AppID, b.Secret), wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithSessionManager(s.Auth.Sessions()), wechatauth.WithPathPrefix("/other/"))
		mux := http.NewServeMux()
		mux.Handle("/b/", other.RequireWeChat(http.HandlerFunc(authtest.Echo)))
		mux.Handle("/other/", other)
		mux.Handle("/", s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo)))
		s.Server.Config.Handler = mux
		state := flow.NewState()
		for name, c := range forged(t, s.Jar(a.AppID, a.Secret, "/wechat/callback"), state, authtest.ShopB, wechattest.OpenID(authtest.ShopB, authtest.Person(0)), s.Clock.Now()) {
			nowhere(s, t, name, []*http.Cookie{c}, "/a", "/b/x", "/wechat/login?next=/b/x", "/other/login?next=/b/x",
				"/wechat/callback?code=code&state="+state, "/other/callback?code=code&state="+state)
		}
	})

	// The QR code shows the scan code to anyone. With it and the AppSecret, no
	// one can make the cookie that completes the login the phone confirms.
	t.Run("T77 scan cookie from a QR code", func(t *testing.T) {
		s := authtest.NewScanSite(t)
		computer := s.Computer()
		_, shown := s.Show(computer, "/a")
		for range 3 {
			c := shown
			c.Key = flow.NewKey()
			made := s.SealScanCookie(c)
			assert.Equal(t, `{"state":"scan_expired"}`, s.StatusOf(s.Holding(made.Name, made.Value).As(authtest.ChromeWindows)))
		}
		own := s.SealScanCookie(shown)
		assert.Equal(t, `{"state":"waiting"}`, s.StatusOf(s.Holding(own.Name, own.Value).As(authtest.ChromeWindows)), "the browser's own is good")
	})

	// Cookies copied during a login whose first save failed log no one in once
	// the user's sessions have been revoked.
	t.Run("T81 copied cookies after a revocation", func(t *testing.T) {
		for _, after := range []time.Duration{0, 4 * time.Second, 63 * time.Second, 3 * time.Minute, 11 * time.Minute} {
			t.Run(after.String(), func(t *testing.T) {
				var st *authtest.FaultyStore
				s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
				s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
				b := s.Browser()
				var copied []*http.Cookie
				keep := func() { copied = append(copied, b.Client.Jar.Cookies(s.Base)...) }
				callback := authtest.MustParse(t, b.Authorize("/a")).RequestURI()
				keep()
				st.Fail("commit", func() error { return authtest.ErrBroken })
				require.Equal(t, http.StatusServiceUnavailable, b.Step(callback).StatusCode)
				keep()
				st.Fail("commit", nil)
				s.Clock.Advance(authtest.FailureTTL + time.Second)
				require.Contains(t, b.Visit(callback).Text, "logged-in=true")
				keep()
				_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, authtest.AliceOpenID)
				require.NoError(t, err)
				s.Clock.Advance(after)

				for _, c := range append([]*http.Cookie{nil}, copied...) {
					with := copied
					if c != nil {
						with = []*http.Cookie{c}
					}
					for _, target := range []string{"/a", "/public", "/wechat/login?next=/a", callback} {
						got := s.Wire(http.MethodGet, target, authtest.PageHeader, authtest.CookieHeader(with...))
						assert.NotContains(t, got.Text, "logged-in=true", target)
						if session, _, ok := strings.Cut(strings.TrimPrefix(got.SetOf(s.SessionCookie()), s.SessionCookie()+"="), ";"); ok && session != "" {
							next := s.Wire(http.MethodGet, "/public", authtest.PageHeader, authtest.CookieHeader(&http.Cookie{Name: s.SessionCookie(), Value: session}))
							assert.Contains(t, next.Text, "logged-in=false", "%s gave a session", target)
						}
					}
				}
			})
		}
	})
}

// forged returns a cookie for each purpose with each content that an attacker
// who knows the key could use to become openID of appID. The callback is the
// one of state.
func forged(t *testing.T, jar *flow.Jar, state, appID, openID string, now time.Time) map[string]*http.Cookie {
	t.Helper()
	identity := authtest.EncodeIdentity(wechatauth.Identity{OpenID: openID, Scope: "snsapi_base", Channel: wechatauth.ChannelWeChat, LoginAt: now})
	key := base64.StdEncoding.EncodeToString(make([]byte, flow.KeySize))
	all := map[string]*http.Cookie{}
	for _, channel := range []wechatauth.Channel{wechatauth.ChannelWeChat, wechatauth.ChannelMiniProgram, wechatauth.ChannelScan} {
		for unit, at := range map[string]int64{"s": now.Unix(), "ms": now.UnixMilli()} {
			everything := fmt.Sprintf(`{"s":%q,"r":"/a","a":%q,"i":%q,"o":%q,"p":"snsapi_base","c":%q,"t":%d,"k":%q,"q":%q,"n":"42"}`,
				state, appID, identity, openID, channel, at, key, strings.Repeat("A", 22))
			for content, plain := range map[string]string{
				"everything": everything, "a flow": strings.Replace(everything, `"n":"42"`, `"n":1`, 1),
				"no openid": strings.Replace(everything, `"o":`, `"x":`, 1), "an identity": identity, "an openid": openID,
			} {
				for purpose, name := range sealedCookies(jar, state) {
					value := jar.Ring.Seal([]byte(plain), jar.Place(purpose, name)...)
					all[fmt.Sprint(purpose, " with ", content, ", ", channel, ", ", unit)] = &http.Cookie{Name: name, Value: value}
				}
			}
		}
	}
	return all
}

// nowhere checks that no target accepts the cookies as a login.
func nowhere(s *authtest.Site, t *testing.T, name string, cookies []*http.Cookie, targets ...string) {
	t.Helper()
	for _, target := range targets {
		for _, userAgent := range []string{wechattest.IPhone, authtest.ChromeWindows} {
			got := s.Wire(http.MethodGet, target, authtest.PageHeader, "User-Agent: "+userAgent, authtest.CookieHeader(cookies...))
			assert.NotContains(t, got.Text, "logged-in=true", "%s at %s", name, target)
			assert.Empty(t, got.SetOf(s.SessionCookie()), "%s at %s: a session", name, target)
			assert.Less(t, got.StatusCode, 500, "%s at %s", name, target)
		}
	}
}
