package threat

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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Sessions: fixation, planted and tossed cookies, logouts and logins that a
// request in flight would undo.

func TestLogin(t *testing.T) {
	t.Run("T13 planted session", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		unknown := strings.Repeat("A", session.TokenLength)
		cases := map[string]struct {
			planted []string
			gone    bool // the planted records are deleted
		}{
			"an anonymous session of the attacker's":      {[]string{s.SessionWith("cart", "book")}, true},
			"an unknown token":                            {[]string{unknown}, false},
			"the attacker's own login":                    {[]string{s.Session(authtest.BobOpenID)}, true},
			"an unknown token before an anonymous one":    {[]string{unknown, s.SessionWith("cart", "book")}, false},
			"two anonymous sessions":                      {[]string{s.SessionWith("cart", "a"), s.SessionWith("cart", "b")}, false},
			"an anonymous one and the attacker's login":   {[]string{s.SessionWith("cart", "a"), s.Session(authtest.BobOpenID)}, false},
			"something that is no token, and a login":     {[]string{"x", s.Session(authtest.BobOpenID)}, false},
			"the login of the same user from another day": {[]string{s.Session(authtest.AliceOpenID)}, true},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				f := s.Pending("/a")
				cookies := []*http.Cookie{s.FlowCookie(f)}
				for _, token := range c.planted {
					cookies = append(cookies, &http.Cookie{Name: s.SessionCookie(), Value: token})
				}
				s.Grant(1)
				got := s.Wire(http.MethodGet, authtest.CallbackOf(f, "code"), authtest.PageHeader, authtest.CookieHeader(cookies...))
				require.Equal(t, "/a", got.Header.Get("Location"))
				token := ""
				for _, set := range got.Cookies() {
					if set.Name == s.SessionCookie() {
						token = set.Value
					}
				}
				require.NotEmpty(t, token)
				assert.NotContains(t, c.planted, token)
				assert.Contains(t, s.Holding(s.SessionCookie(), token).Step("/a").Text, authtest.AliceOpenID)
				s.Clock.Advance(21 * time.Second)
				redis.Do("EVAL", "for _,k in ipairs(redis.call('KEYS','wechat:mark:*')) do redis.call('DEL',k) end", 0) // a minute later
				for _, planted := range c.planted {
					attacker := s.Holding(s.SessionCookie(), planted)
					assert.NotContains(t, attacker.Step("/public").Text, authtest.AliceOpenID, "the attacker does not become the user")
					if c.gone {
						assert.Equal(t, int64(0), redis.Do("EXISTS", s.StoredAt(planted)))
					}
				}
			})
		}
		t.Run("another user's login leaves nothing of the first one's session", func(t *testing.T) {
			s.Handle("/cart", func(w http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().Put(r.Context(), "cart", r.URL.Query().Get("put")+s.Auth.Sessions().GetString(r.Context(), "cart"))
				fmt.Fprint(w, "cart="+s.Auth.Sessions().GetString(r.Context(), "cart"))
			})
			b := s.LoggedIn(authtest.BobOpenID)
			require.Equal(t, "cart=book", b.Step("/cart?put=book").Text)
			f := s.Pending("/a")
			b.SetCookie(s.FlowCookie(f).Name, s.FlowCookie(f).Value)
			s.Grant(1)
			b.Step(authtest.CallbackOf(f, "code"))
			require.Contains(t, b.Step("/a").Text, authtest.AliceOpenID)
			assert.Equal(t, "cart=", b.Step("/cart").Text)
		})
		t.Run("an anonymous user has no session at all", func(t *testing.T) {
			redis.Do("FLUSHALL")
			b := s.Browser()
			b.Step("/a")
			b.Step("/public")
			assert.Equal(t, int64(0), redis.Do("DBSIZE"))
			assert.Nil(t, b.Cookie(s.SessionCookie()))
		})
	})

	// The old record is deleted after the new one is written, so a store that
	// fails between the two costs neither the login nor the user's data.
	t.Run("T14 store fails", func(t *testing.T) {
		t.Run("the new record is written before the old one is deleted", func(t *testing.T) {
			redis := redistest.Start(t)
			s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
			b := s.Browser()
			old := s.SessionWith("cart", "book")
			b.SetCookie(s.SessionCookie(), old)
			callback := b.Authorize("/a")
			var written, deleted int
			for i, command := range redis.Commands(func() { b.Step(callback) }) {
				switch {
				case strings.HasPrefix(command, "SET scs:session:"):
					written = i + 1
				case strings.HasPrefix(command, "DEL "+s.StoredAt(old)):
					deleted = i + 1
				}
			}
			require.NotZero(t, written)
			assert.Greater(t, deleted, written)
		})
		t.Run("a store that rejects writes", func(t *testing.T) {
			var st *authtest.FaultyStore
			s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
			s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
			s.Handle("/cart", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, s.Auth.Sessions().GetString(r.Context(), "cart"))
			})
			b := s.Browser()
			b.SetCookie(s.SessionCookie(), s.SessionWith("cart", "book"))
			callback := b.Authorize("/a")
			st.Fail("commit", authtest.Failing)

			got := b.Step(callback)

			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotEmpty(t, got.Header.Get("Retry-After"))
			for _, c := range got.Cookies() {
				assert.NotContains(t, c.Name, "flow", "the pending login is kept")
				assert.NotEqual(t, s.SessionCookie(), c.Name)
			}
			assert.Equal(t, "book", b.Step("/cart").Text, "and so does the cart")
			st.Fail("commit", nil)
			s.Clock.Advance(authtest.FailureTTL + time.Second)
			assert.Contains(t, b.Visit(callback).Text, "url=/a logged-in=true", "a reload redirects to WeChat again")
			assert.Equal(t, "book", b.Step("/cart").Text)
		})
		t.Run("a Redis that is killed while the code is exchanged", func(t *testing.T) {
			redis := redistest.Start(t)
			s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
			s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
			b := s.Browser()
			callback := b.Authorize("/a")
			release := s.Sim.Block(authtest.ExchangeEndpoint)
			responses := make(chan authtest.Response)
			go func() { responses <- b.Step(callback) }()
			require.NoError(t, s.Sim.WaitForCalls(context.Background(), authtest.ExchangeEndpoint, 1))
			redis.Stop()
			release()

			got := <-responses

			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotEmpty(t, got.Header.Get("Retry-After"))
			redis.Restart()
			assert.Contains(t, b.Visit(callback).Text, "url=/a logged-in=true")
			assert.Equal(t, 3, s.Exchanges(), "one of them finds the code used")
		})
	})

	t.Run("T16 request in flight", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithIdleTimeout(time.Hour))
		u := newUnderway(s)
		random := rand.New(rand.NewPCG(3, 4))
		lost := 0
		for range interleavings {
			b := s.Browser()
			old := s.SessionWith("cart", "book")
			if random.IntN(3) == 0 {
				old = s.Session(authtest.AliceOpenID) // the same user logs in again
			}
			b.SetCookie(s.SessionCookie(), old)
			redis.Do("PEXPIRE", s.StoredAt(old), (30 * time.Minute).Milliseconds())
			f := s.Pending("/a")
			cookie := s.FlowCookie(f)
			b.SetCookie(cookie.Name, cookie.Value)
			s.Grant(1)
			what := requestsUnderway[random.IntN(len(requestsUnderway))]

			late := u.during(b, what, func() { b.Step(authtest.CallbackOf(f, "code")) })

			sent := late.SetOf(s.SessionCookie()) != "" && what != "streaming"
			if sent || b.Cookie(s.SessionCookie()).Value == old || !strings.Contains(b.Step("/public").Text, "logged-in=true") {
				lost++
				assert.Fail(t, "a login was lost", what)
			}
		}
		t.Logf("interleavings %d, lost %d", interleavings, lost)
	})

	t.Run("T75 application panics", func(t *testing.T) {
		boom := func() { panic("the application fails on purpose") }
		s := authtest.NewSite(t)
		s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
		cases := map[string]http.HandlerFunc{
			"before anything":     func(w http.ResponseWriter, r *http.Request) { boom() },
			"after a header":      func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-A", "b"); boom() },
			"after the status":    func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK); boom() },
			"after a body":        func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "half"); boom() },
			"after a flush":       func(w http.ResponseWriter, r *http.Request) { _ = http.NewResponseController(w).Flush(); boom() },
			"after a put":         func(w http.ResponseWriter, r *http.Request) { s.Auth.Sessions().Put(r.Context(), "a", "b"); boom() },
			"after a clear":       func(w http.ResponseWriter, r *http.Request) { _ = s.Auth.Sessions().Clear(r.Context()); boom() },
			"to end the response": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		}
		for name, page := range cases {
			t.Run(name, func(t *testing.T) {
				s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/boom" {
						page(w, r)
					}
					authtest.Echo(w, r)
				}))
				b := s.Browser()
				done := b.Step(b.Authorize("/boom"))
				require.Equal(t, "/boom", done.Header.Get("Location"), "the login completes before the page begins")
				_ = b.TryStep(s.Base.String() + "/boom")
				assert.Contains(t, b.Step("/a").Text, "logged-in=true")
			})
		}
	})

	// A request with the token of before a login sees the session, but it is
	// read-only.
	t.Run("T16 late reader writes nothing", func(t *testing.T) {
		s := authtest.NewSite(t)
		cart(s)
		b := s.Browser()
		b.Visit("/a")
		old := b.Cookie(s.SessionCookie()).Value
		b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
		late := s.Browser()
		late.SetCookie(s.SessionCookie(), old)

		got := late.Step("/public/put")

		assert.Contains(t, got.Text, "logged-in=true")
		assert.Empty(t, got.Header["Set-Cookie"])
		assert.Equal(t, "cart=", b.Step("/public/cart").Text)
		b.Step("/public/put")
		assert.Equal(t, "cart=book", b.Step("/public/cart").Text, "the new cookie may write")
	})
}

