package wechatauth

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Sessions: fixation, fixed and tossed cookies, logouts and logins that a
// request under way would undo.

func TestT13_ALoginNeverUsesASessionThatWasPlanted(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	unknown := strings.Repeat("A", tokenLength)
	cases := map[string]struct {
		planted []string
		gone    bool // the planted records are deleted
	}{
		"an anonymous session of the attacker's":      {[]string{s.sessionWith("cart", "book")}, true},
		"a token that nobody has":                     {[]string{unknown}, false},
		"the attacker's own login":                    {[]string{s.session(bobOpenID)}, true},
		"an unknown token before an anonymous one":    {[]string{unknown, s.sessionWith("cart", "book")}, false},
		"two anonymous sessions":                      {[]string{s.sessionWith("cart", "a"), s.sessionWith("cart", "b")}, false},
		"an anonymous one and the attacker's login":   {[]string{s.sessionWith("cart", "a"), s.session(bobOpenID)}, false},
		"something that is no token, and a login":     {[]string{"x", s.session(bobOpenID)}, false},
		"the login of the same user from another day": {[]string{s.session(aliceOpenID)}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := s.pending("/a")
			cookies := []*http.Cookie{s.flowCookie(f)}
			for _, token := range c.planted {
				cookies = append(cookies, &http.Cookie{Name: s.sessionCookie(), Value: token})
			}
			s.grant(1)
			got := s.wire(http.MethodGet, callbackOf(f, "code"), pageHeader, cookieHeader(cookies...))
			require.Equal(t, "/a", got.Header.Get("Location"))
			token := ""
			for _, set := range got.Cookies() {
				if set.Name == s.sessionCookie() {
					token = set.Value
				}
			}
			require.NotEmpty(t, token)
			assert.NotContains(t, c.planted, token)
			assert.Contains(t, s.holding(s.sessionCookie(), token).step("/a").body, aliceOpenID)
			s.clock.Advance(renewedTTL + time.Second)
			redis.Do("EVAL", "for _,k in ipairs(redis.call('KEYS','wechat:mark:*')) do redis.call('DEL',k) end", 0) // a minute later
			for _, planted := range c.planted {
				attacker := s.holding(s.sessionCookie(), planted)
				assert.NotContains(t, attacker.step("/public").body, aliceOpenID, "the attacker does not become the visitor")
				if c.gone {
					assert.Equal(t, int64(0), redis.Do("EXISTS", s.storedAt(planted)))
				}
			}
		})
	}
	t.Run("another user's login leaves nothing of the first one's session", func(t *testing.T) {
		s.handle("/cart", func(w http.ResponseWriter, r *http.Request) {
			s.auth.Sessions().Put(r.Context(), "cart", r.URL.Query().Get("put")+s.auth.Sessions().GetString(r.Context(), "cart"))
			fmt.Fprint(w, "cart="+s.auth.Sessions().GetString(r.Context(), "cart"))
		})
		b := s.loggedIn(bobOpenID)
		require.Equal(t, "cart=book", b.step("/cart?put=book").body)
		f := s.pending("/a")
		b.setCookie(s.flowCookie(f).Name, s.flowCookie(f).Value)
		s.grant(1)
		b.step(callbackOf(f, "code"))
		require.Contains(t, b.step("/a").body, aliceOpenID)
		assert.Equal(t, "cart=", b.step("/cart").body)
	})
	t.Run("an anonymous visitor has no session at all", func(t *testing.T) {
		redis.Do("FLUSHALL")
		b := s.browser()
		b.step("/a")
		b.step("/public")
		assert.Equal(t, int64(0), redis.Do("DBSIZE"))
		assert.Nil(t, b.cookie(s.sessionCookie()))
	})
}

