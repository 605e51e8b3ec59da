package wechatauth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Callbacks that come twice, at once and a hundred times; and those that have
// the claim and do not live to use it.

const (
	callbackRounds   = 50 // in memory, and as many over Redis
	callbacksAtATime = 100
)

func TestT06_AHundredCallbacksAtOnceAreOneExchangeAndAHundredLogins(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		s := newSite(t)
		s.doubledCallbacks(t, s.auth)
	})
	t.Run("on two instances over Redis", func(t *testing.T) {
		redis := redistest.Start(t)
		s := newSite(t, WithRedis(redis.Pool()))
		s.doubledCallbacks(t, s.auth, s.instance(WithRedis(redis.Pool())))
	})
}

// instance is another instance of the site, for the same visitors.
func (s *site) instance(opts ...Option) *Auth {
	s.t.Helper()
	a, err := New(append([]Option{
		WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.base.String()),
		WithEndpoints(s.sim.Endpoints()), WithLogger(s.auth.log), withClock(s.clock.Now),
	}, opts...)...)
	require.NoError(s.t, err)
	return a
}

// doubledCallbacks delivers the same callback a hundred times at once, to all
// instances in turn, round after round. In every round one callback is held at
// WeChat until the ninety-nine others wait for it.
func (s *site) doubledCallbacks(t *testing.T, instances ...*Auth) {
	var waiting atomic.Int64
	allWait := make(chan struct{}, 1)
	var lines []*line
	for _, a := range instances {
		a.claims.Wait = func(ctx context.Context, _ time.Duration) error {
			if waiting.Add(1) == callbacksAtATime-1 {
				allWait <- struct{}{}
			}
			return singleflight.Sleep(ctx, 20*time.Millisecond)
		}
		server := httptest.NewServer(a)
		t.Cleanup(server.Close)
		for range callbacksAtATime / len(instances) {
			lines = append(lines, dialLine(t, server.Listener.Addr().String()))
		}
	}
	loggedIn := 0
	for round := range callbackRounds {
		b := s.browser()
		callback, err := url.Parse(b.authorize("/a"))
		require.NoError(t, err)
		request := "GET " + callback.RequestURI() + " HTTP/1.1\r\nHost: " + s.auth.base.Host + "\r\n" +
			cookieHeader(b.client.Jar.Cookies(s.auth.base)...) + "\r\n\r\n"
		waiting.Store(0)
		release := s.sim.Block(exchangeEndpoint)
		go func() {
			<-allWait
			release()
		}()

		answers := make([]*http.Response, len(lines))
		var wg sync.WaitGroup
		for i, l := range lines {
			wg.Go(func() { answers[i] = l.ask(request) })
		}
		wg.Wait()
		sessions := map[string]int{}
		for _, resp := range answers {
			require.NotNil(t, resp)
			require.Equal(t, http.StatusSeeOther, resp.StatusCode)
			require.Equal(t, "/a", resp.Header.Get("Location"))
			for _, c := range resp.Cookies() {
				if c.Name == s.sessionCookie() {
					sessions[c.Value]++
				}
			}
		}
		require.Equal(t, round+1, s.exchanges(), "one exchange in every round")
		require.Len(t, sessions, 1, "and one session")
		for token, times := range sessions {
			require.Equal(t, callbacksAtATime, times)
			loggedIn += times
			b.setCookie(s.sessionCookie(), token)
			require.Contains(t, b.step("/b").body, "logged-in=true")
		}
	}
	t.Logf("rounds %d, callbacks %d, logged in %d, token calls %d", callbackRounds, callbackRounds*len(lines), loggedIn, s.exchanges())
}

// line is a connection that is kept open, for one request after the other.
type line struct {
	conn net.Conn
	in   *bufio.Reader
}

func dialLine(t *testing.T, address string) *line {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &line{conn, bufio.NewReader(conn)}
}

