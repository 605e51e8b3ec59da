package wechatauth

import (
	"context"
	"net/http"
	"runtime"
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

func TestAnAbandonedClaimIsTakenOverByOneCallbackOnly(t *testing.T) {
	ctx := context.Background()
	for round := range 50 {
		cs := &claims{marks: store.NewMemory(), wait: yield}
		var abandoned [][]byte
		for range round % 3 { // who takes over may abandon in turn
			c, err := cs.join(ctx, "key", abandoned...)
			require.NoError(t, err)
			require.Nil(t, c.outcome)
			abandoned = c.abandon(abandoned)
		}
		var winners atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				c, err := cs.join(ctx, "key", abandoned...)
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
	mine := &claims{marks: store.NewMemory(), wait: yield}
	abandoned, err := mine.join(context.Background(), "key")
	require.NoError(t, err)
	_, err = cs.join(context.Background(), "key")
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	looks := 0
	cs.wait = func(ctx context.Context, _ time.Duration) error {
		if looks++; looks == 10 {
			cancel()
		}
		return ctx.Err()
	}
	_, err = cs.join(ctx, "key", abandoned.abandon(nil)...)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestOnlyTheLastOwnersAreRemembered(t *testing.T) {
	var list [][]byte
	for n := range byte(10) {
		list = (&claim{owner: []byte{markClaimed, n}}).abandon(list)
	}
	assert.Equal(t, [][]byte{{6}, {7}, {8}, {9}}, list)
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

func TestAReloadDoesNotWaitForTheClaimItsOwnBrowserLeftBehind(t *testing.T) {
	s := newSite(t, WithStore(&deaf{Memory: store.NewMemory()}))
	s.auth.claims.wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
	b := s.browser()
	callback := b.authorize("/orders")
	require.Equal(t, http.StatusServiceUnavailable, b.step(callback).StatusCode)
	assert.Contains(t, b.visit(callback).body, "url=/orders logged-in=true")
	assert.Equal(t, 1, s.exchanges())
}
