package threat

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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/wechattest"
)

// State, login CSRF, login fixation, and tabs.

func TestCallback(t *testing.T) {
	t.Run("T01 login of another browser", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		attacker, victim := s.Browser(), s.Browser()
		attack := attacker.Authorize("/gift")
		own := victim.Authorize("/a")
		attackURL, err := url.Parse(attack)
		require.NoError(t, err)
		theirs := s.FlowCookie(s.Pending("/b"))

		cases := map[string]struct {
			browser *authtest.Browser
			url     string
			reason  wechatauth.Reason
		}{
			"a browser without a cookie":                         {s.Browser(), attack, wechatauth.ReasonFlowCookieMissing},
			"a browser with another pending login":               {victim, attack, wechatauth.ReasonFlowCookieMissing},
			"the attacker's code with the victim's state":        {s.Browser(), strings.Replace(own, "code=", "code="+attackURL.Query().Get("code")[:3], 1), wechatauth.ReasonFlowCookieMissing},
			"the attacker's state with a cookie of another name": {s.Holding(theirs.Name, theirs.Value), attack, wechatauth.ReasonFlowCookieMissing},
			"the attacker's state on a cookie of another login":  {s.Holding(s.Cookies.CookieName(attackURL.Query().Get("state")), theirs.Value), attack, wechatauth.ReasonStateMismatch},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				s.Untouched(t, redis, func() {
					got := c.browser.Step(c.url)
					assert.Equal(t, http.StatusBadRequest, got.StatusCode)
					assert.Contains(t, got.Text, string(c.reason))
					assert.Empty(t, got.Header["Set-Cookie"], "no session, and the cookie is kept")
				})
			})
		}

		loggedIn := s.LoggedIn(authtest.BobOpenID)
		before := loggedIn.Cookie(s.SessionCookie()).Value
		got := loggedIn.Step(attack)
		assert.Equal(t, "/", got.Header.Get("Location"), "a logged-in user is redirected")
		assert.Empty(t, got.Header["Set-Cookie"])
		assert.Equal(t, before, loggedIn.Cookie(s.SessionCookie()).Value)
		assert.Contains(t, loggedIn.Visit("/a").Text, authtest.BobOpenID, "as the same user")
		assert.Zero(t, s.Exchanges())

		assert.Contains(t, victim.Visit(own).Text, "url=/a logged-in=true", "the victim's own login still works")
	})

	t.Run("T02 planted pending login", func(t *testing.T) {
		t.Run("a cookie of the same name before ours does not end the login", func(t *testing.T) {
			s := authtest.NewSite(t)
			s.Grant(3)
			for name, planted := range map[string]func(f flow.Flow) string{
				"garbage":                             func(flow.Flow) string { return "x" },
				"the real one, one byte changed":      func(f flow.Flow) string { return flipBit(s.FlowCookie(f).Value, 40) },
				"another login's under the real name": func(flow.Flow) string { return s.FlowCookie(s.Pending("/gift")).Value },
				"seven of them, which is all":         nil,
			} {
				f := s.Pending("/a")
				own := s.FlowCookie(f)
				cookies := []*http.Cookie{}
				if planted != nil {
					cookies = append(cookies, &http.Cookie{Name: own.Name, Value: planted(f)})
				} else {
					for range cookie.MaxOpened - 1 {
						cookies = append(cookies, &http.Cookie{Name: own.Name, Value: "x"})
					}
					s.Grant(1)
				}
				got := s.Wire(http.MethodGet, authtest.CallbackOf(f, "code"), authtest.PageHeader, authtest.CookieHeader(append(cookies, own)...))
				assert.Equal(t, "/a", got.Header.Get("Location"), name)
			}
		})
		t.Run("a sealed cookie opens under its own name only", func(t *testing.T) {
			s := authtest.NewSite(t)
			f, other := s.Pending("/a"), s.Pending("/b")
			got := s.Wire(http.MethodGet, authtest.CallbackOf(other, "code"), authtest.PageHeader,
				authtest.CookieHeader(&http.Cookie{Name: s.Cookies.CookieName(other.State), Value: s.FlowCookie(f).Value}))
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.Contains(t, got.Text, string(wechatauth.ReasonStateMismatch))
			assert.Zero(t, s.Exchanges())
		})
		t.Run("a login that begins takes a fresh state, whatever the browser brings", func(t *testing.T) {
			s := authtest.NewSite(t)
			f := s.Pending("/gift")
			planted := s.FlowCookie(f)
			got := s.Wire(http.MethodGet, "/a", authtest.PageHeader, authtest.CookieHeader(planted))
			require.Len(t, got.FlowCookies(), 1)
			assert.NotEqual(t, planted.Name, got.FlowCookies()[0].Name)
			assert.NotContains(t, got.Header.Get("Location"), f.State)
		})
		t.Run("on https no sibling domain can plant one at all", func(t *testing.T) {
			s := authtest.NewTLSSite(t)
			set := s.Browser().Step("/a").FlowCookies()
			require.Len(t, set, 1)
			c := set[0]
			assert.True(t, strings.HasPrefix(c.Name, "__Host-wechat_flow_"), c.Name)
			assert.True(t, c.Secure && c.HttpOnly)
			assert.Equal(t, "/", c.Path)
			assert.Empty(t, c.Domain)
			assert.Equal(t, http.SameSiteLaxMode, c.SameSite)
			assert.Equal(t, int(flow.CookieLife/time.Second), c.MaxAge)
		})
	})

	t.Run("T03 start uses only the return URL", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		clean := authtest.WithoutState(b.Step("/wechat/login?next=%2Fa").Header.Get("Location"))
		require.Contains(t, clean, "state=STATE")
		for _, extra := range []string{
			"state=x", "state=" + strings.Repeat("A", 32), "nonce=x", "appid=wxffffffffffffffff", "scope=snsapi_userinfo",
			"redirect_uri=https%3A%2F%2Fevil.example%2F", "forcePopup=true", "forceSnapShot=true", "response_type=token",
			"component_appid=wxffffffffffffffff", "connect_redirect=1", "code=x", "channel=website", "lang=en",
		} {
			t.Run(extra, func(t *testing.T) {
				got := b.Step("/wechat/login?" + extra + "&next=%2Fa").Header.Get("Location")
				assert.Equal(t, clean, authtest.WithoutState(got))
				assert.NotContains(t, got, strings.Repeat("A", 32))
			})
		}
		seen := map[string]bool{}
		for range 50 {
			location, err := url.Parse(b.Step("/a").Header.Get("Location"))
			require.NoError(t, err)
			state := location.Query().Get("state")
			assert.Regexp(t, `^[A-Za-z0-9]{32}$`, state)
			assert.False(t, seen[state], "every login has its own state")
			seen[state] = true
		}
	})

	t.Run("T04 captured URL in another browser", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		b := s.Browser()
		callback := b.Authorize("/a")
		refused := func(when string) {
			s.Untouched(t, redis, func() {
				got := s.Browser().Step(callback)
				assert.Equal(t, http.StatusBadRequest, got.StatusCode, when)
				assert.Empty(t, got.Header["Set-Cookie"], when)
			})
		}
		refused("before it was used")
		require.Contains(t, b.Visit(callback).Text, "logged-in=true")
		refused("after it was used")
	})

	t.Run("T05 repeated in the same browser", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		b := s.Browser()
		callback := b.Authorize("/orders?id=7#x")
		flowCookies := b.Client.Jar.Cookies(s.Base)
		first := b.Step(callback)
		require.Equal(t, http.StatusSeeOther, first.StatusCode)
		for range 3 {
			again := b.Step(callback)
			assert.Equal(t, http.StatusSeeOther, again.StatusCode)
			assert.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
			assert.Empty(t, again.Header["Set-Cookie"])
		}
		lost := s.Wire(http.MethodGet, callback, authtest.PageHeader, authtest.CookieHeader(flowCookies...))
		assert.Equal(t, first.Header.Get("Location"), lost.Header.Get("Location"), "the first response was lost")
		assert.Equal(t, first.SetOf(s.SessionCookie()), lost.SetOf(s.SessionCookie()), "the same session")
		anotherCode := regexp.MustCompile(`code=\w+`).ReplaceAllString(callback, "code=another")
		assert.Equal(t, first.Header.Get("Location"), b.Step(anotherCode).Header.Get("Location"), "WeChat may send two codes for one state")
		assert.Equal(t, 1, s.Exchanges())
	})
}