// ask sends a request as it stands; nil if there is no answer.
func (l *line) ask(request string) *http.Response {
	if _, err := io.WriteString(l.conn, request); err != nil {
		return nil
	}
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

func TestT06_AnotherBrowserGetsNothingOfTheOutcome(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	callback := b.authorize("/a")
	require.Equal(t, http.StatusSeeOther, b.step(callback).StatusCode)
	for name, other := range map[string]*browser{"an anonymous one": s.browser(), "one that is logged in": s.loggedIn(bobOpenID)} {
		got := other.step(callback)
		assert.NotEqual(t, "/a", got.Header.Get("Location"), name)
		assert.Empty(t, got.setOf(s.sessionCookie()), name)
	}
}

// A winner is a callback that has the claim and comes to grief.
func TestT06_WhenTheCallbackThatHasTheClaimDiesAnotherFinishesTheLogin(t *testing.T) {
	cases := map[string]struct {
		// kill sends the first callback to its end. The pending login's cookie
		// is still in the browser then.
		kill func(t *testing.T, s *site, st *faultyStore, callback string, b *browser)
		// exchanges of the two callbacks together, and authorize pages after
		// the first: a code that was spent without an answer costs a silent
		// second visit.
		exchanges, restarts int
		dies                bool // never to settle or release its claim
	}{
		"before it exchanged the code": {func(t *testing.T, s *site, _ *faultyStore, callback string, _ *browser) {
			u, err := http.NewRequest(http.MethodGet, callback, nil)
			require.NoError(t, err)
			won, err := s.auth.claims.Join(context.Background(), singleflight.Key(wechattest.DefaultAppID, u.URL.Query().Get("state")))
			require.NoError(t, err)
			require.Nil(t, won.Outcome)
		}, 1, 0, true},
		"because its own session could not be read": {func(t *testing.T, s *site, st *faultyStore, callback string, b *browser) {
			b.setCookie(s.sessionCookie(), s.sessionWith("cart", "book"))
			st.fail("find", failing)
			assert.Equal(t, http.StatusServiceUnavailable, b.step(callback).StatusCode)
			st.fail("find", nil)
		}, 1, 0, false},
		"because its browser went away": {func(t *testing.T, s *site, _ *faultyStore, callback string, b *browser) {
			release := s.sim.Block(exchangeEndpoint)
			noticed := s.noticesWhoGoesAway()
			ctx, goAway := context.WithCancel(context.Background())
			gone := make(chan error, 1)
			go func() {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
				if err == nil {
					r.Header.Set("Cookie", strings.TrimPrefix(cookieHeader(b.client.Jar.Cookies(s.auth.base)...), "Cookie: "))
					_, err = s.server.Client().Transport.RoundTrip(r)
				}
				gone <- err
			}()
			require.NoError(t, s.sim.Await(context.Background(), exchangeEndpoint, 1))
			goAway()
			assert.ErrorIs(t, <-gone, context.Canceled)
			<-noticed
			release()
		}, 1, 0, false},
		"because WeChat's answer was lost": {func(t *testing.T, s *site, _ *faultyStore, callback string, b *browser) {
			s.sim.Fail(exchangeEndpoint, wechattest.Reset().Processed())
			assert.Equal(t, http.StatusBadGateway, b.step(callback).StatusCode)
			s.clock.Advance(failureTTL + time.Second)
		}, 3, 1, false},
		"by a panic in the application's hook": {func(t *testing.T, s *site, _ *faultyStore, callback string, b *browser) {
			s.auth.onLogin = func(context.Context, Identity) error {
				s.auth.onLogin = nil
				panic("the application fails, because the test says so")
			}
			assert.Error(t, b.tryStep(callback))
			s.clock.Advance(failureTTL + time.Second)
		}, 3, 1, false},
		"because its session could not be saved": {func(t *testing.T, s *site, st *faultyStore, callback string, b *browser) {
			st.fail("commit", failing)
			got := b.step(callback)
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotEmpty(t, got.Header.Get("Retry-After"))
			assert.Empty(t, got.setOf(s.sessionCookie()))
			st.fail("commit", nil)
			s.clock.Advance(failureTTL + time.Second)
		}, 3, 1, false},
		"by a panic in the store": {func(t *testing.T, s *site, st *faultyStore, callback string, b *browser) {
			st.fail("commit", func() error { panic("the store fails, because the test says so") })
			assert.Error(t, b.tryStep(callback))
			st.fail("commit", nil)
			s.clock.Advance(failureTTL + time.Second)
		}, 3, 1, false},
		"after the session was saved, before anybody was told": {func(t *testing.T, s *site, st *faultyStore, callback string, b *browser) {
			st.fail("settle", func() error { panic("the store fails, because the test says so") })
			assert.Error(t, b.tryStep(callback))
			st.fail("settle", nil)
		}, 3, 1, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var st *faultyStore
			s := newSite(t, withFaultyStore(&st))
			s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
			var dead atomic.Bool
			waitOut := s.waitOut()
			s.auth.claims.Wait = func(ctx context.Context, d time.Duration) error {
				switch {
				case dead.Load():
					return waitOut(ctx, d) // towards the end of the lease
				case st.fault("commit") != nil:
					return errors.New("the time to save is up")
				}
				return singleflight.Sleep(ctx, time.Millisecond)
			}
			b := s.browser()
			callback := b.authorize("/a")
			c.kill(t, s, st, callback, b)
			dead.Store(c.dies)

			got := b.visit(callback)

			assert.Contains(t, got.body, "url=/a logged-in=true")
			assert.Equal(t, c.exchanges, s.exchanges())
			assert.Equal(t, 1+c.restarts, s.sim.Count(authorizeEndpoint))
		})
	}
}

