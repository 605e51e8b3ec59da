package store_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// newPool allows a busy machine more time than NewPool does.
func newPool(t *testing.T, url string, opts ...redis.DialOption) *redis.Pool {
	t.Helper()
	opts = append([]redis.DialOption{redis.DialConnectTimeout(time.Minute),
		redis.DialReadTimeout(time.Minute), redis.DialWriteTimeout(time.Minute)}, opts...)
	pool, err := store.NewPool(url, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	return pool
}

func TestNewPool_defaults(t *testing.T) {
	pool := newPool(t, "redis://localhost")
	assert.Equal(t, 64, pool.MaxIdle)
	assert.Equal(t, 64, pool.MaxActive)
	assert.True(t, pool.Wait)
	assert.Equal(t, 4*time.Minute, pool.IdleTimeout)
	assert.Equal(t, 30*time.Minute, pool.MaxConnLifetime)
}

// The user, the password and the database of the URL are used.
func TestNewPool_credentials(t *testing.T) {
	server := redistest.Start(t)
	server.Do("ACL", "SETUSER", "shop", "on", ">p/w#for?tests%", "~*", "+@all")
	server.Do("CONFIG", "SET", "requirepass", "default-for-tests")
	for name, url := range map[string]string{
		"user and password": "redis://shop:p%2Fw%23for%3Ftests%25@" + server.Addr() + "/3",
		"password":          "redis://:default-for-tests@" + server.Addr() + "/3",
	} {
		t.Run(name, func(t *testing.T) {
			s, token := patient(newPool(t, url)), storetest.Token()
			require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))

			conn, err := redis.Dial("tcp", server.Addr(), redis.DialPassword("default-for-tests"), redis.DialDatabase(3))
			require.NoError(t, err)
			defer conn.Close()
			n, err := redis.Int(conn.Do("EXISTS", "scs:session:"+token))
			require.NoError(t, err)
			assert.Equal(t, 1, n)
		})
	}
}

// The error for an invalid URL does not contain its password.
func TestNewPool_invalidURL(t *testing.T) {
	const part = "fakepw"
	for name, url := range map[string]string{
		"empty":                     "",
		"no scheme":                 part + "@localhost:6379",
		"password as scheme":        part + ":x@localhost",
		"another scheme":            "http://:" + part + "@localhost",
		"password without scheme":   ":" + part + "@localhost:6379",
		"slash in password":         "redis://:1/" + part + "@localhost:6379",
		"hash in password":          "redis://:1#" + part + "@localhost:6379",
		"question mark in password": "redis://:1?" + part + "@localhost:6379",
		"hash in user":              "redis://shop#:" + part + "@localhost:6379",
		"question mark in user":     "redis://shop?:" + part + "@localhost:6379",
		"lone question mark":        "redis://localhost?",
		"percent in password":       "redis://:" + part + "%zz@localhost:6379",
		"space":                     "redis://:" + part + " @localhost:6379",
		"control byte":              "redis://:" + part + "\n@localhost:6379",
		"bad port":                  "redis://:" + part + "@localhost:port",
		"no host":                   "redis://:" + part + "@",
		"only a port":               "redis://:" + part + "@:6379",
		"database is a word":        "redis://:" + part + "@localhost/" + part,
		"two path segments":         "redis://:" + part + "@localhost/1/2",
		"opaque":                    "redis:" + part + "@localhost",
	} {
		t.Run(name, func(t *testing.T) {
			pool, err := store.NewPool(url)
			require.Error(t, err)
			assert.Nil(t, pool)
			assert.NotContains(t, err.Error(), part)
			assert.Contains(t, err.Error(), "Redis URL")
		})
	}
}

// NewPool does not connect, and the error of a failed dial does not contain the
// password.
func TestNewPool_dialError(t *testing.T) {
	server := redistest.Start(t)
	addr := server.Addr()
	server.Stop()
	s := patient(newPool(t, "redis://:fakepw@"+addr))
	_, _, err := s.Find(storetest.Token())
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "fakepw")
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
}

