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

// silence is what the last loads have heard of the store.
type silence struct {
	until atomic.Int64 // Unix nanoseconds, by the sessions' clock; 0: it answers
}

// silenceTime is how long nobody waits who need not. Then one request tries.
// Whoever gets an answer meanwhile, because he has to wait, ends it.
const silenceTime = 2 * time.Second

// errSilent: the store gave no answer a moment ago, and was not asked again.
var errSilent = errors.New("the session store gave no answer a moment ago")

// listen notes how a load has ended.
func (s *Manager) listen(ctx context.Context, err error) {
	end, bounded := ctx.Deadline()
	switch {
	case err == nil:
		if s.silence.until.Load() != 0 {
			s.silence.until.Store(0)
		}
	case ctx.Err() != nil, bounded && !time.Now().Before(end): // the request's own time was up
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		s.silence.until.Store(s.now().Add(silenceTime).UnixNano())
	}
}

// silent reports whether the store is not worth waiting for.
func (s *Manager) silent() bool {
	until := s.silence.until.Load()
	if until == 0 {
		return false
	}
	now := s.now()
	if now.UnixNano() < until {
		return true
	}
	return !s.silence.until.CompareAndSwap(until, now.Add(silenceTime).UnixNano())
}
