package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/wechattest"
)

// A plan describes a soak.
type plan struct {
	mixed, pause time.Duration
	users        int
	strangers    int
}

// maxGrowth is how much more resident memory the application may have at the
// end than after the warm-up.
const maxGrowth = 5 << 20

func runSoak(h *host, p plan) bool {
	g := newGround(h)
	sim := wechattest.NewServer()
	h.Cleanup(sim.Close)
	app := startApplication(h, setup{RedisURL: "redis://" + g.proxy.Addr(), Endpoints: sim.Endpoints(), Idle: time.Hour})
	crowd := newCrowd(app.site)
	crowd.come(p.users)
	crowd.flood()

	// First, all faults once: what they make the application retain does not
	// count as growth.
	faults := g.faults()
	warmUp := min(p.mixed/5, time.Duration(len(faults))*p.pause)
	began := time.Now()
	next := h.trouble(fmt.Sprintf("warm-up until %v", warmUp), faults, 0, began.Add(warmUp), p.pause)
	h.enter("memory is measured")
	before := atRest(app, crowd)
	h.printf("after the warm-up of %v: %d goroutines, %.1f MB resident",
		time.Since(began).Round(time.Second), before.Goroutines, megabytes(before.Resident))
	h.trouble(fmt.Sprintf("users until %v", p.mixed), faults, next, began.Add(p.mixed), p.pause)
	h.enter("memory is measured")
	after := atRest(app, crowd)
	minutes := time.Since(began).Minutes()
	h.enter("users finish")
	crowd.leave()
	c := crowd.counts
	during := c.strangers
	h.enter("a flood of %d strangers", p.strangers)
	keys := flushAndFlood(g, crowd, p.strangers)
	flooded := c.strangers - during
	for _, note := range c.notes {
		h.printf("%s", note)
	}
	grown := after.Resident - before.Resident
	h.printf("at the end: %d goroutines, %.1f MB resident; %d visits, %d responses with 503, %d with other errors, %d to strangers",
		after.Goroutines, megabytes(after.Resident), c.visits, c.refused, c.odd, c.strangers)
	h.printf("values lost: %d, sessions that outlived their logout: %d, wrong responses to strangers and of public pages: %d, responses to strangers in the flood: %d of %d",
		c.lostValues, c.revived, c.wrong, flooded, p.strangers)
	goroutines := after.Goroutines - before.Goroutines
	h.printf("soak: minutes %.0f, logins %d, lost-logins %d, goroutine-growth %d, rss-growth-mb %.1f, anonymous-keys %d",
		minutes, c.logins, c.lostLogins, goroutines, megabytes(grown), keys)
	return c.logins > 0 && c.lostLogins+c.lostValues+c.revived+c.odd+c.wrong == 0 &&
		goroutines <= 0 && grown <= maxGrowth && flooded == p.strangers && keys == 0
}

// trouble causes one fault after another until the time is over. It returns the
// number of the next one. The progress names the fault.
func (h *host) trouble(phase string, faults []fault, next int, until time.Time, pause time.Duration) int {
	h.enter("%s", phase)
	for {
		f := faults[next%len(faults)]
		begins := time.Now().Add(pause - f.lasts)
		if begins.Add(f.lasts).After(until) {
			wait(max(0, time.Until(until)))
			return next
		}
		wait(time.Until(begins))
		h.printf("%s fault: %s", time.Now().UTC().Format("15:04:05"), f.name)
		h.enter("%s; now: %s", phase, f.name)
		f.begin()
		wait(f.lasts)
		f.end()
		h.enter("%s", phase)
		next++
	}
}

// atRest measures the application without load, after all requests in flight
// have ended.
func atRest(app *application, crowd *crowd) state {
	goOn := crowd.hush()
	defer goOn()
	settled := app.memory().Goroutines
	for steady := 0; steady < 10; wait(100 * time.Millisecond) {
		n := app.state().Goroutines
		if n == settled {
			steady++
		} else {
			settled, steady = n, 0
		}
	}
	return app.memory()
}

// flushAndFlood empties Redis, sends the strangers and counts the keys that
// they have left. Their right responses are counted too: a request without a
// response proves nothing.
func flushAndFlood(g *ground, crowd *crowd, strangers int) int64 {
	g.redis.Do("FLUSHALL")
	const lanes = 4
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for n := lane; n < strangers; n += lanes {
				crowd.stranger()
			}
		})
	}
	wg.Wait()
	return g.redis.Do("DBSIZE").(int64)
}

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }
