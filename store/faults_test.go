package store_test

import (
	"context"
	"errors"
	"io"
	"net"
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

// poolTo returns a pool whose address may change.
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

// Too many clients is a temporary error, and the connection is closed.
func TestStore_tooManyClients(t *testing.T) {
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

// A call ends at its deadline if the pool is exhausted.
func TestStore_exhaustedPool(t *testing.T) {
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

// No call fails because the pool has connections from before a restart.
func TestStore_restart(t *testing.T) {
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

// Nor do 200 concurrent calls.
func TestStore_restartConcurrent(t *testing.T) {
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

// With a canceled context, a read does not reach the server, a write does, and
// the connection stays open.
func TestStore_canceledRequest(t *testing.T) {
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
			assert.Len(t, commands, 10, "the server executes the 10 writes and no read")
			assert.Equal(t, 1, pool.ActiveCount())
			assert.Equal(t, 1, pool.IdleCount())
		})
	}
}

// gate is a pool that sends on got after each connection it returns.
type gate struct {
	*redis.Pool
	got chan struct{}
}

func (g gate) GetContext(ctx context.Context) (redis.Conn, error) {
	conn, err := g.Pool.GetContext(ctx)
	g.got <- struct{}{}
	return conn, err
}

// A read returns its reply although its context was canceled during the call.
func TestStore_canceledDuringCall(t *testing.T) {
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

// cutter is a TCP proxy that cuts its first connection after the first bytes of
// the reply, and passes on all others.
type cutter struct {
	net.Listener
	first  int64
	served atomic.Int64
}

func newCutter(t *testing.T, target string, first int) *cutter {
	c := &cutter{first: int64(first)}
	c.Listener = storetest.Forward(t, func() string { return target }, c.forward)
	return c
}

func (c *cutter) forward(client, server net.Conn) {
	if c.served.Add(1) == 1 {
		io.CopyN(client, server, c.first)
		if c.first == 0 {
			// The server must still execute the command.
			server.Read(make([]byte, 1))
		}
		return
	}
	io.Copy(client, server)
}

// A call whose reply is cut after any number of bytes is repeated on another
// connection.
func TestStore_truncatedReply(t *testing.T) {
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

// A mark belongs to the caller that put it, even if the reply was lost.
func TestStore_PutMarkNX(t *testing.T) {
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

// After any fault, every open connection is back in the pool.
func TestStore_connectionLeak(t *testing.T) {
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
	assert.Equal(t, pool.ActiveCount(), pool.IdleCount(), "connections outside the pool")
}

// A call is repeated if a new connection closes during its handshake.
func TestStore_cutHandshake(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "password-for-tests")
	proxy, err := faultproxy.Start(server.Addr())
	require.NoError(t, err)
	defer proxy.Close()
	for n := range len("+OK\r\n") { // the reply to AUTH
		proxy.CutOnce(n)
		_, _, err := patient(newPool(t, "redis://:password-for-tests@"+proxy.Addr())).Find(storetest.Token())
		require.NoError(t, err, "cut after %d bytes", n)
	}
}

// Connections that the network has dropped silently cost one call together, not
// one each.
func TestStore_forgottenConnections(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faultproxy.Start(server.Addr())
	require.NoError(t, err)
	defer proxy.Close()
	pool := newPool(t, "redis://"+proxy.Addr())
	s, token := store.New(pool), storetest.Token() // the timeout of the store detects the silent server
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	fill(t, pool, 8)

	proxy.HalfOpen()
	_, _, err = s.Find(token)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	require.NoError(t, mustFind(s, token))
	assert.Equal(t, 1, pool.ActiveCount(), "a forgotten connection is still in the pool")
	require.NoError(t, mustFind(s, token))
	assert.Equal(t, 1, pool.ActiveCount(), "a working connection was closed")
}
