package store_test

import (
	"context"
	"sync"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestObserve(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Sessions {
		return store.Observe(store.NewMemory(), func(context.Context, store.Call) {}).(store.Sessions)
	})
}

// The function receives each call with its duration and its error.
func TestObserve_calls(t *testing.T) {
	redis := redistest.Start(t)
	var mu sync.Mutex
	calls := map[string]store.Call{}
	s := store.Observe(patient(redis.Pool()), func(_ context.Context, c store.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls[c.Op] = c
	}).(store.Sessions)
	ctx, token := context.Background(), storetest.Token()
	require.NoError(t, s.Commit(token, []byte("x"), inAnHour()))
	_, _, err := s.Find(token)
	require.NoError(t, err)
	require.NoError(t, s.AddSession(ctx, "user", token, inAnHour()))
	for _, op := range []string{"commit session", "find session", "add to index"} {
		assert.Positive(t, calls[op].Duration, op)
		assert.NoError(t, calls[op].Err, op)
	}
	assert.NoError(t, s.(store.Checker).Check(ctx))

	down := store.Observe(store.New(redis.Pool()), func(_ context.Context, c store.Call) { calls[c.Op] = c })
	redis.Stop()
	_, _, err = down.Find(token)
	require.Error(t, err)
	assert.Equal(t, err, calls["find session"].Err)
}

func TestObserve_anotherStore(t *testing.T) {
	ignore := func(context.Context, store.Call) {}
	plain := struct{ scs.Store }{memstore.NewWithCleanupInterval(0)}
	_, err := store.Observe(plain, ignore).All()
	assert.Error(t, err, "the inner store cannot be iterated")
	all, err := store.Observe(memstore.NewWithCleanupInterval(0), ignore).All()
	require.NoError(t, err)
	assert.Empty(t, all)
}
