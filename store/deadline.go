package store

import (
	"context"
	"sync/atomic"
	"time"
)

// A call's deadline is short, and it is nearly never reached: a timer and a
// channel for each call, and the note of them in the request's context, would
// cost more than what they wait for. While the pool has connections at rest there
// is nothing to wait for; then the calls of a moment share one timer, which is up
// to a moment late for some of them.

// moment is how long calls share a timer.
const moment = 25 * time.Millisecond

// idleCounter is a pool that tells how many connections it keeps, as redigo's.
type idleCounter interface{ IdleCount() int }

// withDeadline returns the context of one call: that of the request, with the
// call's deadline and its store's silence.
func (s *Store) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if pool, ok := s.conns.(idleCounter); ok && pool.IdleCount() > 0 {
		if _, own := ctx.Deadline(); !own {
			now := time.Now()
			return &callContext{Context: ctx, store: s, deadline: now.Add(s.timeout), timer: s.timers.at(now, s.timeout)}, func() {}
		}
	}
	return context.WithTimeout(context.WithValue(ctx, silenceKey{}, &s.silence), s.timeout)
}

// callContext is the context of a call that finds a connection at rest. Done is
// the deadline's alone; whoever has a connection is not interrupted by the end of
// the request, and it takes no waiting to get one.
type callContext struct {
	context.Context
	store    *Store
	deadline time.Time
	timer    *sharedTimer
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *callContext) Done() <-chan struct{} { return c.timer.done }

func (c *callContext) Err() error {
	select {
	case <-c.timer.done:
		return context.DeadlineExceeded
	default:
		return c.Context.Err()
	}
}

func (c *callContext) Value(key any) any {
	if key == (silenceKey{}) {
		return &c.store.silence
	}
	return c.Context.Value(key)
}

// sharedTimer ends the calls that began in one moment.
type sharedTimer struct {
	began time.Time
	done  chan struct{}
}

// sharedTimers hands out the timer of each moment. Safe for concurrent use.
type sharedTimers struct{ latest atomic.Pointer[sharedTimer] }

// at returns a timer that fires timeout after now, or up to a moment later.
func (s *sharedTimers) at(now time.Time, timeout time.Duration) *sharedTimer {
	latest := s.latest.Load()
	if latest != nil && now.Sub(latest.began) < moment {
		return latest
	}
	t := &sharedTimer{began: now, done: make(chan struct{})}
	time.AfterFunc(timeout+moment, func() { close(t.done) })
	s.latest.CompareAndSwap(latest, t) // where another was faster, this one is used once
	return t
}