// The old record is deleted when the new one is there, so that a store that
// fails between the two costs neither the login nor what the visitor had.
func TestT14_AStoreThatFailsDuringALoginCostsNothing(t *testing.T) {
	t.Run("the new record is written before the old one is deleted", func(t *testing.T) {
		redis := redistest.Start(t)
		s := newSite(t, WithRedis(redis.Pool()))
		b := s.browser()
		old := s.sessionWith("cart", "book")
		b.setCookie(s.sessionCookie(), old)
		callback := b.authorize("/a")
		var written, deleted int
		for i, command := range redis.Commands(func() { b.step(callback) }) {
			switch {
			case strings.HasPrefix(command, "SET scs:session:"):
				written = i + 1
			case strings.HasPrefix(command, "DEL "+s.storedAt(old)), strings.HasPrefix(command, "UNLINK "+s.storedAt(old)):
				deleted = i + 1
			}
		}
		require.NotZero(t, written)
		assert.Greater(t, deleted, written)
	})
	t.Run("a store that refuses to write", func(t *testing.T) {
		var st *faultyStore
		s := newSite(t, withFaultyStore(&st))
		s.auth.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		s.handle("/cart", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, s.auth.Sessions().GetString(r.Context(), "cart"))
		})
		b := s.browser()
		b.setCookie(s.sessionCookie(), s.sessionWith("cart", "book"))
		callback := b.authorize("/a")
		st.fail("commit", failing)

		got := b.step(callback)

		assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		for _, c := range got.Cookies() {
			assert.NotContains(t, c.Name, "flow", "the pending login stays")
			assert.NotEqual(t, s.sessionCookie(), c.Name)
		}
		assert.Equal(t, "book", b.step("/cart").body, "and so does the cart")
		st.fail("commit", nil)
		s.clock.Advance(failureTTL + time.Second)
		assert.Contains(t, b.visit(callback).body, "url=/a logged-in=true", "a reload leads over WeChat once more")
		assert.Equal(t, "book", b.step("/cart").body)
	})
	t.Run("a Redis that is killed while the code is exchanged", func(t *testing.T) {
		redis := redistest.Start(t)
		s := newSite(t, WithRedis(redis.Pool()))
		s.auth.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		b := s.browser()
		callback := b.authorize("/a")
		release := s.sim.Block(exchangeEndpoint)
		answers := make(chan answer)
		go func() { answers <- b.step(callback) }()
		require.NoError(t, s.sim.Await(context.Background(), exchangeEndpoint, 1))
		redis.Stop()
		release()

		got := <-answers

		assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		redis.Restart()
		assert.Contains(t, b.visit(callback).body, "url=/a logged-in=true")
		assert.Equal(t, 3, s.exchanges(), "one finds the code used")
	})
}

const interleavings = 200

// underway is a page whose requests wait until they are let go, one at a time.
type underway struct {
	s            *site
	entered, go_ chan struct{}
}

// underway adds the page "/slow" to the site. What it does with its session is
// told by the query.
func (s *site) underway() *underway {
	u := &underway{s: s, entered: make(chan struct{}), go_: make(chan struct{})}
	s.handle("/slow", func(w http.ResponseWriter, r *http.Request) {
		wait := func() { u.entered <- struct{}{}; <-u.go_ }
		switch r.URL.Query().Get("do") {
		case "read":
			wait()
		case "put before":
			s.auth.Sessions().Put(r.Context(), "seen", "yes")
			wait()
		case "put after":
			wait()
			s.auth.Sessions().Put(r.Context(), "seen", "yes")
		case "renew":
			wait()
			assert.NoError(s.t, s.auth.Sessions().RenewToken(r.Context()))
		case "streaming":
			_ = http.NewResponseController(w).Flush()
			wait()
			s.auth.Sessions().Put(r.Context(), "seen", "yes")
		}
		echo(w, r)
	})
	return u
}

// during runs f while a request of the browser's is under way, and returns the
// late answer.
func (u *underway) during(b *browser, what string, f func()) answer {
	late := make(chan answer)
	go func() { late <- b.step("/slow?do=" + url.QueryEscape(what)) }()
	<-u.entered
	f()
	u.go_ <- struct{}{}
	return <-late
}

var requestsUnderway = []string{"read", "put before", "put after", "renew", "streaming"}

