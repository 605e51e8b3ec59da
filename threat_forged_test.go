package wechatauth

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

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A cookie names a session or a pending login, never a user: whoever can seal
// whatever he likes gets no further than to a login at WeChat.

// sealedCookies are the purposes that cookies are sealed for, each with the
// cookie's name. "ticket" was one that held an identity.
func sealedCookies(j *flow.Jar, state string) map[string]string {
	return map[string]string{
		"flow": j.CookieName(state), "trail": j.TrailName(), "snapshot": j.SnapshotName(), "scan": j.ScanName(),
		"ticket": strings.Replace(j.ScanName(), "scan", "ticket", 1),
	}
}

func TestT77_EverySealedCookieIsForgedHere(t *testing.T) {
	s := newSite(t)
	known := sealedCookies(s.auth.cookies, flow.NewState())
	purposes := regexp.MustCompile(`j\.Jar\.Open\([^"\n]*"([a-z]+)"\)|(?:Place|Find|Seal)\([^"\n]*"([a-z]+)", (?:name|j\.|a\.cookies\.)`)
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
	assert.GreaterOrEqual(t, len(found), 4, "the cookies of today are found: %v", found)
}

// forged is a cookie for each purpose with each content that somebody who knows
// the key could try to be openID of appID with. The callback is that of state.
func forged(t *testing.T, gate *Auth, state, appID, openID string, now time.Time) map[string]*http.Cookie {
	t.Helper()
	identity := encodeIdentity(Identity{OpenID: openID, Scope: "snsapi_base", Channel: ChannelWeChat, LoginAt: now})
	key := base64.StdEncoding.EncodeToString(make([]byte, flow.KeySize))
	all := map[string]*http.Cookie{}
	for _, channel := range []Channel{ChannelWeChat, ChannelMiniProgram, ChannelScan} {
		for unit, at := range map[string]int64{"s": now.Unix(), "ms": now.UnixMilli()} {
			everything := fmt.Sprintf(`{"s":%q,"r":"/a","a":%q,"i":%q,"o":%q,"p":"snsapi_base","c":%q,"t":%d,"k":%q,"q":%q,"n":"42"}`,
				state, appID, identity, openID, channel, at, key, strings.Repeat("A", 22))
			for content, plain := range map[string]string{
				"everything": everything, "a flow": strings.Replace(everything, `"n":"42"`, `"n":1`, 1),
				"no openid": strings.Replace(everything, `"o":`, `"x":`, 1), "an identity": identity, "an openid": openID,
			} {
				for purpose, name := range sealedCookies(gate.cookies, state) {
					value := gate.cookies.Ring.Seal([]byte(plain), gate.cookies.Place(purpose, name)...)
					all[fmt.Sprint(purpose, " with ", content, ", ", channel, ", ", unit)] = &http.Cookie{Name: name, Value: value}
				}
			}
		}
	}
	return all
}

// nowhere checks that cookies make nobody anybody, at any of the targets.
func (s *site) nowhere(t *testing.T, name string, cookies []*http.Cookie, targets ...string) {
	t.Helper()
	for _, target := range targets {
		for _, userAgent := range []string{wechattest.IPhone, chromeWindows} {
			got := s.wire(http.MethodGet, target, pageHeader, "User-Agent: "+userAgent, cookieHeader(cookies...))
			assert.NotContains(t, got.body, "logged-in=true", "%s at %s", name, target)
			assert.Empty(t, got.setOf(s.sessionCookie()), "%s at %s: a session", name, target)
			assert.Less(t, got.StatusCode, 500, "%s at %s", name, target)
		}
	}
}

