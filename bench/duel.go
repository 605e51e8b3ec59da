package main

import (
	"fmt"
	"runtime"
	"time"
)

// A duel is a goal: the ratio of our figure to theirs.
type duel struct {
	name         string
	goal         float64
	ours, theirs func(n int) (figure float64, err error) // of n times
}

// slice is how long one contender works before the other's turn: short enough
// that most slices are undisturbed by other work of the machine. No slice is
// long enough to make the garbage collector run, so its work is in no ratio.
const slice = 5 * time.Millisecond

// ratio lets both work in turns, each for about length in all, and compares the
// medians of their slices.
func (d duel) ratio(length time.Duration) (float64, error) {
	sides := [2]struct {
		run     func(int) (float64, error)
		n       int
		figures []float64
	}{{run: d.ours}, {run: d.theirs}}
	for i := range sides {
		var err error
		if sides[i].n, err = fitting(sides[i].run); err != nil {
			return 0, fmt.Errorf("%s: %w", d.name, err)
		}
	}
	for range max(11, int(length/slice)) {
		for i := range sides {
			runtime.GC() // neither pays for the other's garbage
			figure, err := sides[i].run(sides[i].n)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", d.name, err)
			}
			sides[i].figures = append(sides[i].figures, figure)
		}
	}
	return median(sides[0].figures) / median(sides[1].figures), nil
}

// fitting returns how many times fill a slice.
func fitting(run func(int) (float64, error)) (int, error) {
	for n := 1; ; n *= 2 {
		start := time.Now()
		if _, err := run(n); err != nil {
			return 0, err
		}
		if time.Since(start) >= slice {
			return n, nil
		}
	}
}

// meanTime returns the mean time of one user's requests, in nanoseconds.
func meanTime(c *contender) func(int) (float64, error) {
	return func(n int) (float64, error) {
		start := time.Now()
		err := each(1, n, nil, c.visit)
		return float64(time.Since(start)) / float64(n), err
	}
}

// slowest returns the time within which 99 of 100 requests get a response with
// maxVisitors concurrent users.
func slowest(c *contender) func(int) (float64, error) {
	return func(n int) (float64, error) {
		n = max(n, 10*maxVisitors)
		times := newTimes(maxVisitors, n)
		err := each(maxVisitors, n, times, c.visit)
		return float64(times.quantile(0.99)), err
	}
}

// ownTime returns the site's own time in a login.
func (s *loginSite) ownTime(n int) (float64, error) {
	before := s.own.Load()
	err := each(1, n, nil, func(int) error {
		_, err := s.login(int(s.count.Add(1)) % maxVisitors)
		return err
	})
	return float64(s.own.Load()-before) / float64(n), err
}
