package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// An AccountTokenSource supplies the account's access_token, which
// CheckSession, ResetSession and PhoneNumber need. An account has only one
// valid token at a time, so set a source if you already run a service that gets
// the account's tokens. It must be safe for concurrent use.
type AccountTokenSource interface {
	// AccountToken returns a valid token. stale is the token that WeChat has
	// just rejected, or the zero Secret. If the returned token equals stale,
	// the call fails; any other token is tried once. If AccountToken returns an
	// error, the call returns an *Error that matches it with errors.Is and
	// errors.As. A call does not wait for AccountToken beyond its own deadline.
	AccountToken(ctx context.Context, stale Secret) (Secret, error)
}

// WithAccountToken sets the source of account tokens. By default, the client
// gets them from WeChat's stable_token with the AppSecret and shares one token
// among all its calls:
// https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html.
func WithAccountToken(source AccountTokenSource) Option {
	return func(c *Client) {
		if source == nil {
			c.addError(errors.New("WithAccountToken: nil source"))
			return
		}
		c.accounts = source
	}
}

// callAsAccount makes a call with the account's token. If WeChat rejects the
// token, and only then, it retries once with a new one.
func (c *Client) callAsAccount(ctx context.Context, req request) (*jsonObject, error) {
	if c.accounts == nil {
		return nil, req.notSentError(KindConfiguration, errors.New("no account token: set WithAccountToken"))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	token, err := c.accountToken(ctx, req, Secret{})
	if err != nil {
		return nil, err
	}
	req.query.Set("access_token", token.Reveal())
	obj, err := c.call(ctx, req)
	if !errors.Is(err, ErrTokenInvalid) {
		return obj, err
	}
	next, tokenErr := c.accountToken(ctx, req, token)
	if tokenErr != nil || next.Equal(token) {
		return nil, err
	}
	req.query.Set("access_token", next.Reveal())
	return c.call(ctx, req)
}

func (c *Client) accountToken(ctx context.Context, req request, stale Secret) (Secret, error) {
	token, err := callSupplier(ctx, func() (Secret, error) { return c.accounts.AccountToken(ctx, stale) })
	if e, ok := err.(*Error); ok && c.usesStableToken() {
		return Secret{}, e
	}
	if err != nil {
		return Secret{}, c.tokenError(req, "account token", err)
	}
	if !isToken(token.Reveal()) {
		return Secret{}, req.notSentError(KindConfiguration, errors.New("account token is empty or malformed"))
	}
	return token, nil
}

// usesStableToken reports whether the client gets account tokens itself.
func (c *Client) usesStableToken() bool {
	_, own := c.accounts.(*stableToken)
	return own
}

// callSupplier calls a caller's token function. If that ignores the context or
// panics, only the call fails.
func callSupplier(ctx context.Context, f func() (Secret, error)) (Secret, error) {
	type result struct {
		token Secret
		err   error
	}
	results := make(chan result, 1)
	go func() {
		a := result{err: errPanicked} // remains if f does not return
		defer func() {
			_ = recover()
			results <- a
		}()
		a.token, a.err = f()
	}()
	select {
	case a := <-results:
		return a.token, a.err
	case <-ctx.Done():
		return Secret{}, ctx.Err()
	}
}

// errPanicked omits the value of the panic, which may contain anything.
var errPanicked = errors.New("called function panicked")

// stableToken caches the token of cgi-bin/stable_token. That endpoint is
// isolated from cgi-bin/token: neither invalidates the other's token.
type stableToken struct {
	client *Client
	now    func() time.Time

	mu         sync.Mutex
	token      Secret
	expires    time.Time
	forced     []time.Time // when WeChat was made to issue a new token, within forceWindow
	refreshing *refreshCall
}

// A refreshCall is a call to WeChat that any number of callers wait for.
type refreshCall struct {
	done  chan struct{}
	token Secret
	err   error
}

const (
	tokenMargin   = 2 * time.Minute // WeChat issues the next token 5 minutes before this one expires, and both are valid until then
	maxTokenLife  = 2 * time.Hour
	forceInterval = 5 * time.Minute
	forceWindow   = 24 * time.Hour
	maxForced     = 10 // within forceWindow; WeChat allows 20 a day per account, for all its servers together
)

func newStableToken(c *Client) *stableToken { return &stableToken{client: c, now: time.Now} }

// AccountToken returns the cached token, or waits for the single call to WeChat
// that gets a new one. If a caller gives up, the call continues for the others.
func (s *stableToken) AccountToken(ctx context.Context, stale Secret) (Secret, error) {
	s.mu.Lock()
	if !s.token.IsZero() && !s.token.Equal(stale) && s.now().Before(s.expires) {
		defer s.mu.Unlock()
		return s.token, nil
	}
	call := s.refreshing
	if call == nil {
		call = &refreshCall{done: make(chan struct{})}
		s.refreshing = call
		go s.refresh(context.WithoutCancel(ctx), call, stale)
	}
	s.mu.Unlock()
	select {
	case <-call.done:
		return call.token, call.err
	case <-ctx.Done():
		return Secret{}, request{endpoint: stableTokenEndpoint}.transportError(ctx.Err(), false)
	}
}

// refresh gets a token and wakes the waiters. It recovers because the caller's
// RoundTripper may panic, and in this goroutine no one else could recover.
func (s *stableToken) refresh(ctx context.Context, call *refreshCall, stale Secret) {
	ctx, cancel := context.WithTimeout(ctx, s.client.timeout)
	defer cancel()
	var life time.Duration
	call.err = request{endpoint: stableTokenEndpoint}.transportError(errPanicked, false) // remains if renew does not return
	defer func() {
		_ = recover()
		s.done(call, life)
	}()
	call.token, life, call.err = s.renew(ctx, stale)
}

func (s *stableToken) renew(ctx context.Context, stale Secret) (Secret, time.Duration, error) {
	token, life, err := s.fetch(ctx, false)
	if err == nil && token.Equal(stale) && s.mayForce() {
		return s.fetch(ctx, true)
	}
	return token, life, err
}

func (s *stableToken) done(call *refreshCall, life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call.err == nil {
		s.token = call.token
		s.expires = s.now().Add(life - min(tokenMargin, life/2))
	}
	s.refreshing = nil
	close(call.done)
}

// mayForce reports whether WeChat may be made to replace a token that it keeps
// returning although its own servers reject it.
func (s *stableToken) mayForce() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.forced = slices.DeleteFunc(s.forced, func(at time.Time) bool { return now.Sub(at) >= forceWindow })
	n := len(s.forced)
	if n >= maxForced || n > 0 && now.Sub(s.forced[n-1]) < forceInterval {
		return false
	}
	s.forced = append(s.forced, now)
	return true
}

const stableTokenEndpoint = "cgi-bin/stable_token"

func (s *stableToken) fetch(ctx context.Context, force bool) (Secret, time.Duration, error) {
	obj, err := s.client.call(ctx, request{endpoint: stableTokenEndpoint, json: map[string]any{
		"grant_type":    "client_credential",
		"appid":         s.client.appID,
		"secret":        s.client.secret(),
		"force_refresh": force, // required: without it, WeChat has returned errcode 41002
	}})
	if err != nil {
		return Secret{}, 0, err
	}
	var token Secret
	if err := obj.requireToken("access_token", &token); err != nil {
		return Secret{}, 0, obj.badResponse(err)
	}
	return token, obj.seconds("expires_in", maxTokenLife), nil
}