func TestFlowCookie(t *testing.T) {
	t.Run("T07 other gate", func(t *testing.T) {
		key := []byte("a flow key that two gates share, in tests")
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithFlowKeys(key), wechatauth.WithRedis(redis.Pool()))
		begin := func(host string, opts ...wechatauth.Option) (f flow.Flow, cookie *http.Cookie) {
			a, err := wechatauth.New(append([]wechatauth.Option{
				wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("http://" + host),
				wechatauth.WithEndpoints(s.Sim.Endpoints()), wechatauth.WithFlowKeys(key), wechatauth.WithRedis(redis.Pool()), wechatauth.WithClock(s.Clock.Now),
			}, opts...)...)
			require.NoError(t, err)
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/a", nil)
			r.Host = host
			r.Header.Set("Accept", "text/html")
			r.Header.Set("User-Agent", wechattest.IPhone)
			a.RequireWeChat(http.HandlerFunc(authtest.Echo)).ServeHTTP(w, r)
			begun := authtest.Response{Response: w.Result()}
			require.Len(t, begun.FlowCookies(), 1)
			return flow.Flow{State: authtest.MustParse(t, begun.Header.Get("Location")).Query().Get("state")}, begun.FlowCookies()[0]
		}
		cases := map[string]struct {
			host string
			opts []wechatauth.Option
			want wechatauth.Reason
		}{
			"the same gate on another instance": {s.Base.Host, nil, ""},
			"another account":                   {s.Base.Host, []wechatauth.Option{wechatauth.WithApp("wx00000000000000f1", "another-secret-for-tests")}, wechatauth.ReasonStateMismatch},
			"another path prefix":               {s.Base.Host, []wechatauth.Option{wechatauth.WithPathPrefix("/auth/")}, wechatauth.ReasonStateMismatch},
			"another host":                      {"localhost:1", nil, wechatauth.ReasonStateMismatch},
			"another key":                       {s.Base.Host, []wechatauth.Option{wechatauth.WithFlowKeys([]byte("another flow key, which no instance shares"))}, wechatauth.ReasonStateMismatch},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				f, cookie := begin(c.host, c.opts...)
				assertCallback(t, s, redis, f, cookie, c.want)
			})
		}
	})

	t.Run("T08 expires by its sealed time", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		now := s.Clock.Now()
		at := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
		cases := map[string]struct {
			issuedAt int64
			lives    bool
		}{
			"now":                     {at(0), true},
			"a second before its end": {at(time.Second - flow.LoginTTL), true},
			"exactly ten minutes ago": {at(-flow.LoginTTL) + 1, true},
			"a second after its end":  {at(-flow.LoginTTL - time.Second), false},
			"an hour after its end":   {at(-flow.LoginTTL - time.Hour), false},
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
				f := s.Pending("/a")
				f.IssuedAt = c.issuedAt
				want := wechatauth.ReasonStateExpired
				if c.lives {
					want = ""
				}
				assertCallback(t, s, redis, f, s.FlowCookie(f), want)
			})
		}
	})
}

