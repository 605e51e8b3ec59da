package session

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// A store that is silent costs each request that asks it the whole deadline of
// the call. Who has to know the visitor waits that long; a page that would only
// like to know does not, once one request has waited in vain.

// breaker is what the last loads have heard of the store.
type breaker struct {
	until atomic.Int64 // Unix nanoseconds, by the sessions' clock; 0: it answers
}

// breakerTimeout is how long optional loads fail fast before one of them probes
// the store.
// Whoever gets an answer meanwhile, because he has to wait, ends it.
const breakerTimeout = 2 * time.Second

// errBreakerOpen means that a load failed fast: the store timed out a moment ago.
var errBreakerOpen = errors.New("the session store gave no answer a moment ago")

// recordTimeout notes how a load has ended.
func (s *Manager) recordTimeout(ctx context.Context, err error) {
	end, bounded := ctx.Deadline()
	switch {
	case err == nil:
		if s.breaker.until.Load() != 0 {
			s.breaker.until.Store(0)
		}
	case ctx.Err() != nil, bounded && !time.Now().Before(end): // the request's own time was up
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		s.breaker.until.Store(s.now().Add(breakerTimeout).UnixNano())
	}
}

// breakerOpen reports whether the store is not worth waiting for.
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