// waitOut returns a wait that takes no time: the site's clock goes on, and with
// it what is left until the context's deadline.
func (s *site) waitOut() func(ctx context.Context, d time.Duration) error {
	var mu sync.Mutex
	waited := map[context.Context]time.Duration{}
	return func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		waited[ctx] += d
		if end, ok := ctx.Deadline(); ok && time.Until(end) < waited[ctx] {
			return context.DeadlineExceeded
		}
		s.clock.Advance(d)
		return ctx.Err()
	}
}

func TestT06_WhoWaitsForOneThatDiedLivesLongEnoughToTakeOver(t *testing.T) {
	assert.Greater(t, singleflight.JoinTimeout, singleflight.Lease+singleflight.MaxPoll, "who waits sees the end of the lease")
	assert.Greater(t, singleflight.Lease, callbackBudget, "who works is done before his lease is over")
	assert.Greater(t, callbackBudget, saveBudget)

	docs, err := os.ReadFile("docs/proxies.md")
	require.NoError(t, err)
	assert.Contains(t, string(docs), fmt.Sprintf("waits %.0f s at most for its claim, and then has %.0f s", singleflight.JoinTimeout.Seconds(), callbackBudget.Seconds()))
	assert.Contains(t, string(docs), fmt.Sprintf("longer than %.0f s", (singleflight.JoinTimeout+callbackBudget).Seconds()))

	// Each returns the claim's key, and what makes the request that waits.
	cases := map[string]func(s *scanSite) (key string, finish func() (loggedIn bool)){
		"callback": func(s *scanSite) (string, func() bool) {
			b := s.browser()
			callback := b.authorize("/a")
			u, err := url.Parse(callback)
			require.NoError(s.t, err)
			return singleflight.Key(wechattest.DefaultAppID, u.Query().Get("state")), func() bool {
				return strings.Contains(b.visit(callback).body, "url=/a logged-in=true")
			}
		},
		"mini program": func(s *scanSite) (string, func() bool) {
			code := s.sim.JSCode(miniApp, person(0))
			return singleflight.Key(miniApp, "mini "+code), func() bool {
				return s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+code+`"}`).StatusCode == http.StatusOK
			}
		},
		"scan": func(s *scanSite) (string, func() bool) {
			desk, phone := s.desk(), s.phoneOf(person(0))
			path, c := s.show(desk, "/a")
			s.scan(phone, path)
			number := s.confirm(phone, path)
			return singleflight.Key(wechattest.DefaultAppID, "scan "+c.State), func() bool {
				return strings.Contains(desk.enter("/a", number).body, "url=/a logged-in=true")
			}
		},
	}
	for name, begin := range cases {
		t.Run(name, func(t *testing.T) {
			var st *faultyStore
			s := &scanSite{site: newSite(t, withFaultyStore(&st), WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret),
				WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))}
			s.auth.claims.Wait = s.waitOut()
			key, finish := begin(s)
			_, err := s.auth.claims.Join(context.Background(), key) // and dies
			require.NoError(t, err)
			began := s.clock.Now()

			assert.True(t, finish())

			assert.GreaterOrEqual(t, s.clock.Now().Sub(began), singleflight.Lease)
		})
	}
}

