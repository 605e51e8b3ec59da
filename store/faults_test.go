package store_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func inAnHour() time.Time { return time.Now().Add(time.Hour) }

// fill opens n connections and leaves them idle in the pool.
func fill(t *testing.T, pool *redis.Pool, n int) {
	t.Helper()
	conns := make([]redis.Conn, n)
	for i := range conns {
		conns[i] = pool.Get()
		_, err := conns[i].Do("PING")
		require.NoError(t, err)
	}
	for _, conn := range conns {
		conn.Close()
	}
	require.Equal(t, n, pool.IdleCount())
}

func TestEveryRefusalOfARealServerHasItsClass(t *testing.T) {
	ctx := context.Background()
	type calls struct{ read, write store.Class }
	const fine = store.Class(0)

	for _, c := range []struct {
		name    string
		args    []string
		prepare func(t *testing.T, s *redistest.Server)
		options []redis.DialOption
		want    calls
		dropped bool // the refusing connection does not return to the pool
		says    string
	}{
		{
			name:    "demoted to a replica",
			prepare: func(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", "1") },
			want:    calls{fine, store.ClassRetryFresh}, dropped: true, says: "READONLY",
		},
		{
			name:    "a replica that has lost its primary and says so",
			args:    []string{"--replica-serve-stale-data", "no"},
			prepare: func(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", "1") },
			want:    calls{store.ClassRetryFresh, store.ClassRetryFresh}, dropped: true, says: "MASTERDOWN",
		},
		{
			name: "a cluster without slots",
			args: []string{"--cluster-enabled", "yes"},
			want: calls{store.ClassRetryFresh, store.ClassRetryFresh}, dropped: true, says: "CLUSTERDOWN",
		},
		{
			name:    "no memory left",
			prepare: func(_ *testing.T, s *redistest.Server) { s.Do("CONFIG", "SET", "maxmemory", "1") },
			want:    calls{fine, store.ClassFailClosed}, says: "OOM",
		},
		{
			name:    "a snapshot that could not be written",
			args:    []string{"--save", "3600 1"},
			prepare: failSnapshot,
			want:    calls{fine, store.ClassFailClosed}, says: "MISCONF",
		},
		{
			name:    "reading its data",
			args:    []string{"--loading-process-events-interval-bytes", "1024"},
			prepare: loadSlowly,
			want:    calls{store.ClassRetryFresh, store.ClassRetryFresh}, dropped: true, says: "LOADING",
		},
		{
			name: "too few replicas",
			args: []string{"--min-replicas-to-write", "1"},
			want: calls{fine, store.ClassFailClosed}, says: "NOREPLICAS",
		},
		{
			name:    "a script that does not end",
			args:    []string{"--lua-time-limit", "1"},
			prepare: runEndlessScript,
			want:    calls{store.ClassRetryNow, store.ClassRetryNow}, says: "BUSY",
		},
		{
			name: "writing not permitted",
			prepare: func(_ *testing.T, s *redistest.Server) {
				s.Do("ACL", "SETUSER", "reader", "on", ">password-for-tests", "~*", "+get", "+select")
			},
			options: []redis.DialOption{redis.DialUsername("reader"), redis.DialPassword("password-for-tests")},
			want:    calls{fine, store.ClassConfiguration}, says: "NOPERM",
		},
		{
			name:    "a wrong password",
			args:    []string{"--requirepass", "password-for-tests"},
			options: []redis.DialOption{redis.DialPassword("another-password-for-tests")},
			want:    calls{store.ClassConfiguration, store.ClassConfiguration}, dropped: true, says: "WRONGPASS",
		},
		{
			name: "no password",
			args: []string{"--requirepass", "password-for-tests"},
			want: calls{store.ClassConfiguration, store.ClassConfiguration}, says: "NOAUTH",
		},
		{
			name:    "a database that is not there",
			options: []redis.DialOption{redis.DialDatabase(9999)},
			want:    calls{store.ClassConfiguration, store.ClassConfiguration}, dropped: true, says: "DB index",
		},
		{
			name: "a command that was taken away",
			args: []string{"--rename-command", "SET", "S3T"},
			want: calls{fine, store.ClassConfiguration}, says: "ERR unknown command",
		},
		{
			name:    "stopped",
			prepare: func(_ *testing.T, s *redistest.Server) { s.Stop() },
			want:    calls{store.ClassRetryNow, store.ClassRetryNow}, dropped: true, says: "refused",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.Start(t, c.args...)
			if c.prepare != nil {
				c.prepare(t, server)
			}
			pool := poolTo(t, server.Addr, c.options...)
			s, token := patient(pool), storetest.Token()

			_, found, err := s.FindCtx(ctx, token)
			assert.False(t, found)
			assert.Equal(t, c.want.read, store.ClassOf(err), "read: %v", err)
			writeErr := s.CommitCtx(ctx, token, []byte("record"), inAnHour())
			assert.Equal(t, c.want.write, store.ClassOf(writeErr), "write: %v", writeErr)

			if err == nil {
				err = writeErr
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.says)
			assert.NotContains(t, err.Error(), token)
			assert.NotContains(t, err.Error(), "record")
			assert.NotContains(t, err.Error(), "password-for-tests")
			if c.dropped {
				assert.Zero(t, pool.ActiveCount(), "the connection is still in the pool")
			} else {
				assert.Equal(t, 1, pool.IdleCount(), "a healthy connection was thrown away")
			}
		})
	}
}

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

// failSnapshot takes the server's folder away and lets it try to write there.
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

// loadSlowly makes the server the replica of one whose data takes it far longer
// to load than the test lasts.
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

// poolTo is a pool whose address may change.
func poolTo(t *testing.T, addr func() string, opts ...redis.DialOption) *redis.Pool {
	opts = append([]redis.DialOption{redis.DialConnectTimeout(time.Minute), redis.DialWriteTimeout(time.Minute)}, opts...)
	pool := &redis.Pool{
		MaxIdle: 64, MaxActive: 64, Wait: true,
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", addr(), opts...)
		},
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

func TestTooManyClientsIsPassing(t *testing.T) {
	server := redistest.Start(t)
	pool := server.Pool()
	occupant, err := redis.Dial("tcp", server.Addr())
	require.NoError(t, err)
	defer occupant.Close()
	_, err = occupant.Do("CONFIG", "SET", "maxclients", "1")
	require.NoError(t, err)

	_, _, err = patient(pool).Find(storetest.Token())
	assert.Equal(t, store.ClassRetryFresh, store.ClassOf(err), "%v", err)
	assert.Zero(t, pool.ActiveCount())
}

func TestAnotherServiceAtTheAddressIsAMistakeOfConfiguration(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	pool := poolTo(t, web.Listener.Addr().String)
	_, _, err := patient(pool).Find(storetest.Token())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
	assert.Zero(t, pool.ActiveCount())
}

func TestAFrozenServerEndsEveryCallAtItsDeadline(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	pool := server.Pool()
	s := store.New(pool, store.WithTimeout(50*time.Millisecond))
	token := storetest.Token()
	require.NoError(t, patient(pool).CommitCtx(ctx, token, []byte("record"), inAnHour()))

	server.Freeze()
	for name, call := range map[string]func() error{
		"find":    func() error { _, _, err := s.FindCtx(ctx, token); return err },
		"ttl":     func() error { _, _, _, err := s.FindTTLCtx(ctx, token); return err },
		"commit":  func() error { return s.CommitCtx(ctx, token, []byte("record"), inAnHour()) },
		"update":  func() error { _, err := s.UpdateCtx(ctx, token, []byte("record"), inAnHour()); return err },
		"touch":   func() error { _, err := s.TouchCtx(ctx, token, inAnHour()); return err },
		"delete":  func() error { return s.DeleteCtx(ctx, storetest.Token()) },
		"all":     func() error { _, err := s.AllCtx(ctx); return err },
		"claim":   func() error { _, err := s.PutMarkNX(ctx, "k", []byte("v"), time.Hour); return err },
		"mark":    func() error { _, _, err := s.Mark(ctx, "k"); return err },
		"index":   func() error { return s.AddSession(ctx, "user", token, inAnHour()) },
		"members": func() error { _, err := s.SessionsOf(ctx, "user"); return err },
	} {
		err := call()
		for errors.Is(err, context.DeadlineExceeded) { // a busy machine: it never got as far as asking
			err = call()
		}
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
		assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%s: %v", name, err)
		assert.Zero(t, pool.ActiveCount(), "%s: the connection that owes an answer is still in the pool", name)
	}

	server.Thaw()
	b, found, err := patient(pool).FindCtx(ctx, token)
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, "record", string(b))
}

func TestAnExhaustedPoolEndsTheCallAtItsDeadline(t *testing.T) {
	server := redistest.Start(t)
	for _, wait := range []bool{true, false} {
		pool := server.Pool()
		pool.MaxActive, pool.Wait = 1, wait
		s := store.New(pool, store.WithTimeout(20*time.Millisecond))
		occupant := pool.Get()
		err := s.Commit(storetest.Token(), []byte("record"), inAnHour())
		assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "wait %v: %v", wait, err)
		occupant.Close()
		assert.NoError(t, patient(pool).Commit(storetest.Token(), []byte("record"), inAnHour()))
	}
}