func TestT77_TheAppSecretMakesNobodyAUser(t *testing.T) {
	kept := store.NewMemory()
	s := newSite(t, WithStore(kept), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
	state := flow.NewState()
	targets := []string{"/a", "/public", "/wechat/login?next=/a", "/wechat/scan?next=/a", "/wechat/scan?next=/a&wait=1", "/wechat/callback?code=code&state=" + state}
	for name, c := range forged(t, s.auth, state, wechattest.DefaultAppID, aliceOpenID, s.clock.Now()) {
		s.nowhere(t, name, []*http.Cookie{c}, targets...)
	}
	all, err := kept.All()
	require.NoError(t, err)
	assert.Empty(t, all, "sessions")
}

// An attacker runs the library himself, with the stolen AppSecret, a WeChat in
// which he is whom he likes, and a store that fails when he wants. Whatever
// cookie his instance sets, he shows to ours.
func TestT77_TheCookiesOfAnInstanceOfTheAttackersMakeNobodyAUser(t *testing.T) {
	s := newSite(t, WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
	his := wechattest.NewServer()
	t.Cleanup(his.Close)
	for _, step := range []string{"", "find", "commit", "settle", "claim"} {
		failing := &faultyStore{Memory: store.NewMemory(store.WithClock(s.clock.Now)), faults: map[string]func() error{}}
		a := s.instance(WithEndpoints(his.Endpoints()), WithStore(failing), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
		a.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		handler := a.RequireWeChat(http.HandlerFunc(echo))
		var have []*http.Cookie
		ask := func(target, userAgent string) *http.Response {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
			r.Host = s.auth.base.Host
			r.Header.Set("Accept", "text/html")
			r.Header.Set("User-Agent", userAgent)
			for _, c := range have {
				r.AddCookie(c)
			}
			handler.ServeHTTP(w, r)
			have = append(have, w.Result().Cookies()...)
			return w.Result()
		}
		back := s.browser().step(ask("/a", wechattest.IPhone).Header.Get("Location"))
		callback := mustParse(t, back.Header.Get("Location")).RequestURI()
		ask("/wechat/scan?next=/a", chromeWindows)
		if step != "" {
			failing.fail(step, func() error { return errBroken })
		}
		ask(callback, wechattest.IPhone)
		ask(callback, wechattest.IPhone)
		require.NotEmpty(t, have)

		targets := []string{"/a", "/public", "/wechat/login?next=/a", "/wechat/scan?next=/a", callback}
		s.nowhere(t, "all, "+step, have, targets...)
		for _, c := range have {
			s.nowhere(t, c.Name+", "+step, []*http.Cookie{c}, targets...)
		}
	}
}

// A tenant knows his own AppSecret, and no other's. Nor does who knows the
// AppSecret of one gate become a user of another on the same manager.
func TestT76_AnotherAccountsAppSecretMakesNobodyAUser(t *testing.T) {
	sim, a, b := newShops(t)
	s := shops(t, sim, httptest.NewUnstartedServer(nil), byPathPrefix(map[string]Account{"/a/": a, "/b/": b}))
	victim := wechattest.OpenID(shopB, person(0))
	for _, own := range []string{shopA, shopB} {
		gate, err := s.auth.tenantOf(context.Background(), own)
		require.NoError(t, err)
		if own == shopB { // his key, at the other's gate
			mine, err := s.auth.tenantOf(context.Background(), shopA)
			require.NoError(t, err)
			jar := *gate.cookies
			jar.Ring = mine.cookies.Ring
			forger := *gate
			forger.cookies = &jar
			gate = &forger
		}
		state := flow.NewState()
		var targets []string
		for _, at := range []struct{ pages, appID string }{{"/a/", shopA}, {"/b/", shopB}} {
			targets = append(targets, at.pages+"x", "/wechat/login/"+at.appID+"?next="+url.QueryEscape(at.pages+"x"), "/wechat/callback/"+at.appID+"?code=code&state="+state)
		}
		for name, c := range forged(t, gate, state, shopB, victim, s.clock.Now()) {
			s.nowhere(t, name, []*http.Cookie{c}, targets...)
		}
	}
}

func TestT76_TwoGatesOnOneManagerAreTwo(t *testing.T) {
	sim, a, b := newShops(t)
	s := startSite(t, sim, httptest.NewUnstartedServer(nil), WithApp(a.AppID, a.Secret))
	other := s.instance(WithApp(b.AppID, b.Secret), WithEndpoints(sim.Endpoints()), WithSessionManager(s.auth.Sessions()), WithPathPrefix("/other/"))
	mux := http.NewServeMux()
	mux.Handle("/b/", other.RequireWeChat(http.HandlerFunc(echo)))
	mux.Handle("/other/", other)
	mux.Handle("/", s.auth.RequireWeChat(http.HandlerFunc(echo)))
	s.server.Config.Handler = mux
	state := flow.NewState()
	for name, c := range forged(t, s.auth, state, shopB, wechattest.OpenID(shopB, person(0)), s.clock.Now()) {
		s.nowhere(t, name, []*http.Cookie{c}, "/a", "/b/x", "/wechat/login?next=/b/x", "/other/login?next=/b/x",
			"/wechat/callback?code=code&state="+state, "/other/callback?code=code&state="+state)
	}
}

// The QR code shows the ticket to the world. With it and the AppSecret nobody
// makes the cookie that collects what the phone confirms.
func TestT77_AScanCookieIsNotMadeFromTheQRCode(t *testing.T) {
	s := newScanSite(t)
	desk := s.desk()
	_, shown := s.show(desk, "/a")
	for range 3 {
		c := shown
		c.Key = flow.NewKey()
		w := cookieWriter{}
		require.NoError(t, s.auth.setScanCookie(w, c))
		r, err := http.NewRequest(http.MethodGet, s.auth.base.String(), nil)
		require.NoError(t, err)
		r.AddCookie((&http.Response{Header: w.Header()}).Cookies()[0])
		_, ok := s.auth.scanCookieOf(r)
		assert.False(t, ok)
	}
	assert.Equal(t, shown, s.held(desk), "the browser's own is good")
}

// Cookies that were copied during a login, whose first try could not be saved,
// log nobody in once the user's sessions have been revoked.
func TestT81_CopiedCookiesLogNobodyInAfterARevocation(t *testing.T) {
	for _, after := range []time.Duration{0, 4 * time.Second, 63 * time.Second, 3 * time.Minute, 11 * time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			var st *faultyStore
			s := newSite(t, withFaultyStore(&st))
			s.auth.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
			b := s.browser()
			var copied []*http.Cookie
			keep := func() { copied = append(copied, b.client.Jar.Cookies(s.auth.base)...) }
			callback := mustParse(t, b.authorize("/a")).RequestURI()
			keep()
			st.fail("commit", func() error { return errBroken })
			require.Equal(t, http.StatusServiceUnavailable, b.step(callback).StatusCode)
			keep()
			st.fail("commit", nil)
			s.clock.Advance(failureTTL + time.Second)
			require.Contains(t, b.visit(callback).body, "logged-in=true")
			keep()
			_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
			require.NoError(t, err)
			s.clock.Advance(after)

			for _, c := range append([]*http.Cookie{nil}, copied...) {
				with := copied
				if c != nil {
					with = []*http.Cookie{c}
				}
				for _, target := range []string{"/a", "/public", "/wechat/login?next=/a", callback} {
					got := s.wire(http.MethodGet, target, pageHeader, cookieHeader(with...))
					assert.NotContains(t, got.body, "logged-in=true", target)
					if session, _, ok := strings.Cut(strings.TrimPrefix(got.setOf(s.sessionCookie()), s.sessionCookie()+"="), ";"); ok && session != "" {
						next := s.wire(http.MethodGet, "/public", pageHeader, cookieHeader(&http.Cookie{Name: s.sessionCookie(), Value: session}))
						assert.Contains(t, next.body, "logged-in=false", "%s gave a session", target)
					}
				}
			}
		})
	}
}