const interleavings = 200

// An underway is a page whose requests block until they are released, one at a
// time.
type underway struct {
	s            *authtest.Site
	entered, go_ chan struct{}
}

// newUnderway adds the page "/slow" to the site. The query selects what it does
// with its session.
func newUnderway(s *authtest.Site) *underway {
	u := &underway{s: s, entered: make(chan struct{}), go_: make(chan struct{})}
	s.Handle("/slow", func(w http.ResponseWriter, r *http.Request) {
		wait := func() { u.entered <- struct{}{}; <-u.go_ }
		switch r.URL.Query().Get("do") {
		case "read":
			wait()
		case "put before":
			s.Auth.Sessions().Put(r.Context(), "seen", "yes")
			wait()
		case "put after":
			wait()
			s.Auth.Sessions().Put(r.Context(), "seen", "yes")
		case "renew":
			wait()
			assert.NoError(s.T, s.Auth.Sessions().RenewToken(r.Context()))
		case "streaming":
			_ = http.NewResponseController(w).Flush()
			wait()
			s.Auth.Sessions().Put(r.Context(), "seen", "yes")
		}
		authtest.Echo(w, r)
	})
	return u
}

// during runs f while a request of the browser's is in flight, and returns the
// late response.
func (u *underway) during(b *authtest.Browser, what string, f func()) authtest.Response {
	late := make(chan authtest.Response)
	go func() { late <- b.Step("/slow?do=" + url.QueryEscape(what)) }()
	<-u.entered
	f()
	u.go_ <- struct{}{}
	return <-late
}

