//go:build faults

package faults

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// A phase is the moment at which a fault begins.
type phase int

const (
	startUp        phase = iota // before the gate is created
	anonymousHit                // before a request without a session
	protectedHit                // before a session is loaded
	callbackLoad                // before a callback that has the lease loads the session
	callbackClaim               // before a callback acquires the lease
	afterExchange               // after WeChat has accepted the code
	callbackCommit              // before the session is written
	logout                      // before a session is deleted
	numberOfPhases = 8
)

var phaseNames = [numberOfPhases]string{"start-up", "anonymous", "protected", "load", "claim", "exchanged", "commit", "logout"}

func (p phase) String() string { return phaseNames[p] }

// A does is whether Redis still works for the sessions under test during a
// fault.
type does int

const (
	refuses does = iota // every attempt fails
	works               // the fault is not noticed
	may                 // either
)

// A fault is one row of the matrix. Its cases are variants of it.
type fault struct {
	name  string
	cases []faultCase
}

// A faultCase begins and ends a fault in a world. Its fields say how reads,
// writes and deletions behave in between.
type faultCase struct {
	name    string // empty if there is only one case
	args    []string
	prepare func(w *world)
	begin   func(w *world, key string) // key: the record of the user's session
	end     func(w *world)

	reads, writes, deletes does

	silent  bool // Redis does not respond at all: tests do not wait long for it
	forgets bool // what was saved before the fault is lost after it
	setting bool // only the operator can end it, so a save is not retried
}

// A world is a Redis, and the way to it, that several sites use one after
// another.
type world struct {
	t      *testing.T
	redis  *redistest.Server
	proxy  *faultproxy.Proxy
	dial   atomic.Value // the address of new connections
	silent atomic.Bool
	other  *redistest.Server
	clock  atomic.Int64 // nanoseconds by which the application's clock is off
	undo   func()       // undoes begin
}

const redisUser, redisPassword = "app", "password-for-tests"

var redisUserArgs = []string{"--user", redisUser, "on", ">" + redisPassword, "~*", "+@all"}

func newWorld(t *testing.T, c faultCase) *world {
	w := &world{t: t, redis: redistest.Start(t, append(c.args, redisUserArgs...)...)}
	var err error
	w.proxy, err = faultproxy.Start(w.redis.Addr())
	require.NoError(t, err)
	t.Cleanup(w.proxy.Close)
	w.dial.Store(w.proxy.Addr())
	if c.prepare != nil {
		c.prepare(w)
	}
	return w
}

// own returns a connection for the fault itself, straight to Redis.
func (w *world) own() redis.Conn {
	c, err := redis.Dial("tcp", w.redis.Addr())
	require.NoError(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	return c
}

// haste is the time limit of the tests for a Redis that does not respond.
const haste = 40 * time.Millisecond

// A link is the pool of one site. It counts the connections it provides.
type link struct {
	*redis.Pool
	taken atomic.Int64
}

func (w *world) link(t *testing.T) *link {
	pool, err := store.NewPool("redis://"+redisUser+":"+redisPassword+"@redis.invalid",
		redis.DialContextFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: authtest.Patience}).DialContext(ctx, network, w.dial.Load().(string))
			return hasty{c, w}, err
		}),
		redis.DialWriteTimeout(authtest.Patience), redis.DialReadTimeout(authtest.Patience))
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	return &link{Pool: pool}
}

func (l *link) GetContext(ctx context.Context) (redis.Conn, error) {
	l.taken.Add(1)
	return l.Pool.GetContext(ctx)
}

// A hasty connection has a short timeout while Redis deliberately does not
// respond.
type hasty struct {
	net.Conn
	world *world
}

func (c hasty) SetReadDeadline(t time.Time) error {
	if limit := time.Now().Add(haste); c.world.silent.Load() && t.After(limit) {
		t = limit
	}
	return c.Conn.SetReadDeadline(t)
}

// fill puts idle connections into the pool, which a fault may break.
func (l *link) fill(t *testing.T) {
	conns := make([]redis.Conn, 5)
	for i := range conns {
		conns[i] = l.Pool.Get()
		_, err := conns[i].Do("PING")
		require.NoError(t, err)
	}
	for _, c := range conns {
		c.Close()
	}
}

// A gatedStore blocks at one step of a request until the test continues it.
type gatedStore struct {
	*store.Store
	gate *gate
}

// A gate is armed for one step; the first request to reach it blocks there.
type gate struct {
	armed   atomic.Int32 // phase
	saves   atomic.Int64 // how often a session was saved, or failed to be
	reached chan struct{}
	open    chan struct{}
}

func newGate() *gate {
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	g.armed.Store(-1)
	return g
}