func TestTabs(t *testing.T) {
	t.Run("T09 do not overwrite each other", func(t *testing.T) {
		t.Run("twenty that began before any response all log in", func(t *testing.T) {
			s := authtest.NewSite(t)
			var mu sync.Mutex
			var cookies []*http.Cookie
			callbacks := map[string]string{} // by return URL
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					b, target := s.Browser(), fmt.Sprintf("/tab/%d", i)
					callback := b.Authorize(target)
					mu.Lock()
					defer mu.Unlock()
					callbacks[target] = callback
					cookies = append(cookies, b.Client.Jar.Cookies(s.Base)...)
				})
			}
			wg.Wait()
			require.Len(t, cookies, 20)
			assert.Less(t, len(authtest.CookieHeader(cookies...)), 8<<10, "no server responds with 431")
			one := s.Browser()
			one.Client.Jar.SetCookies(s.Base, cookies)
			for target, callback := range callbacks {
				got := one.Step(callback)
				assert.Equal(t, http.StatusSeeOther, got.StatusCode)
				assert.Equal(t, target, got.Header.Get("Location"))
			}
			assert.Contains(t, one.Visit("/a").Text, "logged-in=true")
			assert.Equal(t, 20, s.Exchanges())
		})
		t.Run("the browser keeps five, in 4,096 bytes, and the others must start again", func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			for i := range 20 {
				b.Step(fmt.Sprintf("/tab/%d?%s", i, strings.Repeat("a", 100*i)))
				s.Clock.Advance(time.Second)
				held, size := 0, 0
				for _, c := range b.Client.Jar.Cookies(s.Base) {
					held, size = held+1, size+len(c.Name)+len(c.Value)
				}
				assert.LessOrEqual(t, held, flow.MaxFlows)
				assert.LessOrEqual(t, size, cookie.MaxBytes)
			}
		})
	})

	t.Run("T09 newest five of one second are kept", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		var callbacks []string
		for i := range 20 {
			callbacks = append(callbacks, b.Authorize(fmt.Sprintf("/tab/%d", i)))
		}
		assert.Equal(t, []string{"/tab/15", "/tab/16", "/tab/17", "/tab/18", "/tab/19"}, survivors(b, callbacks))
	})

	t.Run("T09 newest are kept after twenty concurrent ones", func(t *testing.T) {
		for name, apart := range map[string]time.Duration{"in one second": 0, "a second apart": time.Second} {
			t.Run(name, func(t *testing.T) {
				s := authtest.NewSite(t)
				one := s.Browser()
				var callbacks []string
				for i := range 20 {
					b := s.Browser()
					callbacks = append(callbacks, b.Authorize(fmt.Sprintf("/tab/%d", i)))
					one.Client.Jar.SetCookies(s.Base, b.Client.Jar.Cookies(s.Base))
					s.Clock.Advance(apart)
				}
				callbacks = append(callbacks, one.Authorize("/tab/20"))
				assert.Equal(t, []string{"/tab/16", "/tab/17", "/tab/18", "/tab/19", "/tab/20"}, survivors(one, callbacks))
			})
		}
	})

	// docs/deployment.md has these numbers.
	t.Run("T09 long return URLs", func(t *testing.T) {
		for size, tabs := range map[int]int{300: 5, 500: 4, 700: 3, 1000: 2} {
			s := authtest.NewSite(t)
			b := s.Browser()
			var callbacks []string
			for range flow.MaxFlows + 1 {
				callbacks = append(callbacks, b.Authorize("/"+strings.Repeat("a", size-1)))
			}
			assert.Len(t, survivors(b, callbacks), tabs, "%d bytes", size)
		}
	})

	// The login counter's name begins like the names of pending logins.
	t.Run("T09 login counter is no pending login", func(t *testing.T) {
		s := authtest.NewSite(t)
		assert.Len(t, s.Cookies.LoginCounterName(), len("wechat_flow_trail_AbC-9_"))
		b := s.Browser()
		b.Visit("/a")
		held := []*http.Cookie{b.Cookie(s.Cookies.LoginCounterName())}
		require.NotNil(t, held[0])
		for range flow.MaxFlows {
			held = append(held, s.FlowCookie(s.Pending("/a")))
		}
		got := s.Wire(http.MethodGet, "/a", authtest.PageHeader, authtest.CookieHeader(held...))
		assert.Empty(t, got.SetOf(held[0].Name))
		assert.Len(t, got.Header["Set-Cookie"], 2, "a new one, and the oldest is deleted")
	})
}