func TestT15_NoRequestUnderWayBringsALoggedOutSessionBack(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()), WithIdleTimeout(time.Hour))
	u := s.underway()
	random := rand.New(rand.NewPCG(1, 2))
	revived := 0
	for range interleavings {
		token := s.session(aliceOpenID)
		b := s.holding(s.sessionCookie(), token)
		if random.IntN(2) == 0 { // a touch is due
			redis.Do("PEXPIRE", s.storedAt(token), (30 * time.Minute).Milliseconds())
		}
		other := s.holding(s.sessionCookie(), token) // another tab, which does not see the cookie change
		what := requestsUnderway[random.IntN(len(requestsUnderway))]

		late := u.during(other, what, func() {
			b.do(b.client, http.MethodPost, "/wechat/logout", strings.NewReader("next=/public"), http.Header{
				"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
			})
		})

		sent := late.setOf(s.sessionCookie()) != "" && what != "streaming" // its headers left before the logout
		if sent || redis.Do("EXISTS", s.storedAt(token)) != int64(0) ||
			!strings.Contains(other.step("/public").body, "logged-in=false") {
			revived++
			assert.Fail(t, "a session came back", what)
		}
	}
	t.Logf("interleavings %d, revived %d", interleavings, revived)
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

// lateWriter has a request write to its session that was logged out meanwhile.
// It returns the request's answer and a browser with the session's token.
func lateWriter(s *site, wrap func(*scs.SessionManager, *Auth, http.Handler) http.Handler, write func(*scs.SessionManager, *http.Request)) (answer, *browser) {
	m := s.auth.Sessions()
	u := &underway{s: s, entered: make(chan struct{}), go_: make(chan struct{})}
	s.server.Config.Handler = wrap(m, s.auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			u.entered <- struct{}{}
			<-u.go_
			write(m, r)
		}
		echo(w, r)
	}))
	b := s.browser()
	b.visit("/a")
	other := s.holding(s.sessionCookie(), b.cookie(s.sessionCookie()).Value)
	late := u.during(other, "", func() { b.post("/wechat/logout", url.Values{"next": {"/public"}}) })
	return late, other
}

func TestT15_NoRequestUnderWayBringsASessionBackWhoeverElseLoadsTheSession(t *testing.T) {
	for kind, opts := range map[string]func() []Option{
		"in memory":               func() []Option { return nil },
		"over Redis":              func() []Option { return []Option{WithRedis(redistest.Start(t).Pool())} },
		"with an idle timeout":    func() []Option { return []Option{WithIdleTimeout(time.Hour)} },
		"a store that does least": func() []Option { return []Option{WithStore(plain{store.NewMemory()})} },
		"own manager":             func() []Option { return []Option{WithSessionManager(ownManager(store.New(redistest.Start(t).Pool())))} },
		"own manager, with an idle timeout": func() []Option {
			m := ownManager(store.New(redistest.Start(t).Pool()))
			m.IdleTimeout = time.Hour
			return []Option{WithSessionManager(m)}
		},
		"own manager, a store that does least": func() []Option { return []Option{WithSessionManager(ownManager(plain{store.NewMemory()}))} },
	} {
		for form, wrap := range loaders {
			for what, write := range map[string]func(m *scs.SessionManager, r *http.Request){
				"put":   func(m *scs.SessionManager, r *http.Request) { m.Put(r.Context(), "seen", "yes") },
				"renew": func(m *scs.SessionManager, r *http.Request) { assert.NoError(t, m.RenewToken(r.Context())) },
			} {
				t.Run(kind+", "+form+", "+what, func(t *testing.T) {
					s := newSite(t, opts()...)
					late, other := lateWriter(s, wrap, write)
					assert.Equal(t, http.StatusOK, late.StatusCode)
					assert.Contains(t, late.body, "url=/slow")
					assert.NotContains(t, late.body, "Error")
					for _, c := range late.Cookies() {
						assert.False(t, c.Name == s.sessionCookie() && c.Value != "", "a cookie")
					}
					assert.Equal(t, http.StatusUnauthorized, other.fetch(http.MethodGet, "/a").StatusCode)
					if kind == "in memory" {
						all, err := s.auth.Sessions().Store.(*guard).AllCtx(context.Background())
						require.NoError(t, err)
						assert.Empty(t, all)
					}
				})
			}
		}
	}
}