var requestsUnderway = []string{"read", "put before", "put after", "renew", "streaming"}

func TestLogout(t *testing.T) {
	t.Run("T15 request in flight", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithIdleTimeout(time.Hour))
		u := newUnderway(s)
		random := rand.New(rand.NewPCG(1, 2))
		revived := 0
		for range interleavings {
			token := s.Session(authtest.AliceOpenID)
			b := s.Holding(s.SessionCookie(), token)
			if random.IntN(2) == 0 { // a touch is due
				redis.Do("PEXPIRE", s.StoredAt(token), (30 * time.Minute).Milliseconds())
			}
			other := s.Holding(s.SessionCookie(), token) // another tab, which does not see the cookie change
			what := requestsUnderway[random.IntN(len(requestsUnderway))]

			late := u.during(other, what, func() {
				b.Do(b.Client, http.MethodPost, "/wechat/logout", strings.NewReader("next=/public"), http.Header{
					"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
				})
			})

			sent := late.SetOf(s.SessionCookie()) != "" && what != "streaming" // its headers left before the logout
			if sent || redis.Do("EXISTS", s.StoredAt(token)) != int64(0) ||
				!strings.Contains(other.Step("/public").Text, "logged-in=false") {
				revived++
				assert.Fail(t, "a session came back", what)
			}
		}
		t.Logf("interleavings %d, revived %d", interleavings, revived)
	})

	t.Run("T15 request in flight under LoadAndSave", func(t *testing.T) {
		for kind, opts := range map[string]func() []wechatauth.Option{
			"in memory": func() []wechatauth.Option { return nil },
			"over Redis": func() []wechatauth.Option {
				return []wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool())}
			},
			"with an idle timeout": func() []wechatauth.Option { return []wechatauth.Option{wechatauth.WithIdleTimeout(time.Hour)} },
			"a store that does least": func() []wechatauth.Option {
				return []wechatauth.Option{wechatauth.WithStore(authtest.PlainStore{Store: store.NewMemory()})}
			},
			"own manager": func() []wechatauth.Option {
				return []wechatauth.Option{wechatauth.WithSessionManager(authtest.OwnManager(store.New(redistest.Start(t).Pool())))}
			},
			"own manager, with an idle timeout": func() []wechatauth.Option {
				m := authtest.OwnManager(store.New(redistest.Start(t).Pool()))
				m.IdleTimeout = time.Hour
				return []wechatauth.Option{wechatauth.WithSessionManager(m)}
			},
			"own manager, a store that does least": func() []wechatauth.Option {
				return []wechatauth.Option{wechatauth.WithSessionManager(authtest.OwnManager(authtest.PlainStore{Store: store.NewMemory()}))}
			},
		} {
			for form, wrap := range authtest.Loaders {
				for what, write := range map[string]func(m *scs.SessionManager, r *http.Request){
					"put":   func(m *scs.SessionManager, r *http.Request) { m.Put(r.Context(), "seen", "yes") },
					"renew": func(m *scs.SessionManager, r *http.Request) { assert.NoError(t, m.RenewToken(r.Context())) },
				} {
					t.Run(kind+", "+form+", "+what, func(t *testing.T) {
						s := authtest.NewSite(t, opts()...)
						late, other := lateWriter(s, wrap, write)
						assert.Equal(t, http.StatusOK, late.StatusCode)
						assert.Contains(t, late.Text, "url=/slow")
						assert.NotContains(t, late.Text, "Error")
						for _, c := range late.Cookies() {
							assert.False(t, c.Name == s.SessionCookie() && c.Value != "", "a cookie")
						}
						assert.Equal(t, http.StatusUnauthorized, other.Fetch(http.MethodGet, "/a").StatusCode)
						if kind == "in memory" {
							all, err := s.Auth.Sessions().Store.(scs.IterableCtxStore).AllCtx(context.Background())
							require.NoError(t, err)
							assert.Empty(t, all)
						}
					})
				}
			}
		}
	})

	t.Run("T73 not from another site", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.LoggedIn(authtest.AliceOpenID)
		form := "application/x-www-form-urlencoded"
		for name, c := range map[string]struct {
			method string
			header http.Header
		}{
			"an image":                      {http.MethodGet, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"image"}, "Sec-Fetch-Mode": {"no-cors"}}},
			"a link":                        {http.MethodGet, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}}},
			"a link on the site":            {http.MethodGet, http.Header{"Sec-Fetch-Site": {"same-origin"}}},
			"HEAD":                          {http.MethodHead, nil},
			"a form":                        {http.MethodPost, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {form}}},
			"a form of a sibling domain":    {http.MethodPost, http.Header{"Sec-Fetch-Site": {"same-site"}, "Content-Type": {form}}},
			"a form of an old browser":      {http.MethodPost, http.Header{"Origin": {"https://evil.example"}, "Content-Type": {form}}},
			"a form without an origin":      {http.MethodPost, http.Header{"Origin": {"null"}, "Content-Type": {form}}},
			"a form of our host by http":    {http.MethodPost, http.Header{"Origin": {"http://" + s.Base.Hostname() + ":1"}, "Content-Type": {form}}},
			"a form with a method override": {http.MethodGet, http.Header{"X-HTTP-Method-Override": {"POST"}}},
		} {
			got := b.Do(b.Client, c.method, "/wechat/logout", strings.NewReader(""), c.header)
			assert.Contains(t, []int{http.StatusForbidden, http.StatusMethodNotAllowed}, got.StatusCode, name)
			assert.Contains(t, b.Step("/a").Text, "logged-in=true", name)
		}
		b.Post("/wechat/logout", url.Values{})
		assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode, "the site itself does")
	})
}