// survivors finishes logins and returns the return URLs of those that were
// still pending, in order.
func survivors(b *authtest.Browser, callbacks []string) (targets []string) {
	for _, callback := range callbacks {
		if got := b.Step(callback); got.StatusCode == http.StatusSeeOther {
			targets = append(targets, got.Header.Get("Location"))
		}
	}
	return targets
}

func TestPageVisit(t *testing.T) {
	t.Run("T10 only they start a login", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		fetch := func(mode, dest string) []string {
			return []string{"Accept: */*", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: " + mode, "Sec-Fetch-Dest: " + dest}
		}
		type request struct {
			method string
			header []string
		}
		cases := map[string]request{
			"image":                           {http.MethodGet, fetch("no-cors", "image")},
			"script":                          {http.MethodGet, fetch("no-cors", "script")},
			"style sheet":                     {http.MethodGet, fetch("no-cors", "style")},
			"font":                            {http.MethodGet, fetch("cors", "font")},
			"video":                           {http.MethodGet, fetch("no-cors", "video")},
			"manifest":                        {http.MethodGet, fetch("cors", "manifest")},
			"worker":                          {http.MethodGet, fetch("same-origin", "worker")},
			"service worker":                  {http.MethodGet, fetch("same-origin", "serviceworker")},
			"iframe":                          {http.MethodGet, fetch("navigate", "iframe")},
			"embed":                           {http.MethodGet, fetch("navigate", "embed")},
			"fetch":                           {http.MethodGet, fetch("cors", "empty")},
			"fetch of a page":                 {http.MethodGet, append(fetch("same-origin", "empty"), "Accept: text/html")},
			"XMLHttpRequest":                  {http.MethodGet, []string{"Accept: text/html, */*", "X-Requested-With: XMLHttpRequest"}},
			"prefetch":                        {http.MethodGet, append(fetch("navigate", "document"), "Sec-Purpose: prefetch")},
			"prerender":                       {http.MethodGet, append(fetch("navigate", "document"), "Sec-Purpose: prefetch;prerender")},
			"old prefetch":                    {http.MethodGet, []string{authtest.PageHeader, "Purpose: prefetch"}},
			"Firefox's prefetch":              {http.MethodGet, []string{authtest.PageHeader, "X-Moz: prefetch"}},
			"Safari's preview":                {http.MethodGet, []string{authtest.PageHeader, "X-Purpose: preview"}},
			"JSON":                            {http.MethodGet, []string{"Accept: application/json"}},
			"JSON for a page of the site":     {http.MethodGet, []string{"Accept: application/json", "Sec-Fetch-Site: same-origin"}},
			"anything for a page of the site": {http.MethodGet, []string{"Accept: */*", "Sec-Fetch-Site: same-origin"}},
			"an old browser's image":          {http.MethodGet, []string{"Accept: image/webp,*/*"}},
			"an old script's JSON":            {http.MethodGet, []string{"Accept: application/json, text/plain, */*"}},
			"an old XMLHttpRequest":           {http.MethodGet, []string{"Accept: */*", "X-Requested-With: XMLHttpRequest"}},
			"anything":                        {http.MethodGet, []string{"Accept: */*"}},
			"no Accept":                       {http.MethodGet, nil},
			"events":                          {http.MethodGet, []string{"Accept: text/event-stream", "Cache-Control: no-cache"}},
			"WebSocket":                       {http.MethodGet, []string{authtest.PageHeader, "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}},
			"API client with a token":         {http.MethodGet, []string{authtest.PageHeader, "Authorization: Bearer token-for-tests"}},
			"HEAD of a script":                {http.MethodHead, fetch("cors", "empty")},
			"OPTIONS":                         {http.MethodOptions, []string{authtest.PageHeader}},
			"OPTIONS with an origin":          {http.MethodOptions, []string{authtest.PageHeader, "Origin: https://evil.example"}},
			"POST of a form":                  {http.MethodPost, append(fetch("navigate", "document"), authtest.PageHeader, "Content-Length: 0")},
			"PUT":                             {http.MethodPut, []string{authtest.PageHeader, "Content-Length: 0"}},
			"PATCH":                           {http.MethodPatch, []string{authtest.PageHeader, "Content-Length: 0"}},
			"DELETE":                          {http.MethodDelete, []string{authtest.PageHeader}},
			"PROPFIND":                        {"PROPFIND", []string{authtest.PageHeader}},
			"an unknown method":               {"BREW", []string{authtest.PageHeader}},
			"a page with a method added":      {http.MethodPost, []string{authtest.PageHeader, "X-HTTP-Method-Override: GET", "Content-Length: 0"}},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				for _, target := range []string{"/a", "/profile"} {
					s.Untouched(t, redis, func() {
						got := s.Wire(c.method, target, c.header...)
						assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
						assert.Empty(t, got.Header["Set-Cookie"])
						assert.Empty(t, got.Header.Get("Location"))
					})
				}
				s.Untouched(t, redis, func() {
					got := s.Wire(c.method, "/wechat/login?next=%2Fa", c.header...)
					want := http.StatusUnauthorized
					switch {
					case c.method != http.MethodGet && c.method != http.MethodHead:
						want = http.StatusMethodNotAllowed
					case name == "anything" || name == "no Accept":
						want = http.StatusSeeOther // the login is a page: a request without a usable Accept is treated as a page visit
					}
					assert.Equal(t, want, got.StatusCode)
					assert.Equal(t, want == http.StatusSeeOther, len(got.Header["Set-Cookie"]) > 0)
				})
			})
		}
		for name, header := range map[string][]string{
			"a page visit":                        append(fetch("navigate", "document"), authtest.PageHeader),
			"a page visit of an old browser":      {authtest.PageHeader},
			"a page visit of an Android web-view": {authtest.PageHeader, "X-Requested-With: com.tencent.mm"},
			"a page visit by a service worker":    append(fetch("navigate", "empty")[1:], authtest.PageHeader),
			"a page visit behind HTTP Basic":      append(fetch("navigate", "document"), authtest.PageHeader, "Authorization: Basic dXNlcjpwYXNzd29yZA=="),
			"a page visit with blank headers":     {authtest.PageHeader, "Authorization:", "Upgrade:", "Sec-Fetch-Mode:", "Sec-Fetch-Dest:", "X-Requested-With:", "Purpose:"},
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				t.Run(name+", "+method, func(t *testing.T) {
					got := s.Wire(method, "/a", header...)
					assert.Equal(t, http.StatusSeeOther, got.StatusCode)
					assert.Len(t, got.FlowCookies(), 1)
				})
			}
		}
		t.Run("twenty concurrent fetches without a session start no login", func(t *testing.T) {
			b := s.LoggedIn(authtest.AliceOpenID)
			redis.Do("FLUSHALL")
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					got := b.Fetch(http.MethodGet, "/api/orders")
					assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
					assert.Contains(t, got.Text, string(wechatauth.ReasonSessionUnknown))
					assert.Empty(t, got.Header["Set-Cookie"])
				})
			}
			wg.Wait()
			assert.Len(t, b.Client.Jar.Cookies(s.Base), 1, "the session cookie, and no pending login")
		})
	})

	// The application's own rule decides: it may accept what ours rejects, and
	// the reverse. Only a request that a browser cannot repeat as a GET is
	// never redirected.
	t.Run("T10 WithPageVisit", func(t *testing.T) {
		redis := redistest.Start(t)
		always := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithPageVisit(func(*http.Request) bool { return true }))
		never := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithPageVisit(func(*http.Request) bool { return false }))
		refused := func(t *testing.T, s *authtest.Site, method string, header []string) {
			t.Helper()
			s.Untouched(t, redis, func() {
				got := s.Wire(method, "/a", header...)
				assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
				assert.Empty(t, got.Header["Set-Cookie"])
			})
		}
		for name, request := range map[string][]string{
			"a form":  {http.MethodPost, authtest.PageHeader, "Content-Length: 0"},
			"PUT":     {http.MethodPut, "Content-Length: 0"},
			"DELETE":  {http.MethodDelete, authtest.PageHeader},
			"OPTIONS": {http.MethodOptions, authtest.PageHeader},
			"BREW":    {"BREW", authtest.PageHeader},
		} {
			t.Run(name, func(t *testing.T) { refused(t, always, request[0], request[1:]) })
		}
		for name, header := range map[string][]string{
			"a page":                 {authtest.PageHeader},
			"anything":               {"Accept: */*"},
			"a client with a token":  {"Authorization: Bearer token-for-tests"},
			"a client with basic":    {"Authorization: Basic dXNlcjpwYXNzd29yZA=="},
			"an upgrade to HTTP/2":   {authtest.PageHeader, "Upgrade: h2c"},
			"a page that is fetched": {"Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"},
			"a page prefetched":      {authtest.PageHeader, "Sec-Purpose: prefetch"},
		} {
			t.Run(name, func(t *testing.T) {
				assert.Equal(t, http.StatusSeeOther, always.Wire(http.MethodGet, "/a", header...).StatusCode)
				refused(t, never, http.MethodGet, header)
			})
		}
	})
}

