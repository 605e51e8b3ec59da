package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/session"
)

// ErrForbidden is returned by the functions of WithOnLogin and WithAuthorize to
// reject a user: the request gets 403 Forbidden with ReasonNotAuthorized. An
// error may wrap it; its text is logged and not shown. Any other error means
// that the function failed: the request gets 503 with ReasonApplicationError
// and Retry-After, and the error is logged at level ERROR.
var ErrForbidden = errors.New("wechatauth: forbidden")

// hookReason sorts the error of a function of the application.
func hookReason(err error) Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrForbidden):
		return ReasonNotAuthorized
	}
	return ReasonApplicationError
}

// admit decides whether the user whom a proof shows may log in: a step-up is for
// the same one, and the application's hook has to agree.
func (g *gate) admit(f flow.Flow, v *session.Visit, id identity.Identity) (Reason, error) {
	if f.OpenID != "" && f.OpenID != id.OpenID || f.UnionID != "" && id.UnionID != "" && f.UnionID != id.UnionID {
		return ReasonIdentityMismatch, nil
	}
	if g.onLogin == nil {
		return "", nil
	}
	err := g.sessions.Admit(v, id, func(ctx context.Context) error { return g.onLogin(ctx, Identity(id)) })
	return hookReason(err), err
}

// WithAuthorize sets a function that is called for every authenticated request.
// If it returns ErrForbidden, the request is rejected with 403 and
// ReasonNotAuthorized; if it returns any other error, with 503 and
// ReasonApplicationError. Behind LoadWeChat the request is anonymous instead. If
// f returns nil, each instance calls it for the same AppID and openid again only
// after interval: up to one hour, or 0 to call it for every request. An error is
// never remembered. f must be safe for concurrent use. By default, no function
// is called.
func WithAuthorize(f func(ctx context.Context, id Identity) error, interval time.Duration) Option {
	return func(c *config) { c.authorize, c.authorizeInterval, c.authorizeSet = f, interval, true }
}

const (
	maxAuthorizeInterval = time.Hour
	// maxConsents bounds the memory of an instance; beyond it, f is asked more
	// often.
	maxConsents = 100_000
)

func (c *config) validateAuthorize() error {
	var errs []error
	if c.authorizeInterval < 0 || c.authorizeInterval > maxAuthorizeInterval {
		errs = append(errs, fmt.Errorf("WithAuthorize: the interval %v is not between 0 and %v", c.authorizeInterval, maxAuthorizeInterval))
	}
	if c.authorizeSet && c.authorize == nil {
		errs = append(errs, errors.New("WithAuthorize: the function is nil; leave the option out"))
	}
	return errors.Join(errs...)
}

// consents remembers who was let through lately.
type consents struct {
	ask      hook
	interval time.Duration
	now      func() time.Time

	mu    sync.Mutex
	until map[string]time.Time // by user
}

// errClientGone means that the client disconnected while a function of the
// application ran. What the function returned then is not a failure of its own.
var errClientGone = errors.New("client disconnected")

// allow calls the function, unless it accepted the user within the interval.
func (c *consents) allow(ctx context.Context, id identity.Identity) error {
	if c.ask == nil {
		return nil
	}
	err := c.remembered(ctx, id)
	if err != nil && hookReason(err) != ReasonNotAuthorized && errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return err
}

func (c *consents) remembered(ctx context.Context, id identity.Identity) error {
	if c.interval == 0 {
		return c.ask(ctx, Identity(id))
	}
	user, now := session.User(id.AppID, id.OpenID), c.now()
	c.mu.Lock()
	fresh := now.Before(c.until[user])
	c.mu.Unlock()
	if fresh {
		return nil
	}
	if err := c.ask(ctx, Identity(id)); err != nil {
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