func TestASessionInUseOutlivesItsIdleTimeoutWhoeverLoadsIt(t *testing.T) {
	for kind, opts := range map[string][]Option{
		"in memory":               nil,
		"a store that does least": {func(c *config) { WithStore(plain{store.NewMemory(store.WithClock(c.now))})(c) }},
	} {
		for form, wrap := range loaders {
			t.Run(kind+", "+form, func(t *testing.T) {
				s := newSite(t, append(opts, WithIdleTimeout(time.Hour))...)
				s.server.Config.Handler = wrap(s.auth.Sessions(), s.auth, http.HandlerFunc(echo))
				b := s.browser()
				b.visit("/a")
				for range 5 {
					s.clock.Advance(30 * time.Minute)
					require.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/a").StatusCode)
				}
				s.clock.Advance(61 * time.Minute)
				assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode)
			})
		}
	}
}

func TestT16_NoRequestUnderWayUndoesALogin(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()), WithIdleTimeout(time.Hour))
	u := s.underway()
	random := rand.New(rand.NewPCG(3, 4))
	lost := 0
	for range interleavings {
		b := s.browser()
		old := s.sessionWith("cart", "book")
		if random.IntN(3) == 0 {
			old = s.session(aliceOpenID) // a login of the same user once more
		}
		b.setCookie(s.sessionCookie(), old)
		redis.Do("PEXPIRE", s.storedAt(old), (30 * time.Minute).Milliseconds())
		f := s.pending("/a")
		cookie := s.flowCookie(f)
		b.setCookie(cookie.Name, cookie.Value)
		s.grant(1)
		what := requestsUnderway[random.IntN(len(requestsUnderway))]

		late := u.during(b, what, func() { b.step(callbackOf(f, "code")) })

		sent := late.setOf(s.sessionCookie()) != "" && what != "streaming"
		if sent || b.cookie(s.sessionCookie()).Value == old || !strings.Contains(b.step("/public").body, "logged-in=true") {
			lost++
			assert.Fail(t, "a login was lost", what)
		}
	}
	t.Logf("interleavings %d, lost %d", interleavings, lost)
}

// An own manager whose store knows nothing of sessions under way keeps scs's
// fault; New says so.
func TestT16_AnOwnManagerThatWritesOnEveryRequestIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		idle time.Duration
		warn bool
	}{"with an idle timeout": {time.Hour, true}, "without": {0, false}} {
		t.Run(name, func(t *testing.T) {
			m := scs.New()
			m.Store = store.NewMemory()
			m.IdleTimeout = c.idle
			s := newSite(t, WithSessionManager(m))
			if c.warn {
				assert.Contains(t, s.logs.String(), "level=WARN")
				assert.Contains(t, s.logs.String(), "WithIdleTimeout")
				return
			}
			assert.Empty(t, s.logs.String())
		})
	}
}