func (g *gate) pass(p phase) {
	if g.armed.CompareAndSwap(int32(p), -1) {
		g.reached <- struct{}{}
		<-g.open
	}
}

func (s gatedStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	s.gate.pass(callbackLoad)
	return s.Store.FindCtx(ctx, token)
}

func (s gatedStore) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	s.gate.pass(callbackClaim)
	return s.Store.PutMarkNX(ctx, key, value, ttl)
}

func (s gatedStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	s.gate.pass(callbackCommit)
	s.gate.saves.Add(1)
	return s.Store.CommitCtx(ctx, token, b, expiry)
}

func (s gatedStore) DoBatch(ctx context.Context, b store.Batch) error {
	s.gate.pass(callbackCommit)
	s.gate.saves.Add(1)
	return s.Store.DoBatch(ctx, b)
}

// A faultSite is a site in a world.
type faultSite struct {
	*authtest.Site
	world *world
	link  *link
	gate  *gate
	pause atomic.Value // func() error: called for a callback's pauses
}

func (w *world) site(t *testing.T, sum *tally) *faultSite {
	sum.made.Add(1)
	s := &faultSite{world: w, link: w.link(t), gate: newGate()}
	now := func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }
	s.Site = authtest.NewSite(t,
		wechatauth.WithClock(now),
		// This is less than any time limit of the gate's, as the default is:
		// only the store's own timeout shows that a server does not respond.
		wechatauth.WithStore(gatedStore{store.New(s.link, store.WithTimeout(authtest.Patience/4), store.WithClock(now)), s.gate}),
		wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { s.gate.pass(afterExchange); return nil }))
	s.pause.Store(func() error { return context.DeadlineExceeded })
	s.Wait = func(context.Context, time.Duration) error { return s.pause.Load().(func() error)() }
	mux := s.Routes().(*http.ServeMux)
	mux.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("open")) })
	mux.Handle("/cart", s.Auth.LoadWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.Auth.Sessions().Put(r.Context(), "cart", "full")
	})))
	// This page requires a login: a page of LoadWeChat would show an empty cart
	// if Redis timed out.
	mux.Handle("/checkout", s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "cart=%s", s.Auth.Sessions().GetString(r.Context(), "cart"))
	})))
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				sum.panics.Add(1)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		mux.ServeHTTP(w, r)
	})
	return s
}

// key returns the key in Redis of the browser's session.
func (s *faultSite) key(b *authtest.Browser) string {
	c := b.Cookie(s.SessionCookie())
	if c == nil {
		return "scs:session:none"
	}
	return s.StoredAt(c.Value)
}

// A tally holds the counts of the matrix. Faults run in parallel.
type tally struct {
	lost, panics, leaks, public, made atomic.Int64 // made: sites

	mu    sync.Mutex
	shown map[string]*[numberOfPhases]string
	ended map[string]*[numberOfPhases]int // how many cases of a cell have finished
}

// TestFaultMatrix begins each fault in each phase of a login, over a real
// redis-server. The last line that it prints counts what went wrong.
func TestFaultMatrix(t *testing.T) {
	sum := &tally{shown: map[string]*[numberOfPhases]string{}, ended: map[string]*[numberOfPhases]int{}}
	faults := faultTable()
	before := sum.goroutines()
	t.Run("with", func(t *testing.T) {
		for _, f := range faults {
			sum.shown[f.name] = &[numberOfPhases]string{}
			sum.ended[f.name] = &[numberOfPhases]int{}
			for _, c := range f.cases {
				t.Run(strings.TrimSpace(f.name+" "+c.name), func(t *testing.T) {
					t.Parallel()
					runFault(t, sum, f, c)
				})
			}
		}
	})
	if left := sum.settle(before) - before; left > 0 {
		sum.leaks.Add(int64(left))
		t.Errorf("%d goroutines more than before:\n%s", left, stacks())
	}
	fmt.Print(sum.matrix(faults))
	fmt.Printf("faults: cells %d, lost-logins %d, panics %d, leaks %d, public-failures %d\n",
		sum.cells(faults), sum.lost.Load(), sum.panics.Load(), sum.leaks.Load(), sum.public.Load())
	assert.Zero(t, sum.lost.Load()+sum.panics.Load()+sum.leaks.Load()+sum.public.Load())
}

func (s *tally) matrix(faults []fault) string {
	var text strings.Builder
	tw := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "fault\t%s\n", strings.Join(phaseNames[:], "\t"))
	for _, f := range faults {
		fmt.Fprintf(tw, "%s\t%s\n", f.name, strings.Join(s.shown[f.name][:], "\t"))
	}
	_ = tw.Flush()
	return text.String()
}

// show records what happened in a cell, once for each kind of event.
func (s *tally) show(f fault, p phase, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cell := &s.shown[f.name][p]
	switch {
	case *cell == "":
		*cell = what
	case !strings.Contains(*cell, what):
		*cell += "/" + what
	}
}

