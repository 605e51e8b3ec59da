package rueidisstore_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// handClock is the system clock, which Advance moves forward.
type handClock struct{ ahead atomic.Int64 }

func (c *handClock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *handClock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// found returns the record, or "" if there is none.
func found(t *testing.T, s store.Sessions, token string) string {
	t.Helper()
	b, _, err := s.FindCtx(context.Background(), token)
	assert.NoError(t, err)
	return string(b)
}

// remember makes the store read a session of an hour, and asserts that the next
// read is from memory.
func remember(t *testing.T, server *redistest.Server, s store.Sessions, token string) {
	t.Helper()
	server.Do("SET", "scs:session:"+token, "record", "PX", time.Hour.Milliseconds())
	assert.Len(t, storetest.Sent(server, func() { require.Equal(t, "record", found(t, s, token)) }), 2)
	require.Empty(t, storetest.Sent(server, func() { require.Equal(t, "record", found(t, s, token)) }))
}

// awaitRecord returns when the store finds the record, or none if want is "".
func awaitRecord(t *testing.T, s store.Sessions, token, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b, _, err := s.FindCtx(context.Background(), token)
		return err == nil && string(b) == want
	}, patience, time.Millisecond)
}

// A session is read from Redis once.
func TestNearCache(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, token := open(t, one(server), nearCache()), storetest.Token()
	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), inAnHour()))

	key := "scs:session:" + token
	assert.Equal(t, []string{"GET " + key, "PTTL " + key}, storetest.Sent(server, func() {
		for range 100 {
			assert.Equal(t, "record", found(t, s, token))
			b, ttl, ok, err := s.FindTTLCtx(ctx, token)
			require.NoError(t, err)
			assert.True(t, ok)
			assert.Equal(t, "record", string(b))
			assert.InDelta(t, time.Hour, ttl, float64(time.Minute))
			b[0] = 'X' // belongs to the caller
		}
	}))
}

// A change by another instance is visible once Redis has reported it.
func TestNearCache_otherInstances(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, other := open(t, one(server), nearCache()), open(t, one(server), nearCache())
	for name, c := range map[string]struct {
		change func(token string) error
		want   string
	}{
		"a logout":  {func(token string) error { return other.DeleteCtx(ctx, token) }, ""},
		"a write":   {func(token string) error { return other.CommitCtx(ctx, token, []byte("new"), inAnHour()) }, "new"},
		"an update": {func(token string) error { _, err := other.UpdateCtx(ctx, token, []byte("new"), inAnHour()); return err }, "new"},
		"the end of its life": {func(token string) error {
			_, err := other.TouchCtx(ctx, token, time.Now().Add(time.Millisecond))
			return err
		}, ""},
		"the operator's DEL":    {func(token string) error { server.Do("DEL", "scs:session:"+token); return nil }, ""},
		"the operator's RENAME": {func(token string) error { server.Do("RENAME", "scs:session:"+token, "x"); return nil }, ""},
		"an emptied database":   {func(string) error { server.Do("FLUSHDB"); return nil }, ""},
		"an emptied server":     {func(string) error { server.Do("FLUSHALL"); return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			token := storetest.Token()
			remember(t, server, s, token)
			require.NoError(t, c.change(token))
			awaitRecord(t, s, token, c.want)
		})
	}
	t.Run("a touch", func(t *testing.T) {
		token := storetest.Token()
		remember(t, server, s, token)
		ok, err := other.TouchCtx(ctx, token, time.Now().Add(10*time.Hour))
		require.NoError(t, err)
		require.True(t, ok)
		require.Eventually(t, func() bool {
			_, ttl, ok, err := s.FindTTLCtx(ctx, token)
			return err == nil && ok && ttl > 9*time.Hour
		}, patience, time.Millisecond)
	})
}

// A write of the store is visible immediately.
func TestNearCache_ownWrites(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s := open(t, one(server), nearCache())
	for range 200 {
		token := storetest.Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("first"), inAnHour()))
		require.Equal(t, "first", found(t, s, token))
		require.NoError(t, s.CommitCtx(ctx, token, []byte("second"), inAnHour()))
		require.Equal(t, "second", found(t, s, token))
		_, err := s.UpdateCtx(ctx, token, []byte("third"), inAnHour())
		require.NoError(t, err)
		require.Equal(t, "third", found(t, s, token))
		_, err = s.TouchCtx(ctx, token, time.Now().Add(10*time.Hour))
		require.NoError(t, err)
		_, ttl, _, err := s.FindTTLCtx(ctx, token)
		require.NoError(t, err)
		require.Greater(t, ttl, 9*time.Hour)
		require.NoError(t, s.DeleteCtx(ctx, token))
		require.Empty(t, found(t, s, token))

		var login, logout store.Batch
		login.Commit(token, []byte("fourth"), inAnHour())
		require.NoError(t, s.DoBatch(ctx, login))
		require.Equal(t, "fourth", found(t, s, token))
		logout.Delete(token)
		require.NoError(t, s.DoBatch(ctx, logout))
		require.Empty(t, found(t, s, token))
	}
}

