package rueidisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// noon is the time on the clock of stores whose commands are compared.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// sent returns the commands that f makes the server execute, without those that
// keep up connections.
func sent(server *redistest.Server, f func()) []string {
	commands := []string{}
	for _, c := range server.Commands(f) {
		name, _, _ := strings.Cut(c, " ")
		switch name {
		case "PING", "CLIENT", "HELLO", "CLUSTER":
		default:
			commands = append(commands, c)
		}
	}
	return commands
}

// operations are all that a store can do, building on each other.
func operations(ctx context.Context, s store.Sessions, token string) []func() error {
	later := noon.Add(time.Hour)
	find := func() error { _, _, err := s.FindCtx(ctx, token); return err }
	return []func() error{
		find,
		func() error { _, err := s.UpdateCtx(ctx, token, []byte("r"), later); return err },
		func() error { _, err := s.TouchCtx(ctx, token, later); return err },
		func() error { return s.CommitCtx(ctx, token, []byte("r \r\n\x00\xff"), later) },
		find,
		func() error { _, _, _, err := s.FindTTLCtx(ctx, token); return err },
		func() error { _, err := s.UpdateCtx(ctx, token, []byte("q"), later); return err },
		func() error { _, err := s.TouchCtx(ctx, token, later.Add(time.Microsecond)); return err },
		func() error { return s.CommitCtx(ctx, token, nil, noon.Add(1)) },
		func() error { return s.CommitCtx(ctx, token, []byte("r"), noon) },
		func() error { _, err := s.UpdateCtx(ctx, token, []byte("r"), noon.Add(-1)); return err },
		func() error { _, err := s.TouchCtx(ctx, token, time.Time{}); return err },
		func() error { return s.CommitCtx(ctx, token, []byte("r"), noon.AddDate(10_000, 0, 0)) },
		func() error { _, err := s.AllCtx(ctx); return err },
		func() error { return s.DeleteCtx(ctx, token) },
		func() error { _, err := s.PutMarkNX(ctx, "state", []byte("a"), time.Minute); return err },
		func() error { _, err := s.PutMarkNX(ctx, "state", []byte("b"), time.Minute); return err },
		func() error { return s.PutMark(ctx, "state", []byte("c"), time.Minute) },
		func() error { _, _, err := s.Mark(ctx, "state"); return err },
		func() error { return s.DeleteMark(ctx, "state") },
		func() error { return s.AddSession(ctx, "openid", token, later.Add(time.Hour)) },
		func() error { return s.AddSession(ctx, "openid", storetest.Token(), later) },
		func() error { _, err := s.SessionsOf(ctx, "openid"); return err },
		func() error { return s.RemoveSession(ctx, "openid", token) },
	}
}

func TestEachOperationSendsTheCommandsOfPackageStore(t *testing.T) {
	ctx := context.Background()
	theirServer, ourServer := redistest.Start(t), redistest.Start(t)
	for _, prefix := range []string{"scs:session:", "a[b]*?\\c:"} {
		theirs := store.New(theirServer.Pool(), store.WithClock(atNoon), store.WithPrefix(prefix), store.WithTimeout(patience))
		ours := open(t, one(ourServer), rueidisstore.WithClock(atNoon), rueidisstore.WithPrefix(prefix))
		token := storetest.Token()
		want, got := operations(ctx, theirs, token), operations(ctx, ours, token)
		for i := range want {
			expected := sent(theirServer, func() { require.NoError(t, want[i]()) })
			actual := sent(ourServer, func() { require.NoError(t, got[i]()) })
			require.NotEmpty(t, expected)
			assert.Equal(t, withoutTokens(expected), withoutTokens(actual), "operation %d", i)
		}
	}
}

// withoutTokens hides the token that an operation makes for itself.
func withoutTokens(commands []string) []string {
	for i, c := range commands {
		if words := strings.Fields(c); words[0] == "ZADD" {
			commands[i] = strings.Join(words[:3], " ")
		}
	}
	return commands
}

func TestMalformedTokensNeverReachRedis(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	for name, s := range map[string]*rueidisstore.Store{
		"without near cache": open(t, one(server)), "with near cache": open(t, one(server), nearCache()),
	} {
		require.NoError(t, s.Commit(storetest.Token(), []byte("r"), inAnHour()))
		for kind, token := range storetest.MalformedTokens() {
			t.Run(name+"/"+kind, func(t *testing.T) {
				assert.Empty(t, sent(server, func() {
					s.FindCtx(ctx, token)
					s.Find(token)
					s.FindTTLCtx(ctx, token)
					s.CommitCtx(ctx, token, []byte("r"), inAnHour())
					s.Commit(token, []byte("r"), inAnHour())
					s.UpdateCtx(ctx, token, []byte("r"), inAnHour())
					s.TouchCtx(ctx, token, inAnHour())
					s.DeleteCtx(ctx, token)
					s.Delete(token)
					s.AddSession(ctx, "user", token, inAnHour())
					s.RemoveSession(ctx, "user", token)
				}))
			})
		}
	}
}