func TestAShorterDeadlineOfTheRequestEndsAReadAndNotAWrite(t *testing.T) {
	server := redistest.Start(t)
	s := patient(server.Pool())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	server.Freeze()
	_, _, err := s.FindCtx(ctx, storetest.Token())
	require.Error(t, err)
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	<-ctx.Done()
	server.Thaw()
	require.NoError(t, s.CommitCtx(ctx, storetest.Token(), []byte("record"), inAnHour()))
}

func TestAfterARestartNoCallIsLostToStaleConnections(t *testing.T) {
	ctx := context.Background()
	for _, idle := range []int{1, 5, 64} {
		server := redistest.Start(t, "--appendonly", "yes")
		pool := server.Pool()
		s, token := patient(pool), storetest.Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), inAnHour()))
		for _, call := range []func() error{
			func() error { return mustFind(s, token) },
			func() error { return s.CommitCtx(ctx, token, []byte("record"), inAnHour()) },
			func() error { return s.AddSession(ctx, "user", token, inAnHour()) },
		} {
			fill(t, pool, idle)
			server.Restart()
			require.NoError(t, call(), "%d idle connections", idle)
			require.NoError(t, mustFind(s, token), "%d idle connections", idle)
		}
	}
}

func mustFind(s *store.Store, token string) error {
	_, found, err := s.Find(token)
	if err == nil && !found {
		return errors.New("session lost")
	}
	return err
}