// Only connections that were idle for more than 30 seconds are checked before
// use.
func TestNewPool_idleCheck(t *testing.T) {
	server := redistest.Start(t)
	pool := newPool(t, server.URL())
	conn := pool.Get()
	defer conn.Close()
	waiting, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	ended, end := context.WithCancel(context.Background())
	end()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		rested time.Duration
		want   []string
	}{
		{"used just now", waiting, 0, []string{}},
		{"rested for 29 s", waiting, 29 * time.Second, []string{}},
		{"rested for 31 s", waiting, 31 * time.Second, []string{"PING"}},
		{"rested, but the caller has gone", ended, time.Hour, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := server.Commands(func() {
				require.NoError(t, pool.TestOnBorrowContext(c.ctx, conn, time.Now().Add(-c.rested)))
			})
			assert.Equal(t, c.want, got)
		})
	}
	server.Freeze()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	assert.Error(t, pool.TestOnBorrowContext(ctx, conn, time.Now().Add(-time.Hour)), "a silent server passed the test")
}

func TestNewPool_certificate(t *testing.T) {
	server := redistest.Start(t)
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	front := tlsFront(t, web.TLS.Certificates[0], server.Addr())

	t.Run("unknown authority", func(t *testing.T) {
		s := patient(newPool(t, "rediss://"+front))
		_, _, err := s.Find(storetest.Token())
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
	})
	t.Run("known authority", func(t *testing.T) {
		roots := x509.NewCertPool()
		roots.AddCert(web.Certificate())
		s := patient(newPool(t, "rediss://"+front, redis.DialTLSConfig(&tls.Config{RootCAs: roots})))
		require.NoError(t, s.Commit(storetest.Token(), []byte("record"), inAnHour()))
	})
	t.Run("a server that does not respond to the handshake", func(t *testing.T) {
		s := store.New(newPool(t, "rediss://"+server.Addr()), store.WithTimeout(20*time.Millisecond))
		_, _, err := s.Find(storetest.Token())
		assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	})
}

// tlsFront runs a TLS proxy in front of a server without TLS, and returns its
// address.
func tlsFront(t *testing.T, cert tls.Certificate, target string) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer server.Close()
				wg.Go(func() {
					io.Copy(server, client)
					server.Close()
				})
				io.Copy(client, server)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// The deadline of a caller closes at most one connection of the pool.
func TestNewPool_deadline(t *testing.T) {
	server := redistest.Start(t)
	pool, err := store.NewPool(server.URL(), redis.DialReadTimeout(time.Minute))
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	s := patient(pool)
	fill(t, pool, 40)

	for _, end := range []func() (context.Context, context.CancelFunc){
		func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 20*time.Millisecond)
		},
		func() (context.Context, context.CancelFunc) {
			return context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		},
		func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		},
	} {
		ctx, cancel := end()
		server.Freeze()
		_, _, err = s.FindCtx(ctx, storetest.Token())
		server.Thaw()
		cancel()
		require.Error(t, err)
		_, _, err = s.FindCtx(context.Background(), storetest.Token())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, pool.ActiveCount(), 39)
	}
}

// A call that times out because it waited for a connection closes at most one
// connection of the pool.
func TestStore_waitForConnection(t *testing.T) {
	server := redistest.Start(t)
	pool, err := store.NewPool(server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	const timeout = time.Second // enough for the second call on a busy machine
	for _, left := range []time.Duration{20 * time.Millisecond, 0} {
		pool := &late{pool, timeout - left}
		s := store.New(pool, store.WithTimeout(timeout))
		fill(t, pool.Pool, 40)
		server.Freeze()
		_, _, err = s.FindCtx(context.Background(), storetest.Token())
		server.Thaw()
		require.Error(t, err)
		pool.after = 0
		_, _, err = s.FindCtx(context.Background(), storetest.Token())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, pool.ActiveCount(), 39)
	}
}

// late is a pool that returns connections when little of the call's time is left.
type late struct {
	*redis.Pool
	after time.Duration
}

func (p *late) GetContext(ctx context.Context) (redis.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, p.after)
	defer cancel()
	<-wait.Done()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.Pool.GetContext(ctx)
}