// cells returns the number of cells of which every case has finished.
func (s *tally) cells(faults []fault) (n int) {
	for _, f := range faults {
		for _, ended := range s.ended[f.name] {
			if ended == len(f.cases) {
				n++
			}
		}
	}
	return n
}

// end records that one case of a cell has finished.
func (s *tally) end(f fault, p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[f.name][p]++
}

// goroutines returns the number of goroutines, without the cleaner that each
// scs.New starts and that cannot be stopped.
func (s *tally) goroutines() int { return runtime.NumGoroutine() - int(s.made.Load()) }

// settle waits for goroutines that are ending, and returns how many remain.
func (s *tally) settle(want int) int {
	for deadline := time.Now().Add(authtest.Patience); ; runtime.Gosched() {
		if n := s.goroutines(); n <= want || time.Now().After(deadline) {
			return n
		}
	}
}

func stacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// runFault begins one fault in each phase.
func runFault(t *testing.T, sum *tally, f fault, c faultCase) {
	w := newWorld(t, c)
	for p := range phase(numberOfPhases) {
		t.Run(p.String(), func(t *testing.T) {
			w.t = t
			w.clock.Store(0)
			cell := &cell{t: t, world: w, sum: sum, fault: f, faultCase: c, phase: p}
			cell.run()
		})
	}
}

// A cell is one fault in one phase.
type cell struct {
	t     *testing.T
	world *world
	sum   *tally
	fault fault
	faultCase
	phase phase
}

func (c *cell) show(what string) { c.sum.show(c.fault, c.phase, what) }

func (c *cell) run() {
	switch c.phase {
	case startUp:
		c.runStartUp()
	case anonymousHit:
		c.runAnonymousHit()
	case protectedHit:
		c.runProtectedHit()
	case logout:
		c.runLogout()
	default:
		for _, w := range waysOn {
			c.runCallback(w, false)
		}
		if c.phase >= afterExchange {
			c.runCallback(waysOn[0], true)
		}
	}
	c.sum.end(c.fault, c.phase)
}

// beginFault begins the fault, endFault ends it.
func (c *cell) beginFault(s *faultSite, b *authtest.Browser) {
	c.world.silent.Store(c.silent)
	c.begin(c.world, s.key(b))
}

func (c *cell) endFault() {
	if c.end != nil {
		c.end(c.world)
	}
	c.world.silent.Store(false)
}

// site starts a site, with a browser that is logged in to it.
func (c *cell) site() (*faultSite, *authtest.Browser) {
	s := c.world.site(c.t, c.sum)
	b := s.Browser()
	require.Contains(c.t, b.Visit("/a").Text, "logged-in=true")
	return s, b
}

// close ends a site and fails the test if a connection is still in use.
func (c *cell) close(s *faultSite) {
	if active, idle := s.link.ActiveCount(), s.link.IdleCount(); active != idle {
		c.sum.leaks.Add(1)
		c.t.Errorf("%d connections, %d of them idle, after the last request", active, idle)
	}
	s.link.Close()
	for deadline := time.Now().Add(authtest.Patience); c.world.proxy.Links() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			c.sum.leaks.Add(1)
			c.t.Errorf("%d connections are open after their pool was closed", c.world.proxy.Links())
			return
		}
	}
}

// public checks what must work during any fault.
func (c *cell) public(s *faultSite, member *authtest.Browser) {
	fine := func(name string, ok bool, got authtest.Response) {
		if !ok {
			c.sum.public.Add(1)
			c.t.Errorf("%s: %d %s", name, got.StatusCode, authtest.ReasonOf(got))
		}
	}
	stranger := s.Browser()
	asked := s.link.taken.Load()
	got := stranger.Step("/open")
	fine("an ungated route", got.StatusCode == 200 && got.Text == "open", got)
	got = stranger.Step("/public")
	fine("a public route", got.StatusCode == 200 && strings.Contains(got.Text, "logged-in=false"), got)
	got = stranger.Step("/orders?id=7")
	fine("an anonymous page visit", got.StatusCode == 303 && strings.HasPrefix(got.Header.Get("Location"), s.Sim.URL), got)
	got = stranger.Fetch(http.MethodGet, "/orders")
	fine("an anonymous script", got.StatusCode == 401, got)
	assert.Equal(c.t, asked, s.link.taken.Load(), "requests without a session cost Redis nothing")
	got = member.Step("/open")
	fine("an ungated route, with a session", got.StatusCode == 200, got)
	got = member.Step("/public")
	fine("a public route, with a session", got.StatusCode == 200, got)
}