// lateWriter makes a request write to its session after a logout. It returns
// the response of that request and a browser with the session's token.
func lateWriter(s *authtest.Site, wrap func(*scs.SessionManager, *wechatauth.Auth, http.Handler) http.Handler, write func(*scs.SessionManager, *http.Request)) (authtest.Response, *authtest.Browser) {
	m := s.Auth.Sessions()
	u := &underway{s: s, entered: make(chan struct{}), go_: make(chan struct{})}
	s.Server.Config.Handler = wrap(m, s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			u.entered <- struct{}{}
			<-u.go_
			write(m, r)
		}
		authtest.Echo(w, r)
	}))
	b := s.Browser()
	b.Visit("/a")
	other := s.Holding(s.SessionCookie(), b.Cookie(s.SessionCookie()).Value)
	late := u.during(other, "", func() { b.Post("/wechat/logout", url.Values{"next": {"/public"}}) })
	return late, other
}

func TestWithIdleTimeout(t *testing.T) {
	for kind, opts := range map[string][]wechatauth.Option{
		"in memory": nil,
		"a store that does least": {authtest.OnClock(func(now func() time.Time) wechatauth.Option {
			return wechatauth.WithStore(authtest.PlainStore{Store: store.NewMemory(store.WithClock(now))})
		})},
	} {
		for form, wrap := range authtest.Loaders {
			t.Run(kind+", "+form, func(t *testing.T) {
				s := authtest.NewSite(t, append(opts, wechatauth.WithIdleTimeout(time.Hour))...)
				s.Server.Config.Handler = wrap(s.Auth.Sessions(), s.Auth, http.HandlerFunc(authtest.Echo))
				b := s.Browser()
				b.Visit("/a")
				for range 5 {
					s.Clock.Advance(30 * time.Minute)
					require.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
				}
				s.Clock.Advance(61 * time.Minute)
				assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
			})
		}
	}
}

