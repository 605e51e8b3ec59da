package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
)

const aToken = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// rested is a store whose pool keeps a connection.
func rested(t *testing.T, timeout time.Duration) *Store {
	t.Helper()
	s := New(redistest.Start(t).Pool(), WithTimeout(timeout))
	_, _, err := s.Find(aToken)
	require.NoError(t, err)
	return s
}

func TestCallsThatFindAConnectionShareATimer(t *testing.T) {
	type key struct{}
	s := rested(t, time.Hour)
	parent, end := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
	before := time.Now()
	first, cancel := s.withDeadline(parent)
	defer cancel()
	second, cancel := s.withDeadline(parent)
	defer cancel()

	require.IsType(t, &callContext{}, first)
	require.IsType(t, &callContext{}, second)
	deadline, ok := first.Deadline()
	assert.True(t, ok)
	assert.WithinRange(t, deadline, before.Add(time.Hour), time.Now().Add(time.Hour))
	assert.Equal(t, "value", first.Value(key{}))
	assert.Same(t, &s.silence, first.Value(silenceKey{}))
	assert.NoError(t, first.Err())
	end()
	assert.ErrorIs(t, first.Err(), context.Canceled)
	select {
	case <-first.Done():
		t.Error("whoever has a connection is not interrupted")
	default:
	}
}

func TestASharedTimerIsNeverEarly(t *testing.T) {
	var timers sharedTimers
	began := time.Now()
	first := timers.at(began, time.Hour)
	assert.Same(t, first, timers.at(began.Add(moment-1), time.Hour), "of one moment")
	assert.NotSame(t, first, timers.at(began.Add(moment), time.Hour), "of the next")

	short := timers.at(began.Add(time.Minute), time.Millisecond)
	c := &callContext{Context: context.Background(), timer: short}
	<-c.Done()
	assert.GreaterOrEqual(t, time.Since(began), time.Millisecond)
	assert.ErrorIs(t, c.Err(), context.DeadlineExceeded)
}

func TestWhereACallMayHaveToWaitItEndsWithItsRequest(t *testing.T) {
	parent, end := context.WithCancel(context.Background())
	bounded, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for name, c := range map[string]struct {
		s   *Store
		ctx context.Context
	}{
		"no connection at rest":       {New(redistest.Start(t).Pool()), parent},
		"a request with its deadline": {rested(t, time.Minute), bounded},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := c.s.withDeadline(c.ctx)
			defer cancel()
			_, shared := ctx.(*callContext)
			assert.False(t, shared)
		})
	}
	ctx, cancel := New(redistest.Start(t).Pool()).withDeadline(parent)
	defer cancel()
	end()
	<-ctx.Done()
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
}

func TestACallOverAConnectionAtRestEndsAtItsDeadline(t *testing.T) {
	server := redistest.Start(t)
	s := New(server.Pool(), WithTimeout(100*time.Millisecond))
	require.Eventually(t, func() bool { _, _, err := s.Find(aToken); return err == nil }, 10*time.Second, time.Millisecond)
	server.Freeze()
	defer server.Thaw()
	_, _, err := s.Find(aToken)
	var timeout interface{ Timeout() bool }
	require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
	assert.Equal(t, ClassRetryNow, ClassOf(err))
}