func TestLoggedOut(t *testing.T) {
	t.Run("T11 until the user logs in again", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		require.Contains(t, b.Visit("/a").Text, "logged-in=true")
		b.Post("/wechat/logout", url.Values{"next": {"/public"}})
		started := s.Sim.Count(authtest.AuthorizeEndpoint)

		for _, target := range []string{"/a", "/b?c=d"} {
			got := b.Visit(target)
			assert.Equal(t, http.StatusUnauthorized, got.StatusCode)
			assert.Contains(t, got.Text, `href="/wechat/login?next=`+url.QueryEscape(target)+`&amp;again=1"`)
		}
		assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/api").StatusCode)
		assert.Equal(t, started, s.Sim.Count(authtest.AuthorizeEndpoint), "there was no redirect to WeChat")

		assert.Contains(t, b.Visit("/wechat/login?next=%2Fa&again=1").Text, "url=/a logged-in=true", "until the user asks for it")
		b.Post("/wechat/logout", url.Values{})
		b.Client.Jar = s.Browser().Client.Jar
		assert.Contains(t, b.Visit("/a").Text, "logged-in=true", "a browser without cookies remembers no logout")
	})

	// A browser deletes a cookie only if name, path and domain match those it
	// was set with, and accepts the deletion only with the attributes that its
	// prefix requires.
	t.Run("T11 record and cookie are deleted", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewTLSSite(t, wechatauth.WithRedis(redis.Pool()))
		b := s.Browser()
		set, err := http.ParseSetCookie(b.Step(b.Authorize("/a")).SetOf(s.SessionCookie()))
		require.NoError(t, err)
		require.Equal(t, int64(1), redis.Do("EXISTS", s.StoredAt(set.Value)))

		cleared, err := http.ParseSetCookie(b.Post("/wechat/logout", url.Values{"next": {"/public"}}).Request.Response.Header.Get("Set-Cookie"))

		require.NoError(t, err)
		assert.Equal(t, int64(0), redis.Do("EXISTS", s.StoredAt(set.Value)))
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
		assert.Equal(t, attributes{s.SessionCookie(), "/", "", true, true, http.SameSiteLaxMode}, of(cleared))
		assert.True(t, strings.HasPrefix(cleared.Name, "__Host-"))
		assert.Nil(t, b.Cookie(s.SessionCookie()))
	})
}