// A session that was not found is read again: its absence is not cached.
func TestNearCache_absentRecord(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, other, token := open(t, one(server), nearCache()), open(t, one(server)), storetest.Token()
	require.Empty(t, found(t, s, token))
	require.NoError(t, other.CommitCtx(ctx, token, []byte("record"), inAnHour()))
	assert.Equal(t, "record", found(t, s, token))
}

// The reply to a read and the report of a change may arrive together. The read
// returns the old record, which is not cached.
func TestNearCache_overtakenRead(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	address := storetest.NewBalancer(t, server.Addr())
	s, other := open(t, optionOf(address.Config()), nearCache()), open(t, one(server))
	var all sync.WaitGroup
	for range 50 { // over all connections
		all.Go(func() { found(t, s, storetest.Token()) })
	}
	all.Wait()
	for range 20 {
		token := storetest.Token()
		require.NoError(t, other.CommitCtx(ctx, token, []byte("record"), inAnHour()))
		held, release := address.Hold()
		read := make(chan string)
		go func() { read <- found(t, s, token) }()
		<-held
		require.NoError(t, other.DeleteCtx(ctx, token))
		release()
		assert.Equal(t, "record", <-read)
		awaitRecord(t, s, token, "")
	}
}

// The remaining lifetime of a cached record decreases.
func TestNearCache_remainingLife(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	clock := &handClock{}
	s, token := open(t, one(server), store.WithClock(clock.Now), rueidisstore.WithNearCache(1<<20, 50*time.Minute)), storetest.Token()
	remember(t, server, s, token)
	clock.Advance(40 * time.Minute)
	assert.Empty(t, storetest.Sent(server, func() {
		_, ttl, ok, err := s.FindTTLCtx(ctx, token)
		require.NoError(t, err)
		assert.True(t, ok)
		assert.InDelta(t, 20*time.Minute, ttl, float64(time.Minute))
	}))
}

// No record is served after maxAge or its expiry.
func TestNearCache_maxAge(t *testing.T) {
	server := redistest.Start(t)
	for name, c := range map[string]struct{ maxAge, still, over time.Duration }{
		"older than maxAge":  {time.Minute, 50 * time.Second, 11 * time.Second},
		"at the end of life": {24 * time.Hour, 59 * time.Minute, 2 * time.Minute},
		"a month later":      {time.Minute, 0, 30 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &handClock{}
			s, token := open(t, one(server), store.WithClock(clock.Now), rueidisstore.WithNearCache(1<<20, c.maxAge)), storetest.Token()
			remember(t, server, s, token)
			clock.Advance(c.still)
			assert.Empty(t, storetest.Sent(server, func() { found(t, s, token) }))
			clock.Advance(c.over)
			assert.NotEmpty(t, storetest.Sent(server, func() { found(t, s, token) }))
		})
	}
}

