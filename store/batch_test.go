package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// loginBatches returns the writes of a login, in two batches.
func loginBatches(token, old string) []store.Batch {
	var save, settle store.Batch
	save.AddSession("user", token, inAnHour())
	save.Commit(token, []byte("record"), inAnHour())
	settle.PutMark("renewed", []byte("grace"), time.Minute)
	settle.Delete(old)
	settle.PutMark("state", []byte("outcome"), time.Minute)
	return []store.Batch{save, settle}
}

// batch returns a batch with the writes that the functions add.
func batch(adds ...func(b *store.Batch)) (b store.Batch) {
	for _, add := range adds {
		add(&b)
	}
	return b
}

// oneByOne hides DoBatch.
type oneByOne struct{ store.Sessions }

// A batch has the effect of its separate writes, also on wrapped stores.
func TestBatch(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	quiet := func(context.Context, store.Call) {}
	for name, open := range map[string]func(inner store.Sessions) store.Sessions{
		"plain":              func(inner store.Sessions) store.Sessions { return inner },
		"sealed":             func(inner store.Sessions) store.Sessions { return encrypted(t, inner, 1) },
		"observed":           func(inner store.Sessions) store.Sessions { return store.Observe(inner, quiet).(store.Sessions) },
		"sealed, one by one": func(inner store.Sessions) store.Sessions { return encrypted(t, oneByOne{inner}, 1) },
		"observed and sealed": func(inner store.Sessions) store.Sessions {
			return encrypted(t, store.Observe(inner, quiet).(store.Sessions), 1)
		},
		"observed, one by one": func(inner store.Sessions) store.Sessions {
			return store.Observe(oneByOne{inner}, quiet).(store.Sessions)
		},
		"in memory, and sealed": func(store.Sessions) store.Sessions { return encrypted(t, store.NewMemory(), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			server.Do("FLUSHALL")
			s := open(patient(server.Pool()))
			token, old := storetest.Token(), storetest.Token()
			require.NoError(t, s.CommitCtx(ctx, old, []byte("old"), inAnHour()))
			for _, writes := range loginBatches(token, old) {
				require.NoError(t, s.(store.Batcher).DoBatch(ctx, writes))
			}
			b, found, err := s.FindCtx(ctx, token)
			require.NoError(t, err)
			assert.True(t, found)
			assert.Equal(t, "record", string(b))
			_, found, err = s.FindCtx(ctx, old)
			require.NoError(t, err)
			assert.False(t, found)
			tokens, err := s.SessionsOf(ctx, "user")
			require.NoError(t, err)
			assert.Equal(t, []string{token}, tokens)
			for key, want := range map[string]string{"renewed": "grace", "state": "outcome"} {
				value, _, err := s.Mark(ctx, key)
				require.NoError(t, err)
				assert.Equal(t, want, string(value))
			}
			require.NoError(t, s.(store.Batcher).DoBatch(ctx, store.Batch{}), "nothing to do")

			require.NoError(t, s.(store.Batcher).DoBatch(ctx, batch(func(b *store.Batch) {
				b.RemoveSession("user", token)
				b.RemoveSession("user", "no token")
			})))
			tokens, err = s.SessionsOf(ctx, "user")
			require.NoError(t, err)
			assert.Empty(t, tokens)
		})
	}
}

func TestBatch_order(t *testing.T) {
	server := redistest.Start(t)
	s, token, old := patient(server.Pool()), storetest.Token(), storetest.Token()
	commands := server.Commands(func() {
		for _, writes := range loginBatches(token, old) {
			require.NoError(t, s.DoBatch(context.Background(), writes))
		}
	})
	var names []string
	for _, c := range commands {
		name, _, _ := strings.Cut(c, " ")
		names = append(names, name)
	}
	assert.Equal(t, []string{"ZADD", "PEXPIRE", "ZREMRANGEBYSCORE", "ZRANGE", "SET", "SET", "DEL", "SET"}, names)
}

// A batch fails if one of its writes fails. If a write is invalid, none is
// made.
func TestBatch_failedWrite(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, token := patient(server.Pool()), storetest.Token()
	server.Do("CONFIG", "SET", "maxmemory", "1")
	commit := func(token string, record []byte, until time.Time) func(b *store.Batch) {
		return func(b *store.Batch) { b.Commit(token, record, until) }
	}
	err := s.DoBatch(ctx, batch(func(b *store.Batch) { b.Delete(token) }, commit(token, []byte("record"), inAnHour())))
	assert.Equal(t, store.ClassFailClosed, store.ClassOf(err), "%v", err)
	server.Do("CONFIG", "SET", "maxmemory", "0")

	for name, add := range map[string]func(b *store.Batch){
		"a malformed token":          commit("x", []byte("r"), inAnHour()),
		"a malformed token, indexed": func(b *store.Batch) { b.AddSession("user", "x", inAnHour()) },
		"a record that is too large": commit(token, make([]byte, 2<<20), inAnHour()),
		"a mark without a life":      func(b *store.Batch) { b.PutMark("state", nil, 0) },
	} {
		err := s.DoBatch(ctx, batch(func(b *store.Batch) { b.PutMark("before", nil, time.Minute) }, add))
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%s: %v", name, err)
		_, found, err := s.Mark(ctx, "before")
		require.NoError(t, err)
		assert.False(t, found, "%s: a batch with an invalid write was made in part", name)
	}
}

// A batch is retried after a restart of the server.
func TestBatch_deadConnections(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	pool := server.Pool()
	fill(t, pool, 5)
	server.Restart()
	s, token := patient(pool), storetest.Token()
	require.NoError(t, s.DoBatch(ctx, loginBatches(token, storetest.Token())[0]))
	_, found, err := s.FindCtx(ctx, token)
	require.NoError(t, err)
	assert.True(t, found)
}

// An index written in a batch expires no sooner than its longest session.
func TestBatch_indexExpiry(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, long, short := patient(server.Pool()), storetest.Token(), storetest.Token()
	save := func(token string, until time.Time) {
		require.NoError(t, s.DoBatch(ctx, batch(func(b *store.Batch) {
			b.AddSession("user", token, until)
			b.Commit(token, nil, until)
		})))
	}
	save(long, inAnHour().Add(time.Hour))
	save(short, inAnHour())
	keys := server.Do("KEYS", "wechat:user:*").([]any)
	require.Len(t, keys, 1)
	assert.Greater(t, server.Do("PTTL", keys[0]).(int64), (90 * time.Minute).Milliseconds())

	save(long, time.Now().Add(-time.Hour))
	tokens, err := s.SessionsOf(ctx, "user")
	require.NoError(t, err)
	assert.Equal(t, []string{short}, tokens, "an expired session is still in the index")
}

// Copies of a batch are independent.
func TestBatch_copy(t *testing.T) {
	one := batch(func(b *store.Batch) { b.Delete(storetest.Token()) })
	two, three := one, one
	two.Delete(storetest.Token())
	three.PutMark("state", nil, time.Minute)
	assert.Equal(t, 1, one.Len())
	assert.Equal(t, 2, two.Len())
	assert.NotEqual(t, two, three)
}
