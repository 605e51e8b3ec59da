package singleflight

import (
	"context"
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

// Exactly one callback becomes the leader.
func TestGroup_Join_leader(t *testing.T) {
	ctx := context.Background()
	for range 50 {
		g := &Group{Marks: store.NewMemory(), Wait: yield}
		var winners atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				c, err := g.Join(ctx, "key")
				if !assert.NoError(t, err) {
					return
				}
				if c.Sealed == nil {
					winners.Add(1)
					assert.NoError(t, c.publish(ctx, []byte("outcome"), time.Minute, nil, store.Batch{}))
					return
				}
				assert.Equal(t, "outcome", string(c.Sealed))
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, winners.Load())
	}
}

// A callback that waits does not take the lease of the leader.
func TestGroup_Join_waits(t *testing.T) {
	g := &Group{Marks: store.NewMemory(), Wait: yield}
	_, err := g.Join(context.Background(), "key")
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	looks := 0
	g.Wait = func(ctx context.Context, _ time.Duration) error {
		if looks++; looks == 10 {
			cancel()
		}
		return ctx.Err()
	}
	_, err = g.Join(ctx, "key")
	assert.ErrorIs(t, err, context.Canceled)
}

// Requests that wait for a login are counted, poll less and less often, and end
// when their client disconnects.
func TestT88_Wait(t *testing.T) {
	clock, looks := time.Unix(1, 0), 0
	g := &Group{Marks: store.NewMemory(store.WithClock(func() time.Time { return clock }))}
	g.Wait = func(_ context.Context, d time.Duration) error {
		looks++
		clock = clock.Add(d)
		return nil
	}
	_, err := g.Join(t.Context(), "login") // and dies
	require.NoError(t, err)
	_, err = g.Join(t.Context(), "login")
	require.NoError(t, err)
	assert.LessOrEqual(t, looks, 26, "looks in ten seconds")

	g = &Group{Marks: store.NewMemory()}
	parked := make(chan struct{}, maxWaiting+2)
	g.Wait = func(ctx context.Context, _ time.Duration) error {
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
		_, err = g.Join(t.Context(), login)
		require.NoError(t, err)
		for range maxWaitingForOne {
			go func() {
				_, err := g.Join(ctx, login)
				ended <- err
			}()
			<-parked
		}
		_, err = g.Join(gone, login)
		require.ErrorIs(t, err, ErrBusy, "of one login")
	}
	_, err = g.Join(t.Context(), "another")
	require.NoError(t, err)
	_, err = g.Join(gone, "another")
	require.ErrorIs(t, err, ErrBusy, "in all")
	leave()
	for range maxWaiting {
		require.ErrorIs(t, <-ended, context.Canceled)
	}
	assert.Empty(t, g.waiting)
	assert.Zero(t, g.all)
}

// A callback that lost its lease must not release the lease of the callback
// that holds it now.
func TestT06_LostLease(t *testing.T) {
	ctx := context.Background()
	clock := time.Unix(1, 0)
	g := &Group{Marks: store.NewMemory(store.WithClock(func() time.Time { return clock })), Wait: yield}
	slow, err := g.Join(ctx, "key")
	require.NoError(t, err)
	clock = clock.Add(Lease + time.Second)
	other, err := g.Join(ctx, "key")
	require.NoError(t, err)
	require.Nil(t, other.Sealed)

	require.NoError(t, slow.Release(ctx))
	mark, found, err := g.Marks.Mark(ctx, "key")
	require.NoError(t, err)
	assert.True(t, found && string(mark) == string(other.holder), "the claim is still the other's")

	require.NoError(t, other.publish(ctx, []byte("outcome"), time.Minute, nil, store.Batch{}))
	require.NoError(t, slow.Release(ctx))
	left, err := g.Sealed(ctx, "key")
	require.NoError(t, err)
	assert.Equal(t, "outcome", string(left))
	require.NoError(t, other.Release(ctx))
	left, err = g.Sealed(ctx, "key")
	require.NoError(t, err)
	assert.Equal(t, "outcome", string(left), "nor is what is settled taken back")
}
