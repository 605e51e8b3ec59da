package wechatauth

import (
	"context"
	"encoding/base64"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/wechattest"
)

// State, login CSRF, fixation of the login, tabs.

func TestT01_ACallbackThatThisBrowserDidNotBeginLogsNobodyIn(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	attacker, victim := s.browser(), s.browser()
	attack := attacker.authorize("/gift")
	own := victim.authorize("/a")
	attackURL, err := url.Parse(attack)
	require.NoError(t, err)
	theirs := s.flowCookie(s.pending("/b"))

	cases := map[string]struct {
		browser *browser
		url     string
		reason  Reason
	}{
		"a browser without a cookie":                         {s.browser(), attack, ReasonFlowCookieMissing},
		"a browser with another pending login":               {victim, attack, ReasonFlowCookieMissing},
		"the attacker's code with the victim's state":        {s.browser(), strings.Replace(own, "code=", "code="+attackURL.Query().Get("code")[:3], 1), ReasonFlowCookieMissing},
		"the attacker's state with a cookie of another name": {s.holding(theirs.Name, theirs.Value), attack, ReasonFlowCookieMissing},
		"the attacker's state on a cookie of another login":  {s.holding(s.auth.cookies.CookieName(attackURL.Query().Get("state")), theirs.Value), attack, ReasonStateMismatch},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s.untouched(t, redis, func() {
				got := c.browser.step(c.url)
				assert.Equal(t, http.StatusBadRequest, got.StatusCode)
				assert.Contains(t, got.body, string(c.reason))
				assert.Empty(t, got.Header["Set-Cookie"], "no session, and the cookie is kept")
			})
		})
	}

	loggedIn := s.loggedIn(bobOpenID)
	before := loggedIn.cookie(s.sessionCookie()).Value
	got := loggedIn.step(attack)
	assert.Equal(t, "/", got.Header.Get("Location"), "a visitor who is logged in goes on")
	assert.Empty(t, got.Header["Set-Cookie"])
	assert.Equal(t, before, loggedIn.cookie(s.sessionCookie()).Value)
	assert.Contains(t, loggedIn.visit("/a").body, bobOpenID, "as himself")
	assert.Zero(t, s.exchanges())

	assert.Contains(t, victim.visit(own).body, "url=/a logged-in=true", "after all that, the victim's own login works")
}

// holding is a browser in which a cookie was planted.
func (s *site) holding(name, value string) *browser {
	b := s.browser()
	b.setCookie(name, value)
	return b
}

func TestT02_APlantedPendingLoginIsOfNoUse(t *testing.T) {
	t.Run("a cookie of the same name before ours does not end the login", func(t *testing.T) {
		s := newSite(t)
		s.grant(3)
		for name, planted := range map[string]func(f flow.Flow) string{
			"garbage":                     func(flow.Flow) string { return "x" },
			"ours, one byte changed":      func(f flow.Flow) string { return flipBit(s.flowCookie(f).Value, 40) },
			"another login's under ours":  func(flow.Flow) string { return s.flowCookie(s.pending("/gift")).Value },
			"seven of them, which is all": nil,
		} {
			f := s.pending("/a")
			own := s.flowCookie(f)
			cookies := []*http.Cookie{}
			if planted != nil {
				cookies = append(cookies, &http.Cookie{Name: own.Name, Value: planted(f)})
			} else {
				for range cookie.MaxOpened - 1 {
					cookies = append(cookies, &http.Cookie{Name: own.Name, Value: "x"})
				}
				s.grant(1)
			}
			got := s.wire(http.MethodGet, callbackOf(f, "code"), pageHeader, cookieHeader(append(cookies, own)...))
			assert.Equal(t, "/a", got.Header.Get("Location"), name)
		}
	})
	t.Run("a sealed cookie opens under its own name only", func(t *testing.T) {
		s := newSite(t)
		f, other := s.pending("/a"), s.pending("/b")
		got := s.wire(http.MethodGet, callbackOf(other, "code"), pageHeader,
			cookieHeader(&http.Cookie{Name: s.auth.cookies.CookieName(other.State), Value: s.flowCookie(f).Value}))
		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.Contains(t, got.body, string(ReasonStateMismatch))
		assert.Zero(t, s.exchanges())
	})
	t.Run("a login that begins takes a fresh state, whatever the browser brings", func(t *testing.T) {
		s := newSite(t)
		f := s.pending("/gift")
		planted := s.flowCookie(f)
		got := s.wire(http.MethodGet, "/a", pageHeader, cookieHeader(planted))
		require.Len(t, got.flowCookies(), 1)
		assert.NotEqual(t, planted.Name, got.flowCookies()[0].Name)
		assert.NotContains(t, got.Header.Get("Location"), f.State)
	})
	t.Run("on https no neighbour can plant one at all", func(t *testing.T) {
		s := newTLSSite(t)
		set := s.browser().step("/a").flowCookies()
		require.Len(t, set, 1)
		c := set[0]
		assert.True(t, strings.HasPrefix(c.Name, "__Host-wechat_flow_"), c.Name)
		assert.True(t, c.Secure && c.HttpOnly)
		assert.Equal(t, "/", c.Path)
		assert.Empty(t, c.Domain)
		assert.Equal(t, http.SameSiteLaxMode, c.SameSite)
		assert.Equal(t, int(flow.Kept/time.Second), c.MaxAge)
	})
}

