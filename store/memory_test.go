package store_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// handClock is a clock that only Advance moves.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Sessions, marks and index entries expire to the nanosecond.
func TestMemory_expiry(t *testing.T) {
	ctx := context.Background()
	clock := &handClock{now: noon}
	m := store.NewMemory(store.WithClock(clock.Now))
	token := storetest.Token()
	until := noon.Add(time.Minute)
	require.NoError(t, m.CommitCtx(ctx, token, []byte("record"), until))
	require.NoError(t, m.PutMark(ctx, "k", []byte("v"), time.Minute))
	require.NoError(t, m.AddSession(ctx, "user", token, until))

	lives := func() (session, mark, index bool) {
		_, ttl, session, err := m.FindTTLCtx(ctx, token)
		require.NoError(t, err)
		if session {
			assert.Equal(t, until.Sub(clock.Now()), ttl)
		}
		_, mark, err = m.Mark(ctx, "k")
		require.NoError(t, err)
		tokens, err := m.SessionsOf(ctx, "user")
		require.NoError(t, err)
		return session, mark, len(tokens) > 0
	}

	clock.Advance(time.Minute - 1)
	session, mark, index := lives()
	assert.True(t, session && mark && index, "expired too early")

	clock.Advance(1)
	session, mark, index = lives()
	assert.False(t, session || mark || index, "expired too late")
	all, err := m.AllCtx(ctx)
	require.NoError(t, err)
	assert.Empty(t, all)

	found, err := m.UpdateCtx(ctx, token, []byte("late"), clock.Now().Add(time.Hour))
	require.NoError(t, err)
	assert.False(t, found, "an update brought an expired session back")
	found, err = m.TouchCtx(ctx, token, clock.Now().Add(time.Hour))
	require.NoError(t, err)
	assert.False(t, found, "a touch brought an expired session back")
	won, err := m.PutMarkNX(ctx, "k", []byte("next"), time.Minute)
	require.NoError(t, err)
	assert.True(t, won, "an expired mark still counts")
}

// A touch extends a session.
func TestMemory_TouchCtx(t *testing.T) {
	ctx := context.Background()
	clock := &handClock{now: noon}
	m := store.NewMemory(store.WithClock(clock.Now))
	token := storetest.Token()
	require.NoError(t, m.CommitCtx(ctx, token, []byte("record"), noon.Add(time.Minute)))
	for range 10 {
		clock.Advance(50 * time.Second)
		found, err := m.TouchCtx(ctx, token, clock.Now().Add(time.Minute))
		require.NoError(t, err)
		require.True(t, found)
	}
	clock.Advance(time.Minute)
	_, found, err := m.FindCtx(ctx, token)
	require.NoError(t, err)
	assert.False(t, found)
}

// The index drops sessions that have expired.
func TestMemory_index(t *testing.T) {
	ctx := context.Background()
	clock := &handClock{now: noon}
	m := store.NewMemory(store.WithClock(clock.Now))
	short, long := storetest.Token(), storetest.Token()
	require.NoError(t, m.AddSession(ctx, "user", long, noon.Add(time.Hour)))
	require.NoError(t, m.AddSession(ctx, "user", short, noon.Add(time.Minute)))
	clock.Advance(30 * time.Minute)
	later := storetest.Token()
	require.NoError(t, m.AddSession(ctx, "user", later, clock.Now().Add(time.Minute)))
	tokens, err := m.SessionsOf(ctx, "user")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{long, later}, tokens)
	clock.Advance(time.Hour)
	tokens, err = m.SessionsOf(ctx, "user")
	require.NoError(t, err)
	assert.Empty(t, tokens)
}

// Expired entries do not accumulate.
func TestMemory_cleanup(t *testing.T) {
	ctx := context.Background()
	clock := &handClock{now: noon}
	m := store.NewMemory(store.WithClock(clock.Now))
	// A session that is extended must not delay the removal of others.
	kept := storetest.Token()
	require.NoError(t, m.CommitCtx(ctx, kept, nil, noon.Add(time.Second)))
	for range 10 {
		require.NoError(t, m.CommitCtx(ctx, storetest.Token(), nil, noon.Add(2*time.Second)))
	}
	_, err := m.TouchCtx(ctx, kept, noon.Add(24*time.Hour))
	require.NoError(t, err)
	round := func() {
		for range 4_000 {
			token := storetest.Token()
			require.NoError(t, m.CommitCtx(ctx, token, make([]byte, 200), clock.Now().Add(time.Minute)))
			require.NoError(t, m.PutMark(ctx, token, make([]byte, 200), time.Minute))
			require.NoError(t, m.AddSession(ctx, token, token, clock.Now().Add(time.Minute)))
		}
		clock.Advance(2 * time.Minute)
	}
	inUse := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	round()
	round()
	before := inUse()
	for range 5 {
		round()
	}
	assert.Less(t, inUse(), before*3/2)
	runtime.KeepAlive(m)
}

func TestMemory_concurrent(t *testing.T) {
	ctx := context.Background()
	clock := &handClock{now: noon}
	m := store.NewMemory(store.WithClock(clock.Now))
	tokens := make([]string, 10)
	for i := range tokens {
		tokens[i] = storetest.Token()
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				token := tokens[(worker+i)%len(tokens)]
				until := clock.Now().Add(time.Duration(i%5) * time.Second)
				var err error
				switch i % 10 {
				case 0:
					err = m.CommitCtx(ctx, token, fmt.Append(nil, i), until)
				case 1:
					_, err = m.UpdateCtx(ctx, token, fmt.Append(nil, i), until)
				case 2:
					_, err = m.TouchCtx(ctx, token, until)
				case 3:
					err = m.DeleteCtx(ctx, token)
				case 4:
					err = m.AddSession(ctx, "user", token, until)
				case 5:
					err = m.RemoveSession(ctx, "user", token)
				case 6:
					_, err = m.SessionsOf(ctx, "user")
				case 7:
					_, err = m.AllCtx(ctx)
				default:
					_, _, _, err = m.FindTTLCtx(ctx, token)
				}
				assert.NoError(t, err)
				clock.Advance(time.Millisecond)
			}
		})
	}
	wg.Wait()
}
