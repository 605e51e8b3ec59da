package main

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The limits for a frozen Redis.
const (
	maxProtected = 1200 * time.Millisecond // 99 of 100 responses with status 503
	maxPublic    = 20 * time.Millisecond   // 99 of 100 responses of public pages, but see judge
	onceIn       = 2 * time.Second         // one user of a public page may wait this often, if some have to
	maxThaw      = 5 * time.Second         // until the number of goroutines is as before
)

// A sample is the result of one request.
type sample struct {
	kind   kind
	asked  time.Time
	took   time.Duration
	status int
}

// A kind is a page together with the state of its user.
type kind int

const (
	protected       kind = iota // requires a login, with a session
	publicAnonymous             // a page of LoadWeChat, without a session
	ungated                     // a page without middleware
	anonymous                   // requires a login, without a session
	publicUser                  // a page of LoadWeChat, with a session
	kinds
)

// A load is a steady stream of requests.
type load struct {
	crowd   *crowd
	members []*user
	wg      sync.WaitGroup
	done    chan struct{}

	mu      sync.Mutex
	samples []sample
}

// runFrozen freezes Redis under load. Requests keep coming at the same rate,
// regardless of earlier responses.
func runFrozen(h *host, ice time.Duration, rate int) bool {
	redis := redistest.Start(h)
	sim := wechattest.NewServer()
	h.Cleanup(sim.Close)
	app := startApplication(h, setup{RedisURL: redis.URL(), Endpoints: sim.Endpoints()})
	crowd := newCrowd(app.site)
	crowd.street.DisableKeepAlives = true // a connection's goroutine ends with its request
	l := &load{crowd: crowd, done: make(chan struct{})}
	for range 20 {
		v := crowd.user()
		if !v.logIn() {
			h.Fatal("no user can log in")
		}
		l.members = append(l.members, v)
	}
	h.enter("%d requests a second", rate)
	l.send(rate)

	const warm = 5 * time.Second
	most := 0 // goroutines in a second of ordinary load
	for began := time.Now(); time.Since(began) < warm; wait(50 * time.Millisecond) {
		if n := app.state().Goroutines; time.Since(began) > warm-3*time.Second {
			most = max(most, n)
		}
	}
	froze := time.Now()
	h.enter("Redis is frozen for %v", ice)
	redis.Freeze()
	peak := 0
	for time.Since(froze) < ice {
		peak = max(peak, app.state().Goroutines)
		wait(100 * time.Millisecond)
	}
	thawed := time.Now()
	h.enter("Redis is back")
	redis.Thaw()
	back := app.comesBack(most, 2*maxThaw)
	wait(time.Until(thawed.Add(maxThaw)))
	close(l.done)
	l.wg.Wait()
	return l.judge(h, froze, thawed, rate, most, peak, back)
}

// comesBack measures how long it takes until there are no more than most
// goroutines, under continued load.
func (a *application) comesBack(most int, patience time.Duration) time.Duration {
	began := time.Now()
	for a.state().Goroutines > most && time.Since(began) < patience {
		wait(20 * time.Millisecond)
	}
	return time.Since(began)
}

// send starts the stream: six of ten requests are from logged-in users, for
// protected pages.
func (l *load) send(rate int) {
	mix := []kind{protected, publicAnonymous, protected, ungated, protected, publicUser, protected, anonymous, protected, protected}
	l.wg.Go(func() {
		began := time.Now()
		for n := 0; ; n++ {
			due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
			wait(time.Until(due)) // immediately if the machine is late
			select {
			case <-l.done:
				return
			default:
				l.wg.Go(func() { l.ask(mix[n%len(mix)], l.members[n%len(l.members)]) })
			}
		}
	})
}

func (l *load) ask(k kind, member *user) {
	target := map[kind]string{protected: "/orders", publicAnonymous: "/public", ungated: "/open", anonymous: "/orders", publicUser: "/public"}[k]
	v := member
	if k == publicAnonymous || k == anonymous {
		v = &user{crowd: l.crowd, client: &http.Client{Transport: page{l.crowd.street}, Timeout: 30 * time.Second}}
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

// judge prints the measurements, and reports whether they are within the
// limits.
//
// Users of public pages who have a session are looked up in Redis until one
// request has timed out there. So the requests of the first moments wait. They
// are counted separately and are not among the 99 of 100; all later ones are.
func (l *load) judge(h *host, froze, thawed time.Time, rate, most, peak int, back time.Duration) bool {
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
			case s.kind == publicUser && s.asked.Before(froze.Add(maxProtected)):
				early++
			case s.kind != protected:
				public = append(public, s.took)
			}
			// A request in the last second may still get its page.
			if late := s.asked.After(thawed.Add(-maxProtected)); !s.expected(late) {
				wrong++
			}
		case s.asked.After(thawed.Add(time.Second)) && (s.status == http.StatusServiceUnavailable || !s.expected(true)):
			after++
		}
	}
	waited := longerThan(times[publicUser], 500*time.Millisecond)
	mayWait := early + int(thawed.Sub(froze)/onceIn)
	enough := int(0.9 * float64(rate) * thawed.Sub(froze).Seconds())
	h.printf("frozen for %v: %d requests; goroutines %d at most before, %d during",
		thawed.Sub(froze).Round(time.Second), counted, most, peak)
	h.printf("public pages for users with a session: %d of %d waited for Redis, %d of them may; 99 of 100 took at most %d ms",
		waited, len(times[publicUser]), mayWait, percentile99(times[publicUser]).Milliseconds())
	h.printf("unexpected responses: %d during, %d from a second after", wrong, after)
	slow, fast := percentile99(times[protected]), percentile99(public)
	h.printf("frozen: seconds %.0f, requests %d, protected-p99-ms %d, public-p99-ms %.1f, goroutines-back-ms %d, wrong-responses %d, public-waited %d",
		thawed.Sub(froze).Seconds(), counted, slow.Milliseconds(), float64(fast.Microseconds())/1000, back.Milliseconds(), wrong+after, waited)
	return counted >= enough && waited <= mayWait && slow <= maxProtected && fast <= maxPublic && back <= maxThaw && wrong+after == 0
}

// expected reports whether a response is the right one while Redis is frozen
// or, with late, when it may have resumed.
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