// in reports whether a page shows that its user is logged in. Otherwise it
// counts a lost login.
func (c *cell) in(got authtest.Response, target, how string) {
	c.t.Helper()
	if !strings.Contains(got.Text, "url="+target+" logged-in=true") {
		c.sum.lost.Add(1)
		c.t.Errorf("%s: not logged in: %d %s", how, got.StatusCode, authtest.ReasonOf(got))
	}
}

// unavailable reports whether the response is the 503 that asks to retry and
// changes nothing.
func (c *cell) unavailable(got authtest.Response) bool {
	c.t.Helper()
	return assert.Equal(c.t, http.StatusServiceUnavailable, got.StatusCode, authtest.ReasonOf(got)) &&
		assert.NotEmpty(c.t, got.Header.Get("Retry-After")) &&
		assert.Empty(c.t, got.Header.Get("Location"))
}

// protected requests a protected page during the fault.
func (c *cell) protected(s *faultSite, member *authtest.Browser, target string) {
	had := member.Cookie(s.SessionCookie())
	got := member.Step(target)
	switch {
	case got.StatusCode == http.StatusOK && c.reads != refuses:
		assert.Contains(c.t, got.Text, "logged-in=true")
		c.show("200")
		return
	case c.forgets && c.reads == works:
		assert.Equal(c.t, http.StatusSeeOther, got.StatusCode, "the session is gone, and a login starts")
		c.show("303")
		return
	}
	if c.reads == works {
		c.t.Errorf("the fault is noticed: %d", got.StatusCode)
	}
	c.unavailable(got)
	assert.Equal(c.t, had.Value, member.Cookie(s.SessionCookie()).Value, "no user is logged out")
	c.show("503")
}

// after checks that a user who was logged in before the fault still is after
// it, or logs in with one visit if Redis lost the session.
func (c *cell) after(s *faultSite, member *authtest.Browser, target string) {
	exchanges := s.Exchanges()
	got := member.Visit(target)
	c.in(got, target, "after the fault")
	if !c.forgets {
		assert.Equal(c.t, exchanges, s.Exchanges(), "the session was kept")
	}
}

func (c *cell) runStartUp() {
	old, member := c.site()
	c.beginFault(old, member)
	s := c.world.site(c.t, c.sum)
	b := s.Browser()
	b.SetCookie(s.SessionCookie(), member.Cookie(old.SessionCookie()).Value)
	c.protected(s, b, "/orders")
	c.public(s, b)
	c.endFault()
	c.after(s, b, "/orders")
	c.in(s.Browser().Visit("/new"), "/new", "a new user")
	old.link.Close()
	c.close(s)
}

func (c *cell) runAnonymousHit() {
	s, member := c.site()
	s.link.fill(c.t)
	c.beginFault(s, member)
	b := s.Browser()
	toWeChat := b.Step("/orders?id=7")
	c.public(s, member)
	c.endFault()
	c.show(strconv.Itoa(toWeChat.StatusCode))
	c.in(b.Visit(toWeChat.Header.Get("Location")), "/orders?id=7", "back from WeChat")
	assert.Equal(c.t, 2, s.Exchanges())
	c.close(s)
}

func (c *cell) runProtectedHit() {
	s, member := c.site()
	s.link.fill(c.t)
	c.beginFault(s, member)
	c.protected(s, member, "/orders")
	c.public(s, member)
	c.endFault()
	c.after(s, member, "/orders")
	c.close(s)
}

// waysOn has what a user does after a 503.
var waysOn = []struct {
	name string
	do   func(b *authtest.Browser, callback string) authtest.Response
}{
	{"reload", func(b *authtest.Browser, callback string) authtest.Response { return b.Visit(callback) }},
	{"visit", func(b *authtest.Browser, _ string) authtest.Response { return b.Visit("/orders") }},
	{"retry", func(b *authtest.Browser, _ string) authtest.Response {
		return b.Visit("/wechat/login?next=%2Forders&again=1")
	}},
}

// lapse advances the clock by ten seconds, for the leases of callbacks whose
// Redis failed.
func (w *world) lapse() {
	keys, err := redis.Strings(w.redis.Do("KEYS", "wechat:mark:*"), nil)
	require.NoError(w.t, err)
	for _, key := range keys {
		w.redis.Do("DEL", key)
	}
}