func TestSource(t *testing.T) {
	// The comparisons of secrets in the production code, by its source. Each
	// either takes constant time or compares a value that is no secret to the
	// client.
	t.Run("T12 secrets are compared in constant time", func(t *testing.T) {
		harmless := map[string]string{
			"t.token != token":                                "both are this request's own",
			"t.token == token":                                "the same",
			"saved != token":                                  "the same",
			"token == t.token":                                "the same",
			"s.manager.Token(v.ctx) != v.Token":               "the same",
			"v.sessions.manager == s.manager":                 "pointers to scs's managers",
			"t.session == data":                               "pointers to scs's data of a session",
			"place != key":                                    "names of marks, both this callback's own",
			"t.State == f.State":                              "two seals of the same browser's cookies; to get here both were opened",
			"state != sent":                                   "how far a scan is, a word that both browsers are shown",
			"k.id != id":                                      "the key's public id",
			"o.Token != \"\"":                                 "empty or not",
			"token == \"\"":                                   "empty or not",
			"v.Token == \"\"":                                 "empty or not",
			"key == any(visitKey)":                            "keys of a context, which are no secrets",
			"key == any(c.guard)":                             "the same",
			"key == c.visit.data.sessions.dataKey":            "the same",
			"key == u.own.sessions.dataKey":                   "the same",
			"trimBlank(key) != name":                          "names of cookies",
			"name == a.sessions.SessionManager().Cookie.Name": "the same",
			"c.secret == \"\"":                                "empty or not",
			"f.State != \"\"":                                 "empty or not",
			"(c.websiteAppID == \"\") != (c.websiteSecret == \"\")": "empty or not",
			"(c.miniAppID == \"\") != (c.miniSecret == \"\")":       "empty or not",
			"(c.platformAppID == \"\") != (c.platformToken == nil)": "a function, set or not",
			"c.miniSecret == \"\"":                                  "empty or not",
			"c.websiteSecret == \"\"":                               "empty or not",
			"b.Session == \"\"":                                     "empty or not",
		}
		secret := regexp.MustCompile(`(?i)state|token|secret|owner|session|\bkey\b|\.id\b|code\b`)
		t.Chdir(authtest.Root)
		var files []string
		for _, pattern := range []string{"*.go", "internal/seal/*.go", "internal/identity/*.go", "internal/cookie/*.go", "internal/flow/*.go", "internal/singleflight/*.go", "internal/session/*.go"} {
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
				assert.Fail(t, "a secret is compared with == or !=; use crypto/subtle, or list it here with the reason why it is harmless", "%s: %s", set.Position(e.Pos()), text)
				return true
			})
		}
		require.NotZero(t, compared)
		flow, err := os.ReadFile("internal/flow/flow.go")
		require.NoError(t, err)
		assert.Contains(t, string(flow), "subtle.ConstantTimeCompare([]byte(f.State), []byte(state))")
	})
}

