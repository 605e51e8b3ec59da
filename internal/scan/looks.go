package scan

import (
	"context"
	"sync"
	"time"
)

// Looks limits the cost of requests about tickets: however many requests come,
// one ticket is read at most twice a second. The zero value is ready to use. It
// is safe for concurrent use by multiple goroutines.
type Looks struct {
	mu    sync.Mutex
	looks map[string]*look
	kept  int // looks that were still needed when the old ones were dropped last

	complained time.Time
}

type look struct {
	at    time.Time
	done  chan struct{}
	state string
	err   error

	panicked any // what state panicked with
}

// maxLooks is how many looks are remembered before the old ones are dropped.
// If more are needed at the same time, it is twice their number: dropping goes
// through all of them.
const maxLooks = 1024

// Quiet is how long a store that fails is not reported again. The pages of both
// devices poll once a second.
const Quiet = 10 * time.Second

// Complains reports whether a failed look is to be reported: at most one in
// [Quiet] is.
func (s *Looks) Complains(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.complained).Abs() < Quiet {
		return false
	}
	s.complained = now
	return true
}

// At returns the state of a ticket as state returns it, or did within the last
// [Pause].
func (s *Looks) At(ctx context.Context, now time.Time, ticket string, state func(context.Context, string) (string, error)) (string, error) {
	s.mu.Lock()
	l, ok := s.looks[ticket]
	if fresh := ok && now.Sub(l.at).Abs() < Pause; !fresh {
		if len(s.looks) >= max(maxLooks, 2*s.kept) || s.looks == nil {
			kept := map[string]*look{}
			for ticket, l := range s.looks {
				if now.Sub(l.at).Abs() < Pause {
					kept[ticket] = l
				}
			}
			s.looks, s.kept = kept, len(kept)
		}
		l = &look{at: now, done: make(chan struct{})}
		s.looks[ticket] = l
		go func() { // the caller may leave while others wait for it; it ends with the budget of a look
			defer close(l.done)
			defer func() { l.panicked = recover() }() // it would end the process here
			l.state, l.err = state(context.WithoutCancel(ctx), ticket)
		}()
	}
	s.mu.Unlock()
	select {
	case <-l.done:
		if l.panicked != nil {
			panic(l.panicked)
		}
		return l.state, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
