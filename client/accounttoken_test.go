package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client/internal/tokencache"
)

// tokenPeer simulates stable_token: it issues numbered tokens, a new one when
// forced.
type tokenPeer struct {
	*fakePeer
	issued atomic.Int64
	forced atomic.Int64
	expire string // expires_in of its responses
}

func newTokenPeer(t *testing.T) *tokenPeer {
	p := &tokenPeer{expire: "7200"}
	p.issued.Store(1)
	p.fakePeer = newFakePeer(t, func(r *http.Request, body string) string {
		if r.URL.Path != "/cgi-bin/stable_token" {
			return `{"errcode":40066,"errmsg":"invalid url"}`
		}
		if strings.Contains(body, `"force_refresh":true`) {
			p.forced.Add(1)
			p.issued.Add(1)
		}
		return fmt.Sprintf(`{"access_token":"A%d","expires_in":%s}`, p.issued.Load(), p.expire)
	})
	return p
}

// source returns the client's own token source with a clock that the test sets.
func (p *tokenPeer) source(t *testing.T) (*stableToken, *testClock) {
	t.Helper()
	s := p.client(t).accounts.(*stableToken)
	clock := &testClock{now: time.Unix(1700000000, 0)}
	s.now = clock.Now
	return s, clock
}

type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *testClock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func mustToken(t *testing.T, s *stableToken, stale Secret) string {
	t.Helper()
	token, err := s.AccountToken(t.Context(), stale)
	require.NoError(t, err)
	return token.Reveal()
}

func TestStableToken(t *testing.T) {
	p := newTokenPeer(t)
	s, _ := p.source(t)
	assert.Equal(t, "A1", mustToken(t, s, Secret{}))
	assert.Equal(t, "A1", mustToken(t, s, Secret{}))
	assert.Equal(t, []string{"POST /cgi-bin/stable_token?"}, p.requests())
	assert.JSONEq(t, `{"grant_type":"client_credential","appid":"`+testAppID+`","secret":"`+testSecret+`","force_refresh":false}`, p.bodies[0])
}

func TestStableToken_RenewedEarly(t *testing.T) {
	p := newTokenPeer(t)
	s, clock := p.source(t)
	mustToken(t, s, Secret{})
	clock.advance(2*time.Hour - tokencache.Margin - time.Second)
	mustToken(t, s, Secret{})
	assert.Len(t, p.requests(), 1)
	clock.advance(time.Second)
	p.issued.Add(1)
	assert.Equal(t, "A2", mustToken(t, s, Secret{}))
	assert.Len(t, p.requests(), 2)
}

func TestStableToken_ShortLifetime(t *testing.T) {
	p := newTokenPeer(t)
	s, clock := p.source(t)
	p.expire = "60"
	mustToken(t, s, Secret{})
	clock.advance(29 * time.Second)
	mustToken(t, s, Secret{})
	assert.Len(t, p.requests(), 1)
	clock.advance(time.Second)
	p.expire = "-5"
	mustToken(t, s, Secret{})
	mustToken(t, s, Secret{})
	assert.Len(t, p.requests(), 3, "a token without a lifetime is used once")
}

func TestStableToken_ForceInterval(t *testing.T) {
	p := newTokenPeer(t)
	s, clock := p.source(t)
	assert.Equal(t, "A1", mustToken(t, s, Secret{}))
	p.issued.Add(1)
	assert.Equal(t, "A2", mustToken(t, s, NewSecret("A1")), "another instance has renewed it")
	assert.EqualValues(t, 0, p.forced.Load())
	assert.Equal(t, "A3", mustToken(t, s, NewSecret("A2")))
	assert.EqualValues(t, 1, p.forced.Load())
	assert.Equal(t, "A3", mustToken(t, s, NewSecret("A2")), "a caller with an old token gets the cached one")
	assert.Equal(t, "A3", mustToken(t, s, NewSecret("A3")), "not twice in a row: WeChat allows twenty a day")
	assert.EqualValues(t, 1, p.forced.Load())
	clock.advance(forceInterval)
	assert.Equal(t, "A4", mustToken(t, s, NewSecret("A3")))
	assert.EqualValues(t, 2, p.forced.Load())
}

func TestStableToken_ForceDailyLimit(t *testing.T) {
	p := newTokenPeer(t)
	s, clock := p.source(t)
	token := mustToken(t, s, Secret{})
	for range 40 { // over 200 minutes
		token = mustToken(t, s, NewSecret(token))
		clock.advance(forceInterval)
	}
	assert.EqualValues(t, 10, p.forced.Load(), "WeChat allows twenty, and there are other servers")
	clock.advance(24*time.Hour - 40*forceInterval - time.Second)
	mustToken(t, s, NewSecret(token))
	assert.EqualValues(t, 10, p.forced.Load())
	clock.advance(time.Second)
	mustToken(t, s, NewSecret(token))
	assert.EqualValues(t, 11, p.forced.Load(), "a day after the first")
}

func TestStableToken_SharedCall(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	p := newFakePeer(t, func(*http.Request, string) string {
		close(arrived) // a second call would panic
		<-release
		return `{"access_token":"A1","expires_in":7200}`
	})
	s := p.client(t).accounts.(*stableToken)
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			token, err := s.AccountToken(t.Context(), Secret{})
			assert.NoError(t, err)
			assert.Equal(t, "A1", token.Reveal())
		})
	}
	<-arrived
	close(release)
	callers.Wait()
	assert.Len(t, p.requests(), 1)
}

func TestStableToken_CanceledCaller(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	p := newFakePeer(t, func(*http.Request, string) string {
		close(arrived)
		<-release
		return `{"access_token":"A1","expires_in":7200}`
	})
	s := p.client(t).accounts.(*stableToken)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { _, err := s.AccountToken(ctx, Secret{}); gone <- err }()
	<-arrived
	cancel()
	err := <-gone
	assert.ErrorIs(t, err, context.Canceled)
	close(release)
	assert.Equal(t, "A1", mustToken(t, s, Secret{}))
	assert.Len(t, p.requests(), 1)
}

func TestStableToken_RetryAfterError(t *testing.T) {
	responses := []string{`{"errcode":40125,"errmsg":"invalid appsecret"}`, `{"access_token":"","expires_in":7200}`, `{"access_token":"A1","expires_in":7200}`}
	p := newFakePeer(t, func(*http.Request, string) string {
		response := responses[0]
		responses = responses[1:]
		return response
	})
	c := p.client(t)
	s := c.accounts.(*stableToken)
	err := c.CheckSession(t.Context(), testOpenID, testKey)
	var e *Error
	require.True(t, errors.As(err, &e))
	assert.Equal(t, "cgi-bin/stable_token", e.Endpoint)
	assert.Equal(t, KindConfiguration, e.Kind())
	assert.ErrorIs(t, err, ErrAppSecret)
	assertNoSecrets(t, err)
	_, err = s.AccountToken(t.Context(), Secret{})
	assert.ErrorIs(t, err, ErrBadResponse)
	assert.Equal(t, "A1", mustToken(t, s, Secret{}))
}
