// Package access caches which users the access check of the application has
// accepted, so that the check is not called for every request of a user.
package access

import (
	"sync"
	"time"
)

// maxUsers bounds the memory of an instance. Beyond it, the application is called
// more often.
const maxUsers = 100_000

// A Cache holds the users that the check has accepted. The zero value with Now
// set holds none. It is
// safe for concurrent use.
type Cache struct {
	// Interval is how long a user is accepted; 0 to ask each time.
	Interval time.Duration
	// Now is the clock.
	Now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time // by user
}

// Do calls ask, unless it returned nil for the same user within the interval. An
// error is never remembered.
func (m *Cache) Do(appID, openID string, ask func() error) error {
	if m.Interval == 0 {
		return ask()
	}
	user, now := appID+" "+openID, m.Now()
	m.mu.Lock()
	fresh := now.Before(m.until[user])
	m.mu.Unlock()
	if fresh {
		return nil
	}
	if err := ask(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until == nil || len(m.until) >= maxUsers {
		m.until = map[string]time.Time{}
	}
	m.until[user] = now.Add(m.Interval)
	return nil
}
