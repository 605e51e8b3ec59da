package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// noon is the time on the clock of stores whose commands are compared.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// operations are the operations of a store. Each builds on the one before.
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
		func() error { return s.AddSession(ctx, "openid", Token(), later) },
		func() error { _, err := s.SessionsOf(ctx, "openid"); return err },
		func() error { return s.RemoveSession(ctx, "openid", token) },
	}
}

func testCommands(t *testing.T, c Client) {
	t.Run("the same as those of package store", func(t *testing.T) {
		ctx := context.Background()
		theirServer, ourServer := redistest.Start(t), redistest.Start(t)
		for _, prefix := range []string{"scs:session:", "a[b]*?\\c:"} {
			config := One(ourServer)
			config.Clock, config.Prefix = atNoon, prefix
			theirs := store.New(theirServer.Pool(), store.WithClock(atNoon), store.WithPrefix(prefix), store.WithTimeout(Patience))
			token := Token()
			want, got := operations(ctx, theirs, token), operations(ctx, c.Open(t, config), token)
			for i := range want {
				expected := Sent(theirServer, func() { require.NoError(t, want[i]()) })
				actual := Sent(ourServer, func() { require.NoError(t, got[i]()) })
				require.NotEmpty(t, expected)
				assert.Equal(t, withoutTokens(expected), withoutTokens(actual), "operation %d", i)
			}
		}
	})
	t.Run("none for a malformed token", func(t *testing.T) {
		server := redistest.Start(t)
		c.Each(t, func(t *testing.T, variant string) { testMalformedSent(t, server, c.Open(t, One(server).In(variant))) })
	})
	t.Run("none leaves a key without expiry", func(t *testing.T) { testExpiries(t, c) })
}

// withoutTokens removes the token that an operation generates.
func withoutTokens(commands []string) []string {
	for i, c := range commands {
		if words := strings.Fields(c); words[0] == "ZADD" {
			commands[i] = strings.Join(words[:3], " ")
		}
	}
	return commands
}

func testMalformedSent(t *testing.T, server *redistest.Server, s Store) {
	ctx := context.Background()
	require.NoError(t, s.Commit(Token(), []byte("r"), soon()))
	for kind, token := range MalformedTokens() {
		t.Run(kind, func(t *testing.T) {
			assert.Empty(t, Sent(server, func() {
				s.FindCtx(ctx, token)
				s.Find(token)
				s.FindTTLCtx(ctx, token)
				s.CommitCtx(ctx, token, []byte("r"), soon())
				s.Commit(token, []byte("r"), soon())
				s.UpdateCtx(ctx, token, []byte("r"), soon())
				s.TouchCtx(ctx, token, soon())
				s.DeleteCtx(ctx, token)
				s.Delete(token)
				s.AddSession(ctx, "user", token, soon())
				s.RemoveSession(ctx, "user", token)
			}))
		})
	}
}

func testExpiries(t *testing.T, c Client) {
	ctx := context.Background()
	server := redistest.Start(t)
	for _, life := range []time.Duration{1, time.Microsecond, time.Hour, 400 * 24 * time.Hour, 1<<63 - 1} {
		config := One(server)
		config.Clock, config.Prefix = atNoon, life.String()
		s := c.Open(t, config)
		token, until := Token(), noon.Add(life)
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
