package doubled

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Duplicate callbacks, a hundred at the same time, and leaders that do not
// finish.

const (
	callbackRounds   = 50 // in memory, and as many over Redis
	callbacksAtATime = 100
)

func TestDuplicateCallback(t *testing.T) {
	t.Run("T06 hundred at once", func(t *testing.T) {
		t.Run("in memory", func(t *testing.T) {
			s := authtest.NewSite(t)
			doubledCallbacks(s, t, s.Auth)
		})
		t.Run("on two instances over Redis", func(t *testing.T) {
			redis := redistest.Start(t)
			s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
			doubledCallbacks(s, t, s.Auth, s.Instance(wechatauth.WithRedis(redis.Pool())))
		})
	})

	t.Run("T06 other browser", func(t *testing.T) {
		s := authtest.NewSite(t)
		b := s.Browser()
		callback := b.Authorize("/a")
		require.Equal(t, http.StatusSeeOther, b.Step(callback).StatusCode)
		for name, other := range map[string]*authtest.Browser{"an anonymous one": s.Browser(), "one that is logged in": s.LoggedIn(authtest.BobOpenID)} {
			got := other.Step(callback)
			assert.NotEqual(t, "/a", got.Header.Get("Location"), name)
			assert.Empty(t, got.SetOf(s.SessionCookie()), name)
		}
	})

	// The leader is a callback that has the lease and does not finish.
	t.Run("T06 leader dies", func(t *testing.T) {
		var panics atomic.Bool
		cases := map[string]struct {
			// kill makes the first callback fail. The cookie of the pending login
			// is still in the browser then.
			kill func(t *testing.T, s *authtest.Site, st *authtest.FaultyStore, callback string, b *authtest.Browser)
			// exchanges counts the calls of both callbacks together, and restarts
			// the authorize pages after the first: a code that was used without a
			// response costs a second silent redirect.
			exchanges, restarts int
			dies                bool // never publishes a result or releases its lease
		}{
			"before it exchanged the code": {func(t *testing.T, s *authtest.Site, st *authtest.FaultyStore, callback string, _ *authtest.Browser) {
				u, err := http.NewRequest(http.MethodGet, callback, nil)
				require.NoError(t, err)
				won, err := (&singleflight.Group{Marks: st, Wait: s.Wait}).Join(context.Background(), singleflight.Key(wechattest.DefaultAppID, u.URL.Query().Get("state")))
				require.NoError(t, err)
				require.Nil(t, won.Sealed)
			}, 1, 0, true},
			"because its own session could not be read": {func(t *testing.T, s *authtest.Site, st *authtest.FaultyStore, callback string, b *authtest.Browser) {
				b.SetCookie(s.SessionCookie(), s.SessionWith("cart", "book"))
				st.Fail("find", authtest.Failing)
				assert.Equal(t, http.StatusServiceUnavailable, b.Step(callback).StatusCode)
				st.Fail("find", nil)
			}, 1, 0, false},
			"because its browser went away": {func(t *testing.T, s *authtest.Site, _ *authtest.FaultyStore, callback string, b *authtest.Browser) {
				release := s.Sim.Block(authtest.ExchangeEndpoint)
				noticed := noticesDisconnect(s)
				ctx, goAway := context.WithCancel(context.Background())
				gone := make(chan error, 1)
				go func() {
					r, err := http.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
					if err == nil {
						r.Header.Set("Cookie", strings.TrimPrefix(authtest.CookieHeader(b.Client.Jar.Cookies(s.Base)...), "Cookie: "))
						_, err = s.Server.Client().Transport.RoundTrip(r)
					}
					gone <- err
				}()
				require.NoError(t, s.Sim.WaitForCalls(context.Background(), authtest.ExchangeEndpoint, 1))
				goAway()
				assert.ErrorIs(t, <-gone, context.Canceled)
				<-noticed
				release()
			}, 1, 0, false},
			"because WeChat's response was lost": {func(t *testing.T, s *authtest.Site, _ *authtest.FaultyStore, callback string, b *authtest.Browser) {
				s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Reset().AfterProcessing())
				assert.Equal(t, http.StatusBadGateway, b.Step(callback).StatusCode)
				s.Clock.Advance(authtest.FailureTTL + time.Second)
			}, 3, 1, false},
			"by a panic in the application's hook": {func(t *testing.T, s *authtest.Site, _ *authtest.FaultyStore, callback string, b *authtest.Browser) {
				panics.Store(true)
				assert.Error(t, b.TryStep(callback))
				s.Clock.Advance(authtest.FailureTTL + time.Second)
			}, 3, 1, false},
			"because its session could not be saved": {func(t *testing.T, s *authtest.Site, st *authtest.FaultyStore, callback string, b *authtest.Browser) {
				st.Fail("commit", authtest.Failing)
				got := b.Step(callback)
				assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
				assert.NotEmpty(t, got.Header.Get("Retry-After"))
				assert.Empty(t, got.SetOf(s.SessionCookie()))
				st.Fail("commit", nil)
				s.Clock.Advance(authtest.FailureTTL + time.Second)
			}, 3, 1, false},
			"by a panic in the store": {func(t *testing.T, s *authtest.Site, st *authtest.FaultyStore, callback string, b *authtest.Browser) {
				st.Fail("commit", func() error { panic("the store fails on purpose") })
				assert.Error(t, b.TryStep(callback))
				st.Fail("commit", nil)
				s.Clock.Advance(authtest.FailureTTL + time.Second)
			}, 3, 1, false},
			"after the session was saved, before the result was published": {func(t *testing.T, s *authtest.Site, st *authtest.FaultyStore, callback string, b *authtest.Browser) {
				st.Fail("settle", func() error { panic("the store fails on purpose") })
				assert.Error(t, b.TryStep(callback))
				st.Fail("settle", nil)
			}, 3, 1, true},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				var st *authtest.FaultyStore
				s := authtest.NewSite(t, authtest.WithFaultyStore(&st), wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error {
					if panics.Swap(false) {
						panic("the application fails on purpose")
					}
					return nil
				}))
				s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
				var dead atomic.Bool
				waitOut := s.WaitOut()
				s.Wait = func(ctx context.Context, d time.Duration) error {
					switch {
					case dead.Load():
						return waitOut(ctx, d) // towards the end of the lease
					case st.Fault("commit") != nil:
						return errors.New("the time to save is up")
					}
					return singleflight.Sleep(ctx, time.Millisecond)
				}
				b := s.Browser()
				callback := b.Authorize("/a")
				c.kill(t, s, st, callback, b)
				dead.Store(c.dies)

				got := b.Visit(callback)

				assert.Contains(t, got.Text, "url=/a logged-in=true")
				assert.Equal(t, c.exchanges, s.Exchanges())
				assert.Equal(t, 1+c.restarts, s.Sim.Count(authtest.AuthorizeEndpoint))
			})
		}
	})

	t.Run("T06 wait is longer than the lease", func(t *testing.T) {
		assert.Greater(t, singleflight.JoinTimeout, singleflight.Lease+singleflight.MaxPoll, "a duplicate waits until the lease ends")
		assert.Greater(t, singleflight.Lease, callbackBudget, "the leader ends before its lease")

		docs, err := os.ReadFile(filepath.Join(authtest.Root, "docs/deployment.md"))
		require.NoError(t, err)
		assert.Contains(t, string(docs), fmt.Sprintf("waits at most %.0f s for the lease, and then has %.0f s", singleflight.JoinTimeout.Seconds(), callbackBudget.Seconds()))
		assert.Contains(t, string(docs), fmt.Sprintf("longer than %.0f s", (singleflight.JoinTimeout+callbackBudget).Seconds()))

		// Each case returns the key of the lease, and a function that sends the
		// request that waits.
		cases := map[string]func(s *authtest.ScanSite) (key string, finish func() (loggedIn bool)){
			"callback": func(s *authtest.ScanSite) (string, func() bool) {
				b := s.Browser()
				callback := b.Authorize("/a")
				u, err := url.Parse(callback)
				require.NoError(s.T, err)
				return singleflight.Key(wechattest.DefaultAppID, u.Query().Get("state")), func() bool {
					return strings.Contains(b.Visit(callback).Text, "url=/a logged-in=true")
				}
			},
			"mini program": func(s *authtest.ScanSite) (string, func() bool) {
				code := s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))
				return singleflight.Key(authtest.MiniApp, "mini "+code), func() bool {
					return s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`).StatusCode == http.StatusOK
				}
			},
			"scan": func(s *authtest.ScanSite) (string, func() bool) {
				computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
				path, c := s.Show(computer, "/a")
				s.Scan(phone, path)
				number := s.Confirm(phone, path)
				return singleflight.Key(wechattest.DefaultAppID, "scan "+c.State), func() bool {
					return strings.Contains(computer.Enter("/a", number).Text, "url=/a logged-in=true")
				}
			},
		}
		for name, begin := range cases {
			t.Run(name, func(t *testing.T) {
				var st *authtest.FaultyStore
				s := &authtest.ScanSite{Site: authtest.NewSite(t, authtest.WithFaultyStore(&st), wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret),
					wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))}
				s.Wait = s.WaitOut()
				key, finish := begin(s)
				_, err := (&singleflight.Group{Marks: st, Wait: s.Wait}).Join(context.Background(), key) // and dies
				require.NoError(t, err)
				began := s.Clock.Now()

				assert.True(t, finish())

				assert.GreaterOrEqual(t, s.Clock.Now().Sub(began), singleflight.Lease)
			})
		}
	})

	// The time spent waiting does not count.
	t.Run("T06 time limit starts with the lease", func(t *testing.T) {
		var st *authtest.FaultyStore
		var waiting, working context.Context
		s := authtest.NewSite(t, authtest.WithFaultyStore(&st), wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error {
			working = ctx
			assert.ErrorIs(t, waiting.Err(), context.Canceled, "the wait is over")
			assert.NoError(t, ctx.Err())
			return nil
		}))
		waitOut := s.WaitOut()
		s.Wait = func(ctx context.Context, d time.Duration) error {
			waiting = ctx
			return waitOut(ctx, d)
		}
		b, f := s.Browser(), s.Pending("/a")
		cookie := s.FlowCookie(f)
		b.SetCookie(cookie.Name, cookie.Value)
		_, err := (&singleflight.Group{Marks: st, Wait: s.Wait}).Join(context.Background(), singleflight.Key(f.AppID, f.State))
		require.NoError(t, err)
		s.Grant(1)
		began := time.Now()

		assert.Equal(t, "/a", b.Step(authtest.CallbackOf(f, "code")).Header.Get("Location"))

		require.NotNil(t, working)
		end, ok := working.Deadline()
		require.True(t, ok)
		assert.False(t, end.Before(began.Add(callbackBudget)), "all of it is left")
		assert.False(t, end.After(time.Now().Add(callbackBudget)), "and it is no longer than that")
	})

	t.Run("T06 leader never finishes", func(t *testing.T) {
		var st *authtest.FaultyStore
		s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
		s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		b := s.Browser()
		f := s.Pending("/a")
		cookie := s.FlowCookie(f)
		b.SetCookie(cookie.Name, cookie.Value)
		_, err := (&singleflight.Group{Marks: st, Wait: s.Wait}).Join(context.Background(), singleflight.Key(f.AppID, f.State))
		require.NoError(t, err)

		got := b.Step(authtest.CallbackOf(f, "code"))

		assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		assert.Empty(t, got.Header["Set-Cookie"], "the pending login is kept")
		assert.Zero(t, s.Exchanges())
		s.Clock.Advance(singleflight.Lease + time.Second)
		s.Grant(1)
		assert.Equal(t, "/a", b.Step(authtest.CallbackOf(f, "code")).Header.Get("Location"), "a reload after the lease finishes it")
	})

	// A request that waits for the exchange of another ends when its client
	// disconnects.
	t.Run("T88 waiting ends when the client disconnects", func(t *testing.T) {
		const waiters = 60
		s := authtest.NewSite(t, wechatauth.WithRedis(redistest.Start(t).Pool()))
		arrived := make(chan struct{}, waiters)
		s.Wait = func(ctx context.Context, _ time.Duration) error {
			arrived <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		var serving atomic.Int64
		ended := make(chan struct{}, waiters+1)
		inner := s.Server.Config.Handler
		s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			serving.Add(1)
			defer func() { serving.Add(-1); ended <- struct{}{} }()
			inner.ServeHTTP(w, r)
		})
		b := s.Browser()
		callback := b.Authorize("/a")
		for len(ended) > 0 {
			<-ended
		}
		release := s.Sim.Block(authtest.ExchangeEndpoint)
		won := make(chan authtest.Response, 1)
		go func() { won <- b.Step(callback) }()
		require.NoError(t, s.Sim.WaitForCalls(t.Context(), authtest.ExchangeEndpoint, 1))

		clients, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range waiters {
			all.Go(func() {
				r, err := http.NewRequestWithContext(clients, http.MethodGet, callback, nil)
				if !assert.NoError(t, err) {
					return
				}
				for _, c := range b.Client.Jar.Cookies(s.Base) {
					r.AddCookie(c)
				}
				_, err = (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
				assert.ErrorIs(t, err, context.Canceled)
			})
		}
		for range waiters {
			<-arrived
		}
		leave()
		all.Wait()
		for range waiters {
			<-ended
		}
		assert.EqualValues(t, 1, serving.Load(), "only the leader is left")
		assert.NotContains(t, s.Logs.String(), "level=ERROR", "a disconnect is not a failure")
		release()
		assert.Equal(t, "/a", (<-won).Header.Get("Location"))
	})
}

// doubledCallbacks delivers the same callback a hundred times at once, to all
// instances in turn, round after round. In every round one callback is held at
// WeChat until the ninety-nine others wait for it.
func doubledCallbacks(s *authtest.Site, t *testing.T, instances ...*wechatauth.Auth) {
	var waiting atomic.Int64
	allWait := make(chan struct{}, 1)
	var lines []*authtest.Conn
	s.Wait = func(ctx context.Context, _ time.Duration) error {
		if waiting.Add(1) == callbacksAtATime-1 {
			allWait <- struct{}{}
		}
		return singleflight.Sleep(ctx, 20*time.Millisecond)
	}
	for _, a := range instances {
		server := httptest.NewServer(a)
		t.Cleanup(server.Close)
		for range callbacksAtATime / len(instances) {
			lines = append(lines, authtest.Dial(t, server.Listener.Addr().String()))
		}
	}
	loggedIn := 0
	for round := range callbackRounds {
		b := s.Browser()
		callback, err := url.Parse(b.Authorize("/a"))
		require.NoError(t, err)
		request := "GET " + callback.RequestURI() + " HTTP/1.1\r\nHost: " + s.Base.Host + "\r\n" +
			authtest.CookieHeader(b.Client.Jar.Cookies(s.Base)...) + "\r\n\r\n"
		waiting.Store(0)
		release := s.Sim.Block(authtest.ExchangeEndpoint)
		go func() {
			<-allWait
			release()
		}()

		responses := make([]*http.Response, len(lines))
		var wg sync.WaitGroup
		for i, l := range lines {
			wg.Go(func() { responses[i] = l.Ask(request) })
		}
		wg.Wait()
		sessions := map[string]int{}
		for _, resp := range responses {
			require.NotNil(t, resp)
			require.Equal(t, http.StatusSeeOther, resp.StatusCode)
			require.Equal(t, "/a", resp.Header.Get("Location"))
			for _, c := range resp.Cookies() {
				if c.Name == s.SessionCookie() {
					sessions[c.Value]++
				}
			}
		}
		require.Equal(t, round+1, s.Exchanges(), "one exchange in every round")
		require.Len(t, sessions, 1, "and one session")
		for token, times := range sessions {
			require.Equal(t, callbacksAtATime, times)
			loggedIn += times
			b.SetCookie(s.SessionCookie(), token)
			require.Contains(t, b.Step("/b").Text, "logged-in=true")
		}
	}
	t.Logf("rounds %d, callbacks %d, logged in %d, token calls %d", callbackRounds, callbackRounds*len(lines), loggedIn, s.Exchanges())
}

// callbackBudget is the time a callback has for its work once it has the lease.
const callbackBudget = 8 * time.Second

// noticesWhoGoesAway returns a channel that is closed when the server has
// noticed that the client of its next request has disconnected.
func noticesDisconnect(s *authtest.Site) <-chan struct{} {
	noticed := make(chan struct{})
	var first sync.Once
	inner := s.Server.Config.Handler
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first.Do(func() {
			go func() {
				<-r.Context().Done()
				close(noticed)
			}()
		})
		inner.ServeHTTP(w, r)
	})
	return noticed
}

func TestExchange(t *testing.T) {
	// WeChat's responses to an exchange, and how often the browser is
	// redirected to WeChat.
	t.Run("T25 errors", func(t *testing.T) {
		const once, twice = 1, 2
		cases := map[string]struct {
			fault  wechattest.Fault
			status int
			reason wechatauth.Reason
			visits int
			retry  bool // the page offers another attempt
		}{
			"40163 code been used":              {wechattest.Errcode(40163), http.StatusBadRequest, wechatauth.ReasonCodeUsed, twice, true},
			"40029 invalid code":                {wechattest.Errcode(40029), http.StatusBadRequest, wechatauth.ReasonCodeExpired, twice, true},
			"41008 missing code":                {wechattest.Errcode(41008), http.StatusBadRequest, wechatauth.ReasonCodeExpired, twice, true},
			"42003 code expired":                {wechattest.Errcode(42003), http.StatusBadRequest, wechatauth.ReasonCodeExpired, twice, true},
			"40013 wrong AppID":                 {wechattest.Errcode(40013), http.StatusInternalServerError, wechatauth.ReasonBadConfig, once, false},
			"40125 wrong AppSecret":             {wechattest.Errcode(40125), http.StatusInternalServerError, wechatauth.ReasonBadConfig, once, false},
			"40001 wrong AppSecret":             {wechattest.Errcode(40001), http.StatusInternalServerError, wechatauth.ReasonBadConfig, once, false},
			"40164 this server's address":       {wechattest.Errcode(40164), http.StatusInternalServerError, wechatauth.ReasonBadConfig, once, false},
			"48001 the account may not do this": {wechattest.Errcode(48001), http.StatusInternalServerError, wechatauth.ReasonBadConfig, once, false},
			"50002 user is blocked":             {wechattest.Errcode(50002), http.StatusForbidden, wechatauth.ReasonUserBlocked, once, false},
			"40226 user is a risk":              {wechattest.Errcode(40226), http.StatusForbidden, wechatauth.ReasonUserBlocked, once, false},
			"45009 quota of the day":            {wechattest.Errcode(45009), http.StatusServiceUnavailable, wechatauth.ReasonRateLimited, once, true},
			"45011 quota of the minute":         {wechattest.Errcode(45011), http.StatusServiceUnavailable, wechatauth.ReasonRateLimited, once, true},
			"-1 busy":                           {wechattest.Busy(), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"an errcode of tomorrow":            {wechattest.Errcode(99999), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"a response of a proxy":             {wechattest.BadGateway(), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"half a response":                   {wechattest.Truncated(), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"an empty response":                 {wechattest.Raw(200, "text/plain", ""), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"null":                              {wechattest.Raw(200, "text/plain", "null"), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"a response without an openid":      {wechattest.Raw(200, "text/plain", `{"access_token":"x","scope":"snsapi_base"}`), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"a response with an empty openid":   {wechattest.Raw(200, "text/plain", `{"access_token":"x","openid":"","scope":"snsapi_base"}`), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
			"no response":                       {wechattest.Reset(), http.StatusBadGateway, wechatauth.ReasonUpstreamError, once, true},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				s := authtest.NewSite(t)
				s.Sim.Fail(authtest.ExchangeEndpoint, c.fault, c.fault, c.fault, c.fault)
				b := s.Browser()

				got := b.Visit("/a?b=c")

				assert.Equal(t, c.status, got.StatusCode)
				assert.Contains(t, got.Text, string(c.reason))
				assert.Equal(t, c.visits, s.Sim.Count(authtest.AuthorizeEndpoint), "redirects to WeChat")
				assert.Equal(t, c.visits, s.Exchanges(), "no code is sent twice")
				assert.Equal(t, c.retry, strings.Contains(got.Text, `href="/wechat/login?next=%2Fa%3Fb%3Dc&amp;again=1"`))
				assert.Empty(t, got.SetOf(s.SessionCookie()))
				assert.Contains(t, s.Logs.String(), "reason="+string(c.reason))
			})
		}
		t.Run("a code that is rejected once costs the user nothing", func(t *testing.T) {
			s := authtest.NewSite(t)
			s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Errcode(40163))
			assert.Contains(t, s.Browser().Visit("/a?b=c").Text, "url=/a?b=c logged-in=true")
			assert.Equal(t, 2, s.Sim.Count(authtest.AuthorizeEndpoint))
		})
	})
}