func TestT17_ATossedSessionCookieIsNoLogin(t *testing.T) {
	s := newSite(t)
	stale := strings.Repeat("A", tokenLength)
	ask := func(tokens ...string) answer {
		var cookies []*http.Cookie
		for _, token := range tokens {
			cookies = append(cookies, &http.Cookie{Name: s.sessionCookie(), Value: token})
		}
		return s.wire(http.MethodGet, "/public", pageHeader, cookieHeader(cookies...))
	}
	alice, bob, empty := s.session(aliceOpenID), s.session(bobOpenID), s.sessionWith("cart", "book")
	again := s.session(aliceOpenID)
	for name, c := range map[string]struct {
		tokens []string
		want   string // empty: nobody
	}{
		"a stale one before the good one":          {[]string{stale, alice}, aliceOpenID},
		"three that are none before it":            {[]string{"x", stale, "*", alice}, aliceOpenID},
		"the good one before a stale one":          {[]string{alice, stale}, aliceOpenID},
		"an anonymous one before the good one":     {[]string{empty, alice}, aliceOpenID},
		"an anonymous one behind the good one":     {[]string{alice, empty}, aliceOpenID},
		"the same one twice":                       {[]string{alice, alice}, aliceOpenID},
		"two of the same user":                     {[]string{alice, again}, aliceOpenID},
		"another user's before it":                 {[]string{bob, alice}, ""},
		"another user's behind it":                 {[]string{alice, bob}, ""},
		"another user's, twice, before it":         {[]string{bob, bob, alice}, ""},
		"more well-formed ones than are looked at": {[]string{stale[:42] + "B", stale[:42] + "C", stale[:42] + "D", stale[:42] + "E", alice}, ""},
	} {
		got := ask(c.tokens...)
		if c.want == "" {
			assert.Contains(t, got.body, "logged-in=false", name)
			continue
		}
		assert.Contains(t, got.body, "openid="+c.want, name)
	}
	t.Run("and the loop that may come of it names it", func(t *testing.T) {
		b := s.browser()
		gate := s.routes()
		s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Cookie", strings.TrimSuffix(s.sessionCookie()+"="+bob+"; "+r.Header.Get("Cookie"), "; "))
			gate.ServeHTTP(w, r)
		})
		b.setCookie(s.sessionCookie(), alice)
		got := b.visit("/a")
		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.LessOrEqual(t, s.sim.Count(authorizeEndpoint), flow.MaxLogins)
		assert.Contains(t, s.logs.String(), "two sessions")
	})
	t.Run("on https the cookie is one that nobody can toss", func(t *testing.T) {
		s := newTLSSite(t)
		b := s.browser()
		set := b.step(b.authorize("/a")).setOf(s.sessionCookie())
		assert.Regexp(t, `; Path=/; .*; HttpOnly; Secure; SameSite=Lax$`, set)
		assert.NotContains(t, set, "Domain")
	})
}

func TestT18_WhatIsNoSessionTokenNeverReachesRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	good := strings.Repeat("A", tokenLength)
	values := map[string]string{
		"empty": "", "42 letters": good[:42], "44 letters": good + "A", "4 KB": strings.Repeat("A", 4096), "900 KB": strings.Repeat("A", 900_000),
		"a glob": good[:42] + "*", "a line end": good[:40] + `\r\n`, "an escape": good[:40] + "%00", "a slash": good[:42] + "/", "a plus": good[:42] + "+",
		"padding": good[:42] + "=", "a colon": good[:42] + ":", "a dot": good[:42] + ".", "Chinese": good[:40] + "你", "a space": good[:21] + " " + good[:21],
		"a command": "x\" EX 1 GET y", "a prefix": "scs:session:" + good[:31], "quotes": `"` + good + `x"`,
	}
	for name, value := range values {
		s.untouched(t, redis, func() {
			cookie := "Cookie: " + s.sessionCookie() + "=" + value
			got := s.wire(http.MethodGet, "/public", pageHeader, cookie)
			assert.Contains(t, got.body, "logged-in=false", name)
			assert.Equal(t, http.StatusSeeOther, s.wire(http.MethodGet, "/a", pageHeader, cookie).StatusCode, name)
			assert.Equal(t, http.StatusUnauthorized, s.wire(http.MethodGet, "/a", cookie).StatusCode, name)
			assert.Equal(t, http.StatusBadRequest, s.wire(http.MethodGet, "/wechat/callback?code=x&state="+flow.NewState(), pageHeader, cookie).StatusCode, name)
		})
	}
	assert.Equal(t, int64(0), redis.Do("DBSIZE"))

	// Nor does what an application loads by a token that it was given elsewhere.
	for _, token := range []string{"x", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("*", 43), strings.Repeat("A", 42) + "\n", strings.Repeat("A", 900_000)} {
		commands := redis.Commands(func() {
			ctx, err := s.auth.Sessions().Load(context.Background(), token)
			assert.NoError(t, err)
			assert.Empty(t, s.auth.Sessions().Token(ctx))
		})
		assert.Equal(t, []string{"GET " + s.storedAt(token)}, commands, "but its hash")
	}
}