func TestT03_TheStartTakesNothingFromTheRequestButTheReturnTarget(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	clean := withoutState(b.step("/wechat/login?next=%2Fa").Header.Get("Location"))
	require.Contains(t, clean, "state=STATE")
	for _, extra := range []string{
		"state=x", "state=" + strings.Repeat("A", 32), "nonce=x", "appid=wxffffffffffffffff", "scope=snsapi_userinfo",
		"redirect_uri=https%3A%2F%2Fevil.example%2F", "forcePopup=true", "forceSnapShot=true", "response_type=token",
		"component_appid=wxffffffffffffffff", "connect_redirect=1", "code=x", "channel=website", "lang=en",
	} {
		t.Run(extra, func(t *testing.T) {
			got := b.step("/wechat/login?" + extra + "&next=%2Fa").Header.Get("Location")
			assert.Equal(t, clean, withoutState(got))
			assert.NotContains(t, got, strings.Repeat("A", 32))
		})
	}
	seen := map[string]bool{}
	for range 50 {
		location, err := url.Parse(b.step("/a").Header.Get("Location"))
		require.NoError(t, err)
		state := location.Query().Get("state")
		assert.Regexp(t, `^[A-Za-z0-9]{32}$`, state)
		assert.False(t, seen[state], "every login has a state of its own")
		seen[state] = true
	}
}

func TestT04_ACapturedCallbackIsWorthNothingInAnotherBrowser(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	callback := b.authorize("/a")
	refused := func(when string) {
		s.untouched(t, redis, func() {
			got := s.browser().step(callback)
			assert.Equal(t, http.StatusBadRequest, got.StatusCode, when)
			assert.Empty(t, got.Header["Set-Cookie"], when)
		})
	}
	refused("before it was used")
	require.Contains(t, b.visit(callback).body, "logged-in=true")
	refused("after it was used")
}

func TestT05_ACallbackOnceMoreInTheSameBrowserLeadsToTheTarget(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	callback := b.authorize("/orders?id=7#x")
	flowCookies := b.client.Jar.Cookies(s.auth.base)
	first := b.step(callback)
	require.Equal(t, http.StatusSeeOther, first.StatusCode)
	for range 3 {
		again := b.step(callback)
		assert.Equal(t, http.StatusSeeOther, again.StatusCode)
		assert.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
		assert.Empty(t, again.Header["Set-Cookie"])
	}
	lost := s.wire(http.MethodGet, callback, pageHeader, cookieHeader(flowCookies...))
	assert.Equal(t, first.Header.Get("Location"), lost.Header.Get("Location"), "where the first answer was lost on the way")
	assert.Equal(t, first.setOf(s.sessionCookie()), lost.setOf(s.sessionCookie()), "the same session")
	anotherCode := regexp.MustCompile(`code=\w+`).ReplaceAllString(callback, "code=another")
	assert.Equal(t, first.Header.Get("Location"), b.step(anotherCode).Header.Get("Location"), "WeChat sends two codes for one state, too")
	assert.Equal(t, 1, s.exchanges())
}

func TestT07_APendingLoginOpensInNoOtherGate(t *testing.T) {
	key := []byte("a flow key that two gates share, in tests")
	redis := redistest.Start(t)
	s := newSite(t, WithFlowKeys(key), WithRedis(redis.Pool()))
	gate := func(opts ...Option) *Auth {
		a, err := New(append([]Option{
			WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.base.String()),
			WithEndpoints(s.sim.Endpoints()), WithFlowKeys(key), WithRedis(redis.Pool()), withClock(s.clock.Now),
		}, opts...)...)
		require.NoError(t, err)
		return a
	}
	cases := map[string]struct {
		from *Auth
		want Reason
	}{
		"the same gate on another instance": {gate(), ""},
		"another account":                   {gate(WithApp("wx00000000000000f1", "another-secret-for-tests")), ReasonStateMismatch},
		"another path prefix":               {gate(WithPathPrefix("/auth/")), ReasonStateMismatch},
		"another host":                      {gate(WithBaseURL("http://localhost:1")), ReasonStateMismatch},
		"another key":                       {gate(WithFlowKeys([]byte("another flow key, which nobody shares"))), ReasonStateMismatch},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := s.pending("/a")
			f.AppID = c.from.official.appID
			w := cookieWriter{}
			c.from.cookies.Put(w, nil, f)
			cookie := (&http.Response{Header: w.Header()}).Cookies()[0]
			request := func() answer {
				return s.wire(http.MethodGet, callbackOf(f, "code"), pageHeader, cookieHeader(cookie))
			}
			if c.want == "" {
				s.grant(1)
				assert.Equal(t, "/a", request().Header.Get("Location"))
				return
			}
			s.untouched(t, redis, func() {
				got := request()
				assert.Equal(t, http.StatusBadRequest, got.StatusCode)
				assert.Contains(t, got.body, string(c.want))
			})
		})
	}
}