func TestWithSessionManager_Race(t *testing.T) {
	// A store that cannot track requests in flight keeps scs's race. New logs a
	// warning.
	t.Run("T16 New logs a warning", func(t *testing.T) {
		for name, c := range map[string]struct {
			idle time.Duration
			warn bool
		}{"with an idle timeout": {time.Hour, true}, "without": {0, false}} {
			t.Run(name, func(t *testing.T) {
				m := scs.New()
				m.Store = store.NewMemory()
				m.IdleTimeout = c.idle
				s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
				if c.warn {
					assert.Contains(t, s.Logs.String(), "level=WARN")
					assert.Contains(t, s.Logs.String(), "WithIdleTimeout")
					return
				}
				assert.Empty(t, s.Logs.String())
			})
		}
	})
}

func TestSessionCookie(t *testing.T) {
	t.Run("T17 tossed by another host", func(t *testing.T) {
		s := authtest.NewSite(t)
		stale := strings.Repeat("A", session.TokenLength)
		ask := func(tokens ...string) authtest.Response {
			var cookies []*http.Cookie
			for _, token := range tokens {
				cookies = append(cookies, &http.Cookie{Name: s.SessionCookie(), Value: token})
			}
			return s.Wire(http.MethodGet, "/public", authtest.PageHeader, authtest.CookieHeader(cookies...))
		}
		alice, bob, empty := s.Session(authtest.AliceOpenID), s.Session(authtest.BobOpenID), s.SessionWith("cart", "book")
		again := s.Session(authtest.AliceOpenID)
		for name, c := range map[string]struct {
			tokens []string
			want   string // empty: no user
		}{
			"a stale one before the good one":          {[]string{stale, alice}, authtest.AliceOpenID},
			"three that are none before it":            {[]string{"x", stale, "*", alice}, authtest.AliceOpenID},
			"the good one before a stale one":          {[]string{alice, stale}, authtest.AliceOpenID},
			"an anonymous one before the good one":     {[]string{empty, alice}, authtest.AliceOpenID},
			"an anonymous one behind the good one":     {[]string{alice, empty}, authtest.AliceOpenID},
			"the same one twice":                       {[]string{alice, alice}, authtest.AliceOpenID},
			"two of the same user":                     {[]string{alice, again}, authtest.AliceOpenID},
			"another user's before it":                 {[]string{bob, alice}, ""},
			"another user's behind it":                 {[]string{alice, bob}, ""},
			"another user's, twice, before it":         {[]string{bob, bob, alice}, ""},
			"more well-formed ones than are looked at": {[]string{stale[:42] + "B", stale[:42] + "C", stale[:42] + "D", stale[:42] + "E", alice}, ""},
		} {
			got := ask(c.tokens...)
			if c.want == "" {
				assert.Contains(t, got.Text, "logged-in=false", name)
				continue
			}
			assert.Contains(t, got.Text, "openid="+c.want, name)
		}
		t.Run("a redirect loop that it causes names it", func(t *testing.T) {
			b := s.Browser()
			gate := s.Routes()
			s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Cookie", strings.TrimSuffix(s.SessionCookie()+"="+bob+"; "+r.Header.Get("Cookie"), "; "))
				gate.ServeHTTP(w, r)
			})
			b.SetCookie(s.SessionCookie(), alice)
			got := b.Visit("/a")
			assert.Equal(t, http.StatusBadRequest, got.StatusCode)
			assert.LessOrEqual(t, s.Sim.Count(authtest.AuthorizeEndpoint), flow.MaxLogins)
			assert.Contains(t, s.Logs.String(), "two sessions")
		})
		t.Run("on https the cookie cannot be tossed", func(t *testing.T) {
			s := authtest.NewTLSSite(t)
			b := s.Browser()
			set := b.Step(b.Authorize("/a")).SetOf(s.SessionCookie())
			assert.Regexp(t, `; Path=/; .*; HttpOnly; Secure; SameSite=Lax$`, set)
			assert.NotContains(t, set, "Domain")
		})
	})

	t.Run("T18 invalid token never reaches Redis", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		good := strings.Repeat("A", session.TokenLength)
		values := map[string]string{
			"empty": "", "42 letters": good[:42], "44 letters": good + "A", "4 KB": strings.Repeat("A", 4096), "900 KB": strings.Repeat("A", 900_000),
			"a glob": good[:42] + "*", "a line end": good[:40] + `\r\n`, "an escape": good[:40] + "%00", "a slash": good[:42] + "/", "a plus": good[:42] + "+",
			"padding": good[:42] + "=", "a colon": good[:42] + ":", "a dot": good[:42] + ".", "Chinese": good[:40] + "你", "a space": good[:21] + " " + good[:21],
			"a command": "x\" EX 1 GET y", "a prefix": "scs:session:" + good[:31], "quotes": `"` + good + `x"`,
		}
		for name, value := range values {
			s.Untouched(t, redis, func() {
				cookie := "Cookie: " + s.SessionCookie() + "=" + value
				got := s.Wire(http.MethodGet, "/public", authtest.PageHeader, cookie)
				assert.Contains(t, got.Text, "logged-in=false", name)
				assert.Equal(t, http.StatusSeeOther, s.Wire(http.MethodGet, "/a", authtest.PageHeader, cookie).StatusCode, name)
				assert.Equal(t, http.StatusUnauthorized, s.Wire(http.MethodGet, "/a", cookie).StatusCode, name)
				assert.Equal(t, http.StatusBadRequest, s.Wire(http.MethodGet, "/wechat/callback?code=x&state="+flow.NewState(), authtest.PageHeader, cookie).StatusCode, name)
			})
		}
		assert.Equal(t, int64(0), redis.Do("DBSIZE"))

		// The same holds for a token that the application got elsewhere and loads
		// itself.
		for _, token := range []string{"x", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("*", 43), strings.Repeat("A", 42) + "\n", strings.Repeat("A", 900_000)} {
			commands := redis.Commands(func() {
				ctx, err := s.Auth.Sessions().Load(context.Background(), token)
				assert.NoError(t, err)
				assert.Empty(t, s.Auth.Sessions().Token(ctx))
			})
			assert.Equal(t, []string{"GET " + s.StoredAt(token)}, commands, "only its hash")
		}
	})
}

