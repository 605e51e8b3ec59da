package wechatauth

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// WithAuthorize asks the application about every request of a logged-in
// visitor; an error stops the request with 403 and ReasonNotAuthorized. Behind
// LoadWeChat such a visitor is anonymous instead. f must be cheap and safe for
// concurrent use; where it is not cheap, see WithAuthorizeInterval.
func WithAuthorize(f func(ctx context.Context, id Identity) error) Option {
	return func(c *config) { c.authorize = f }
}

// WithAuthorizeInterval lets an instance believe a consent of WithAuthorize
// for so long, per AppID and openid: up to one hour. A refusal is never
// remembered. Default 0: asked on every request.
func WithAuthorizeInterval(d time.Duration) Option {
	return func(c *config) { c.authorizeInterval = d }
}

const (
	maxAuthorizeInterval = time.Hour
	// maxConsents bounds the memory of an instance; beyond it, f is asked more
	// often.
	maxConsents = 100_000
)

func (c *config) validateAuthorize() error {
	switch {
	case c.authorizeInterval < 0 || c.authorizeInterval > maxAuthorizeInterval:
		return fmt.Errorf("WithAuthorizeInterval: %v is not between 0 and %v", c.authorizeInterval, maxAuthorizeInterval)
	case c.authorizeInterval > 0 && c.authorize == nil:
		return fmt.Errorf("WithAuthorizeInterval: there is nobody to ask; set WithAuthorize too")
	}
	return nil
}

// consents remembers who was let through lately.
type consents struct {
	ask      hook
	interval time.Duration
	now      func() time.Time

	mu    sync.Mutex
	until map[string]time.Time // by user
}

// allow asks, unless the user was let through within the interval.
func (c *consents) allow(ctx context.Context, id Identity) error {
	if c.ask == nil {
		return nil
	}
	if c.interval == 0 {
		return c.ask(ctx, id)
	}
	user, now := userKey(id.AppID, id.OpenID), c.now()
	c.mu.Lock()
	fresh := now.Before(c.until[user])
	c.mu.Unlock()
	if fresh {
		return nil
	}
	if err := c.ask(ctx, id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.until) >= maxConsents {
		clear(c.until)
	}
	c.until[user] = now.Add(c.interval)
	return nil
}