// packageConstants returns the names of the constants of the root and of the
// packages below it.
func packageConstants(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	internal, err := filepath.Glob("internal/*/*.go")
	require.NoError(t, err)
	for _, file := range append(files, internal...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
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

// constantSide reports whether a side is visible in the source, so that nothing
// leaks: a literal, nil, or a constant.
func constantSide(e ast.Expr, constants map[string]bool) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || constants[e.Name]
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		return ok && (constants[e.Sel.Name] || pkg.Name == "http" || pkg.Name == "client" || pkg.Name == "scs" || pkg.Name == "slog")
	}
	return false
}

func TestInvalidCallback(t *testing.T) {
	// Callbacks that cannot be WeChat's response to a login of this browser get
	// a 4xx page and make no call to WeChat or Redis.
	t.Run("T24 never reaches WeChat or Redis", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		f := s.Pending("/a")
		own, cookie := f.State, s.FlowCookie(f)
		other := s.Pending("/b").State
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
				s.Untouched(t, redis, func() {
					for name, query := range queries {
						got := s.Wire(http.MethodGet, "/wechat/callback?"+query, authtest.PageHeader, authtest.CookieHeader(cookie))
						bad++
						assert.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden, http.StatusRequestHeaderFieldsTooLarge}, got.StatusCode, name)
						assert.Empty(t, got.Header["Set-Cookie"], name)
						assert.Empty(t, got.Header.Get("Location"), name)
						assert.NotContains(t, got.Text, "<script>", name)
					}
				})
			})
		}
		t.Run("in a body", func(t *testing.T) {
			s.Untouched(t, redis, func() {
				body := "code=" + code + "&state=" + own
				for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodHead, http.MethodOptions, http.MethodDelete} {
					got := s.Wire(method, "/wechat/callback?"+body, authtest.PageHeader, authtest.CookieHeader(cookie), "Content-Type: application/x-www-form-urlencoded", "Content-Length: 0")
					assert.Equal(t, http.StatusMethodNotAllowed, got.StatusCode, method)
					bad++
				}
				got := s.WireLines("POST /wechat/callback HTTP/1.1", "Host: "+s.Base.Host, authtest.CookieHeader(cookie), "Connection: close",
					"Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)), "", body)
				assert.Equal(t, http.StatusMethodNotAllowed, got.StatusCode)
				got = s.WireLines("GET /wechat/callback HTTP/1.1", "Host: "+s.Base.Host, authtest.CookieHeader(cookie), "Connection: close",
					"Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)), "", body)
				assert.Equal(t, http.StatusBadRequest, got.StatusCode)
				bad += 2
			})
		})
		t.Run("damaged cookies", func(t *testing.T) {
			s.Untouched(t, redis, func() { bad += damagedFlowCookies(s, t, f, cookie) })
		})
		s.Grant(1)
		got := s.Wire(http.MethodGet, authtest.CallbackOf(f, code), authtest.PageHeader, authtest.CookieHeader(cookie))
		assert.Equal(t, "/a", got.Header.Get("Location"), "the real callback still works")
		require.Equal(t, 1, s.Exchanges())
		t.Logf("bad-callbacks %d", bad)
	})

	t.Run("T24 denied by the user", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		for name, query := range map[string]string{
			"no code":                     "state=STATE",
			"no code, something else":     "state=STATE&reason=x",
			"authdeny":                    "code=authdeny&state=STATE",
			"an error":                    "error=access_denied&state=STATE",
			"an error and a code":         "error=access_denied&code=071AbCdEfGhIjKlMnOpQrStUvWxYz012&state=STATE",
			"an error with a description": "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&state=STATE",
		} {
			t.Run(name, func(t *testing.T) {
				f := s.Pending("/a?b=c")
				s.Untouched(t, redis, func() {
					got := s.Wire(http.MethodGet, "/wechat/callback?"+strings.Replace(query, "STATE", f.State, 1), authtest.PageHeader, authtest.CookieHeader(s.FlowCookie(f)))
					assert.Equal(t, http.StatusForbidden, got.StatusCode)
					assert.Contains(t, got.Text, string(wechatauth.ReasonRefusedByUser))
					assert.Contains(t, got.Text, `href="/wechat/login?next=%2Fa%3Fb%3Dc&amp;again=1"`, "a way to try again")
					assert.NotContains(t, got.Text, "script")
					assert.Empty(t, got.Header.Get("Location"), "consent is not requested again automatically")
				})
			})
		}
	})

	// A replaced key still opens. A removed one ends the login.
	t.Run("T24 key rotation", func(t *testing.T) {
		current, old := []byte("the current flow key, forty bytes long.."), []byte("the previous flow key, forty bytes long.")
		s := authtest.NewSite(t)
		s.Cookies = s.Jar(s.AppID, string(old), "/wechat/callback")
		f := s.Pending("/a")
		cookie := s.FlowCookie(f)
		for name, c := range map[string]struct {
			keys wechatauth.Option
			want int
		}{
			"rotated": {wechatauth.WithFlowKeys(current, old), http.StatusSeeOther},
			"dropped": {wechatauth.WithFlowKeys(current), http.StatusBadRequest},
		} {
			t.Run(name, func(t *testing.T) {
				a, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()),
					wechatauth.WithEndpoints(s.Sim.Endpoints()), wechatauth.WithClock(s.Clock.Now), c.keys)
				require.NoError(t, err)
				s.Grant(1)
				got := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, authtest.CallbackOf(f, "code"), nil)
				r.AddCookie(cookie)
				a.ServeHTTP(got, r)
				assert.Equal(t, c.want, got.Code)
			})
		}
	})
}