// If tracking is lost, records are read from Redis.
func TestNearCache_lostTracking(t *testing.T) {
	server := redistest.Start(t)
	for name, lose := range map[string]func(){
		"the server kills the connections": func() { server.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		"the server restarts":              server.Restart,
	} {
		t.Run(name, func(t *testing.T) {
			s, token := open(t, one(server), nearCache()), storetest.Token()
			remember(t, server, s, token)
			lose()
			// Redis does not report this change.
			server.Do("SET", "scs:session:"+token, "changed", "PX", 60_000)
			awaitRecord(t, s, token, "changed")
		})
	}
}

// An instance without a connection serves cached records until it detects the
// loss, and then returns errors.
func TestNearCache_frozenServer(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	option := rueidis.ClientOption{InitAddress: []string{server.Addr()}, ConnWriteTimeout: 500 * time.Millisecond}
	option.Dialer.Timeout, option.Dialer.KeepAlive = patience, 500*time.Millisecond
	s, token := open(t, option, store.WithTimeout(100*time.Millisecond), nearCache()), storetest.Token()
	server.Do("SET", "scs:session:"+token, "record", "PX", time.Hour.Milliseconds())
	awaitRecord(t, s, token, "record")

	server.Freeze()
	require.Eventually(t, func() bool {
		b, _, err := s.FindCtx(ctx, token)
		if err == nil {
			assert.Equal(t, "record", string(b))
			return false
		}
		return assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	}, patience, time.Millisecond)
	server.Thaw()
	awaitRecord(t, s, token, "record")
}

// A cached record is served for three keep-alive intervals after the last word
// from the server, which may have revoked the session meanwhile.
func TestNearCache_lastWord(t *testing.T) {
	const bound = 3 * time.Minute
	ctx := context.Background()
	server, clock := redistest.Start(t), &handClock{}
	option := one(server)
	option.Dialer.KeepAlive = bound / 3
	option.PipelineMultiplex = -1 // one connection for all
	s := open(t, option, store.WithClock(clock.Now), store.WithTimeout(time.Second), rueidisstore.WithNearCache(8<<20, 24*time.Hour))
	token, other := storetest.Token(), storetest.Token()
	remember(t, server, s, token)

	clock.Advance(bound)
	assert.Len(t, storetest.Sent(server, func() { assert.Equal(t, "record", found(t, s, token)) }), 2, "one read asks the server")
	assert.Empty(t, storetest.Sent(server, func() { assert.Equal(t, "record", found(t, s, token)) }))
	clock.Advance(bound - time.Second)
	assert.Empty(t, storetest.Sent(server, func() { assert.Equal(t, "record", found(t, s, token)) }))
	assert.Empty(t, found(t, s, other), "any reply is a word")

	server.Freeze()
	clock.Advance(bound - time.Second)
	assert.Equal(t, "record", found(t, s, token))
	clock.Advance(time.Second)
	_, _, err := s.FindCtx(ctx, token)
	require.Error(t, err)
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	server.Thaw()
	awaitRecord(t, s, token, "record")
}

// A connection to another server may be one to a new primary, which does not
// report what was read from the old one.
func TestNearCache_anotherServer(t *testing.T) {
	cluster := redistest.StartCluster(t)
	first := cluster.Servers()[0]
	s := open(t, one(first), nearCache())
	tokenOn := func(from, to int) string {
		for {
			token := storetest.Token()
			if slot := cluster.Slot("scs:session:" + token); from <= slot && slot < to {
				require.NoError(t, s.CommitCtx(context.Background(), token, []byte("record"), inAnHour()))
				return token
			}
		}
	}
	const third = 16384 / 3
	token := tokenOn(0, third)
	require.Equal(t, "record", found(t, s, token))
	require.Empty(t, storetest.Sent(first, func() { require.Equal(t, "record", found(t, s, token)) }))
	tokenOn(third+1, 2*third)
	assert.Len(t, storetest.Sent(first, func() { assert.Equal(t, "record", found(t, s, token)) }), 2)
}

// A failed write removes the record from the cache too.
func TestNearCache_failedWrite(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s, token := open(t, one(server), store.WithTimeout(time.Second), nearCache()), storetest.Token()
	remember(t, server, s, token)

	server.Do("CONFIG", "SET", "maxmemory", "1")
	require.Error(t, s.CommitCtx(ctx, token, []byte("too much"), inAnHour()))
	assert.NotEmpty(t, storetest.Sent(server, func() { assert.Equal(t, "record", found(t, s, token)) }))
}

// A Redis that cannot report changes is a configuration error.
func TestNearCache_misconfigured(t *testing.T) {
	for name, server := range map[string]*redistest.Server{
		"a Redis without RESP3": redistest.Start(t, "--rename-command", "HELLO", "HELL0"),
		"CLIENT not permitted":  redistest.Start(t),
	} {
		t.Run(name, func(t *testing.T) {
			server.Do("ACL", "SETUSER", "shop", "on", ">password-for-tests", "~*", "+@all", "-client")
			option := one(server)
			option.Username, option.Password = "shop", "password-for-tests"
			_, _, err := open(t, option, nearCache()).Find(storetest.Token())
			assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
			assert.NotContains(t, err.Error(), "password-for-tests")
		})
	}
}

// A new connection cannot turn tracking on while a script runs. That passes, and
// is not a reason to leave WithNearCache out.
func TestNearCache_busy(t *testing.T) {
	server := redistest.Start(t, "--busy-reply-threshold", "10")
	s := open(t, one(server), nearCache())
	script, admin := server.Pool().Get(), server.Pool().Get()
	_, err := admin.Do("PING")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = script.Do("EVAL", "while true do end", 0) }()
	require.Eventually(t, func() bool { _, err := admin.Do("PING"); return err != nil }, patience, time.Millisecond)
	_, _, err = s.Find(storetest.Token())
	require.ErrorContains(t, err, "BUSY")
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	_, err = admin.Do("SCRIPT", "KILL")
	require.NoError(t, err)
	<-ended
	_, found, err := s.Find(storetest.Token())
	require.NoError(t, err)
	assert.False(t, found)
}

func TestNearCache_unsupported(t *testing.T) {
	for _, command := range []string{"HELLO", "CLIENT"} {
		t.Run("without "+command, func(t *testing.T) {
			server := redistest.Start(t, "--rename-command", command, "")
			_, _, err := open(t, one(server), nearCache()).Find(storetest.Token())
			require.ErrorContains(t, err, "needs Redis 6 with RESP3 and CLIENT TRACKING; leave WithNearCache out")
			assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
		})
	}
}
