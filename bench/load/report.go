package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// A state is what can be counted from outside at one moment.
type state struct {
	usage usage
	calls map[string]int
}

func (p *plant) state() (s state, err error) {
	if s.calls, err = p.redis.Calls(); err != nil {
		return s, err
	}
	s.usage, err = p.usage()
	return s, err
}

func (s state) commandsSince(before state) map[string]int {
	commands := map[string]int{}
	for name, n := range s.calls {
		if n -= before.calls[name]; n > 0 {
			commands[name] = n
		}
	}
	return commands
}

// A report has the results of one part of the run.
type report struct {
	name            string
	rate            float64 // requested; 0 for no pauses
	browsers, pages int
	took            time.Duration
	times           map[string][]time.Duration // of the site's responses, by kind, sorted
	cpu             usage
	commands        map[string]int // of Redis
	errors          []error
}

func (r *report) sort() {
	for _, times := range r.times {
		slices.Sort(times)
	}
}

// requests returns the number of responses of the site.
func (r *report) requests() (n int) {
	for _, times := range r.times {
		n += len(times)
	}
	return n
}

// throughput returns the requests to the site per second.
func (r *report) throughput() float64 { return float64(r.requests()) / r.took.Seconds() }

// quantile returns the longest of this share of sorted times.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	const noise = 1e-6 // of floating point: 0.999 of 1000 is 999
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))-noise))-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (r *report) print(w io.Writer) {
	n := float64(r.requests())
	perRequest := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
	fmt.Fprintf(w, "%s: %d browsers, each a login, %d pages and a logout", r.name, r.browsers, r.pages)
	if r.rate > 0 {
		fmt.Fprintf(w, ", up to %.0f requests/s", r.rate)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "  %d requests to the site in %.1f s: %.0f requests/s, %.0f logins/s\n",
		r.requests(), r.took.Seconds(), r.throughput(), float64(len(r.times[kindCallback]))/r.took.Seconds())
	fmt.Fprintf(w, "  %-20s %8s %9s %9s %9s %9s\n", "milliseconds", "responses", "p50", "p99", "p99.9", "longest")
	for _, kind := range kinds {
		times := r.times[kind]
		fmt.Fprintf(w, "  %-20s %8d %9.2f %9.2f %9.2f %9.2f\n", kind, len(times), milliseconds(quantile(times, 0.50)),
			milliseconds(quantile(times, 0.99)), milliseconds(quantile(times, 0.999)), milliseconds(quantile(times, 1)))
	}
	fmt.Fprintf(w, "  processor time for each request: site %.0f µs, Redis %.0f µs, WeChat %.0f µs, this driver %.0f µs\n",
		perRequest(r.cpu.sites), perRequest(r.cpu.redis), perRequest(r.cpu.wechat), perRequest(r.cpu.driver))
	total := 0
	for _, count := range r.commands {
		total += count
	}
	fmt.Fprintf(w, "  Redis commands for each request: %.2f (", float64(total)/n)
	for i, name := range slices.Sorted(maps.Keys(r.commands)) {
		if i > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%s %d", name, r.commands[name])
	}
	fmt.Fprintf(w, ")\n  errors: %d\n", len(r.errors))
	for _, err := range r.errors[:min(5, len(r.errors))] {
		fmt.Fprintf(w, "    %v\n", err)
	}
}
