//go:build failover

package rueidisstore_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
	"github.com/wechatauth/wechatauth/wechattest"
)

// These tests measure, so they have a build tag and a make target of their own:
// real visitors log in at two instances of an application while the Redis
// behind them changes its primary.

// maxOutage is how long no login may be completed when a primary is killed
// behind Sentinels.
const maxOutage = 3 * time.Second

// rush is many logins at two instances, one with a near cache.
type rush struct {
	t         *testing.T
	sim       *wechattest.Server
	instances []*instance
	wg        sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	begun    int
	in       []*http.Client // who is logged in
	refused  int            // answers of 503
	lost     int
	last     time.Time // of a completion
	longest  time.Duration
	measured bool
}

func newRush(t *testing.T, option rueidis.ClientOption) *rush {
	r := &rush{t: t, sim: wechattest.NewServer()}
	t.Cleanup(r.sim.Close)
	r.changed = sync.NewCond(&r.mu)
	for _, opts := range [][]rueidisstore.Option{{rueidisstore.WithTimeout(time.Second)}, {rueidisstore.WithTimeout(time.Second), nearCache()}} {
		in := newInstance(t, r.sim, open(t, option, opts...))
		mux := http.NewServeMux()
		mux.Handle("/wechat/", in.auth)
		mux.Handle("/", in.auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })))
		in.server.Config.Handler = mux
		r.instances = append(r.instances, in)
	}
	return r
}

// logIn is one visitor's login. Whoever is told to come later does, to where he
// is and to the page in turns, and is lost after two minutes.
func (r *rush) logIn(n int) {
	browser := wechattest.Browser(wechattest.IPhone)
	defer browser.CloseIdleConnections()
	home := r.instances[n%2].server.URL + "/"
	target, began := home, time.Now()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for try := 0; ; try++ {
		status, at := r.ask(browser, target)
		switch {
		case status == http.StatusOK:
			r.complete(browser)
			return
		case status != http.StatusServiceUnavailable:
			assert.Failf(r.t, "a login", "%d at %s", status, strings.SplitN(at, "?", 2)[0])
		}
		r.mu.Lock()
		r.refused++
		over := time.Since(began) > 2*time.Minute
		if over {
			r.lost++
			r.changed.Broadcast()
		}
		r.mu.Unlock()
		if over {
			return
		}
		target = home
		if try%2 == 0 {
			target = at
		}
		<-again.C
	}
}

// ask follows all redirects. It returns where they led.
func (r *rush) ask(browser *http.Client, target string) (status int, at string) {
	resp, err := browser.Get(target)
	if !assert.NoError(r.t, err) {
		return http.StatusServiceUnavailable, target
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	assert.NoError(r.t, err)
	return resp.StatusCode, resp.Request.URL.String()
}

func (r *rush) complete(browser *http.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.measured {
		r.longest = max(r.longest, now.Sub(r.last))
	}
	r.last = now
	r.in = append(r.in, browser)
	r.changed.Broadcast()
}

// at50 begins 50 logins a second until the function that it returns is called.
func (r *rush) at50() (stop func()) {
	done := make(chan struct{})
	r.wg.Go(func() {
		ticker := time.NewTicker(time.Second / 50)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-ticker.C:
				r.mu.Lock()
				r.begun++
				r.mu.Unlock()
				r.wg.Go(func() { r.logIn(n) })
			}
		}
	})
	return func() { close(done); r.wg.Wait() }
}

// do has n visitors log in, some at a time.
func (r *rush) do(n int) {
	const atATime = 8
	var lanes sync.WaitGroup
	for lane := range atATime {
		lanes.Go(func() {
			for k := lane; k < n; k += atATime {
				r.logIn(k)
			}
		})
	}
	r.begun += n
	lanes.Wait()
}

// await returns when so many more logins are complete.
func (r *rush) await(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for want := len(r.in) + more; len(r.in) < want && r.lost == 0; {
		r.changed.Wait()
	}
}