// runCallback begins the fault inside a callback. After the fault, the login
// must be completed: by the callback itself, if that is soon, or by the user's
// next step. If the user is not logged in then, it is lost. A fault that only
// the operator can end makes the callback fail after one attempt to save, even
// if it ends soon.
func (c *cell) runCallback(way struct {
	name string
	do   func(b *authtest.Browser, callback string) authtest.Response
}, soon bool) {
	s, member := c.site()
	b := s.Browser()
	b.Step("/cart")
	anonymous := b.Cookie(s.SessionCookie())
	require.NotNil(c.t, anonymous)
	callback := b.Authorize("/orders")
	spent := s.Exchanges()
	ended := false
	end := func() {
		if !ended {
			ended = true
			c.endFault()
		}
	}
	if soon {
		s.pause.Store(func() error { end(); return nil })
	}
	s.link.fill(c.t)

	saved := s.gate.saves.Load()
	s.gate.armed.Store(int32(c.phase))
	done := make(chan authtest.Response, 1)
	go func() { done <- b.Step(callback) }()
	<-s.gate.reached
	c.beginFault(s, b)
	s.gate.open <- struct{}{}
	got := <-done

	finished, retried := got.StatusCode == http.StatusSeeOther, soon && !c.setting
	switch {
	case finished && (retried || c.writes != refuses):
		c.show("ok")
	case finished, retried, c.writes == works && c.reads == works:
		c.t.Errorf("the fault was not to be noticed: %d %s", got.StatusCode, authtest.ReasonOf(got))
	}
	if c.setting && c.phase >= afterExchange {
		assert.EqualValues(c.t, 1, s.gate.saves.Load()-saved, "attempts to save the session")
	}
	first := s.Exchanges() - spent
	if !finished {
		c.unavailable(got)
		assert.Equal(c.t, anonymous.Value, b.Cookie(s.SessionCookie()).Value, "the anonymous session is kept")
		c.show("503+" + way.name)
	}
	if c.phase == callbackClaim && c.writes == refuses || c.phase == callbackLoad && c.reads == refuses {
		assert.Zero(c.t, first, "no code is used if the login cannot be saved")
	}
	if !soon {
		c.public(s, member)
	}
	end()

	want := 1 // one code, exchanged once, and for this login
	if finished {
		got = b.Visit("/orders")
	} else {
		c.world.lapse()
		got = way.do(b, callback)
		// A code used for nothing costs a second one, which WeChat issues
		// silently; a reload finds out by exchanging the first one again.
		if first == 1 && way.name == "reload" {
			want++
		}
		want += first
	}
	c.in(got, "/orders", way.name)
	assert.Equal(c.t, want, s.Exchanges()-spent)
	if !c.forgets {
		assert.Equal(c.t, "cart=full", b.Visit("/checkout").Text, "the session's values are kept")
	}
	c.close(s)
}

// runLogout checks that the response is "logged out" only after the session is
// deleted.
func (c *cell) runLogout() {
	s, member := c.site()
	s.link.fill(c.t)
	thief := s.Browser()
	thief.SetCookie(s.SessionCookie(), member.Cookie(s.SessionCookie()).Value)
	submit := func() authtest.Response { return member.Post("/wechat/logout", url.Values{"next": {"/open"}}) }
	alive := func() bool {
		got := thief.Fetch(http.MethodGet, "/a")
		require.Contains(c.t, []int{http.StatusOK, http.StatusUnauthorized}, got.StatusCode)
		return got.StatusCode == http.StatusOK
	}

	c.beginFault(s, member)
	got := submit()
	done := got.StatusCode == http.StatusOK
	if done {
		assert.Nil(c.t, member.Cookie(s.SessionCookie()))
		c.show("out")
	} else {
		c.unavailable(got)
		require.NotNil(c.t, member.Cookie(s.SessionCookie()), "the response does not claim a logout")
		c.show("503")
	}
	switch c.deletes {
	case works:
		assert.True(c.t, done, "the fault is noticed")
	case refuses:
		assert.False(c.t, done, "the response claims a logout")
	}
	c.public(s, member)
	c.endFault()

	if done {
		assert.False(c.t, alive(), "the response claimed a logout")
	}
	assert.Equal(c.t, http.StatusOK, submit().StatusCode)
	assert.False(c.t, alive())
	c.close(s)
}

// direct makes pool connections go straight to Redis, so that they get the
// kernel's error for a port without a listener.
func direct(w *world) { w.dial.Store(w.redis.Addr()) }

// command returns a step of a fault that is one command of Redis.
func command(name string, args ...any) func(*world, string) {
	return func(w *world, _ string) { w.redis.Do(name, args...) }
}

// only adapts a step that does not need the key.
func only(f func(*world)) func(*world, string) { return func(w *world, _ string) { f(w) } }

func end(name string, args ...any) func(*world) {
	return func(w *world) { w.redis.Do(name, args...) }
}

// undone undoes begin.
func undone(w *world) { w.undo() }

func pass(w *world) { w.proxy.Pass() }

// lead breaks every connection and directs new ones to target.
func (w *world) lead(target string) {
	w.proxy.Retarget(target)
	w.proxy.Reset()
	w.proxy.Pass()
}