func TestSnapshot(t *testing.T) {
	t.Run("T19 virtual user is not logged in", func(t *testing.T) {
		for flag, virtual := range map[string]bool{
			`,"is_snapshotuser":1`: true, `,"is_snapshotuser":"1"`: true, `,"is_snapshotuser":true`: true, `,"is_snapshotuser":"true"`: true,
			`,"is_snapshotuser":0`: false, `,"is_snapshotuser":"0"`: false, `,"is_snapshotuser":false`: false, `,"is_snapshotuser":""`: false,
			`,"is_snapshotuser":null`: false, ``: false,
		} {
			for _, policy := range []wechatauth.SnapshotPolicy{wechatauth.SnapshotPage, wechatauth.SnapshotAnonymous, wechatauth.SnapshotReject} {
				t.Run(fmt.Sprint(flag, policy), func(t *testing.T) {
					var hooked atomic.Int64
					s := authtest.NewSite(t, wechatauth.WithSnapshotPolicy(policy), wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { hooked.Add(1); return nil }))
					s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Raw(200, "text/plain", `{"access_token":"x","openid":"oVirtualUser","scope":"snsapi_userinfo"`+flag+`}`))
					b := s.Browser()
					got := b.Step(b.Authorize("/a"))
					if !virtual {
						assert.NotEmpty(t, got.SetOf(s.SessionCookie()))
						assert.Equal(t, int64(1), hooked.Load())
						return
					}
					assert.Empty(t, got.SetOf(s.SessionCookie()))
					assert.Zero(t, hooked.Load(), "no hook runs")
					assert.Zero(t, s.Sim.Count("/sns/userinfo"))
					b.Visit("/a")
					assert.NotContains(t, b.Visit("/public").Text, "oVirtualUser")
					assert.Equal(t, 1, s.Sim.Count(authtest.AuthorizeEndpoint), "and there is no second redirect to WeChat")
				})
			}
		}
	})
}

