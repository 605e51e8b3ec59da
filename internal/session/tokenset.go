package session

import (
	"sync"
	"time"
)

// A tokenSet records for a while which tokens were handled, and when. It is
// local to this process and bounded: old tokens are dropped, and if there are
// more tokens than fit, the older half is dropped early.
type tokenSet struct {
	life time.Duration

	mu         sync.Mutex
	young, old map[string]time.Time
	since      time.Time // when young began
}

// tokenSetSize is the maximum number of tokens in each half.
const tokenSetSize = 1 << 14

// add records a token as handled now. It returns false if it already is.
func (r *tokenSet) add(token string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.has(token, now) {
		return false
	}
	if r.young == nil || len(r.young) >= tokenSetSize || now.Sub(r.since) >= r.life {
		r.old, r.young, r.since = r.young, map[string]time.Time{}, now
	}
	r.young[token] = now
	return true
}

func (r *tokenSet) has(token string, now time.Time) bool {
	at, found := r.young[token]
	if !found {
		at, found = r.old[token]
	}
	return found && now.Sub(at) < r.life
}

// forget removes a token.
func (r *tokenSet) forget(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, token)
	delete(r.old, token)
}
