package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// AccountTokenSource supplies the account's access_token, which CheckSession,
// ResetSession and PhoneNumber need. WeChat keeps one valid token per account,
// so a company that already runs a token service plugs it in here. It must be
// safe for concurrent use.
type AccountTokenSource interface {
	// AccountToken returns a valid token. stale is the one that WeChat has just
	// refused, or the zero Secret: an answer equal to it makes the call fail, any
	// other is tried once. An error makes the call fail with an *Error that
	// matches it with errors.Is and errors.As. A call does not wait for
	// AccountToken beyond its own end.
	AccountToken(ctx context.Context, stale Secret) (Secret, error)
}

// WithAccountToken replaces the client's own source of account tokens, which
// asks WeChat's stable_token with the AppSecret and shares one token among all
// calls of the client:
// https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html.
func WithAccountToken(source AccountTokenSource) Option {
	return func(c *Client) {
		if source == nil {
			c.refuse(errors.New("WithAccountToken: the source is nil"))
			return
		}
		c.accounts = source
	}
}

// callAsAccount makes a call with the account's token, and once more if WeChat
// says that the token, and so nothing else, is the trouble.
func (c *Client) callAsAccount(ctx context.Context, req request) (*answer, error) {
	if c.accounts == nil {
		return nil, req.unsent(KindConfiguration, errors.New("no account token: set WithAccountToken"))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	token, err := c.accountToken(ctx, req, Secret{})
	if err != nil {
		return nil, err
	}
	req.query.Set("access_token", token.Reveal())
	ans, err := c.call(ctx, req)
	if !errors.Is(err, ErrTokenInvalid) {
		return ans, err
	}
	next, tokenErr := c.accountToken(ctx, req, token)
	if tokenErr != nil || next.Equal(token) {
		return nil, err
	}
	req.query.Set("access_token", next.Reveal())
	return c.call(ctx, req)
}

func (c *Client) accountToken(ctx context.Context, req request, stale Secret) (Secret, error) {
	token, err := supplied(ctx, func() (Secret, error) { return c.accounts.AccountToken(ctx, stale) })
	if own, ok := err.(*Error); ok && c.ownTokens() {
		return Secret{}, own
	}
	if err != nil {
		return Secret{}, c.noToken(req, "account token", err)
	}
	if !isToken(token.Reveal()) {
		return Secret{}, req.unsent(KindConfiguration, errors.New("the account token is empty or malformed"))
	}
	return token, nil
}

// ownTokens tells whether the account's tokens come from this package.
func (c *Client) ownTokens() bool {
	_, own := c.accounts.(*stableToken)
	return own
}

// supplied asks a token supplier that may be anyone's: one that ignores the
// context or panics does no more than fail the call.
func supplied(ctx context.Context, ask func() (Secret, error)) (Secret, error) {
	type answer struct {
		token Secret
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		a := answer{err: errPanicked} // stays if ask does not return
		defer func() {
			_ = recover()
			answers <- a
		}()
		a.token, a.err = ask()
	}()
	select {
	case a := <-answers:
		return a.token, a.err
	case <-ctx.Done():
		return Secret{}, ctx.Err()
	}
}

// errPanicked says nothing of what the panic held, which may be anything.
var errPanicked = errors.New("the code that was called panicked")

// stableToken keeps the token of cgi-bin/stable_token. That endpoint is
// isolated from cgi-bin/token: neither invalidates the other's token.
type stableToken struct {
	client *Client
	now    func() time.Time

	mu      sync.Mutex
	token   Secret
	expires time.Time
	forced  []time.Time // when WeChat was made to issue a new token, within forceWindow
	flight  *tokenFlight
}

// tokenFlight is one question to WeChat that many callers wait for.
type tokenFlight struct {
	done  chan struct{}
	token Secret
	err   error
}

const (
	tokenMargin   = 2 * time.Minute // WeChat issues the next token 5 min before the end, and both work
	maxTokenLife  = 2 * time.Hour
	forceInterval = 5 * time.Minute
	forceWindow   = 24 * time.Hour
	maxForced     = 10 // in it; WeChat allows an account 20 a day, all its servers together
)

func newStableToken(c *Client) *stableToken { return &stableToken{client: c, now: time.Now} }

// AccountToken returns the kept token, or waits for the one question to WeChat
// that is under way. A caller that gives up leaves the question running for the
// others.
func (s *stableToken) AccountToken(ctx context.Context, stale Secret) (Secret, error) {
	s.mu.Lock()
	if !s.token.IsZero() && !s.token.Equal(stale) && s.now().Before(s.expires) {
		defer s.mu.Unlock()
		return s.token, nil
	}
	flight := s.flight
	if flight == nil {
		flight = &tokenFlight{done: make(chan struct{})}
		s.flight = flight
		go s.fly(context.WithoutCancel(ctx), flight, stale)
	}
	s.mu.Unlock()
	select {
	case <-flight.done:
		return flight.token, flight.err
	case <-ctx.Done():
		return Secret{}, request{endpoint: stableTokenEndpoint}.transportError(ctx.Err(), false)
	}
}

// fly asks and tells the waiters. A RoundTripper of the user's may panic in it:
// nobody else could catch that here.
func (s *stableToken) fly(ctx context.Context, flight *tokenFlight, stale Secret) {
	ctx, cancel := context.WithTimeout(ctx, s.client.timeout)
	defer cancel()
	var life time.Duration
	flight.err = request{endpoint: stableTokenEndpoint}.transportError(errPanicked, false) // stays if renew does not return
	defer func() {
		_ = recover()
		s.land(flight, life)
	}()
	flight.token, life, flight.err = s.renew(ctx, stale)
}

func (s *stableToken) renew(ctx context.Context, stale Secret) (Secret, time.Duration, error) {
	token, life, err := s.ask(ctx, false)
	if err == nil && token.Equal(stale) && s.mayForce() {
		return s.ask(ctx, true)
	}
	return token, life, err
}

func (s *stableToken) land(flight *tokenFlight, life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if flight.err == nil {
		s.token = flight.token
		s.expires = s.now().Add(life - min(tokenMargin, life/2))
	}
	s.flight = nil
	close(flight.done)
}

// mayForce reports whether WeChat may be made to drop the token that it keeps
// handing out although its own servers refuse it.
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

func (s *stableToken) ask(ctx context.Context, force bool) (Secret, time.Duration, error) {
	ans, err := s.client.call(ctx, request{endpoint: stableTokenEndpoint, json: map[string]any{
		"grant_type":    "client_credential",
		"appid":         s.client.appID,
		"secret":        s.client.secret(),
		"force_refresh": force, // left out, WeChat has answered 41002
	}})
	if err != nil {
		return Secret{}, 0, err
	}
	var token Secret
	if err := ans.requireToken("access_token", &token); err != nil {
		return Secret{}, 0, ans.refused(err)
	}
	return token, ans.seconds("expires_in", maxTokenLife), nil
}