func TestT19_AVirtualUserIsNeverLoggedIn(t *testing.T) {
	for flag, virtual := range map[string]bool{
		`,"is_snapshotuser":1`: true, `,"is_snapshotuser":"1"`: true, `,"is_snapshotuser":true`: true, `,"is_snapshotuser":"true"`: true,
		`,"is_snapshotuser":0`: false, `,"is_snapshotuser":"0"`: false, `,"is_snapshotuser":false`: false, `,"is_snapshotuser":""`: false,
		`,"is_snapshotuser":null`: false, ``: false,
	} {
		for _, policy := range []SnapshotPolicy{SnapshotPage, SnapshotAnonymous, SnapshotRefuse} {
			t.Run(fmt.Sprint(flag, policy), func(t *testing.T) {
				var hooked atomic.Int64
				s := newSite(t, WithSnapshotPolicy(policy), WithOnLogin(func(context.Context, Identity) error { hooked.Add(1); return nil }))
				s.sim.Fail(exchangeEndpoint, wechattest.Raw(200, "text/plain", `{"access_token":"x","openid":"oVirtualUser","scope":"snsapi_userinfo"`+flag+`}`))
				b := s.browser()
				got := b.step(b.authorize("/a"))
				if !virtual {
					assert.NotEmpty(t, got.setOf(s.sessionCookie()))
					assert.Equal(t, int64(1), hooked.Load())
					return
				}
				assert.Empty(t, got.setOf(s.sessionCookie()))
				assert.Zero(t, hooked.Load(), "no hook runs")
				assert.Zero(t, s.sim.Count("/sns/userinfo"))
				b.visit("/a")
				assert.NotContains(t, b.visit("/public").body, "oVirtualUser")
				assert.Equal(t, 1, s.sim.Count(authorizeEndpoint), "and nobody is sent to WeChat again")
			})
		}
	}
}

func TestT73_NoOtherSiteLogsAVisitorOut(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn(aliceOpenID)
	form := "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		method string
		header http.Header
	}{
		"an image":                      {http.MethodGet, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"image"}, "Sec-Fetch-Mode": {"no-cors"}}},
		"a link":                        {http.MethodGet, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}}},
		"a link of ours":                {http.MethodGet, http.Header{"Sec-Fetch-Site": {"same-origin"}}},
		"HEAD":                          {http.MethodHead, nil},
		"a form":                        {http.MethodPost, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {form}}},
		"a form of a neighbour":         {http.MethodPost, http.Header{"Sec-Fetch-Site": {"same-site"}, "Content-Type": {form}}},
		"a form of an old browser":      {http.MethodPost, http.Header{"Origin": {"https://evil.example"}, "Content-Type": {form}}},
		"a form without an origin":      {http.MethodPost, http.Header{"Origin": {"null"}, "Content-Type": {form}}},
		"a form of our host by http":    {http.MethodPost, http.Header{"Origin": {"http://" + s.auth.base.Hostname() + ":1"}, "Content-Type": {form}}},
		"a form with a method override": {http.MethodGet, http.Header{"X-HTTP-Method-Override": {"POST"}}},
	} {
		got := b.do(b.client, c.method, "/wechat/logout", strings.NewReader(""), c.header)
		assert.Contains(t, []int{http.StatusForbidden, http.StatusMethodNotAllowed}, got.StatusCode, name)
		assert.Contains(t, b.step("/a").body, "logged-in=true", name)
	}
	b.post("/wechat/logout", url.Values{})
	assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode, "the site itself does")
}

func TestT74_OneCookieAndOneRecordWhoeverElseLoadsTheSession(t *testing.T) {
	for name, wrap := range map[string]func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler{
		"outside": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			return m.LoadAndSave(a.RequireWeChat(h))
		},
		"inside": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			return a.RequireWeChat(m.LoadAndSave(h))
		},
		"the gate twice": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			return a.LoadWeChat(a.RequireWeChat(a.RequireWeChat(h)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			redis := redistest.Start(t)
			m := scs.New()
			m.Store = store.New(redis.Pool())
			s := newSite(t, WithSessionManager(m))
			s.server.Config.Handler = wrap(m, s.auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/put" {
					m.Put(r.Context(), "visits", m.GetInt(r.Context(), "visits")+1)
				}
				echo(w, r)
			}))
			sets := func(a answer) (n int) {
				for _, c := range a.Cookies() {
					if c.Name == m.Cookie.Name {
						n++
					}
				}
				return n
			}
			b := s.browser()
			callback := b.step(b.authorize("/a"))
			require.Equal(t, "/a", callback.Header.Get("Location"))
			assert.Equal(t, 1, sets(callback))
			assert.Equal(t, 0, sets(b.step("/a")), "nothing to say")
			put := b.step("/put")
			assert.Contains(t, put.body, "logged-in=true")
			if name == "the gate twice" {
				assert.Equal(t, 0, sets(put), "the browser knows it")
			} else {
				assert.Equal(t, 1, sets(put), "scs sends it with every write")
			}
			keys, err := redis.Do("KEYS", "scs:session:*").([]any), error(nil)
			require.NoError(t, err)
			assert.Len(t, keys, 1)
		})
	}
}

