package session

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// A store that does not respond costs each request the whole deadline of the
// call. A request that requires the identity waits that long; one for which it
// is optional fails fast once another request has timed out.

// A breaker records whether the last loads got a response from the store.
type breaker struct {
	until atomic.Int64 // Unix nanoseconds, by the sessions' clock; 0: it responds
}

// breakerTimeout is how long optional loads fail fast before one of them probes
// the store. A required load that gets a response in the meantime closes the
// breaker.
const breakerTimeout = 2 * time.Second

// errBreakerOpen means that a load failed fast: the store timed out a moment ago.
var errBreakerOpen = errors.New("the session store timed out a moment ago")

// recordTimeout records whether a load timed out.
func (s *Manager) recordTimeout(ctx context.Context, err error) {
	end, bounded := ctx.Deadline()
	switch {
	case err == nil:
		if s.breaker.until.Load() != 0 {
			s.breaker.until.Store(0)
		}
	case ctx.Err() != nil, bounded && !time.Now().Before(end): // the request's own deadline expired
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		s.breaker.until.Store(s.now().Add(breakerTimeout).UnixNano())
	}
}

// breakerOpen reports whether an optional load fails fast.
func (s *Manager) breakerOpen() bool {
	until := s.breaker.until.Load()
	if until == 0 {
		return false
	}
	now := s.now()
	if now.UnixNano() < until {
		return true
	}
	return !s.breaker.until.CompareAndSwap(until, now.Add(breakerTimeout).UnixNano())
}