func TestT08_APendingLoginEndsByTheTimeInsideItsSeal(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	now := s.clock.Now()
	at := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	cases := map[string]struct {
		issuedAt int64
		lives    bool
	}{
		"now":                     {at(0), true},
		"a second before its end": {at(time.Second - flow.TTL), true},
		"exactly ten minutes ago": {at(-flow.TTL) + 1, true},
		"a second after its end":  {at(-flow.TTL - time.Second), false},
		"an hour after its end":   {at(-flow.TTL - time.Hour), false},
		"in 1970":                 {0, false},
		"in seconds":              {now.Unix(), false},
		"in the year 1":           {time.Time{}.UnixMilli(), false},
		"in 9999":                 {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), false},
		"at the end of time":      {math.MaxInt64, false},
		"before time began":       {math.MinInt64, false},
		"four minutes ahead":      {at(4 * time.Minute), true},
		"six minutes ahead":       {at(6 * time.Minute), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := s.pending("/a")
			f.IssuedAt = c.issuedAt
			request := func() answer {
				return s.wire(http.MethodGet, callbackOf(f, "code"), pageHeader, cookieHeader(s.flowCookie(f)))
			}
			if c.lives {
				s.grant(1)
				assert.Equal(t, "/a", request().Header.Get("Location"))
				return
			}
			s.untouched(t, redis, func() {
				got := request()
				assert.Equal(t, http.StatusBadRequest, got.StatusCode)
				assert.Contains(t, got.body, string(ReasonStateExpired))
			})
		})
	}
}

func TestT09_TabsDoNotOverwriteEachOther(t *testing.T) {
	t.Run("twenty that all began before any answer came all log in", func(t *testing.T) {
		s := newSite(t)
		var mu sync.Mutex
		var cookies []*http.Cookie
		callbacks := map[string]string{} // by target
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				b, target := s.browser(), fmt.Sprintf("/tab/%d", i)
				callback := b.authorize(target)
				mu.Lock()
				defer mu.Unlock()
				callbacks[target] = callback
				cookies = append(cookies, b.client.Jar.Cookies(s.auth.base)...)
			})
		}
		wg.Wait()
		require.Len(t, cookies, 20)
		assert.Less(t, len(cookieHeader(cookies...)), 8<<10, "no server answers 431")
		one := s.browser()
		one.client.Jar.SetCookies(s.auth.base, cookies)
		for target, callback := range callbacks {
			got := one.step(callback)
			assert.Equal(t, http.StatusSeeOther, got.StatusCode)
			assert.Equal(t, target, got.Header.Get("Location"))
		}
		assert.Contains(t, one.visit("/a").body, "logged-in=true")
		assert.Equal(t, 20, s.exchanges())
	})
	t.Run("the browser keeps five, in 4,096 bytes, and is told to start again for the rest", func(t *testing.T) {
		s := newSite(t)
		b := s.browser()
		for i := range 20 {
			b.step(fmt.Sprintf("/tab/%d?%s", i, strings.Repeat("a", 100*i)))
			s.clock.Advance(time.Second)
			held, size := 0, 0
			for _, c := range b.client.Jar.Cookies(s.auth.base) {
				held, size = held+1, size+len(c.Name)+len(c.Value)
			}
			assert.LessOrEqual(t, held, flow.MaxFlows)
			assert.LessOrEqual(t, size, cookie.MaxBytes)
		}
	})
}

// survivors finishes logins, and returns the return targets of those that were
// still pending, in their order.
func (b *browser) survivors(callbacks []string) (targets []string) {
	for _, callback := range callbacks {
		if got := b.step(callback); got.StatusCode == http.StatusSeeOther {
			targets = append(targets, got.Header.Get("Location"))
		}
	}
	return targets
}

func TestT09_TheNewestFiveStayWhenAllBeganInOneSecond(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	var callbacks []string
	for i := range 20 {
		callbacks = append(callbacks, b.authorize(fmt.Sprintf("/tab/%d", i)))
	}
	assert.Equal(t, []string{"/tab/15", "/tab/16", "/tab/17", "/tab/18", "/tab/19"}, b.survivors(callbacks))
}

func TestT09_AfterTwentyAtOnceTheNextKeepsTheNewest(t *testing.T) {
	for name, apart := range map[string]time.Duration{"in one second": 0, "a second apart": time.Second} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			one := s.browser()
			var callbacks []string
			for i := range 20 {
				b := s.browser()
				callbacks = append(callbacks, b.authorize(fmt.Sprintf("/tab/%d", i)))
				one.client.Jar.SetCookies(s.auth.base, b.client.Jar.Cookies(s.auth.base))
				s.clock.Advance(apart)
			}
			callbacks = append(callbacks, one.authorize("/tab/20"))
			assert.Equal(t, []string{"/tab/16", "/tab/17", "/tab/18", "/tab/19", "/tab/20"}, one.survivors(callbacks))
		})
	}
}

// The numbers stand in docs/proxies.md.
func TestT09_LongerTargetsLeaveRoomForFewerTabs(t *testing.T) {
	for size, tabs := range map[int]int{300: 5, 500: 4, 700: 3, 1000: 2} {
		s := newSite(t)
		b := s.browser()
		var callbacks []string
		for range flow.MaxFlows + 1 {
			callbacks = append(callbacks, b.authorize("/"+strings.Repeat("a", size-1)))
		}
		assert.Len(t, b.survivors(callbacks), tabs, "%d bytes", size)
	}
}

