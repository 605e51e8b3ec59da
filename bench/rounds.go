package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A measurement is one line of the output: a contender with this number of
// concurrent users.
type measurement struct {
	name  string // after "Benchmark"
	users int
	visit func(user int) error
	extra func(b *testing.B) // more figures of the run; may be nil
	begin func()             // before each run; may be nil
}

// rounds measures groups in turns: everything once in each round, those of a
// group one after another, so that other work of the machine affects all of
// them alike.
type rounds struct {
	out io.Writer
	n   int
}

func (rs *rounds) measure(groups ...[]measurement) error {
	for round := range rs.n {
		for _, group := range groups {
			for i := range group {
				// Each round begins with a different one.
				if err := rs.run(group[(i+round)%len(group)]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (rs *rounds) run(m measurement) error {
	var failed error
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		if m.begin != nil {
			m.begin()
		}
		var times *times
		if m.users == maxVisitors {
			times = newTimes(m.users, b.N)
		}
		b.ResetTimer()
		failed = each(m.users, b.N, times, m.visit)
		b.StopTimer()
		if times != nil {
			b.ReportMetric(float64(times.quantile(0.50)), "p50-ns")
			b.ReportMetric(float64(times.quantile(0.99)), "p99-ns")
		}
		if m.extra != nil {
			m.extra(b)
		}
	})
	if failed != nil {
		return fmt.Errorf("%s: %w", m.name, failed)
	}
	rs.print(m.name, result, true)
	return nil
}

// print writes a line as "go test -bench" does; counted reports whether
// allocations were counted.
func (rs *rounds) print(name string, result testing.BenchmarkResult, counted bool) {
	line := result.String()
	if counted {
		line += "\t" + result.MemString()
	}
	fmt.Fprintf(rs.out, "Benchmark%s-%d\t%s\n", name, runtime.GOMAXPROCS(0), line)
}

// each runs this number of concurrent users, with n requests in all. If times
// is nil, nothing is timed.
func each(users, n int, times *times, visit func(int) error) error {
	if users == 1 {
		for range n {
			start := times.now()
			if err := visit(0); err != nil {
				return err
			}
			times.add(0, start)
		}
		return nil
	}
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	errs := make([]error, users)
	for v := range users {
		wg.Go(func() {
			for left.Add(-1) >= 0 && errs[v] == nil {
				start := times.now()
				errs[v] = visit(v)
				times.add(v, start)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// times holds the durations of responses, separately for each user while they
// are measured.
type times struct{ by [][]time.Duration }

func newTimes(users, n int) *times {
	t := &times{by: make([][]time.Duration, users)}
	for v := range t.by {
		t.by[v] = make([]time.Duration, 0, 2*n/users+1)
	}
	return t
}

func (t *times) now() (now time.Time) {
	if t != nil {
		now = time.Now()
	}
	return now
}

func (t *times) add(user int, start time.Time) {
	if t != nil {
		t.by[user] = append(t.by[user], time.Since(start))
	}
}

// quantile returns the time within which that share of the responses arrived.
func (t *times) quantile(share float64) time.Duration {
	all := slices.Concat(t.by...)
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[max(0, int(math.Ceil(share*float64(len(all))))-1)]
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}