func TestAfterARestartManyCallsAtOnceLoseNothing(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes")
	pool := server.Pool()
	s, token := patient(pool), storetest.Token()
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	fill(t, pool, 64)
	server.Restart()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { assert.NoError(t, mustFind(s, token)) })
	}
	wg.Wait()
}

func TestConnectionsThatTheServerCutLoseNoRead(t *testing.T) {
	server := redistest.Start(t)
	pool := server.Pool()
	s, token := patient(pool), storetest.Token()
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	for range 10 {
		fill(t, pool, 8)
		server.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		require.NoError(t, mustFind(s, token))
	}
}

func TestAfterAFailoverTheFirstWriteReachesTheNewPrimary(t *testing.T) {
	ctx := context.Background()
	old, successor := redistest.Start(t), redistest.Start(t)
	var primary atomic.Value
	primary.Store(old.Addr())
	pool := poolTo(t, func() string { return primary.Load().(string) })
	s, token := patient(pool), storetest.Token()
	fill(t, pool, 5)

	old.Do("REPLICAOF", "127.0.0.1", "1")
	primary.Store(successor.Addr())

	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), inAnHour()))
	key := "scs:session:" + token
	assert.Equal(t, storetest.Stored(key, "record"), string(successor.Do("GET", key).([]byte)))
	assert.Equal(t, 1, pool.ActiveCount(), "connections to the old primary are still in the pool")
}

func TestAServerThatStaysReadOnlyIsAskedTwiceAndNotForEver(t *testing.T) {
	server := redistest.Start(t)
	server.Do("REPLICAOF", "127.0.0.1", "1")
	s, token := patient(server.Pool()), storetest.Token()
	commands := server.Commands(func() {
		require.Error(t, s.Commit(token, []byte("record"), inAnHour()))
	})
	assert.LessOrEqual(t, len(commands), 2, "%v", commands)
}

func TestACancelledRequestBurnsNoConnection(t *testing.T) {
	server := redistest.Start(t)
	token := storetest.Token()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, wait := range map[string]bool{"pool that waits": true, "pool that does not": false} {
		t.Run(name, func(t *testing.T) {
			pool := server.Pool()
			pool.Wait = wait
			s := patient(pool)
			require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))

			commands := server.Commands(func() {
				for range 10 {
					_, _, err := s.FindCtx(ctx, token)
					require.ErrorIs(t, err, context.Canceled)
					require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), inAnHour()))
				}
			})
			assert.Len(t, commands, 10, "a read of nobody's went to the server, or a write did not")
			assert.Equal(t, 1, pool.ActiveCount())
			assert.Equal(t, 1, pool.IdleCount())
		})
	}
}

// gate is a getter that tells when a connection has been handed out.
type gate struct {
	*redis.Pool
	got chan struct{}
}

func (g gate) GetContext(ctx context.Context) (redis.Conn, error) {
	conn, err := g.Pool.GetContext(ctx)
	g.got <- struct{}{}
	return conn, err
}

func TestARequestCancelledWhileRedisIsAskedStillGetsItsAnswer(t *testing.T) {
	server := redistest.Start(t)
	pool := server.Pool()
	token := storetest.Token()
	require.NoError(t, patient(pool).Commit(token, []byte("record"), inAnHour()))

	server.Freeze()
	g := gate{pool, make(chan struct{})}
	s := store.New(g, store.WithTimeout(10*time.Second))
	ctx, cancel := context.WithCancel(context.Background())
	found := make(chan bool)
	go func() {
		_, ok, err := s.FindCtx(ctx, token)
		assert.NoError(t, err)
		found <- ok
	}()
	<-g.got
	cancel()
	server.Thaw()
	assert.True(t, <-found)
	assert.Equal(t, 1, pool.IdleCount())
}