// What the wait took is not missing afterwards.
func TestT06_TheTimeToWorkBeginsWhenTheClaimIsWon(t *testing.T) {
	var st *faultyStore
	var waiting, working context.Context
	s := newSite(t, withFaultyStore(&st), WithOnLogin(func(ctx context.Context, _ Identity) error {
		working = ctx
		assert.ErrorIs(t, waiting.Err(), context.Canceled, "the wait is over")
		assert.NoError(t, ctx.Err())
		return nil
	}))
	waitOut := s.waitOut()
	s.auth.claims.Wait = func(ctx context.Context, d time.Duration) error {
		waiting = ctx
		return waitOut(ctx, d)
	}
	b, f := s.browser(), s.pending("/a")
	cookie := s.flowCookie(f)
	b.setCookie(cookie.Name, cookie.Value)
	_, err := s.auth.claims.Join(context.Background(), singleflight.Key(f.AppID, f.State))
	require.NoError(t, err)
	s.grant(1)
	began := time.Now()

	assert.Equal(t, "/a", b.step(callbackOf(f, "code")).Header.Get("Location"))

	require.NotNil(t, working)
	end, ok := working.Deadline()
	require.True(t, ok)
	assert.False(t, end.Before(began.Add(callbackBudget)), "nothing of it is spent")
	assert.False(t, end.After(time.Now().Add(callbackBudget)), "and it is no longer than that")
}

