package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// noon is the time on the clock of stores whose commands are compared.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// Each operation is one round trip of these commands.
func TestStore_commands(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s := patient(server.Pool(), store.WithClock(atNoon))

	token := strings.Repeat("t", 43)
	session := "scs:session:" + token
	mark := "wechat:mark:" + digest("scs:session:\x00state")
	user := "wechat:user:" + digest("scs:session:\x00openid")
	inAnHour := noon.Add(time.Hour)
	ms := inAnHour.UnixMilli()

	// The cases build on each other: a session exists after its commit.
	for _, c := range []struct {
		name string
		call func() error
		want []string
	}{
		{"find nothing", func() error { _, _, err := s.FindCtx(ctx, token); return err }, []string{"GET " + session}},
		{"update nothing", func() error { _, err := s.UpdateCtx(ctx, token, []byte("r"), inAnHour); return err },
			[]string{"SET " + session + " " + inRedis(session, "r") + " PX 3600000 XX"}},
		{"touch nothing", func() error { _, err := s.TouchCtx(ctx, token, inAnHour); return err },
			[]string{"PEXPIRE " + session + " 3600000"}},
		{"commit", func() error { return s.CommitCtx(ctx, token, []byte("r"), inAnHour) },
			[]string{"SET " + session + " " + inRedis(session, "r") + " PX 3600000"}},
		{"find", func() error { _, _, err := s.FindCtx(ctx, token); return err }, []string{"GET " + session}},
		{"find with life", func() error { _, _, _, err := s.FindTTLCtx(ctx, token); return err },
			[]string{"GET " + session, "PTTL " + session}},
		{"update", func() error { _, err := s.UpdateCtx(ctx, token, []byte("q"), inAnHour); return err },
			[]string{"SET " + session + " " + inRedis(session, "q") + " PX 3600000 XX"}},
		{"touch", func() error { _, err := s.TouchCtx(ctx, token, inAnHour); return err },
			[]string{"PEXPIRE " + session + " 3600000"}},
		{"commit for less than a millisecond", func() error { return s.CommitCtx(ctx, token, []byte("r"), noon.Add(1)) },
			[]string{"SET " + session + " " + inRedis(session, "r") + " PX 1"}},
		{"commit at the deadline", func() error { return s.CommitCtx(ctx, token, []byte("r"), noon) },
			[]string{"DEL " + session}},
		{"update after the deadline", func() error { _, err := s.UpdateCtx(ctx, token, []byte("r"), noon.Add(-1)); return err },
			[]string{"DEL " + session}},
		{"touch after the deadline", func() error { _, err := s.TouchCtx(ctx, token, time.Time{}); return err },
			[]string{"DEL " + session}},
		{"commit for centuries", func() error { return s.CommitCtx(ctx, token, []byte("r"), noon.AddDate(10_000, 0, 0)) },
			[]string{"SET " + session + " " + inRedis(session, "r") + " PX 9223372036855"}},
		{"delete", func() error { return s.DeleteCtx(ctx, token) }, []string{"DEL " + session}},
		{"list", func() error { _, err := s.AllCtx(ctx); return err },
			[]string{"SCAN 0 MATCH scs:session:* COUNT 1000"}},

		{"claim a mark and win", func() error { _, err := s.PutMarkNX(ctx, "state", []byte("a"), time.Minute); return err },
			[]string{"SET " + mark + " " + inRedis(mark, "a") + " PX 60000 NX"}},
		{"claim a mark and lose", func() error { _, err := s.PutMarkNX(ctx, "state", []byte("b"), time.Minute); return err },
			[]string{"SET " + mark + " " + inRedis(mark, "b") + " PX 60000 NX", "GET " + mark}},
		{"put a mark", func() error { return s.PutMark(ctx, "state", []byte("c"), time.Minute) },
			[]string{"SET " + mark + " " + inRedis(mark, "c") + " PX 60000"}},
		{"read a mark", func() error { _, _, err := s.Mark(ctx, "state"); return err }, []string{"GET " + mark}},
		{"delete a mark", func() error { return s.DeleteMark(ctx, "state") }, []string{"DEL " + mark}},

		{"add to the index", func() error { return s.AddSession(ctx, "openid", token, inAnHour) },
			[]string{
				fmt.Sprintf("ZADD %s %d %s", user, ms, storetest.Member(user, token)),
				"PEXPIRE " + user + " 3600000",
				fmt.Sprintf("ZREMRANGEBYSCORE %s -inf %d", user, noon.Add(-24*time.Hour).UnixMilli()),
				"ZRANGE " + user + " -1 -1 WITHSCORES",
			}},
		{"read the index", func() error { _, err := s.SessionsOf(ctx, "openid"); return err },
			[]string{"ZRANGE " + user + " 0 -1"}},
		{"remove from the index", func() error { return s.RemoveSession(ctx, "openid", token) },
			[]string{"ZREM " + user + " " + storetest.Member(user, token)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			got := server.Commands(func() { err = c.call() })
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

// inRedis returns a stored value as MONITOR shows it.
func inRedis(key, value string) string { return storetest.Monitored(storetest.Stored(key, value)) }

// The lifetime of a session does not depend on the clock of the application.
func TestStore_skewedClock(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	for name, skew := range map[string]time.Duration{
		"a day behind": -24 * time.Hour, "right": 0, "a day ahead": 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			clock := func() time.Time { return time.Now().Add(skew) }
			s := patient(server.Pool(), store.WithClock(clock))
			token := storetest.Token()
			require.NoError(t, s.CommitCtx(ctx, token, []byte("r"), clock().Add(time.Hour)))
			ttl := server.Do("PTTL", "scs:session:"+token).(int64)
			assert.InDelta(t, time.Hour.Milliseconds(), ttl, float64(time.Minute.Milliseconds()))
		})
	}
}

// lapsing is a pool for whose connections every key expires before PTTL.
type lapsing struct{ *redis.Pool }

func (l lapsing) GetContext(ctx context.Context) (redis.Conn, error) {
	conn, err := l.Pool.GetContext(ctx)
	return lapsingConn{conn.(redis.ConnWithTimeout)}, err
}

type lapsingConn struct{ redis.ConnWithTimeout }

func (c lapsingConn) Send(command string, args ...any) error {
	if command == "PTTL" {
		args = []any{"no such key"}
	}
	return c.ConnWithTimeout.Send(command, args...)
}

// A record that expires between GET and PTTL is not found.
func TestStore_FindTTLCtx(t *testing.T) {
	ctx := context.Background()
	s, token := patient(lapsing{redistest.Start(t).Pool()}), storetest.Token()
	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), time.Now().Add(time.Hour)))
	b, ttl, found, err := s.FindTTLCtx(ctx, token)
	require.NoError(t, err)
	assert.False(t, found)
	assert.Nil(t, b)
	assert.Zero(t, ttl)
}

