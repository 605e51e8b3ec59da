package storetest

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// testFaults covers servers that reject commands, do not respond, restart or
// disappear.
func testFaults(t *testing.T, c Client) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Client)
	}{
		{"refusals", testRefusals},
		{"not a Redis", testNoRedis},
		{"an unknown certificate authority", testCertificate},
		{"started before its Redis", testStartedFirst},
		{"a restart", testRestart},
		{"connections cut by the server", testCutConnections},
		{"a frozen server", testFrozen},
		{"a shorter deadline of the request", testShorterDeadline},
		{"a failover behind one address", testMovedAddress},
		{"a server that stays read-only", testReadOnly},
		{"a server that is gone", testGone},
		{"a lost reply", testLostReply},
		{"after Close", testClosed},
	} {
		if c.Standalone && test.name == "after Close" { // the pool is the caller's
			continue
		}
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
}

const fine = store.Class(0)

// A refusal is a server that rejects calls, with the classes of the errors.
type refusal struct {
	name        string
	args        []string
	prepare     func(t *testing.T, s *redistest.Server)
	config      func(c *Config)
	only        func(c Client) bool
	read, write store.Class
	dropped     bool // the connection is closed
	says        string
}

var refusals = []refusal{
	{
		name:    "demoted to a replica",
		prepare: demote,
		read:    fine, write: store.ClassRetryFresh, dropped: true, says: "READONLY",
	},
	{
		name:    "a replica that has lost its primary",
		args:    []string{"--replica-serve-stale-data", "no"},
		prepare: demote,
		read:    store.ClassRetryFresh, write: store.ClassRetryFresh, dropped: true, says: "MASTERDOWN",
	},
	{
		name: "a cluster without slots",
		args: []string{"--cluster-enabled", "yes"},
		read: store.ClassRetryFresh, write: store.ClassRetryFresh, dropped: true, says: "CLUSTERDOWN|slot",
	},
	{
		name:   "a node of a cluster taken for a single server",
		args:   []string{"--cluster-enabled", "yes"},
		config: func(c *Config) { c.Single = true },
		only:   func(c Client) bool { return c.DetectsCluster },
		read:   store.ClassRetryFresh, write: store.ClassRetryFresh, says: "CLUSTERDOWN",
	},
	{
		name:    "no memory left",
		prepare: func(_ *testing.T, s *redistest.Server) { s.Do("CONFIG", "SET", "maxmemory", "1") },
		read:    fine, write: store.ClassFailClosed, says: "OOM",
	},
	{
		name:    "a snapshot that could not be written",
		args:    []string{"--save", "3600 1"},
		prepare: failSnapshot,
		read:    fine, write: store.ClassFailClosed, says: "MISCONF",
	},
	{
		name:    "loading its data",
		args:    []string{"--loading-process-events-interval-bytes", "1024"},
		prepare: loadSlowly,
		read:    store.ClassRetryFresh, write: store.ClassRetryFresh, dropped: true, says: "LOADING",
	},
	{
		name: "too few replicas",
		args: []string{"--min-replicas-to-write", "1"},
		read: fine, write: store.ClassFailClosed, says: "NOREPLICAS",
	},
	{
		name:    "an endless script",
		args:    []string{"--lua-time-limit", "1"},
		prepare: runEndlessScript,
		read:    store.ClassRetryNow, write: store.ClassRetryNow, says: "BUSY",
	},
	{
		name: "writing not permitted",
		prepare: func(_ *testing.T, s *redistest.Server) {
			s.Do("ACL", "SETUSER", "reader", "on", ">password-for-tests", "~*", "+get", "+select", "+cluster")
		},
		config: func(c *Config) { c.Username, c.Password = "reader", "password-for-tests" },
		read:   fine, write: store.ClassConfiguration, says: "NOPERM",
	},
	{
		name:   "a wrong password",
		args:   []string{"--requirepass", "password-for-tests"},
		config: func(c *Config) { c.Password = "another-password-for-tests" },
		read:   store.ClassConfiguration, write: store.ClassConfiguration, dropped: true, says: "WRONGPASS",
	},
	{
		name: "no password",
		args: []string{"--requirepass", "password-for-tests"},
		read: store.ClassConfiguration, write: store.ClassConfiguration, says: "NOAUTH",
	},
	{
		name:   "a database that does not exist",
		config: func(c *Config) { c.Database = 9999 },
		read:   store.ClassConfiguration, write: store.ClassConfiguration, dropped: true, says: "DB index",
	},
	{
		name: "a renamed command",
		args: []string{"--rename-command", "SET", "S3T"},
		read: fine, write: store.ClassConfiguration, says: "unknown command",
	},
	{
		name:   "not a Sentinel",
		config: func(c *Config) { c.MasterSet = redistest.MasterSet },
		only:   func(c Client) bool { return !c.Standalone },
		read:   store.ClassConfiguration, write: store.ClassConfiguration, says: "unknown command",
	},
	{
		name:    "stopped",
		prepare: func(_ *testing.T, s *redistest.Server) { s.Stop() },
		read:    store.ClassRetryNow, write: store.ClassRetryNow, dropped: true, says: "refused",
	},
}