// noticesWhoGoesAway returns what is closed when the server has noticed that
// the client of its next request is gone.
func (s *site) noticesWhoGoesAway() <-chan struct{} {
	noticed := make(chan struct{})
	var first sync.Once
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

func TestT06_WhoWaitsForAWinnerThatNeverComesIsTold(t *testing.T) {
	var st *faultyStore
	s := newSite(t, withFaultyStore(&st))
	s.auth.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
	b := s.browser()
	f := s.pending("/a")
	cookie := s.flowCookie(f)
	b.setCookie(cookie.Name, cookie.Value)
	_, err := s.auth.claims.Join(context.Background(), singleflight.Key(f.AppID, f.State))
	require.NoError(t, err)

	got := b.step(callbackOf(f, "code"))

	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.NotEmpty(t, got.Header.Get("Retry-After"))
	assert.Empty(t, got.Header["Set-Cookie"], "the pending login stays")
	assert.Zero(t, s.exchanges())
	s.clock.Advance(singleflight.Lease + time.Second)
	s.grant(1)
	assert.Equal(t, "/a", b.step(callbackOf(f, "code")).Header.Get("Location"), "a reload after the lease finishes it")
}

// WeChat's answers to an exchange, and how often the browser is sent to it.
func TestT25_EveryErrorOfTheExchangeEndsTheRightWay(t *testing.T) {
	const once, twice = 1, 2
	cases := map[string]struct {
		fault  wechattest.Fault
		status int
		reason Reason
		visits int
		retry  bool // the page offers to try again
	}{
		"40163 code been used":              {wechattest.Errcode(40163), http.StatusBadRequest, ReasonCodeUsed, twice, true},
		"40029 invalid code":                {wechattest.Errcode(40029), http.StatusBadRequest, ReasonCodeExpired, twice, true},
		"41008 missing code":                {wechattest.Errcode(41008), http.StatusBadRequest, ReasonCodeExpired, twice, true},
		"42003 code expired":                {wechattest.Errcode(42003), http.StatusBadRequest, ReasonCodeExpired, twice, true},
		"40013 wrong AppID":                 {wechattest.Errcode(40013), http.StatusInternalServerError, ReasonBadConfig, once, false},
		"40125 wrong AppSecret":             {wechattest.Errcode(40125), http.StatusInternalServerError, ReasonBadConfig, once, false},
		"40001 wrong AppSecret":             {wechattest.Errcode(40001), http.StatusInternalServerError, ReasonBadConfig, once, false},
		"40164 this server's address":       {wechattest.Errcode(40164), http.StatusInternalServerError, ReasonBadConfig, once, false},
		"48001 the account may not do this": {wechattest.Errcode(48001), http.StatusInternalServerError, ReasonBadConfig, once, false},
		"50002 user is blocked":             {wechattest.Errcode(50002), http.StatusForbidden, ReasonUserBlocked, once, false},
		"40226 user is a risk":              {wechattest.Errcode(40226), http.StatusForbidden, ReasonUserBlocked, once, false},
		"45009 quota of the day":            {wechattest.Errcode(45009), http.StatusServiceUnavailable, ReasonRateLimited, once, true},
		"45011 quota of the minute":         {wechattest.Errcode(45011), http.StatusServiceUnavailable, ReasonRateLimited, once, true},
		"-1 busy":                           {wechattest.Busy(), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"an errcode of tomorrow":            {wechattest.Errcode(99999), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"an answer of a proxy":              {wechattest.BadGateway(), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"half an answer":                    {wechattest.Truncated(), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"an empty answer":                   {wechattest.Raw(200, "text/plain", ""), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"null":                              {wechattest.Raw(200, "text/plain", "null"), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"an answer without an openid":       {wechattest.Raw(200, "text/plain", `{"access_token":"x","scope":"snsapi_base"}`), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"an answer with an empty openid":    {wechattest.Raw(200, "text/plain", `{"access_token":"x","openid":"","scope":"snsapi_base"}`), http.StatusBadGateway, ReasonUpstreamError, once, true},
		"no answer":                         {wechattest.Reset(), http.StatusBadGateway, ReasonUpstreamError, once, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.sim.Fail(exchangeEndpoint, c.fault, c.fault, c.fault, c.fault)
			b := s.browser()

			got := b.visit("/a?b=c")

			assert.Equal(t, c.status, got.StatusCode)
			assert.Contains(t, got.body, string(c.reason))
			assert.Equal(t, c.visits, s.sim.Count(authorizeEndpoint), "visits to WeChat")
			assert.Equal(t, c.visits, s.exchanges(), "no code is sent twice")
			assert.Equal(t, c.retry, strings.Contains(got.body, `href="/wechat/login?next=%2Fa%3Fb%3Dc&amp;again=1"`))
			assert.Empty(t, got.setOf(s.sessionCookie()))
			assert.Contains(t, s.logs.String(), "reason="+string(c.reason))
		})
	}
	t.Run("a code that is refused once costs the visitor nothing", func(t *testing.T) {
		s := newSite(t)
		s.sim.Fail(exchangeEndpoint, wechattest.Errcode(40163))
		assert.Contains(t, s.browser().visit("/a?b=c").body, "url=/a?b=c logged-in=true")
		assert.Equal(t, 2, s.sim.Count(authorizeEndpoint))
	})
}

// A request that waits for the exchange of another ends with its client.
func TestT88_RequestsThatWaitForALoginEndWithTheirClients(t *testing.T) {
	const waiters = 60
	s := newSite(t, WithRedis(redistest.Start(t).Pool()))
	arrived := make(chan struct{}, waiters)
	s.auth.claims.Wait = func(ctx context.Context, _ time.Duration) error {
		arrived <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	var serving atomic.Int64
	ended := make(chan struct{}, waiters+1)
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer func() { serving.Add(-1); ended <- struct{}{} }()
		inner.ServeHTTP(w, r)
	})
	b := s.browser()
	callback := b.authorize("/a")
	for len(ended) > 0 {
		<-ended
	}
	release := s.sim.Block(exchangeEndpoint)
	won := make(chan answer, 1)
	go func() { won <- b.step(callback) }()
	require.NoError(t, s.sim.Await(t.Context(), exchangeEndpoint, 1))

	clients, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range waiters {
		all.Go(func() {
			r, err := http.NewRequestWithContext(clients, http.MethodGet, callback, nil)
			if !assert.NoError(t, err) {
				return
			}
			for _, c := range b.client.Jar.Cookies(s.auth.base) {
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
	assert.EqualValues(t, 1, serving.Load(), "only the one that exchanges is left")
	assert.NotContains(t, s.logs.String(), "level=ERROR", "a client that leaves is no failure")
	release()
	assert.Equal(t, "/a", (<-won).Header.Get("Location"))
}
