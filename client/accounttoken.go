package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/client/internal/api"
	"github.com/wechatauth/wechatauth/client/internal/tokencache"
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
	if _, own := c.accounts.(api.RedactedSource); own {
		if e, ok := err.(*Error); ok {
			return Secret{}, e
		}
	}
	if err != nil {
		return Secret{}, c.tokenError(req, "account token", err)
	}
	if !isToken(token.Reveal()) {
		return Secret{}, req.notSentError(KindConfiguration, errors.New("account token is empty or malformed"))
	}
	return token, nil
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
		a := result{err: tokencache.ErrPanicked} // remains if f does not return
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

// stableToken caches the token of cgi-bin/stable_token. That endpoint is
// isolated from cgi-bin/token: neither invalidates the other's token.
type stableToken struct {
	client *Client
	now    func() time.Time
	cache  tokencache.Cache[Secret]

	mu     sync.Mutex
	forced []time.Time // when WeChat was made to issue a new token, within forceWindow
}

const (
	maxTokenLife  = 2 * time.Hour
	forceInterval = 5 * time.Minute
	forceWindow   = 24 * time.Hour
	maxForced     = 10 // within forceWindow; WeChat allows 20 a day per account, for all its servers together
)

func newStableToken(c *Client) *stableToken {
	s := &stableToken{client: c, now: time.Now}
	s.cache.Fetch, s.cache.Now = s.renew, func() time.Time { return s.now() }
	return s
}

// AccountToken returns the cached token, or waits for the single call to WeChat
// that gets a new one. If a caller gives up, the call continues for the others.
func (s *stableToken) AccountToken(ctx context.Context, stale Secret) (Secret, error) {
	token, err := s.cache.Get(ctx, stale)
	if _, ok := err.(*Error); err != nil && !ok {
		return Secret{}, request{endpoint: stableTokenEndpoint}.transportError(err, false)
	}
	return token, err
}

// RedactedErrors implements [api.RedactedSource].
func (s *stableToken) RedactedErrors() {}

func (s *stableToken) renew(ctx context.Context, stale Secret) (Secret, time.Duration, error) {
	token, life, err := s.fetch(ctx, false)
	if err == nil && token.Equal(stale) && s.mayForce() {
		return s.fetch(ctx, true)
	}
	return token, life, err
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