func testRefusals(t *testing.T, c Client) {
	for _, r := range refusals {
		if r.only != nil && !r.only(c) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			ctx := context.Background()
			server := redistest.Start(t, r.args...)
			if r.prepare != nil {
				r.prepare(t, server)
			}
			config := One(server)
			if r.config != nil {
				r.config(&config)
			}
			s, token := c.Open(t, config), Token()

			_, found, err := s.FindCtx(ctx, token)
			assert.False(t, found)
			assert.Equal(t, r.read, store.ClassOf(err), "read: %v", err)
			writeErr := s.CommitCtx(ctx, token, []byte("record"), soon())
			assert.Equal(t, r.write, store.ClassOf(writeErr), "write: %v", writeErr)

			if err == nil {
				err = writeErr
			}
			require.Error(t, err)
			assert.Regexp(t, r.says, err.Error())
			assert.NotContains(t, err.Error(), token)
			assert.NotContains(t, err.Error(), "record")
			assert.NotContains(t, err.Error(), "password-for-tests")
			if c.Conns == nil {
				return
			}
			open, idle := c.Conns(s)
			if r.dropped {
				assert.Zero(t, open, "the connection is still open")
			} else {
				assert.Equal(t, 1, idle, "a healthy connection was closed")
			}
		})
	}
}

func demote(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", "1") }

// runEndlessScript occupies the server until the test ends.
func runEndlessScript(t *testing.T, s *redistest.Server) {
	script, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { script.Close() })
	require.NoError(t, script.Send("EVAL", "while true do end", 0))
	require.NoError(t, script.Flush())
	probe, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer probe.Close()
	for err == nil {
		_, err = probe.Do("PING")
	}
	require.ErrorContains(t, err, "BUSY")
}

// failSnapshot removes the server's folder and lets the server try to write
// there.
func failSnapshot(t *testing.T, s *redistest.Server) {
	dir, err := redis.StringMap(s.Do("CONFIG", "GET", "dir"), nil)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir["dir"]))
	s.Do("SET", "k", "v")
	s.Do("BGSAVE")
	for info := ""; !strings.Contains(info, "rdb_last_bgsave_status:err"); {
		info, err = redis.String(s.Do("INFO", "persistence"), nil)
		require.NoError(t, err)
	}
}

// loadSlowly makes the server the replica of one whose data take far longer to
// load than the test lasts.
func loadSlowly(t *testing.T, s *redistest.Server) {
	source := redistest.Start(t, "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes")
	source.Do("DEBUG", "POPULATE", 5000, "key", 2000)
	s.Do("CONFIG", "SET", "key-load-delay", "5000") // microseconds for each key
	s.Do("REPLICAOF", "127.0.0.1", source.Port())
	conn, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	for err == nil {
		_, err = conn.Do("GET", "k")
	}
	require.ErrorContains(t, err, "LOADING")
}

func testNoRedis(t *testing.T, c Client) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	s := c.Open(t, Config{Addrs: []string{web.Listener.Addr().String()}})
	_, _, err := s.Find(Token())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
	if c.Conns != nil {
		open, _ := c.Conns(s)
		assert.Zero(t, open)
	}
}