// keepsData makes Redis write every acknowledged command to a file that
// outlives the process. Under Redis's default policy, everysec, a reply may
// precede that while the disk is busy, and a kill then loses the write: that is
// a different fault.
var keepsData = []string{"--appendonly", "yes", "--appendfsync", "no"}

// faultTable returns the 26 faults. A failover of Sentinel consists of two
// servers and an address that moves, as Sentinel would move it; the
// redirections of a cluster come from one or two nodes whose slots are
// reassigned.
func faultTable() []fault {
	one := func(name string, c faultCase) fault { return fault{name, []faultCase{c}} }
	return []fault{
		one("refused", faultCase{args: keepsData, prepare: direct,
			begin: only(func(w *world) { w.redis.Stop() }), end: func(w *world) { w.redis.Restart() }}),
		one("killed, back empty", faultCase{prepare: direct, forgets: true,
			begin: only(func(w *world) { w.redis.Stop() }), end: func(w *world) { w.redis.Restart() }}),
		one("killed, back with data", faultCase{args: keepsData,
			prepare: direct, reads: works, writes: works, deletes: works, begin: restartWithData}),
		one("frozen", faultCase{silent: true,
			begin: only(func(w *world) { w.redis.Freeze() }), end: func(w *world) { w.redis.Thaw() }}),
		{"slow", []faultCase{
			{name: "within the deadline", reads: works, writes: works, deletes: works,
				begin: only(func(w *world) { w.proxy.Delay(2 * time.Millisecond) }), end: pass},
			{name: "beyond the deadline", silent: true,
				begin: only(func(w *world) { w.proxy.Delay(authtest.Patience) }), end: pass},
		}},
		one("busy script", faultCase{args: []string{"--lua-time-limit", "1"}, begin: only(runEndlessScript), end: undone}),
		one("loading", faultCase{
			args: []string{"--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024",
				"--rdbcompression", "no", "--key-load-delay", "2000"}, // microseconds per key
			prepare: func(w *world) { w.redis.Do("DEBUG", "POPULATE", 3000, "key", 1000) },
			begin:   only(loadSlowly), end: undone}),
		one("out of memory", faultCase{reads: works, deletes: works,
			begin: command("CONFIG", "SET", "maxmemory", "1"), end: end("CONFIG", "SET", "maxmemory", "0")}),
		one("eviction", faultCase{reads: works, writes: works, deletes: works, forgets: true,
			prepare: func(w *world) { w.redis.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru") }, begin: evict}),
		one("demoted", faultCase{reads: works,
			begin: command("REPLICAOF", "127.0.0.1", "1"), end: end("REPLICAOF", "NO", "ONE")}),
		one("failover", faultCase{prepare: func(w *world) { w.other = w.second(); w.follow() },
			begin: only(loseThePrimary), end: promoteTheReplica}),
		one("moved", faultCase{setting: true, args: clusterNode, prepare: joinCluster,
			begin: only(func(w *world) { w.lead(w.other.Addr()) }),
			end:   func(w *world) { w.lead(w.redis.Addr()) }}),
		one("migrating", faultCase{setting: true, args: clusterNode, prepare: joinCluster, reads: works, deletes: works,
			begin: only(func(w *world) { w.slots("MIGRATING", w.nodeID(w.other)) }),
			end:   func(w *world) { w.slots("STABLE") }}),
		one("cluster down", faultCase{args: clusterNode, prepare: formCluster,
			begin: command("CLUSTER", "DELSLOTSRANGE", 0, 8191), end: func(w *world) {
				w.redis.Do("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
				w.awaitCluster()
			}}),
		{"connections killed", []faultCase{
			{name: "once", reads: works, writes: works, deletes: works,
				begin: command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")},
			{name: "all the time", reads: may, writes: may, deletes: may, begin: only(killClients), end: undone},
			{name: "by RST", begin: only(func(w *world) { w.proxy.Reset() }), end: pass},
		}},
		{"reply cut", cuts()},
		{"silence", []faultCase{
			{name: "on all connections", silent: true,
				begin: only(func(w *world) { w.proxy.Blackhole() }), end: pass},
			{name: "on those that were open", silent: true, reads: may, writes: may, deletes: may,
				begin: only(func(w *world) { w.proxy.HalfOpen() })},
		}},
		one("too many clients", faultCase{begin: only(occupy), end: undone}),
		one("password changed", faultCase{setting: true,
			begin: only(func(w *world) {
				w.redis.Do("ACL", "SETUSER", redisUser, "resetpass", ">another-password-for-tests")
				w.redis.Do("CLIENT", "KILL", "USER", redisUser)
			}),
			end: end("ACL", "SETUSER", redisUser, "resetpass", ">"+redisPassword)}),
		one("command denied", faultCase{setting: true, reads: works,
			begin: command("ACL", "SETUSER", redisUser, "-set", "-del"),
			end:   end("ACL", "SETUSER", redisUser, "+set", "+del")}),
		one("no replicas", faultCase{reads: works,
			begin: command("CONFIG", "SET", "min-replicas-to-write", "1"),
			end:   end("CONFIG", "SET", "min-replicas-to-write", "0")}),
		one("snapshot error", faultCase{args: []string{"--save", "3600 1"}, prepare: failSnapshot, reads: works,
			begin: command("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"),
			end:   end("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")}),
		one("key of another type", faultCase{reads: works, writes: works, deletes: works, forgets: true,
			begin: func(w *world, key string) {
				w.redis.Do("DEL", key)
				w.redis.Do("LPUSH", key, "x")
			}}),
		{"record damaged", []faultCase{
			{name: "overwritten", reads: works, writes: works, deletes: works, forgets: true,
				begin: func(w *world, key string) { w.redis.Do("SETRANGE", key, 3, "\xff\x00\xff\x7f\xff") }},
			{name: "grown", reads: works, writes: works, deletes: works, forgets: true,
				begin: func(w *world, key string) { w.redis.Do("SET", key, make([]byte, 2<<20), "KEEPTTL") }},
		}},
		one("another service", faultCase{setting: true,
			begin: only(func(w *world) {
				web := httptest.NewServer(http.NotFoundHandler())
				w.lead(web.Listener.Addr().String())
				w.undo = func() { w.lead(w.redis.Addr()); web.Close() }
			}),
			end: undone}),
		{"emptied, moved, clock", []faultCase{
			{name: "FLUSHALL", reads: works, writes: works, deletes: works, forgets: true, begin: command("FLUSHALL")},
			{name: "name leads elsewhere", reads: works, writes: works, deletes: works, forgets: true,
				prepare: func(w *world) { w.other = w.second() },
				begin: only(func(w *world) {
					w.redis, w.other = w.other, w.redis
					w.redis.Do("FLUSHALL")
					w.lead(w.redis.Addr())
				})},
			{name: "clock an hour ahead", reads: works, writes: works, deletes: works,
				begin: only(func(w *world) { w.clock.Store(int64(time.Hour)) })},
			{name: "clock an hour back", reads: works, writes: works, deletes: works,
				begin: only(func(w *world) { w.clock.Store(-int64(time.Hour)) })},
		}},
	}
}

// cuts ends each connection after a number of bytes: within the reply to AUTH,
// which has five, and within those to later commands.
func cuts() []faultCase {
	var all []faultCase
	for _, n := range []int{0, 3, 5, 8, 13, 40} {
		c := faultCase{name: fmt.Sprintf("after %d bytes", n), reads: may, writes: may, deletes: may,
			begin: only(func(w *world) { w.proxy.Cut(n) }), end: pass}
		if n < 4 { // the shortest reply, ":1", has four
			c.reads, c.writes, c.deletes = refuses, refuses, refuses
		}
		all = append(all, c)
	}
	return append(all, faultCase{name: "once", reads: works, writes: works, deletes: works,
		begin: only(func(w *world) { w.proxy.CutOnce(0) }), end: pass})
}

// await polls until the reply of Redis is the expected one.
func (w *world) await(ok func(reply string, err error) bool, name string, args ...any) {
	for {
		c := w.own()
		reply, err := redis.String(c.Do(name, args...))
		c.Close()
		if ok(reply, err) {
			return
		}
		runtime.Gosched()
	}
}

func says(text string) func(string, error) bool {
	return func(reply string, err error) bool {
		return strings.Contains(reply, text) || err != nil && strings.Contains(err.Error(), text)
	}
}

// restartWithData kills Redis and starts it again. If it has lost data, the
// test itself is broken.
func restartWithData(w *world, key string) {
	had := w.redis.Do("EXISTS", key)
	w.redis.Restart()
	assert.Equal(w.t, had, w.redis.Do("EXISTS", key), "Redis did not keep what it had acknowledged")
}

func runEndlessScript(w *world) {
	script := w.own()
	require.NoError(w.t, script.Send("EVAL", "while true do end", 0))
	require.NoError(w.t, script.Flush())
	w.await(says("BUSY"), "PING")
	w.undo = func() {
		w.redis.Do("SCRIPT", "KILL")
		_, err := script.Receive()
		require.Error(w.t, err)
		script.Close()
	}
}

func loadSlowly(w *world) {
	w.redis.Do("SAVE")
	up := make(chan struct{})
	go func() { w.redis.Restart(); close(up) }()
	for {
		c, err := redis.Dial("tcp", w.redis.Addr())
		if err != nil {
			continue // not listening yet
		}
		_, err = c.Do("GET", "key:0")
		c.Close()
		if err != nil && strings.HasPrefix(err.Error(), "LOADING") {
			break
		}
	}
	w.undo = func() {
		w.redis.Do("CONFIG", "SET", "key-load-delay", "0")
		<-up
	}
}

// evict fills the memory until the session is evicted.
func evict(w *world, key string) {
	c := w.own()
	defer c.Close()
	info, err := redis.String(c.Do("INFO", "memory"))
	require.NoError(w.t, err)
	_, info, _ = strings.Cut(info, "used_memory:")
	info, _, _ = strings.Cut(info, "\r")
	used, err := strconv.Atoi(info)
	require.NoError(w.t, err)
	w.redis.Do("CONFIG", "SET", "maxmemory", used+64<<10)
	for n, there := 0, int64(1); there == 1; n++ {
		_, err := c.Do("SET", "filling:"+strconv.Itoa(n), make([]byte, 4<<10))
		require.NoError(w.t, err)
		there, err = redis.Int64(c.Do("EXISTS", key))
		require.NoError(w.t, err)
	}
	w.redis.Do("CONFIG", "SET", "maxmemory", 0)
}

// second starts another server with the same options.
func (w *world) second(args ...string) *redistest.Server {
	return redistest.Start(w.t, append(args, redisUserArgs...)...)
}

// follow makes the other server a replica of the first, and waits until it is
// in sync.
func (w *world) follow() {
	w.redis.Do("CONFIG", "SET", "repl-diskless-sync-delay", "0")
	w.other.Do("REPLICAOF", "127.0.0.1", w.redis.Port())
	for !strings.Contains(string(w.other.Do("INFO", "replication").([]byte)), "master_link_status:up") {
		runtime.Gosched()
	}
}

// loseThePrimary kills the primary when its replica has everything that was
// written.
func loseThePrimary(w *world) {
	c := w.own()
	_, err := c.Do("SET", "synced", "yes")
	require.NoError(w.t, err)
	n, err := redis.Int(c.Do("WAIT", 1, 0))
	require.NoError(w.t, err)
	require.Equal(w.t, 1, n)
	c.Close()
	w.redis.Stop()
}

func promoteTheReplica(w *world) {
	w.redis, w.other = w.other, w.redis
	w.redis.Do("REPLICAOF", "NO", "ONE")
	w.proxy.Retarget(w.redis.Addr())
	w.other.Restart()
	w.follow()
}

var clusterNode = []string{"--cluster-enabled", "yes"}

// formCluster makes the server a cluster of one.
func formCluster(w *world) {
	w.redis.Do("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	w.awaitCluster()
}

func (w *world) awaitCluster() { w.await(says("cluster_state:ok"), "CLUSTER", "INFO") }

// joinCluster makes the server a cluster with a second node, which serves no
// slots yet.
func joinCluster(w *world) {
	w.other = w.second(clusterNode...)
	w.redis.Do("CLUSTER", "MEET", "127.0.0.1", w.other.Port())
	w.await(func(reply string, _ error) bool {
		return strings.Contains(reply, w.nodeID(w.other)) && !strings.Contains(reply, "handshake")
	}, "CLUSTER", "NODES")
	formCluster(w)
}

func (w *world) nodeID(s *redistest.Server) string { return string(s.Do("CLUSTER", "MYID").([]byte)) }

// slots sends CLUSTER SETSLOT with this state for every slot, in one batch.
func (w *world) slots(state ...any) {
	const all = "for slot = 0, 16383 do redis.call('CLUSTER', 'SETSLOT', slot, unpack(ARGV)) end"
	w.redis.Do("EVAL", append([]any{all, 0}, state...)...)
}

// killClients closes every connection but its own, repeatedly.
func killClients(w *world) {
	c := w.own()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := c.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); err != nil {
					return
				}
			}
		}
	}()
	w.undo = func() { close(stop); <-stopped; c.Close() }
}

// occupy leaves room for no client but one that is connected.
func occupy(w *world) {
	c := w.own()
	_, err := c.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	require.NoError(w.t, err)
	_, err = c.Do("CONFIG", "SET", "maxclients", 1)
	require.NoError(w.t, err)
	w.undo = func() {
		_, err := c.Do("CONFIG", "SET", "maxclients", 1000)
		require.NoError(w.t, err)
		c.Close()
	}
}

// failSnapshot removes the server's folder and lets it try to write there.
func failSnapshot(w *world) {
	dir, err := redis.StringMap(w.redis.Do("CONFIG", "GET", "dir"), nil)
	require.NoError(w.t, err)
	require.NoError(w.t, os.RemoveAll(dir["dir"]))
	w.redis.Do("SET", "k", "v")
	w.redis.Do("BGSAVE")
	w.await(says("rdb_last_bgsave_status:err"), "INFO", "persistence")
	w.redis.Do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
}