// The trail's name begins as those of the pending logins do.
func TestT09_TheTrailIsNoPendingLogin(t *testing.T) {
	s := newSite(t)
	assert.Len(t, s.auth.cookies.TrailName(), len("wechat_flow_trail_AbC-9_"))
	b := s.browser()
	b.visit("/a")
	held := []*http.Cookie{b.cookie(s.auth.cookies.TrailName())}
	require.NotNil(t, held[0])
	for range flow.MaxFlows {
		held = append(held, s.flowCookie(s.pending("/a")))
	}
	got := s.wire(http.MethodGet, "/a", pageHeader, cookieHeader(held...))
	assert.Empty(t, got.setOf(held[0].Name))
	assert.Len(t, got.Header["Set-Cookie"], 2, "a new one, and the oldest goes")
}

func TestT10_OnlyPageVisitsBeginALogin(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	fetch := func(mode, dest string) []string {
		return []string{"Accept: */*", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: " + mode, "Sec-Fetch-Dest: " + dest}
	}
	type request struct {
		method string
		header []string
	}
	cases := map[string]request{
		"image":                      {http.MethodGet, fetch("no-cors", "image")},
		"script":                     {http.MethodGet, fetch("no-cors", "script")},
		"style sheet":                {http.MethodGet, fetch("no-cors", "style")},
		"font":                       {http.MethodGet, fetch("cors", "font")},
		"video":                      {http.MethodGet, fetch("no-cors", "video")},
		"manifest":                   {http.MethodGet, fetch("cors", "manifest")},
		"worker":                     {http.MethodGet, fetch("same-origin", "worker")},
		"service worker":             {http.MethodGet, fetch("same-origin", "serviceworker")},
		"iframe":                     {http.MethodGet, fetch("navigate", "iframe")},
		"embed":                      {http.MethodGet, fetch("navigate", "embed")},
		"fetch":                      {http.MethodGet, fetch("cors", "empty")},
		"fetch of a page":            {http.MethodGet, append(fetch("same-origin", "empty"), "Accept: text/html")},
		"XMLHttpRequest":             {http.MethodGet, []string{"Accept: text/html, */*", "X-Requested-With: XMLHttpRequest"}},
		"prefetch":                   {http.MethodGet, append(fetch("navigate", "document"), "Sec-Purpose: prefetch")},
		"prerender":                  {http.MethodGet, append(fetch("navigate", "document"), "Sec-Purpose: prefetch;prerender")},
		"old prefetch":               {http.MethodGet, []string{pageHeader, "Purpose: prefetch"}},
		"Firefox's prefetch":         {http.MethodGet, []string{pageHeader, "X-Moz: prefetch"}},
		"Safari's preview":           {http.MethodGet, []string{pageHeader, "X-Purpose: preview"}},
		"JSON":                       {http.MethodGet, []string{"Accept: application/json"}},
		"JSON of a page of ours":     {http.MethodGet, []string{"Accept: application/json", "Sec-Fetch-Site: same-origin"}},
		"anything of a page of ours": {http.MethodGet, []string{"Accept: */*", "Sec-Fetch-Site: same-origin"}},
		"an old browser's image":     {http.MethodGet, []string{"Accept: image/webp,*/*"}},
		"an old script's JSON":       {http.MethodGet, []string{"Accept: application/json, text/plain, */*"}},
		"an old XMLHttpRequest":      {http.MethodGet, []string{"Accept: */*", "X-Requested-With: XMLHttpRequest"}},
		"anything":                   {http.MethodGet, []string{"Accept: */*"}},
		"no Accept":                  {http.MethodGet, nil},
		"events":                     {http.MethodGet, []string{"Accept: text/event-stream", "Cache-Control: no-cache"}},
		"WebSocket":                  {http.MethodGet, []string{pageHeader, "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}},
		"API client with a token":    {http.MethodGet, []string{pageHeader, "Authorization: Bearer token-for-tests"}},
		"HEAD of a script":           {http.MethodHead, fetch("cors", "empty")},
		"OPTIONS":                    {http.MethodOptions, []string{pageHeader}},
		"OPTIONS with an origin":     {http.MethodOptions, []string{pageHeader, "Origin: https://evil.example"}},
		"POST of a form":             {http.MethodPost, append(fetch("navigate", "document"), pageHeader, "Content-Length: 0")},
		"PUT":                        {http.MethodPut, []string{pageHeader, "Content-Length: 0"}},
		"PATCH":                      {http.MethodPatch, []string{pageHeader, "Content-Length: 0"}},
		"DELETE":                     {http.MethodDelete, []string{pageHeader}},
		"PROPFIND":                   {"PROPFIND", []string{pageHeader}},
		"a method nobody knows":      {"BREW", []string{pageHeader}},
		"a page with a method added": {http.MethodPost, []string{pageHeader, "X-HTTP-Method-Override: GET", "Content-Length: 0"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, target := range []string{"/a", "/profile"} {
				s.untouched(t, redis, func() {
					got := s.wire(c.method, target, c.header...)
					assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
					assert.Empty(t, got.Header["Set-Cookie"])
					assert.Empty(t, got.Header.Get("Location"))
				})
			}
			s.untouched(t, redis, func() {
				got := s.wire(c.method, "/wechat/login?next=%2Fa", c.header...)
				want := http.StatusUnauthorized
				switch {
				case c.method != http.MethodGet && c.method != http.MethodHead:
					want = http.StatusMethodNotAllowed
				case name == "anything" || name == "no Accept":
					want = http.StatusSeeOther // the login is a page: who cannot say what he asks for is believed
				}
				assert.Equal(t, want, got.StatusCode)
				assert.Equal(t, want == http.StatusSeeOther, len(got.Header["Set-Cookie"]) > 0)
			})
		})
	}
	for name, header := range map[string][]string{
		"a page visit":                        append(fetch("navigate", "document"), pageHeader),
		"a page visit of an old browser":      {pageHeader},
		"a page visit of an Android web-view": {pageHeader, "X-Requested-With: com.tencent.mm"},
		"a page visit by a service worker":    append(fetch("navigate", "empty")[1:], pageHeader),
		"a page visit behind HTTP Basic":      append(fetch("navigate", "document"), pageHeader, "Authorization: Basic dXNlcjpwYXNzd29yZA=="),
		"a page visit with blank headers":     {pageHeader, "Authorization:", "Upgrade:", "Sec-Fetch-Mode:", "Sec-Fetch-Dest:", "X-Requested-With:", "Purpose:"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			t.Run(name+", "+method, func(t *testing.T) {
				got := s.wire(method, "/a", header...)
				assert.Equal(t, http.StatusSeeOther, got.StatusCode)
				assert.Len(t, got.flowCookies(), 1)
			})
		}
	}
	t.Run("twenty scripts at once whose session has ended begin no login", func(t *testing.T) {
		b := s.loggedIn(aliceOpenID)
		redis.Do("FLUSHALL")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got := b.fetch(http.MethodGet, "/api/orders")
				assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
				assert.Contains(t, got.body, string(ReasonSessionUnknown))
				assert.Empty(t, got.Header["Set-Cookie"])
			})
		}
		wg.Wait()
		assert.Len(t, b.client.Jar.Cookies(s.auth.base), 1, "the session cookie, and no pending login")
	})
}