func testCertificate(t *testing.T, c Client) {
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	s := c.Open(t, Config{Addrs: []string{web.Listener.Addr().String()}, TLS: &tls.Config{}})
	_, _, err := s.Find(Token())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
}

func testStartedFirst(t *testing.T, c Client) {
	server := redistest.Start(t)
	server.Stop()
	s, token := c.Open(t, One(server)), Token()
	for range 3 {
		_, _, err := s.Find(token)
		require.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	}
	server.Restart()
	require.NoError(t, s.Commit(token, []byte("record"), soon()))
	assert.Equal(t, "record", recordOf(t, s, token))
}

// No call may fail because of connections from before the restart.
func testRestart(t *testing.T, c Client) {
	server := redistest.Start(t, "--appendonly", "yes")
	c.Each(t, func(t *testing.T, variant string) {
		ctx := context.Background()
		s, token := c.Open(t, One(server).In(variant)), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
		for _, call := range []func() error{
			func() error { return mustFind(s, token) },
			func() error { return s.CommitCtx(ctx, token, []byte("record"), soon()) },
			func() error { return s.AddSession(ctx, "user", token, soon()) },
		} {
			atOnce(50, func() { assert.NoError(t, mustFind(s, token)) }) // over all connections
			server.Restart()
			require.NoError(t, call())
			require.NoError(t, mustFind(s, token))
		}
		server.Restart()
		atOnce(200, func() { assert.NoError(t, mustFind(s, token)) })
	})
}

func testCutConnections(t *testing.T, c Client) {
	server := redistest.Start(t)
	s, token := c.Open(t, One(server)), Token()
	require.NoError(t, s.Commit(token, []byte("record"), soon()))
	for range 20 {
		atOnce(8, func() { assert.NoError(t, mustFind(s, token)) })
		server.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		require.NoError(t, mustFind(s, token))
	}
}

// Every call ends at its deadline, even if 10,000 are made concurrently: a
// rueidis connection has room for about a thousand waiting calls, and calls
// beyond that must not wait for the server forever.
func testFrozen(t *testing.T, c Client) {
	ctx := context.Background()
	server := redistest.Start(t)
	token := Token()
	config := One(server)
	config.Timeout, config.OnlyStore = 200*time.Millisecond, true
	s := c.Open(t, config)
	require.Eventually(t, func() bool {
		return s.CommitCtx(ctx, token, []byte("record"), soon()) == nil
	}, Patience, time.Millisecond)

	server.Freeze()
	for name, call := range map[string]func() error{
		"find":    func() error { _, _, err := s.FindCtx(ctx, token); return err },
		"ttl":     func() error { _, _, _, err := s.FindTTLCtx(ctx, token); return err },
		"commit":  func() error { return s.CommitCtx(ctx, token, []byte("record"), soon()) },
		"update":  func() error { _, err := s.UpdateCtx(ctx, token, []byte("record"), soon()); return err },
		"touch":   func() error { _, err := s.TouchCtx(ctx, token, soon()); return err },
		"delete":  func() error { return s.DeleteCtx(ctx, Token()) },
		"all":     func() error { _, err := s.AllCtx(ctx); return err },
		"claim":   func() error { _, err := s.PutMarkNX(ctx, "k", []byte("v"), time.Hour); return err },
		"mark":    func() error { _, _, err := s.Mark(ctx, "k"); return err },
		"index":   func() error { return s.AddSession(ctx, "user", token, soon()) },
		"members": func() error { _, err := s.SessionsOf(ctx, "user"); return err },
	} {
		err := call()
		assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%s: %v", name, err)
		if c.Conns != nil {
			open, _ := c.Conns(s)
			assert.Zero(t, open, "%s: a connection that owes a reply is still open", name)
		}
	}
	atOnce(10_000, func() {
		_, _, err := s.FindCtx(ctx, token)
		assert.Error(t, err)
	})
	server.Thaw()
	require.Eventually(t, func() bool { return mustFind(s, token) == nil }, Patience, time.Millisecond)
	assert.Equal(t, "record", recordOf(t, s, token))
}