// measure begins to look for the longest time without a login complete.
func (r *rush) measure() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measured = true
}

// verify asserts that every session still exists, as seen by the other instance,
// and that no code was spent without a reason.
func (r *rush) verify() {
	exchanges := r.sim.Count("/sns/oauth2/access_token")
	for n, browser := range r.in {
		browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if status, _ := r.ask(browser, r.instances[(n+1)%2].server.URL+"/"); status != http.StatusOK {
			r.lost++
		}
		browser.CloseIdleConnections()
	}
	assert.Zero(r.t, r.lost, "logins lost")
	assert.Equal(r.t, r.begun, len(r.in))
	// A login whose session could not be saved after its code was spent begins
	// again, and each of these was answered with 503.
	assert.GreaterOrEqual(r.t, exchanges, r.begun)
	assert.LessOrEqual(r.t, exchanges, r.begun+r.refused, "codes spent for nothing")
}

// hashed is what a session token is in the store.
func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// session is the browser's session token.
func (r *rush) session(browser *http.Client) string {
	site, err := url.Parse(r.instances[0].server.URL)
	require.NoError(r.t, err)
	for _, c := range browser.Jar.Cookies(site) {
		if c.Name == r.instances[0].auth.Sessions().Cookie.Name {
			return c.Value
		}
	}
	return ""
}

func TestFailoverBehindThreeSentinelsUnder50LoginsASecond(t *testing.T) {
	group := redistest.StartSentinels(t)
	require.Len(t, group.Addrs(), 3)
	group.DownAfter(500 * time.Millisecond)
	config := storetest.BehindSentinels(group)
	config.Timeout = time.Second
	r := newRush(t, optionOf(config))
	stop := r.at50()
	r.await(100)
	r.measure()
	began := time.Now()
	group.KillPrimary()
	killed := time.Now()
	group.AwaitFailover()
	promoted := time.Now()
	r.await(1)
	t.Logf("pause until the replica has everything %v, Sentinels' failover %v, next login %v after that",
		killed.Sub(began).Round(time.Millisecond), promoted.Sub(killed).Round(time.Millisecond), time.Since(promoted).Round(time.Millisecond))
	r.await(200)
	stop()
	r.verify()
	fmt.Printf("sentinel: logins %d, outage-ms %d, lost %d, answers-503 %d\n", r.begun, r.longest.Milliseconds(), r.lost, r.refused)
	assert.LessOrEqual(t, r.longest, maxOutage)
}

func TestFailoverInAClusterWhileSlotsMove(t *testing.T) {
	cluster := redistest.StartCluster(t)
	for _, s := range cluster.Servers() {
		s.Do("CONFIG", "RESETSTAT")
	}
	r := newRush(t, rueidis.ClientOption{InitAddress: cluster.Addrs()[:3]})
	r.do(200)
	var early []*storetest.Login
	for _, browser := range r.in {
		early = append(early, &storetest.Login{Token: hashed(r.session(browser))})
	}
	slots := storetest.SlotsOf(cluster, early)
	require.NotEmpty(t, slots)
	cluster.MoveSlots(slots, func() {
		for n, browser := range r.in[:200] { // they meet slots on their way
			status, _ := r.ask(browser, r.instances[n%2].server.URL+"/")
			assert.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, status)
		}
		r.do(300)
	})
	r.do(100)
	var killed sync.WaitGroup
	killed.Go(func() { r.do(300) })
	cluster.KillPrimary(2)
	cluster.AwaitFailover(2)
	killed.Wait()
	r.do(100)
	r.verify()
	multi := 0
	for name := range storetest.Stats(t, cluster, "commandstats") {
		switch strings.TrimPrefix(name, "cmdstat_") {
		case "multi", "exec", "mget", "mset", "eval", "evalsha":
			multi++
		}
	}
	assert.Zero(t, multi)
	fmt.Printf("cluster: logins %d, slots-moved %d, lost %d, multi-key %d, answers-503 %d\n", r.begun, len(slots), r.lost, multi, r.refused)
}