// An application's own rule is the rule: it may call a page what ours does not,
// and the reverse. Only what a browser cannot repeat as a GET is never redirected.
func TestT10_AnOwnRuleDecidesForWhatABrowserCanRepeat(t *testing.T) {
	redis := redistest.Start(t)
	always := newSite(t, WithRedis(redis.Pool()), WithPageVisit(func(*http.Request) bool { return true }))
	never := newSite(t, WithRedis(redis.Pool()), WithPageVisit(func(*http.Request) bool { return false }))
	refused := func(t *testing.T, s *site, method string, header []string) {
		t.Helper()
		s.untouched(t, redis, func() {
			got := s.wire(method, "/a", header...)
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
			assert.Empty(t, got.Header["Set-Cookie"])
		})
	}
	for name, request := range map[string][]string{
		"a form":  {http.MethodPost, pageHeader, "Content-Length: 0"},
		"PUT":     {http.MethodPut, "Content-Length: 0"},
		"DELETE":  {http.MethodDelete, pageHeader},
		"OPTIONS": {http.MethodOptions, pageHeader},
		"BREW":    {"BREW", pageHeader},
	} {
		t.Run(name, func(t *testing.T) { refused(t, always, request[0], request[1:]) })
	}
	for name, header := range map[string][]string{
		"a page":                 {pageHeader},
		"anything":               {"Accept: */*"},
		"a client with a token":  {"Authorization: Bearer token-for-tests"},
		"a client with basic":    {"Authorization: Basic dXNlcjpwYXNzd29yZA=="},
		"an upgrade to HTTP/2":   {pageHeader, "Upgrade: h2c"},
		"a page that is fetched": {"Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"},
		"a page prefetched":      {pageHeader, "Sec-Purpose: prefetch"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, http.StatusSeeOther, always.wire(http.MethodGet, "/a", header...).StatusCode)
			refused(t, never, http.MethodGet, header)
		})
	}
}

func TestT11_ALogoutLastsUntilTheVisitorAsksForALogin(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	require.Contains(t, b.visit("/a").body, "logged-in=true")
	b.post("/wechat/logout", url.Values{"next": {"/public"}})
	started := s.sim.Count(authorizeEndpoint)

	for _, target := range []string{"/a", "/b?c=d"} {
		got := b.visit(target)
		assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
		assert.Contains(t, got.body, `href="/wechat/login?next=`+url.QueryEscape(target)+`&amp;again=1"`)
	}
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/api").StatusCode)
	assert.Equal(t, started, s.sim.Count(authorizeEndpoint), "nobody was sent to WeChat")

	assert.Contains(t, b.visit("/wechat/login?next=%2Fa&again=1").body, "url=/a logged-in=true", "until he wants to")
	b.post("/wechat/logout", url.Values{})
	b.client.Jar = s.browser().client.Jar
	assert.Contains(t, b.visit("/a").body, "logged-in=true", "a browser that keeps no cookie remembers no logout")
}