func TestT75_APanicInTheApplicationCostsNoLogin(t *testing.T) {
	boom := func() { panic("the application fails, because the test says so") }
	s := newSite(t)
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	cases := map[string]http.HandlerFunc{
		"before anything":   func(w http.ResponseWriter, r *http.Request) { boom() },
		"after a header":    func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-A", "b"); boom() },
		"after the status":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK); boom() },
		"after a body":      func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "half"); boom() },
		"after a flush":     func(w http.ResponseWriter, r *http.Request) { _ = http.NewResponseController(w).Flush(); boom() },
		"after a put":       func(w http.ResponseWriter, r *http.Request) { s.auth.Sessions().Put(r.Context(), "a", "b"); boom() },
		"after a clear":     func(w http.ResponseWriter, r *http.Request) { _ = s.auth.Sessions().Clear(r.Context()); boom() },
		"to end the answer": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, page := range cases {
		t.Run(name, func(t *testing.T) {
			s.server.Config.Handler = s.auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/boom" {
					page(w, r)
				}
				echo(w, r)
			}))
			b := s.browser()
			done := b.step(b.authorize("/boom"))
			require.Equal(t, "/boom", done.Header.Get("Location"), "the login is done before the page begins")
			_ = b.tryStep(s.auth.base.String() + "/boom")
			assert.Contains(t, b.step("/a").body, "logged-in=true")
		})
	}
}

// cart makes "/public/put" put something into the session of whoever comes, and
// "/public/cart" show it.
func (s *site) cart() {
	m := s.auth.Sessions()
	s.handle("/public/put", func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "cart", "book")
		echo(w, r)
	})
	s.handle2("/public/cart", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "cart="+m.GetString(r.Context(), "cart"))
	})
}

// A request that comes with the token of before a login is shown the session,
// and is too late to write to it.
func TestT16_ALateReaderWritesNothing(t *testing.T) {
	s := newSite(t)
	s.cart()
	b := s.browser()
	b.visit("/a")
	old := b.cookie(s.sessionCookie()).Value
	b.allow(b.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
	late := s.browser()
	late.setCookie(s.sessionCookie(), old)

	got := late.step("/public/put")

	assert.Contains(t, got.body, "logged-in=true")
	assert.Empty(t, got.Header["Set-Cookie"])
	assert.Equal(t, "cart=", b.step("/public/cart").body)
	b.step("/public/put")
	assert.Equal(t, "cart=book", b.step("/public/cart").body, "who has the new cookie writes")
}

// While the store cannot be asked, an open page is shown to an anonymous
// visitor. One that puts something into the session is an error: it would be lost
// or cost the visitor the session that he has.
func TestT63_AStandInForASessionIsNeverSaved(t *testing.T) {
	var st *faultyStore
	s := newSite(t, withFaultyStore(&st))
	s.cart()
	b := s.loggedIn(aliceOpenID)
	own := b.cookie(s.sessionCookie()).Value
	st.fail("find", failing)

	assert.Contains(t, b.step("/public/cart").body, "cart=")
	got := b.step("/public/put")
	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.NotContains(t, got.body, "logged-in")
	assert.Empty(t, got.Header["Set-Cookie"])
	st.fail("find", nil)
	assert.Equal(t, own, b.cookie(s.sessionCookie()).Value)
	assert.Equal(t, "cart=", b.step("/public/cart").body)
	assert.Contains(t, b.step("/a").body, "logged-in=true")
}