// cutter is a TCP proxy that cuts its first connection when the server has
// answered a number of bytes, and lets all others pass.
type cutter struct {
	net.Listener
	target string
	first  int64
	served atomic.Int64
}

func newCutter(t *testing.T, target string, first int) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{Listener: l, target: target, first: int64(first)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	if c.served.Add(1) == 1 {
		io.CopyN(client, server, c.first)
		if c.first == 0 {
			// The command is to be executed all the same.
			server.Read(make([]byte, 1))
		}
		return
	}
	io.Copy(client, server)
}

func TestAnAnswerCutAnywhereIsNeitherBelievedNorTheEnd(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	direct := patient(server.Pool())
	token := storetest.Token()
	record := "record\r\n$6\r\nwith the look of the protocol"
	require.NoError(t, direct.Commit(token, []byte(record), inAnHour()))

	for cut := range len("$40\r\n"+record+"\r\n") + len(":3600000\r\n") - 1 {
		through := newCutter(t, server.Addr(), cut)
		pool := poolTo(t, through.Addr().String)
		s := patient(pool)
		b, ttl, found, err := s.FindTTLCtx(ctx, token)
		require.NoError(t, err, "cut after %d bytes", cut)
		require.True(t, found, "cut after %d bytes", cut)
		require.Equal(t, record, string(b), "cut after %d bytes", cut)
		require.Greater(t, ttl, 50*time.Minute, "cut after %d bytes", cut)
		require.EqualValues(t, 2, through.served.Load(), "cut after %d bytes", cut)
		pool.Close()
	}
}

func TestAClaimWhoseAnswerIsLostIsStillWonByItsOwner(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	for cut := range len("+OK\r\n") {
		through := newCutter(t, server.Addr(), cut)
		pool := poolTo(t, through.Addr().String)
		key := strings.Repeat("k", cut+1)
		won, err := patient(pool).PutMarkNX(ctx, key, []byte("mine"), time.Hour)
		require.NoError(t, err, "cut after %d bytes", cut)
		assert.True(t, won, "cut after %d bytes", cut)
		require.EqualValues(t, 2, through.served.Load(), "cut after %d bytes", cut)

		won, err = patient(server.Pool()).PutMarkNX(ctx, key, []byte("another's"), time.Hour)
		require.NoError(t, err)
		assert.False(t, won)
		pool.Close()
	}
}

func TestNoFaultLeavesAConnectionBehind(t *testing.T) {
	server := redistest.Start(t)
	pool := server.Pool()
	s := store.New(pool, store.WithTimeout(200*time.Millisecond))
	storm := func() {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				token := storetest.Token()
				s.Commit(token, []byte("record"), inAnHour())
				s.FindTTLCtx(context.Background(), token)
				s.Delete(token)
			})
		}
		wg.Wait()
	}
	storm()
	server.Freeze()
	storm()
	server.Thaw()
	storm()
	server.Stop()
	storm()
	server.Restart()
	storm()
	server.Do("REPLICAOF", "127.0.0.1", "1")
	storm()
	assert.Equal(t, pool.ActiveCount(), pool.IdleCount(), "connections that nobody uses and nobody can")
}

func TestANewConnectionThatIsCutIsNotTheEndOfACall(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "password-for-tests")
	proxy, err := faultproxy.Start(server.Addr())
	require.NoError(t, err)
	defer proxy.Close()
	for n := range len("+OK\r\n") { // which answers AUTH
		proxy.CutOnce(n)
		_, _, err := patient(newPool(t, "redis://:password-for-tests@"+proxy.Addr())).Find(storetest.Token())
		require.NoError(t, err, "cut after %d bytes", n)
	}
}

func TestConnectionsThatTheNetworkForgotCostOneCallAndNotOneEach(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faultproxy.Start(server.Addr())
	require.NoError(t, err)
	defer proxy.Close()
	pool := newPool(t, "redis://"+proxy.Addr())
	s, token := store.New(pool), storetest.Token() // the store's own timeout says that the server is silent
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	fill(t, pool, 8)

	proxy.HalfOpen()
	_, _, err = s.Find(token)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	require.NoError(t, mustFind(s, token))
	assert.Equal(t, 1, pool.ActiveCount(), "a forgotten connection is still in the pool")
	require.NoError(t, mustFind(s, token))
	assert.Equal(t, 1, pool.ActiveCount(), "a connection that works was thrown away")
}