func TestNoOperationLeavesAKeyWithoutExpiry(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	for _, life := range []time.Duration{1, time.Microsecond, time.Hour, 400 * 24 * time.Hour, 1<<63 - 1} {
		s := open(t, one(server), rueidisstore.WithClock(atNoon), rueidisstore.WithPrefix(life.String()))
		token, until := storetest.Token(), noon.Add(life)
		require.NoError(t, s.CommitCtx(ctx, token, []byte("r"), until))
		_, err := s.UpdateCtx(ctx, token, []byte("r"), until)
		require.NoError(t, err)
		_, err = s.TouchCtx(ctx, token, until)
		require.NoError(t, err)
		require.NoError(t, s.AddSession(ctx, "openid", token, until))
		_, err = s.PutMarkNX(ctx, "state", []byte("v"), life)
		require.NoError(t, err)
		require.NoError(t, s.PutMark(ctx, "state", []byte("v"), life))
	}
	keys, err := redis.Strings(server.Do("KEYS", "*"), nil)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(keys), 9)
	for _, key := range keys {
		assert.NotEqual(t, int64(-1), server.Do("PTTL", key), key)
	}
}

func TestInstancesWithEitherStoreShareSessionsClaimsAndIndexes(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	pool := server.Pool()
	redigo := store.New(pool, store.WithTimeout(patience))
	sealedRedigo := sealed(t, redigo)
	for name, pair := range map[string]struct{ a, b store.Sessions }{
		"written by package store, read here": {redigo, open(t, one(server), nearCache())},
		"written here, read by package store": {open(t, one(server), nearCache()), redigo},
		"encrypted by package store":          {sealedRedigo, sealed(t, open(t, one(server), nearCache()))},
		"encrypted here":                      {sealed(t, open(t, one(server), nearCache())), sealedRedigo},
	} {
		t.Run(name, func(t *testing.T) {
			token, user, state := storetest.Token(), storetest.Token(), storetest.Token()
			require.NoError(t, pair.a.CommitCtx(ctx, token, []byte("record \x00\xff"), inAnHour()))
			b, ttl, found, err := pair.b.FindTTLCtx(ctx, token)
			require.NoError(t, err)
			assert.True(t, found)
			assert.Equal(t, "record \x00\xff", string(b))
			assert.InDelta(t, time.Hour, ttl, float64(time.Minute))

			require.NoError(t, pair.a.AddSession(ctx, user, token, inAnHour()))
			tokens, err := pair.b.SessionsOf(ctx, user)
			require.NoError(t, err)
			assert.Equal(t, []string{token}, tokens)
			require.NoError(t, pair.b.RemoveSession(ctx, user, token))

			won, err := pair.a.PutMarkNX(ctx, state, []byte("a"), time.Hour)
			require.NoError(t, err)
			assert.True(t, won)
			won, err = pair.b.PutMarkNX(ctx, state, []byte("b"), time.Hour)
			require.NoError(t, err)
			assert.False(t, won)
			value, _, err := pair.b.Mark(ctx, state)
			require.NoError(t, err)
			assert.Equal(t, "a", string(value))

			require.NoError(t, pair.b.DeleteCtx(ctx, token))
			require.Eventually(t, func() bool {
				_, found, err := pair.a.FindCtx(ctx, token)
				return err == nil && !found
			}, patience, time.Millisecond)
		})
	}
}

func sealed(t *testing.T, inner store.Sessions) store.Sessions {
	t.Helper()
	s, err := store.Encrypt(inner, []byte("a key for tests, 32 bytes of it."))
	require.NoError(t, err)
	return s
}

func TestSessionsOfScsRedisstoreAreFound(t *testing.T) {
	server := redistest.Start(t)
	token := storetest.Token()
	require.NoError(t, redisstore.New(server.Pool()).Commit(token, []byte("theirs"), inAnHour()))
	b, found, err := open(t, one(server)).Find(token)
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, "theirs", string(b))
}

func TestAKeyOfAnotherTypeIsNoSession(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	for _, s := range []*rueidisstore.Store{open(t, one(server)), open(t, one(server), nearCache())} {
		token := storetest.Token()
		server.Do("LPUSH", "scs:session:"+token, "x")
		_, found, err := s.FindCtx(ctx, token)
		require.ErrorIs(t, err, store.ErrCorrupt)
		assert.False(t, found)
		_, _, found, err = s.FindTTLCtx(ctx, token)
		require.ErrorIs(t, err, store.ErrCorrupt)
		assert.False(t, found)
		assert.Equal(t, store.ClassFailClosed, store.ClassOf(err))
		all, err := s.AllCtx(ctx)
		require.NoError(t, err)
		assert.NotContains(t, all, token)

		require.NoError(t, s.CommitCtx(ctx, token, []byte("healed"), inAnHour()))
		b, found, err := s.FindCtx(ctx, token)
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, "healed", string(b))
	}
}