func TestLoadAndSave(t *testing.T) {
	t.Run("T74 one cookie and one record", func(t *testing.T) {
		for name, wrap := range map[string]func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler{
			"outside": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				return m.LoadAndSave(a.RequireWeChat(h))
			},
			"inside": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				return a.RequireWeChat(m.LoadAndSave(h))
			},
			"the gate twice": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				return a.LoadWeChat(a.RequireWeChat(a.RequireWeChat(h)))
			},
		} {
			t.Run(name, func(t *testing.T) {
				redis := redistest.Start(t)
				m := scs.New()
				m.Store = store.New(redis.Pool())
				s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
				s.Server.Config.Handler = wrap(m, s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/put" {
						m.Put(r.Context(), "visits", m.GetInt(r.Context(), "visits")+1)
					}
					authtest.Echo(w, r)
				}))
				sets := func(a authtest.Response) (n int) {
					for _, c := range a.Cookies() {
						if c.Name == m.Cookie.Name {
							n++
						}
					}
					return n
				}
				b := s.Browser()
				callback := b.Step(b.Authorize("/a"))
				require.Equal(t, "/a", callback.Header.Get("Location"))
				assert.Equal(t, 1, sets(callback))
				assert.Equal(t, 0, sets(b.Step("/a")), "unchanged")
				put := b.Step("/put")
				assert.Contains(t, put.Text, "logged-in=true")
				if name == "the gate twice" {
					assert.Equal(t, 0, sets(put), "the browser has it already")
				} else {
					assert.Equal(t, 1, sets(put), "scs sends it with every write")
				}
				keys, err := redis.Do("KEYS", "scs:session:*").([]any), error(nil)
				require.NoError(t, err)
				assert.Len(t, keys, 1)
			})
		}
	})
}