// The deadline of a request cancels a read, but not a write.
func testShorterDeadline(t *testing.T, c Client) {
	server := redistest.Start(t)
	s := c.Open(t, One(server))
	require.NoError(t, s.Commit(Token(), nil, soon()))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	server.Freeze()
	_, _, err := s.FindCtx(ctx, Token())
	require.Error(t, err)
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	<-ctx.Done()
	server.Thaw()
	require.NoError(t, s.CommitCtx(ctx, Token(), []byte("record"), soon()))
}

// The first write after the failover reaches the new primary.
func testMovedAddress(t *testing.T, c Client) {
	ctx := context.Background()
	old, successor := redistest.Start(t), redistest.Start(t)
	address := NewBalancer(t, old.Addr())
	s, token := c.Open(t, address.Config()), Token()
	atOnce(50, func() { assert.NoError(t, s.CommitCtx(ctx, Token(), []byte("record"), soon())) })

	old.Do("REPLICAOF", "127.0.0.1", "1")
	address.Lead(successor.Addr())

	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
	key := "scs:session:" + token
	assert.Equal(t, Stored(key, "record"), string(successor.Do("GET", key).([]byte)))
	if c.Conns != nil {
		open, _ := c.Conns(s)
		assert.Equal(t, 1, open, "connections to the old primary are still open")
	}
}

// A server that stays read-only is tried twice, not until the deadline.
func testReadOnly(t *testing.T, c Client) {
	server := redistest.Start(t)
	server.Do("REPLICAOF", "127.0.0.1", "1")
	s := c.Open(t, One(server))
	require.Empty(t, recordOf(t, s, Token()))
	require.Error(t, s.Commit(Token(), []byte("record"), soon()))
	assert.Contains(t, server.Info("commandstats")["cmdstat_set"], "rejected_calls=2")
}

// A server that is down is not retried until the deadline.
func testGone(t *testing.T, c Client) {
	server := redistest.Start(t)
	config := One(server)
	config.Timeout = time.Hour
	s := c.Open(t, config)
	require.Empty(t, recordOf(t, s, Token()))
	server.Stop()
	_, _, err := s.Find(Token())
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
}

// A call whose reply is lost is retried.
func testLostReply(t *testing.T, c Client) {
	ctx := context.Background()
	server := redistest.Start(t)
	address := NewBalancer(t, server.Addr())
	s, other, token := c.Open(t, address.Config()), c.Open(t, One(server)), Token()
	atOnce(50, func() { assert.NoError(t, s.PutMark(ctx, "k", nil, time.Hour)) }) // over all connections

	address.swallow.Store(true)
	won, err := s.PutMarkNX(ctx, "state", []byte("mine"), time.Hour)
	require.NoError(t, err)
	assert.True(t, won, "the mark was put by the same caller")
	assert.False(t, address.swallow.Load())
	won, err = other.PutMarkNX(ctx, "state", []byte("another's"), time.Hour)
	require.NoError(t, err)
	assert.False(t, won)

	address.swallow.Store(true)
	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
	address.swallow.Store(true)
	assert.Equal(t, "record", recordOf(t, s, token))
	assert.False(t, address.swallow.Load())
}

// A closed store returns errors and leaves no goroutine running.
func testClosed(t *testing.T, c Client) {
	ctx := context.Background()
	server := redistest.Start(t)
	before := runtime.NumGoroutine()
	s, end, err := c.New(One(server).In(c.LastVariant()))
	require.NoError(t, err)
	require.NoError(t, s.CommitCtx(ctx, Token(), []byte("record"), soon()))
	end()
	end()
	_, _, err = s.FindCtx(ctx, Token())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)

	unreachable := redistest.Start(t)
	unreachable.Stop()
	for _, config := range []Config{
		One(unreachable),
		{Addrs: []string{unreachable.Addr()}, MasterSet: redistest.MasterSet},
	} {
		s, end, err := c.New(config)
		require.NoError(t, err)
		for range 20 {
			_, _, err := s.FindCtx(ctx, Token())
			require.Error(t, err)
		}
		end()
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, Patience, 10*time.Millisecond)
}