// A browser removes a cookie only where name, path and domain are those it was
// set with, and takes none back that lacks what its prefix asks for.
func TestT11_ALogoutDeletesTheRecordAndClearsTheCookieAsItWasSet(t *testing.T) {
	redis := redistest.Start(t)
	s := newTLSSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	set, err := http.ParseSetCookie(b.step(b.authorize("/a")).setOf(s.sessionCookie()))
	require.NoError(t, err)
	require.Equal(t, int64(1), redis.Do("EXISTS", s.storedAt(set.Value)))

	cleared, err := http.ParseSetCookie(b.post("/wechat/logout", url.Values{"next": {"/public"}}).Request.Response.Header.Get("Set-Cookie"))

	require.NoError(t, err)
	assert.Equal(t, int64(0), redis.Do("EXISTS", s.storedAt(set.Value)))
	assert.Empty(t, cleared.Value)
	assert.Negative(t, cleared.MaxAge)
	type attributes struct {
		name, path, domain string
		secure, httpOnly   bool
		sameSite           http.SameSite
	}
	of := func(c *http.Cookie) attributes {
		return attributes{c.Name, c.Path, c.Domain, c.Secure, c.HttpOnly, c.SameSite}
	}
	assert.Equal(t, of(set), of(cleared))
	assert.Equal(t, attributes{s.sessionCookie(), "/", "", true, true, http.SameSiteLaxMode}, of(cleared))
	assert.True(t, strings.HasPrefix(cleared.Name, "__Host-"))
	assert.Nil(t, b.cookie(s.sessionCookie()))
}

// The comparisons of secrets in the production code, by its source: each either
// takes the same time whatever it compares, or is no secret to whom it answers.
func TestT12_NoSecretIsComparedByteByByte(t *testing.T) {
	harmless := map[string]string{
		"t.token != token":                       "both are this request's own",
		"t.token == token":                       "likewise",
		"s.manager.Token(v.ctx) != v.token":      "likewise",
		"t.session == data":                      "pointers to scs's data of a session",
		"place != key":                           "names of marks, both this callback's own",
		"t.State == f.State":                     "two seals of the same browser's cookies; to get here both were opened",
		"state != sent":                          "how far a scan is, a word that both browsers are shown",
		"k.id != id":                             "the key's public id",
		"o.Token != \"\"":                        "empty or not",
		"token == \"\"":                          "empty or not",
		"v.token == \"\"":                        "empty or not",
		"key == any(visitKey)":                   "keys of a context, which are no secrets",
		"key == any(c.guard)":                    "likewise",
		"key == c.visit.data.sessions.dataKey":   "likewise",
		"key == u.own.sessions.dataKey":          "likewise",
		"trimBlank(key) != name":                 "names of cookies",
		"name == a.sessions.manager.Cookie.Name": "likewise",
		"c.secret == \"\"":                       "empty or not",
		"f.State != \"\"":                        "empty or not",
		"(c.websiteAppID == \"\") != (c.websiteSecret == \"\")": "empty or not",
		"(c.miniAppID == \"\") != (c.miniSecret == \"\")":       "empty or not",
		"c.miniSecret == \"\"":                                  "empty or not",
		"c.websiteSecret == \"\"":                               "empty or not",
		"b.Session == \"\"":                                     "empty or not",
	}
	secret := regexp.MustCompile(`(?i)state|token|secret|owner|session|\bkey\b|\.id\b|code\b`)
	var files []string
	for _, pattern := range []string{"*.go", "internal/seal/*.go", "internal/identity/*.go", "internal/cookie/*.go", "internal/flow/*.go", "internal/singleflight/*.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found)
		files = append(files, found...)
	}
	compared := 0
	constants := packageConstants(t)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, source, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			e, ok := n.(*ast.BinaryExpr)
			if !ok || (e.Op != token.EQL && e.Op != token.NEQ) {
				return true
			}
			text := string(source[set.Position(e.Pos()).Offset:set.Position(e.End()).Offset])
			compared++
			if !secret.MatchString(text) || harmless[text] != "" || strings.HasPrefix(text, "len(") || constantSide(e.X, constants) || constantSide(e.Y, constants) {
				return true
			}
			assert.Fail(t, "a secret is compared with == or !=; use crypto/subtle, or say here why it is harmless", "%s: %s", set.Position(e.Pos()), text)
			return true
		})
	}
	require.NotZero(t, compared)
	flow, err := os.ReadFile("internal/flow/flow.go")
	require.NoError(t, err)
	assert.Contains(t, string(flow), "subtle.ConstantTimeCompare([]byte(f.State), []byte(state))")
}

// packageConstants are the names of this package's constants.
func packageConstants(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			if decl, ok := n.(*ast.GenDecl); ok && decl.Tok == token.CONST {
				for _, spec := range decl.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						names[name.Name] = true
					}
				}
			}
			return true
		})
	}
	return names
}

// constantSide reports a side that is written in the source, so that nothing is
// given away: a literal, nil, or a constant.
func constantSide(e ast.Expr, constants map[string]bool) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || constants[e.Name]
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		return ok && (pkg.Name == "http" || pkg.Name == "client" || pkg.Name == "scs" || pkg.Name == "slog")
	}
	return false
}