// damagedFlowCookies sends the right callback with every damaged form of its
// cookie, and returns how many there were.
func damagedFlowCookies(s *authtest.Site, t *testing.T, f flow.Flow, pending *http.Cookie) int {
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
	place := s.Cookies.Place("flow", pending.Name)
	damaged["an unknown key"] = seal("flow", []byte("a secret that is not the site's, 32 bytes"), place...)
	damaged["another purpose of the same key"] = seal("outcome", []byte(wechattest.DefaultSecret), place...)
	damaged["another account"] = seal("flow", []byte(wechattest.DefaultSecret), "flow", pending.Name, "wxffffffffffffffff", s.CallbackURL())
	damaged["another callback"] = seal("flow", []byte(wechattest.DefaultSecret), "flow", pending.Name, f.AppID, "https://evil.example/wechat/callback")
	damaged["another kind of cookie"] = seal("flow", []byte(wechattest.DefaultSecret), append([]string{"trail"}, place[1:]...)...)
	damaged["parts that run together"] = seal("flow", []byte(wechattest.DefaultSecret), strings.Join(place, ""))
	damaged["no place"] = seal("flow", []byte(wechattest.DefaultSecret))
	for name, value := range damaged {
		got := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, authtest.CallbackOf(f, "code"), nil)
		r.Header.Set("Accept", "text/html")
		r.Header["Cookie"] = []string{pending.Name + "=" + value}
		s.Auth.ServeHTTP(got, r)
		assert.Equal(t, http.StatusBadRequest, got.Code, name)
		assert.Empty(t, got.Header()["Set-Cookie"], name)
		assert.Contains(t, got.Body.String(), string(wechatauth.ReasonStateMismatch), name)
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

// assertCallback sends the callback of a pending login to /a with its cookie, and
// asserts that the login completes or, with a reason, that it is rejected with
// neither WeChat nor Redis touched.
func assertCallback(t *testing.T, s *authtest.Site, redis *redistest.Server, f flow.Flow, cookie *http.Cookie, want wechatauth.Reason) {
	t.Helper()
	request := func() authtest.Response {
		return s.Wire(http.MethodGet, authtest.CallbackOf(f, "code"), authtest.PageHeader, authtest.CookieHeader(cookie))
	}
	if want == "" {
		s.Grant(1)
		assert.Equal(t, "/a", request().Header.Get("Location"))
		return
	}
	s.Untouched(t, redis, func() {
		got := request()
		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.Contains(t, got.Text, string(want))
	})
}
