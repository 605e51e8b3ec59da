package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The bounds of a frozen Redis.
const (
	maxProtected = 1200 * time.Millisecond // 99 of 100 answers of 503
	maxPublic    = 20 * time.Millisecond   // 99 of 100 answers of public pages, but see judge
	onceIn       = 2 * time.Second         // one visitor of a public page may wait, when some have
	maxThaw      = 5 * time.Second         // until the goroutines are as many as before
)

// sample is one request's.
type sample struct {
	kind   kind
	asked  time.Time
	took   time.Duration
	status int
}

// kind is what is asked, and by whom.
type kind int

const (
	protected      kind = iota // behind the wall, with a session
	publicStranger             // a page of LoadWeChat, without a session
	unwalled                   // a page that no wall is around
	anonymous                  // behind the wall, without a session
	publicVisitor              // a page of LoadWeChat, with a session
	kinds
)

// load is a steady stream of requests.
type load struct {
	crowd   *crowd
	members []*visitor
	wg      sync.WaitGroup
	done    chan struct{}

	mu      sync.Mutex
	samples []sample
}

// runFrozen freezes Redis under load. Requests keep coming at the same rate,
// whether those before them have been answered or not.
func runFrozen(h *host, ice time.Duration, rate int) bool {
	redis := redistest.Start(h)
	sim := wechattest.NewServer()
	h.Cleanup(sim.Close)
	app := startApplication(h, setup{RedisURL: redis.URL(), Endpoints: sim.Endpoints()})
	crowd := newCrowd(app.site)
	crowd.street.DisableKeepAlives = true // a connection's goroutine goes with its request
	l := &load{crowd: crowd, done: make(chan struct{})}
	for range 20 {
		v := crowd.visitor()
		if !v.logIn() {
			h.Fatal("nobody gets in")
		}
		l.members = append(l.members, v)
	}
	l.send(rate)

	const warm = 5 * time.Second
	most := 0 // goroutines in a second of ordinary load
	for began := time.Now(); time.Since(began) < warm; wait(50 * time.Millisecond) {
		if n := app.state().Goroutines; time.Since(began) > warm-3*time.Second {
			most = max(most, n)
		}
	}
	froze := time.Now()
	redis.Freeze()
	peak := 0
	for time.Since(froze) < ice {
		peak = max(peak, app.state().Goroutines)
		wait(100 * time.Millisecond)
	}
	thawed := time.Now()
	redis.Thaw()
	back := app.comesBack(most, 2*maxThaw)
	wait(time.Until(thawed.Add(maxThaw)))
	close(l.done)
	l.wg.Wait()
	return l.judge(froze, thawed, rate, most, peak, back)
}

// comesBack measures how long it takes until there are no more goroutines than
// that, while the load goes on.
func (a *application) comesBack(most int, patience time.Duration) time.Duration {
	began := time.Now()
	for a.state().Goroutines > most && time.Since(began) < patience {
		wait(20 * time.Millisecond)
	}
	return time.Since(began)
}

// send begins the stream: six of ten requests are of visitors who are logged in,
// for protected pages.
func (l *load) send(rate int) {
	mix := []kind{protected, publicStranger, protected, unwalled, protected, publicVisitor, protected, anonymous, protected, protected}
	l.wg.Go(func() {
		began := time.Now()
		for n := 0; ; n++ {
			due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
			wait(time.Until(due)) // not at all where the machine is late
			select {
			case <-l.done:
				return
			default:
				l.wg.Go(func() { l.ask(mix[n%len(mix)], l.members[n%len(l.members)]) })
			}
		}
	})
}

func (l *load) ask(k kind, member *visitor) {
	target := map[kind]string{protected: "/orders", publicStranger: "/public", unwalled: "/open", anonymous: "/orders", publicVisitor: "/public"}[k]
	v := member
	if k == publicStranger || k == anonymous {
		v = &visitor{crowd: l.crowd, client: &http.Client{Transport: page{l.crowd.street}, Timeout: 30 * time.Second}}
	}
	s := sample{kind: k, asked: time.Now()}
	got, err := v.ask(http.MethodGet, target, false)
	s.took = time.Since(s.asked)
	if err == nil {
		s.status = got.status
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, s)
}

// judge prints what was measured, and tells whether it is within the bounds.
//
// Visitors of public pages who have a session are looked for in Redis until one
// request has waited there in vain. So those of the first moments wait, and are
// counted and not among the 99 of 100; all later ones are.
func (l *load) judge(froze, thawed time.Time, rate, most, peak int, back time.Duration) bool {
	times := make([][]time.Duration, kinds)
	counted, wrong, after, early := 0, 0, 0, 0
	var public []time.Duration
	for _, s := range l.samples {
		switch {
		case s.asked.Before(froze):
		case s.asked.Before(thawed):
			counted++
			times[s.kind] = append(times[s.kind], s.took)
			switch {
			case s.kind == publicVisitor && s.asked.Before(froze.Add(maxProtected)):
				early++
			case s.kind != protected:
				public = append(public, s.took)
			}
			// Who asks in the last second may still get his page.
			if late := s.asked.After(thawed.Add(-maxProtected)); !s.expected(late) {
				wrong++
			}
		case s.asked.After(thawed.Add(time.Second)) && (s.status == http.StatusServiceUnavailable || !s.expected(true)):
			after++
		}
	}
	waited := longerThan(times[publicVisitor], 500*time.Millisecond)
	mayWait := early + int(thawed.Sub(froze)/onceIn)
	enough := int(0.9 * float64(rate) * thawed.Sub(froze).Seconds())
	fmt.Printf("frozen for %v: %d requests; goroutines %d at most before, %d during\n",
		thawed.Sub(froze).Round(time.Second), counted, most, peak)
	fmt.Printf("public pages for visitors with a session: %d of %d waited for Redis, %d of them may; 99 of 100 took at most %d ms\n",
		waited, len(times[publicVisitor]), mayWait, percentile99(times[publicVisitor]).Milliseconds())
	fmt.Printf("answers that were not to be expected: %d during, %d from a second after\n", wrong, after)
	slow, fast := percentile99(times[protected]), percentile99(public)
	fmt.Printf("frozen: seconds %.0f, requests %d, protected-p99-ms %d, public-p99-ms %.1f, goroutines-back-ms %d, wrong-answers %d, public-waited %d\n",
		thawed.Sub(froze).Seconds(), counted, slow.Milliseconds(), float64(fast.Microseconds())/1000, back.Milliseconds(), wrong+after, waited)
	return counted >= enough && waited <= mayWait && slow <= maxProtected && fast <= maxPublic && back <= maxThaw && wrong+after == 0
}

// expected tells whether an answer is the right one while Redis is frozen, or,
// with late, when it may have come back.
func (s sample) expected(late bool) bool {
	switch s.kind {
	case protected:
		return s.status == http.StatusServiceUnavailable || late && s.status == http.StatusOK
	case anonymous:
		return s.status == http.StatusSeeOther
	}
	return s.status == http.StatusOK
}

func longerThan(times []time.Duration, d time.Duration) (n int) {
	for _, took := range times {
		if took > d {
			n++
		}
	}
	return n
}

func percentile99(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)-1)*99/100]
}