// What a callback may carry that is no answer of WeChat's to a login of this
// browser: a page of the 400 class, nothing asked of WeChat or Redis.
func TestT24_WhatIsNoCallbackNeverReachesWeChatOrRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	f := s.pending("/a")
	own, cookie := f.State, s.flowCookie(f)
	other := s.pending("/b").State
	const code = "071AbCdEfGhIjKlMnOpQrStUvWxYz012"

	states := map[string]string{
		"absent": "code=" + code, "empty": "code=" + code + "&state=",
		"upper case": "code=" + code + "&state=" + strings.ToUpper(own), "lower case": "code=" + code + "&state=" + strings.ToLower(own),
		"31 letters": "code=" + code + "&state=" + own[:31], "33 letters": "code=" + code + "&state=" + own + "A",
		"zeros": "code=" + code + "&state=" + strings.Repeat("0", 32), "hex": "code=" + code + "&state=0123456789abcdef0123456789abcdef",
		"another login's": "code=" + code + "&state=" + other,
		"given twice":     "code=" + code + "&state=" + own + "&state=" + own, "given twice, another first": "code=" + code + "&state=" + other + "&state=" + own,
		"array style": "code=" + code + "&state[]=" + own, "array style, escaped": "code=" + code + "&state%5B%5D=" + own,
		"in a fragment": "code=" + code + "%23state=" + own, "behind a semicolon": "code=" + code + ";state=" + own, "before a semicolon": "state=" + own + ";code=" + code,
		"a semicolon alone": "code=" + code + "&state=;" + own, "escaped name": "code=" + code + "&%73tate=x",
	}
	for _, suffix := range []string{"%3D", "=", "==", "%20", "+", "%00", "%0D%0A", "%0d%0aSet-Cookie:x=1", "%3Cscript%3E", "'", "\"", "%ff%fe", "%c0%80", "%E4%BD%A0", "%u0041", "%", "%4"} {
		states["own and "+suffix] = "code=" + code + "&state=" + own + suffix
		states["own behind "+suffix] = "code=" + code + "&state=" + suffix + own
	}
	for _, word := range []string{"null", "undefined", "STATE", "123", "true", "-1", "..", "%2e%2e%2f", "${state}", "{{state}}", "%27%20or%201=1"} {
		states[word] = "code=" + code + "&state=" + word
	}
	for _, n := range []int{127, 128, 129, 4096, 8192, 500_000} {
		states[fmt.Sprint(n, " letters")] = "code=" + code + "&state=" + strings.Repeat("a", n)
	}
	for i := range own {
		changed := []byte(own)
		if changed[i] == 'A' {
			changed[i] = 'B'
		} else {
			changed[i] = 'A'
		}
		states[fmt.Sprint("own, changed at ", i)] = "code=" + code + "&state=" + string(changed)
	}
	codes := map[string]string{
		"129 letters":    "code=" + strings.Repeat("a", 129) + "&state=" + own,
		"65,536 letters": "code=" + strings.Repeat("a", 65_536) + "&state=" + own,
		"given twice":    "code=" + code + "&code=" + code + "&state=" + own, "given twice, one empty": "code=&code=" + code + "&state=" + own,
		"array style and not": "code=a&code[]=b&code=c&state=" + own,
	}
	for _, bad := range []string{"../", "..%2f", "%2e%2e%2f", "a%26secret=x", "a%23b", "a%20b", "a+b", "%00", "a%00", "%0a", "a%0d%0ab", "%ff", "%E4%BD%A0", "a%3Db", "a%2Fb", "a.b", "a:b", "%3Cscript%3E", "a%25b", "a,b", "a~b", "a%5Cb", "a%22", "a'b", "%zz"} {
		codes[bad] = "code=" + bad + "&state=" + own
	}
	bad := 0
	for kind, queries := range map[string]map[string]string{"state": states, "code": codes} {
		t.Run(kind, func(t *testing.T) {
			s.untouched(t, redis, func() {
				for name, query := range queries {
					got := s.wire(http.MethodGet, "/wechat/callback?"+query, pageHeader, cookieHeader(cookie))
					bad++
					assert.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden, http.StatusRequestHeaderFieldsTooLarge}, got.StatusCode, name)
					assert.Empty(t, got.Header["Set-Cookie"], name)
					assert.Empty(t, got.Header.Get("Location"), name)
					assert.NotContains(t, got.body, "<script>", name)
				}
			})
		})
	}
	t.Run("in a body", func(t *testing.T) {
		s.untouched(t, redis, func() {
			body := "code=" + code + "&state=" + own
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodHead, http.MethodOptions, http.MethodDelete} {
				got := s.wire(method, "/wechat/callback?"+body, pageHeader, cookieHeader(cookie), "Content-Type: application/x-www-form-urlencoded", "Content-Length: 0")
				assert.Equal(t, http.StatusMethodNotAllowed, got.StatusCode, method)
				bad++
			}
			got := s.wireLines("POST /wechat/callback HTTP/1.1", "Host: "+s.auth.base.Host, cookieHeader(cookie), "Connection: close",
				"Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)), "", body)
			assert.Equal(t, http.StatusMethodNotAllowed, got.StatusCode)
			got = s.wireLines("GET /wechat/callback HTTP/1.1", "Host: "+s.auth.base.Host, cookieHeader(cookie), "Connection: close",
				"Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)), "", body)
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			bad += 2
		})
	})
	t.Run("damaged cookies", func(t *testing.T) {
		s.untouched(t, redis, func() { bad += s.damagedFlowCookies(t, f, cookie) })
	})
	s.grant(1)
	got := s.wire(http.MethodGet, callbackOf(f, code), pageHeader, cookieHeader(cookie))
	assert.Equal(t, "/a", got.Header.Get("Location"), "after all that, the real callback works")
	require.Equal(t, 1, s.exchanges())
	t.Logf("bad-callbacks %d", bad)
}