// cart adds "/public/put", which puts a value into the session, and
// "/public/cart", which shows it.
func cart(s *authtest.Site) {
	m := s.Auth.Sessions()
	s.Handle("/public/put", func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "cart", "book")
		authtest.Echo(w, r)
	})
	s.Handle2("/public/cart", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "cart="+m.GetString(r.Context(), "cart"))
	})
}

func TestStoreDown_Session(t *testing.T) {
	// While the store is down, an open page is served without an identity.
	// Putting a value into that session is an error: it would be lost, or
	// overwrite the user's real session.
	t.Run("T63 empty session is not saved", func(t *testing.T) {
		var st *authtest.FaultyStore
		s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
		cart(s)
		b := s.LoggedIn(authtest.AliceOpenID)
		own := b.Cookie(s.SessionCookie()).Value
		st.Fail("find", authtest.Failing)

		assert.Contains(t, b.Step("/public/cart").Text, "cart=")
		got := b.Step("/public/put")
		assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
		assert.NotContains(t, got.Text, "logged-in")
		assert.Empty(t, got.Header["Set-Cookie"])
		st.Fail("find", nil)
		assert.Equal(t, own, b.Cookie(s.SessionCookie()).Value)
		assert.Equal(t, "cart=", b.Step("/public/cart").Text)
		assert.Contains(t, b.Step("/a").Text, "logged-in=true")
	})
}

func TestRedisWriter_ReplacedToken(t *testing.T) {
	// An attacker who can write to Redis keeps the record that leads from a
	// token to the one that replaced it.
	t.Run("T81 valid for seconds", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		b := s.Browser()
		old := b.VisitForToken("/a")
		require.Contains(t, b.Visit("/wechat/login?next=/a&again=1").Text, "logged-in=true")
		require.NotEqual(t, old, b.Cookie(s.SessionCookie()).Value)
		late := s.Holding(s.SessionCookie(), old)
		require.Contains(t, late.Step("/public").Text, "logged-in=true", "a request in flight")
		for _, key := range redis.Do("KEYS", "wechat:mark:*").([]any) {
			redis.Do("PERSIST", string(key.([]byte)))
		}
		s.Clock.Advance(session.RenewedTTL + cookie.Skew + time.Second)
		assert.Contains(t, late.Step("/public").Text, "logged-in=false")
		assert.Contains(t, b.Step("/public").Text, "logged-in=true")
	})
}
