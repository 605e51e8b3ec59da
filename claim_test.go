package wechatauth

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
)

// deaf obeys the first claim and does not say so.
type deaf struct {
	*store.Memory
	claims atomic.Int32
}

func (d *deaf) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	won, err := d.Memory.PutMarkNX(ctx, key, value, ttl)
	if d.claims.Add(1) == 1 {
		return false, errBroken
	}
	return won, err
}

func TestAClaimWhoseReplyWasLostIsFreeAfterItsLease(t *testing.T) {
	d := &deaf{}
	s := newSite(t, func(c *config) {
		d.Memory = store.NewMemory(store.WithClock(c.now))
		WithStore(d)(c)
	})
	s.auth.claims.Wait = s.waitOut()
	b := s.browser()
	callback := b.authorize("/orders")
	require.Equal(t, http.StatusServiceUnavailable, b.step(callback).StatusCode)
	began := s.clock.Now()
	assert.Contains(t, b.visit(callback).body, "url=/orders logged-in=true")
	assert.Equal(t, 1, s.exchanges())
	assert.LessOrEqual(t, s.clock.Now().Sub(began), singleflight.Lease+singleflight.MaxPoll)
}

func TestT88_AClientThatLeavesWhileItWaitsIsNoFailure(t *testing.T) {
	var failed atomic.Int32
	s := newSite(t, WithObserver(observing(func(e Event) {
		if e.Reason != "" {
			failed.Add(1)
		}
	})))
	waits := make(chan struct{}, 1)
	s.auth.claims.Wait = func(ctx context.Context, _ time.Duration) error {
		waits <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	served, handler := make(chan struct{}, 1), s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		served <- struct{}{}
	})
	b := s.browser()
	callback := b.authorize("/a")
	<-served
	release := s.sim.Block("sns/oauth2/access_token")
	call := func(ctx context.Context) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
		assert.NoError(t, err)
		r.Header = b.header.Clone()
		for _, c := range b.client.Jar.Cookies(s.auth.base) {
			r.AddCookie(c)
		}
		if resp, err := s.server.Client().Transport.RoundTrip(r); err == nil {
			resp.Body.Close()
		}
	}
	go call(t.Context())
	require.NoError(t, s.sim.Await(t.Context(), "sns/oauth2/access_token", 1))
	ctx, leave := context.WithCancel(t.Context())
	go call(ctx)
	<-waits
	leave()
	<-served
	assert.Zero(t, failed.Load())
	release()
	<-served
}