// damagedFlowCookies sends the right callback with every damaged form of its
// cookie, and returns how many there were.
func (s *site) damagedFlowCookies(t *testing.T, f flow.Flow, pending *http.Cookie) int {
	raw, err := base64.RawURLEncoding.DecodeString(pending.Value)
	require.NoError(t, err)
	damaged := map[string]string{
		"empty": "", "padding": pending.Value + "=", "two padding": pending.Value + "==", "a quote more": pending.Value + "%22",
		"standard alphabet": base64.RawStdEncoding.EncodeToString(append(raw, 0xff, 0xff)), "twice": pending.Value + pending.Value,
		"a letter more": pending.Value + "A", "a dot more": pending.Value + ".", "in upper case": strings.ToUpper(pending.Value),
		"too long": pending.Value + strings.Repeat("A", cookie.MaxBytes), "only the nonce": pending.Value[:24],
	}
	for n := range len(pending.Value) {
		damaged[fmt.Sprint("truncated to ", n)] = pending.Value[:n]
	}
	for i := range raw {
		damaged[fmt.Sprint("bit of byte ", i)] = flipBit(pending.Value, i)
	}
	plain := []byte(`{"s":"` + f.State + `","r":"/gift","a":"` + f.AppID + `","t":` + fmt.Sprint(f.IssuedAt) + `,"k":"AAAAAAAAAAAAAAAAAAAAAA=="}`)
	seal := func(purpose string, secret []byte, place ...string) string {
		ring, err := seal.New(purpose, secret)
		require.NoError(t, err)
		return ring.Seal(plain, place...)
	}
	place := s.auth.cookies.Place("flow", pending.Name)
	damaged["an unknown key"] = seal("flow", []byte("a secret that is not the site's, 32 bytes"), place...)
	damaged["another purpose of the same key"] = seal("outcome", []byte(wechattest.DefaultSecret), place...)
	damaged["another account"] = seal("flow", []byte(wechattest.DefaultSecret), "flow", pending.Name, "wxffffffffffffffff", s.auth.callbackURL())
	damaged["another callback"] = seal("flow", []byte(wechattest.DefaultSecret), "flow", pending.Name, f.AppID, "https://evil.example/wechat/callback")
	damaged["another kind of cookie"] = seal("flow", []byte(wechattest.DefaultSecret), append([]string{"trail"}, place[1:]...)...)
	damaged["parts that run together"] = seal("flow", []byte(wechattest.DefaultSecret), strings.Join(place, ""))
	damaged["no place"] = seal("flow", []byte(wechattest.DefaultSecret))
	for name, value := range damaged {
		got := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, callbackOf(f, "code"), nil)
		r.Header.Set("Accept", "text/html")
		r.Header["Cookie"] = []string{pending.Name + "=" + value}
		s.auth.ServeHTTP(got, r)
		assert.Equal(t, http.StatusBadRequest, got.Code, name)
		assert.Empty(t, got.Header()["Set-Cookie"], name)
		assert.Contains(t, got.Body.String(), string(ReasonStateMismatch), name)
	}
	return len(damaged)
}

// flipBit changes one bit of a byte of a sealed cookie.
func flipBit(sealed string, at int) string {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return "x"
	}
	raw[at%len(raw)] ^= 1 << (at % 8)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func TestT24_ARefusalIsToldAndNeverReachesWeChatOrRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	for name, query := range map[string]string{
		"no code":                     "state=STATE",
		"no code, something else":     "state=STATE&reason=x",
		"authdeny":                    "code=authdeny&state=STATE",
		"an error":                    "error=access_denied&state=STATE",
		"an error and a code":         "error=access_denied&code=071AbCdEfGhIjKlMnOpQrStUvWxYz012&state=STATE",
		"an error with a description": "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&state=STATE",
	} {
		t.Run(name, func(t *testing.T) {
			f := s.pending("/a?b=c")
			s.untouched(t, redis, func() {
				got := s.wire(http.MethodGet, "/wechat/callback?"+strings.Replace(query, "STATE", f.State, 1), pageHeader, cookieHeader(s.flowCookie(f)))
				assert.Equal(t, http.StatusForbidden, got.StatusCode)
				assert.Contains(t, got.body, string(ReasonRefusedByUser))
				assert.Contains(t, got.body, `href="/wechat/login?next=%2Fa%3Fb%3Dc&amp;again=1"`, "a way to try again")
				assert.NotContains(t, got.body, "script")
				assert.Empty(t, got.Header.Get("Location"), "nobody is asked again by himself")
			})
		})
	}
}

// A key that was replaced still opens, one that was dropped ends the login.
func TestT24_AnOldKeyOpensAndADroppedOneDoesNot(t *testing.T) {
	current, old := []byte("the current flow key, forty bytes long.."), []byte("the previous flow key, forty bytes long.")
	s := newSite(t, WithFlowKeys(old))
	f := s.pending("/a")
	cookie := s.flowCookie(f)
	for name, c := range map[string]struct {
		keys Option
		want int
	}{
		"rotated": {WithFlowKeys(current, old), http.StatusSeeOther},
		"dropped": {WithFlowKeys(current), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := New(WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.base.String()),
				WithEndpoints(s.sim.Endpoints()), withClock(s.clock.Now), c.keys)
			require.NoError(t, err)
			s.grant(1)
			got := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, callbackOf(f, "code"), nil)
			r.AddCookie(cookie)
			a.ServeHTTP(got, r)
			assert.Equal(t, c.want, got.Code)
		})
	}
}