func TestAMarkOrIndexOfAnotherTypeIsAnErrorAndNeverNothing(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s := open(t, one(server))
	require.NoError(t, s.PutMark(ctx, "state", []byte("v"), time.Hour))
	require.NoError(t, s.AddSession(ctx, "openid", storetest.Token(), inAnHour()))
	keys, err := redis.Strings(server.Do("KEYS", "*"), nil)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	for _, key := range keys {
		server.Do("DEL", key)
		server.Do("LPUSH", key, "x")
	}

	_, _, err = s.Mark(ctx, "state")
	assert.Equal(t, store.ClassFailClosed, store.ClassOf(err))
	won, err := s.PutMarkNX(ctx, "state", []byte("v"), time.Minute)
	assert.Equal(t, store.ClassFailClosed, store.ClassOf(err))
	assert.False(t, won)
	_, err = s.SessionsOf(ctx, "openid")
	assert.Equal(t, store.ClassFailClosed, store.ClassOf(err))
	err = s.AddSession(ctx, "openid", storetest.Token(), inAnHour())
	assert.Equal(t, store.ClassFailClosed, store.ClassOf(err))
}

func TestARecordGrownByAnotherIsDamaged(t *testing.T) {
	server := redistest.Start(t)
	for _, s := range []*rueidisstore.Store{open(t, one(server)), open(t, one(server), nearCache())} {
		token := storetest.Token()
		server.Do("SET", "scs:session:"+token, make([]byte, 2<<20))
		_, found, err := s.Find(token)
		require.ErrorIs(t, err, store.ErrCorrupt)
		assert.False(t, found)
		all, err := s.All()
		require.NoError(t, err)
		assert.NotContains(t, all, token)
	}
}

func TestARecordWithoutExpiryIsFoundWithALifeOfZero(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, token := open(t, one(server), nearCache()), storetest.Token()
	server.Do("SET", "scs:session:"+token, "another's")
	for range 2 {
		b, ttl, found, err := s.FindTTLCtx(ctx, token)
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, "another's", string(b))
		assert.Zero(t, ttl)
	}
}

func TestCheckFindsNothingOrSaysWhatToDo(t *testing.T) {
	ctx := context.Background()
	t.Run("nothing", func(t *testing.T) {
		require.NoError(t, open(t, one(redistest.Start(t)), nearCache()).Check(ctx))
	})
	t.Run("eviction", func(t *testing.T) {
		server := redistest.Start(t)
		s := open(t, one(server))
		for policy, evicts := range map[string]bool{
			"noeviction": false, "volatile-ttl": false,
			"volatile-lru": true, "volatile-lfu": true, "volatile-random": true,
			"allkeys-lru": true, "allkeys-lfu": true, "allkeys-random": true,
		} {
			server.Do("CONFIG", "SET", "maxmemory-policy", policy)
			server.Do("CONFIG", "SET", "maxmemory", "0")
			assert.NoError(t, s.Check(ctx), "%s without maxmemory", policy)
			server.Do("CONFIG", "SET", "maxmemory", "100mb")
			if !evicts {
				assert.NoError(t, s.Check(ctx), policy)
				continue
			}
			assert.ErrorContains(t, s.Check(ctx), "maxmemory-policy "+policy+")")
		}
	})
	t.Run("what it may not see", func(t *testing.T) {
		server := redistest.Start(t)
		aclOfDocs(t, server, "+hello", "+client", "+role")
		s := open(t, asWeChat(one(server)), rueidisstore.WithPrefix("scs:session:"))
		for _, err := range s.Check(ctx).(interface{ Unwrap() []error }).Unwrap() {
			var found *store.Finding
			require.ErrorAs(t, err, &found)
			assert.True(t, found.Note, "%v", found)
			assert.Contains(t, found.English, "could not be seen")
		}
	})
	t.Run("clocks apart", func(t *testing.T) {
		behind := func() time.Time { return time.Now().Add(-time.Hour) }
		err := open(t, one(redistest.Start(t)), rueidisstore.WithClock(behind)).Check(ctx)
		require.ErrorContains(t, err, "1h0m0s apart")
	})
	t.Run("a replica", func(t *testing.T) {
		server := redistest.Start(t)
		server.Do("REPLICAOF", "127.0.0.1", "1")
		require.ErrorContains(t, open(t, one(server)).Check(ctx), "READONLY")
	})
}
