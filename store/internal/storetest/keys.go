package storetest

import (
	"bytes"
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
)

// testKeys covers keys that another program has written: an instance with
// another store, scs/redisstore, or a program without sessions.
func testKeys(t *testing.T, c Client) {
	server := redistest.Start(t)
	t.Run("shared with package store", func(t *testing.T) {
		c.Each(t, func(t *testing.T, variant string) { testShared(t, server, c, variant) })
	})
	t.Run("of scs/redisstore", func(t *testing.T) { testRedisstore(t, c) })
	t.Run("a session of another type", func(t *testing.T) {
		c.Each(t, func(t *testing.T, variant string) { testOtherType(t, server, c.Open(t, One(server).In(variant))) })
	})
	t.Run("a mark or an index of another type", func(t *testing.T) { testMarkOfOtherType(t, c) })
	t.Run("a session grown by another program", func(t *testing.T) {
		c.Each(t, func(t *testing.T, variant string) {
			s, token := c.Open(t, One(server).In(variant)), Token()
			server.Do("SET", "scs:session:"+token, make([]byte, 2<<20))
			_, found, err := s.FindCtx(context.Background(), token)
			require.ErrorIs(t, err, store.ErrCorrupt)
			assert.False(t, found)
			_, _, found, err = s.FindTTLCtx(context.Background(), token)
			require.ErrorIs(t, err, store.ErrCorrupt)
			assert.False(t, found)
			all, err := s.All()
			require.NoError(t, err)
			assert.NotContains(t, all, token)
		})
	})
	t.Run("a session without expiry", func(t *testing.T) {
		c.Each(t, func(t *testing.T, variant string) {
			ctx := context.Background()
			s, token := c.Open(t, One(server).In(variant)), Token()
			server.Do("SET", "scs:session:"+token, "another's")
			for range 2 {
				b, ttl, found, err := s.FindTTLCtx(ctx, token)
				require.NoError(t, err)
				assert.True(t, found)
				assert.Equal(t, "another's", string(b))
				assert.Zero(t, ttl)
			}
			_, err := s.TouchCtx(ctx, token, soon())
			require.NoError(t, err)
			assert.Positive(t, server.Do("PTTL", "scs:session:"+token))
		})
	})
}

func testShared(t *testing.T, server *redistest.Server, c Client, variant string) {
	redigo := store.New(server.Pool(), store.WithTimeout(Patience))
	this := func() store.Sessions { return c.Open(t, One(server).In(variant)) }
	for name, pair := range map[string]struct{ a, b store.Sessions }{
		"written by package store, read here": {redigo, this()},
		"written here, read by package store": {this(), redigo},
		"encrypted by package store":          {sealed(t, redigo), sealed(t, this())},
		"encrypted here":                      {sealed(t, this()), sealed(t, redigo)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			token, user, state := Token(), Token(), Token()
			require.NoError(t, pair.a.CommitCtx(ctx, token, []byte("record \x00\xff"), soon()))
			b, ttl, found, err := pair.b.FindTTLCtx(ctx, token)
			require.NoError(t, err)
			assert.True(t, found)
			assert.Equal(t, "record \x00\xff", string(b))
			assert.InDelta(t, time.Hour, ttl, float64(time.Minute))

			require.NoError(t, pair.a.AddSession(ctx, user, token, soon()))
			assertIndex(t, pair.b, user, token)
			require.NoError(t, pair.b.RemoveSession(ctx, user, token))

			won, err := pair.a.PutMarkNX(ctx, state, []byte("a"), time.Hour)
			require.NoError(t, err)
			assert.True(t, won)
			won, err = pair.b.PutMarkNX(ctx, state, []byte("b"), time.Hour)
			require.NoError(t, err)
			assert.False(t, won)
			assertMark(t, pair.b, state, "a")

			require.NoError(t, pair.b.DeleteCtx(ctx, token))
			require.Eventually(t, func() bool {
				_, found, err := pair.a.FindCtx(ctx, token)
				return err == nil && !found
			}, Patience, time.Millisecond)
		})
	}
}

func sealed(t *testing.T, inner store.Sessions) store.Sessions {
	t.Helper()
	s, err := store.Encrypt(inner, append(bytes.Repeat([]byte{1}, 31), 0))
	require.NoError(t, err)
	return s
}

func testRedisstore(t *testing.T, c Client) {
	ctx := context.Background()
	server := redistest.Start(t)
	for name, theirs := range map[string]struct {
		store  *redisstore.RedisStore
		prefix string
	}{
		"default prefix": {redisstore.New(server.Pool()), "scs:session:"},
		"own prefix":     {redisstore.NewWithPrefix(server.Pool(), "shop:"), "shop:"},
	} {
		t.Run(name, func(t *testing.T) {
			config := One(server)
			config.Prefix = theirs.prefix
			ours, token := c.Open(t, config), Token()
			for _, record := range []string{"", "a", "\xc1", strings.Repeat("r", 1000)} {
				require.NoError(t, theirs.store.Commit(token, []byte(record), soon()))
				got, found, err := ours.Find(token)
				require.NoError(t, err)
				assert.True(t, found)
				assert.Equal(t, record, string(got))

				found, err = ours.UpdateCtx(ctx, token, got, soon())
				require.NoError(t, err)
				assert.True(t, found)
				key := theirs.prefix + token
				assert.Equal(t, Stored(key, record), string(server.Do("GET", key).([]byte)))
			}
		})
	}
}

func testOtherType(t *testing.T, server *redistest.Server, s Store) {
	ctx := context.Background()
	token := Token()
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

	require.NoError(t, s.CommitCtx(ctx, token, []byte("replaced"), soon()))
	assertRecord(t, s, token, "replaced")
}

func testMarkOfOtherType(t *testing.T, c Client) {
	ctx := context.Background()
	server := redistest.Start(t)
	s := c.Open(t, One(server))
	require.NoError(t, s.PutMark(ctx, "state", []byte("v"), time.Hour))
	require.NoError(t, s.AddSession(ctx, "openid", Token(), soon()))
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
	err = s.AddSession(ctx, "openid", Token(), soon())
	assert.Equal(t, store.ClassFailClosed, store.ClassOf(err))
}
