// Package tokencache keeps an account's access_token in memory and gets the
// next one once, however many calls need it.
package tokencache

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Token is a client.Secret, whose package uses this one.
type Token[T any] interface {
	IsZero() bool
	Equal(T) bool
}

// A Cache holds one token. It is safe for concurrent use by multiple
// goroutines, and must not be copied.
type Cache[T Token[T]] struct {
	// Fetch returns a token and its lifetime. stale is the token that has just
	// been rejected, or zero.
	Fetch func(ctx context.Context, stale T) (T, time.Duration, error)
	Now   func() time.Time

	mu         sync.Mutex
	token      T
	expires    time.Time
	refreshing *call[T]
}

// A call is a call of Fetch that any number of callers wait for.
type call[T any] struct {
	done  chan struct{}
	token T
	err   error
}

// Margin is how long before its end a token is replaced: at most half its
// lifetime. WeChat issues the next token 5 minutes before this one expires, and
// both are valid until then.
const Margin = 2 * time.Minute

// ErrPanicked omits the value of the panic, which may contain anything.
var ErrPanicked = errors.New("called function panicked")

// Get returns the cached token, or waits for the single call of Fetch that gets
// a new one. If a caller gives up, the call continues for the others, until the
// deadline of the caller that began it.
func (c *Cache[T]) Get(ctx context.Context, stale T) (token T, err error) {
	c.mu.Lock()
	if !c.token.IsZero() && !c.token.Equal(stale) && c.Now().Before(c.expires) {
		defer c.mu.Unlock()
		return c.token, nil
	}
	running := c.refreshing
	if running == nil {
		running = &call[T]{done: make(chan struct{})}
		c.refreshing = running
		go c.refresh(ctx, running, stale)
	}
	c.mu.Unlock()
	select {
	case <-running.done:
		return running.token, running.err
	case <-ctx.Done():
		return token, ctx.Err()
	}
}

// refresh gets a token and wakes the waiters. It recovers because the caller's
// RoundTripper may panic, and in this goroutine no one else could recover.
func (c *Cache[T]) refresh(parent context.Context, running *call[T], stale T) {
	ctx := context.WithoutCancel(parent)
	if deadline, ok := parent.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	var life time.Duration
	running.err = ErrPanicked // remains if Fetch does not return
	defer func() {
		_ = recover()
		c.done(running, life)
	}()
	running.token, life, running.err = c.Fetch(ctx, stale)
}

func (c *Cache[T]) done(running *call[T], life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if running.err == nil {
		c.token = running.token
		c.expires = c.Now().Add(life - min(Margin, life/2))
	}
	c.refreshing = nil
	close(running.done)
}
