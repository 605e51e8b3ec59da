package session

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/store"
)

// A muteStore times out while it is mute, and counts its calls.
type muteStore struct {
	*store.Memory
	mute  atomic.Bool
	asked atomic.Int64
}

func (s *muteStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	s.asked.Add(1)
	if s.mute.Load() {
		return nil, false, fmt.Errorf("find session: %w", context.DeadlineExceeded)
	}
	return s.Memory.FindCtx(ctx, token)
}

// askedBy counts the store calls of f.
func (s *muteStore) askedBy(f func()) int64 {
	before := s.asked.Load()
	f()
	return s.asked.Load() - before
}

func TestLoadWeChat_StoreTimeout(t *testing.T) {
	inner := &muteStore{Memory: store.NewMemory()}
	s := authtest.NewSite(t, wechatauth.WithStore(inner))
	b := s.Browser()
	b.Visit("/a")
	public := func(want string) func() {
		return func() {
			got := b.Step("/public")
			require.Equal(t, http.StatusOK, got.StatusCode)
			assert.Contains(t, got.Text, want)
		}
	}
	many := func() {
		var all sync.WaitGroup
		for range 10 {
			all.Go(public("logged-in=false"))
		}
		all.Wait()
	}

	inner.mute.Store(true)
	assert.Equal(t, int64(1), inner.askedBy(public("logged-in=false")), "the first one waits")
	assert.Zero(t, inner.askedBy(many), "and no one after it")
	s.Clock.Advance(2 * time.Second)
	assert.Equal(t, int64(1), inner.askedBy(many), "then one of them probes the store")
	assert.Equal(t, int64(1), inner.askedBy(func() {
		assert.Equal(t, http.StatusServiceUnavailable, b.Step("/a").StatusCode)
	}), "a protected page always calls the store")
	assert.NotNil(t, b.Cookie(s.SessionCookie()), "it logs no one out")

	inner.mute.Store(false)
	assert.Zero(t, inner.askedBy(public("logged-in=false")))
	assert.Equal(t, http.StatusOK, b.Step("/a").StatusCode)
	assert.Equal(t, int64(1), inner.askedBy(public("logged-in=true")), "any successful call ends it")
}
