package stores

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// maxOutage is how long no login may be completed when a primary is killed.
const maxOutage = 3 * time.Second

// maxClusterOutage is the same in a Cluster whose nodes take two seconds to find
// a dead node, and then elect.
const maxClusterOutage = 15 * time.Second

// A rush is many logins at two instances of an application.
type rush struct {
	t         *testing.T
	sim       *wechattest.Server
	instances []*Instance
	wg        sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	begun    int
	in       []*http.Client // the browsers that are logged in
	refused  int            // responses of 503
	lost     int
	last     time.Time // of a completion
	longest  time.Duration
	measured bool
}

func newRush(t *testing.T, stores []Store) *rush {
	r := &rush{t: t, sim: wechattest.NewServer()}
	t.Cleanup(r.sim.Close)
	r.changed = sync.NewCond(&r.mu)
	for _, s := range stores {
		r.instances = append(r.instances, NewInstance(t, r.sim, s))
	}
	return r
}

// logIn is the login of one user. While responses are 503, the browser tries
// again, at that URL and at the page in turns, and is lost after two minutes.
func (r *rush) logIn(n int) {
	browser := wechattest.Browser(wechattest.IPhone)
	defer browser.CloseIdleConnections()
	home := r.instances[n%len(r.instances)].server.URL + "/"
	target, began := home, time.Now()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for try := 0; ; try++ {
		status, at := r.get(browser, target)
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

// get follows all redirects. It returns the status and the last URL.
func (r *rush) get(browser *http.Client, target string) (status int, at string) {
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

// at50 starts 50 logins a second until stop is called.
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

// do logs n users in, some at a time.
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

// measure starts to measure the longest time without a completed login.
func (r *rush) measure() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measured, r.last = true, time.Now()
}

// verify asserts that every session exists, as the other instance sees it, and
// that no code was spent without a reason.
func (r *rush) verify() {
	exchanges := r.sim.Count("/sns/oauth2/access_token")
	for n, browser := range r.in {
		browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if status, _ := r.get(browser, r.instances[(n+1)%len(r.instances)].server.URL+"/"); status != http.StatusOK {
			r.lost++
		}
		browser.CloseIdleConnections()
	}
	assert.Zero(r.t, r.lost, "logins lost")
	assert.Equal(r.t, r.begun, len(r.in))
	// A login whose session could not be saved after its code was spent starts
	// again, and each of these had a response of 503.
	assert.GreaterOrEqual(r.t, exchanges, r.begun)
	assert.LessOrEqual(r.t, exchanges, r.begun+r.refused, "codes spent for nothing")
}

// keyOf returns the key of the browser's session in Redis.
func (r *rush) keyOf(browser *http.Client) string {
	c := r.instances[0].session(browser)
	require.NotNil(r.t, c)
	sum := sha256.Sum256([]byte(c.Value))
	return "scs:session:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// SentinelFailover logs in 50 users a second while the primary is killed.
func SentinelFailover(t *testing.T, group *redistest.Sentinels, stores ...Store) {
	require.Len(t, group.Addrs(), 3)
	r := newRush(t, stores)
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
	fmt.Printf("sentinel: logins %d, outage-ms %d, lost %d, responses-503 %d\n", r.begun, r.longest.Milliseconds(), r.lost, r.refused)
	assert.LessOrEqual(t, r.longest, maxOutage)
}

// ClusterFailover logs users in while slots move, and while a primary is killed.
func ClusterFailover(t *testing.T, cluster *redistest.Cluster, stores ...Store) {
	for _, s := range cluster.Servers() {
		s.Do("CONFIG", "RESETSTAT")
	}
	r := newRush(t, stores)
	r.do(200)
	var keys []string
	for _, browser := range r.in {
		keys = append(keys, r.keyOf(browser))
	}
	slots := cluster.SlotsOf(keys)
	require.NotEmpty(t, slots)
	cluster.MoveSlots(slots, func() {
		for n, browser := range r.in[:200] { // they meet slots on their way
			status, _ := r.get(browser, r.instances[n%len(r.instances)].server.URL+"/")
			assert.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, status)
		}
		r.do(300)
	})
	r.do(100)
	r.measure()
	var killed sync.WaitGroup
	killed.Go(func() { r.do(300) })
	cluster.KillPrimary(2)
	cluster.AwaitFailover(2)
	killed.Wait()
	r.do(100)
	r.verify()
	multi := 0
	for name := range cluster.Stats("commandstats") {
		switch strings.TrimPrefix(name, "cmdstat_") {
		case "multi", "exec", "mget", "mset", "eval", "evalsha":
			multi++
		}
	}
	assert.Zero(t, multi)
	fmt.Printf("cluster: logins %d, slots-moved %d, outage-ms %d, lost %d, multi-key %d, responses-503 %d\n",
		r.begun, len(slots), r.longest.Milliseconds(), r.lost, multi, r.refused)
	assert.LessOrEqual(t, r.longest, maxClusterOutage)
}
