package wechatauth

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
)

func yield(ctx context.Context, _ time.Duration) error {
	runtime.Gosched()
	return ctx.Err()
}

func TestAClaimIsWonByOneCallbackOnly(t *testing.T) {
	ctx := context.Background()
	for range 50 {
		cs := &claims{marks: store.NewMemory(), wait: yield}
		var winners atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				c, err := cs.join(ctx, "key")
				if !assert.NoError(t, err) {
					return
				}
				if c.outcome == nil {
					winners.Add(1)
					assert.NoError(t, c.settle(ctx, []byte("outcome"), time.Minute))
					return
				}
				assert.Equal(t, "outcome", string(c.outcome))
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, winners.Load())
	}
}

func TestAClaimOfAnotherIsNeverTakenOver(t *testing.T) {
	cs := &claims{marks: store.NewMemory(), wait: yield}
	_, err := cs.join(context.Background(), "key")
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	looks := 0
	cs.wait = func(ctx context.Context, _ time.Duration) error {
		if looks++; looks == 10 {
			cancel()
		}
		return ctx.Err()
	}
	_, err = cs.join(ctx, "key")
	assert.ErrorIs(t, err, context.Canceled)
}

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
	s.auth.claims.wait = s.waitOut()
	b := s.browser()
	callback := b.authorize("/orders")
	require.Equal(t, http.StatusServiceUnavailable, b.step(callback).StatusCode)
	began := s.clock.Now()
	assert.Contains(t, b.visit(callback).body, "url=/orders logged-in=true")
	assert.Equal(t, 1, s.exchanges())
	assert.LessOrEqual(t, s.clock.Now().Sub(began), claimLease+claimPollMost)
}

// Requests that wait for a login are counted, look less and less often, and end
// with their clients.
func TestT88_WaitingForALoginIsBoundedAndEndsWithTheClient(t *testing.T) {
	clock, looks := time.Unix(1, 0), 0
	cs := &claims{marks: store.NewMemory(store.WithClock(func() time.Time { return clock }))}
	cs.wait = func(_ context.Context, d time.Duration) error {
		looks++
		clock = clock.Add(d)
		return nil
	}
	_, err := cs.join(t.Context(), "login") // and dies
	require.NoError(t, err)
	_, err = cs.join(t.Context(), "login")
	require.NoError(t, err)
	assert.LessOrEqual(t, looks, 26, "looks in ten seconds")

	cs = &claims{marks: store.NewMemory()}
	parked := make(chan struct{}, maxWaiting+2)
	cs.wait = func(ctx context.Context, _ time.Duration) error {
		parked <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error)
	for i := range maxWaiting / maxWaitingForOne {
		login := strconv.Itoa(i)
		_, err = cs.join(t.Context(), login)
		require.NoError(t, err)
		for range maxWaitingForOne {
			go func() {
				_, err := cs.join(ctx, login)
				ended <- err
			}()
			<-parked
		}
		_, err = cs.join(gone, login)
		require.ErrorIs(t, err, errCrowded, "of one login")
	}
	_, err = cs.join(t.Context(), "another")
	require.NoError(t, err)
	_, err = cs.join(gone, "another")
	require.ErrorIs(t, err, errCrowded, "in all")
	leave()
	for range maxWaiting {
		require.ErrorIs(t, <-ended, context.Canceled)
	}
	assert.Empty(t, cs.waiting)
	assert.Zero(t, cs.all)
}

func TestT88_AClientThatLeavesWhileItWaitsIsNoFailure(t *testing.T) {
	var failed atomic.Int32
	s := newSite(t, WithObserver(observing(func(e Event) {
		if e.Reason != "" {
			failed.Add(1)
		}
	})))
	waits := make(chan struct{}, 1)
	s.auth.claims.wait = func(ctx context.Context, _ time.Duration) error {
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
