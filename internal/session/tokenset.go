package session

import (
	"sync"
	"time"
)

// tokenSet remembers for a while which tokens something was done with, and when.
// It is this instance's own, and bounded: what is too old goes, and where more
// tokens come than it has room for, the older half goes before its time.
type tokenSet struct {
	life time.Duration

	mu         sync.Mutex
	young, old map[string]time.Time
	since      time.Time // when young began
}

// tokenSetSize is how many tokens each half holds.
const tokenSetSize = 1 << 14

// add notes that it is done now. It reports false if that is already so.
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

// forget takes back what was noted.
func (r *tokenSet) forget(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, token)
	delete(r.old, token)
}