// Keys that are not sessions are left out.
func TestStore_AllCtx(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, token := patient(server.Pool(), store.WithPrefix("a[b]c:")), storetest.Token()
	require.NoError(t, s.CommitCtx(ctx, token, []byte("r"), time.Now().Add(time.Hour)))
	server.Do("SET", "a[b]c:notatoken", "x")
	server.Do("SET", "abc:"+storetest.Token(), "x")
	server.Do("SET", storetest.Token(), "x")

	all, err := s.AllCtx(ctx)
	require.NoError(t, err)
	assert.Equal(t, map[string][]byte{token: []byte("r")}, all)
}

func TestIteration_oneConnection(t *testing.T) {
	ctx := context.Background()
	pool := redistest.Start(t).Pool()
	pool.MaxActive = 1
	s, token := patient(pool), storetest.Token()
	require.NoError(t, s.CommitCtx(ctx, token, []byte("r"), time.Now().Add(time.Hour)))
	all, err := s.AllCtx(ctx)
	require.NoError(t, err)
	assert.Len(t, all, 1)
}

// The index expires with the last of its sessions.
func TestIndex_expiry(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	now := noon
	s := patient(server.Pool(), store.WithClock(func() time.Time { return now }))
	key := "wechat:user:" + digest("scs:session:\x00openid")
	ttl := func() time.Duration { return time.Duration(server.Do("PTTL", key).(int64)) * time.Millisecond }
	long, short, later := storetest.Token(), storetest.Token(), storetest.Token()

	require.NoError(t, s.AddSession(ctx, "openid", long, now.Add(10*time.Hour)))
	assert.InDelta(t, 10*time.Hour, ttl(), float64(time.Minute))
	require.NoError(t, s.AddSession(ctx, "openid", short, now.Add(time.Hour)))
	assert.InDelta(t, 10*time.Hour, ttl(), float64(time.Minute), "a shorter session must not shorten the index")

	// The next login removes expired sessions, a day later and not sooner.
	now = now.Add(24 * time.Hour)
	require.NoError(t, s.AddSession(ctx, "openid", later, now.Add(time.Hour)))
	tokens, err := s.SessionsOf(ctx, "openid")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{long, short, later}, tokens)
	now = now.Add(12 * time.Hour)
	require.NoError(t, s.AddSession(ctx, "openid", later, now.Add(2*time.Hour)))
	tokens, err = s.SessionsOf(ctx, "openid")
	require.NoError(t, err)
	assert.Equal(t, []string{later}, tokens)
	assert.InDelta(t, 2*time.Hour, ttl(), float64(time.Minute))
}

// No key contains an openid.
func TestKeys_openid(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, token := patient(server.Pool()), storetest.Token()
	const openid = "oFakeOpenidForTests000000000"
	require.NoError(t, s.AddSession(ctx, "wx0000000000000000 "+openid, token, time.Now().Add(time.Hour)))
	require.NoError(t, s.PutMark(ctx, "wx0000000000000000 "+openid, []byte("v"), time.Hour))
	keys, err := redis.Strings(server.Do("KEYS", "*"), nil)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	assert.NotContains(t, strings.Join(keys, " "), openid)
}

// Applications with different prefixes share no data.
func TestWithPrefix(t *testing.T) {
	ctx := context.Background()
	pool := redistest.Start(t).Pool()
	a, b, token := patient(pool), patient(pool, store.WithPrefix("staging:")), storetest.Token()
	require.NoError(t, a.CommitCtx(ctx, token, []byte("r"), time.Now().Add(time.Hour)))
	require.NoError(t, a.AddSession(ctx, "openid", token, time.Now().Add(time.Hour)))
	require.NoError(t, a.PutMark(ctx, "state", []byte("v"), time.Hour))

	_, found, err := b.FindCtx(ctx, token)
	require.NoError(t, err)
	assert.False(t, found)
	tokens, err := b.SessionsOf(ctx, "openid")
	require.NoError(t, err)
	assert.Empty(t, tokens)
	_, found, err = b.Mark(ctx, "state")
	require.NoError(t, err)
	assert.False(t, found)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
