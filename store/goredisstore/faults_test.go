package goredisstore_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestEveryRefusalOfARealServerHasItsClass(t *testing.T) {
	const fine = store.Class(0)
	for _, c := range []struct {
		name        string
		args        []string
		prepare     func(t *testing.T, s *redistest.Server)
		option      func(o *redis.UniversalOptions)
		read, write store.Class
		says        string
	}{
		{
			name:    "demoted to a replica",
			prepare: func(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", "1") },
			read:    fine, write: store.ClassRetryFresh, says: "READONLY",
		},
		{
			name:    "a replica that has lost its primary and says so",
			args:    []string{"--replica-serve-stale-data", "no"},
			prepare: func(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", "1") },
			read:    store.ClassRetryFresh, write: store.ClassRetryFresh, says: "MASTERDOWN",
		},
		{
			name: "a cluster without slots",
			args: []string{"--cluster-enabled", "yes"},
			read: store.ClassRetryFresh, write: store.ClassRetryFresh, says: "CLUSTERDOWN",
		},
		{
			name:    "no memory left",
			prepare: func(_ *testing.T, s *redistest.Server) { s.Do("CONFIG", "SET", "maxmemory", "1") },
			read:    fine, write: store.ClassFailClosed, says: "OOM",
		},
		{
			name: "too few replicas",
			args: []string{"--min-replicas-to-write", "1"},
			read: fine, write: store.ClassFailClosed, says: "NOREPLICAS",
		},
		{
			name:    "a script that does not end",
			args:    []string{"--lua-time-limit", "1"},
			prepare: runEndlessScript,
			read:    store.ClassRetryNow, write: store.ClassRetryNow, says: "BUSY",
		},
		{
			name: "writing not permitted",
			prepare: func(_ *testing.T, s *redistest.Server) {
				s.Do("ACL", "SETUSER", "reader", "on", ">password-for-tests", "~*", "+get", "+cluster")
			},
			option: func(o *redis.UniversalOptions) { o.Username, o.Password = "reader", "password-for-tests" },
			read:   fine, write: store.ClassConfiguration, says: "NOPERM",
		},
		{
			name:   "a wrong password",
			args:   []string{"--requirepass", "password-for-tests"},
			option: func(o *redis.UniversalOptions) { o.Password = "another-password-for-tests" },
			read:   store.ClassConfiguration, write: store.ClassConfiguration, says: "WRONGPASS",
		},
		{
			name: "no password",
			args: []string{"--requirepass", "password-for-tests"},
			read: store.ClassConfiguration, write: store.ClassConfiguration, says: "NOAUTH",
		},
		{
			name:   "a database that is not there",
			option: func(o *redis.UniversalOptions) { o.DB = 9999 },
			read:   store.ClassConfiguration, write: store.ClassConfiguration, says: "DB index",
		},
		{
			name: "a command that was taken away",
			args: []string{"--rename-command", "SET", "S3T"},
			read: fine, write: store.ClassConfiguration, says: "unknown command",
		},
		{
			name:    "stopped",
			prepare: func(_ *testing.T, s *redistest.Server) { s.Stop() },
			read:    store.ClassRetryNow, write: store.ClassRetryNow, says: "refused",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := context.Background()
			server := redistest.Start(t, c.args...)
			if c.prepare != nil {
				c.prepare(t, server)
			}
			option := one(server)
			if c.option != nil {
				c.option(&option)
			}
			s, token := open(t, option), storetest.Token()

			_, found, err := s.FindCtx(ctx, token)
			assert.False(t, found)
			assert.Equal(t, c.read, store.ClassOf(err), "read: %v", err)
			writeErr := s.CommitCtx(ctx, token, []byte("record"), inAnHour())
			assert.Equal(t, c.write, store.ClassOf(writeErr), "write: %v", writeErr)

			if err == nil {
				err = writeErr
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.says)
			assert.NotContains(t, err.Error(), token)
			assert.NotContains(t, err.Error(), "record")
			assert.NotContains(t, err.Error(), "password-for-tests")
		})
	}
}

// runEndlessScript occupies the server until the test ends.
func runEndlessScript(t *testing.T, s *redistest.Server) {
	script, err := redigo.Dial("tcp", s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { script.Close() })
	require.NoError(t, script.Send("EVAL", "while true do end", 0))
	require.NoError(t, script.Flush())
	probe, err := redigo.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer probe.Close()
	for err == nil {
		_, err = probe.Do("PING")
	}
	require.ErrorContains(t, err, "BUSY")
}

func TestAnotherServiceAtTheAddressIsAMistakeOfConfiguration(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	s := open(t, patient(redis.UniversalOptions{Addrs: []string{web.Listener.Addr().String()}}))
	_, _, err := s.Find(storetest.Token())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
}

func TestACertificateOfAnUnknownAuthorityIsAMistakeOfConfiguration(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	s := open(t, patient(redis.UniversalOptions{Addrs: []string{web.Listener.Addr().String()}, TLSConfig: &tls.Config{}}))
	_, _, err := s.Find(storetest.Token())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
}

func TestAnApplicationMayStartBeforeItsRedis(t *testing.T) {
	server := redistest.Start(t)
	server.Stop()
	s, token := open(t, one(server)), storetest.Token()
	for range 3 {
		_, _, err := s.Find(token)
		require.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	}
	server.Restart()
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	assert.Equal(t, "record", found(t, s, token))
}

func TestAfterARestartNoCallIsLostToStaleConnections(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes")
	for name, s := range map[string]*goredisstore.Store{"one": open(t, one(server))} {
		t.Run(name, func(t *testing.T) {
			ctx, token := context.Background(), storetest.Token()
			require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), inAnHour()))
			for _, call := range []func() error{
				func() error { return mustFind(s, token) },
				func() error { return s.CommitCtx(ctx, token, []byte("record"), inAnHour()) },
				func() error { return s.AddSession(ctx, "user", token, inAnHour()) },
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
}

func mustFind(s *goredisstore.Store, token string) error {
	_, found, err := s.Find(token)
	if err == nil && !found {
		return errors.New("session lost")
	}
	return err
}

// atOnce calls f n times at the same time.
func atOnce(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

func TestConnectionsThatTheServerCutLoseNoRead(t *testing.T) {
	server := redistest.Start(t)
	s, token := open(t, one(server)), storetest.Token()
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	for range 20 {
		server.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		require.NoError(t, mustFind(s, token))
	}
}

func TestAFrozenServerEndsEveryCallAtItsDeadline(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	token := storetest.Token()
	option := redis.UniversalOptions{Addrs: []string{server.Addr()}}
	s := open(t, option, goredisstore.WithTimeout(200*time.Millisecond))
	require.Eventually(t, func() bool {
		return s.CommitCtx(ctx, token, []byte("record"), inAnHour()) == nil
	}, patience, time.Millisecond)

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
		assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%s: %v", name, err)
	}
	atOnce(10_000, func() {
		_, _, err := s.FindCtx(ctx, token)
		assert.Error(t, err)
	})
	server.Thaw()
	require.Eventually(t, func() bool { return mustFind(s, token) == nil }, patience, time.Millisecond)
}

func TestAShorterDeadlineOfTheRequestEndsAReadAndNotAWrite(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, one(server))
	require.NoError(t, s.Commit(storetest.Token(), nil, inAnHour()))
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

// balancer is one address that leads to whichever server it is set to. It can
// swallow one reply, and ends the connection then.
type balancer struct {
	net.Listener
	target  atomic.Value // string
	swallow atomic.Bool
}

func newBalancer(t *testing.T, target string) *balancer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &balancer{Listener: l}
	b.target.Store(target)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { b.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return b
}

func (b *balancer) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", b.target.Load().(string))
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	reply := make([]byte, 64<<10)
	for {
		n, err := server.Read(reply)
		if err != nil || b.swallow.CompareAndSwap(true, false) {
			return
		}
		if _, err := client.Write(reply[:n]); err != nil {
			return
		}
	}
}

// behind is a client that reaches Redis by the balancer, and is silent unless it
// is asked something.
func behind(b *balancer) redis.UniversalOptions {
	return patient(redis.UniversalOptions{Addrs: []string{b.Addr().String()}})
}

func TestAfterAFailoverBehindOneAddressTheFirstWriteReachesTheNewPrimary(t *testing.T) {
	ctx := context.Background()
	old, successor := redistest.Start(t), redistest.Start(t)
	address := newBalancer(t, old.Addr())
	s, token := open(t, behind(address)), storetest.Token()
	atOnce(50, func() { assert.NoError(t, s.CommitCtx(ctx, storetest.Token(), []byte("record"), inAnHour())) })

	old.Do("REPLICAOF", "127.0.0.1", "1")
	address.target.Store(successor.Addr())

	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), inAnHour()))
	key := "scs:session:" + token
	assert.Equal(t, storetest.Stored(key, "record"), string(successor.Do("GET", key).([]byte)))
}

func TestAServerThatStaysReadOnlyIsAskedTwiceAndNotForEver(t *testing.T) {
	server := redistest.Start(t)
	server.Do("REPLICAOF", "127.0.0.1", "1")
	s := open(t, one(server))
	require.Empty(t, found(t, s, storetest.Token()))
	require.Error(t, s.Commit(storetest.Token(), []byte("record"), inAnHour()))
	assert.Contains(t, infoOf(t, server, "commandstats")["cmdstat_set"], "rejected_calls=2")
}

func TestAServerThatIsGoneIsNotAskedUntilTheDeadline(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, one(server), goredisstore.WithTimeout(time.Hour))
	require.Empty(t, found(t, s, storetest.Token()))
	server.Stop()
	_, _, err := s.Find(storetest.Token())
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
}

func TestACallWhoseAnswerIsLostIsRepeated(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	address := newBalancer(t, server.Addr())
	s, other, token := open(t, behind(address)), open(t, one(server)), storetest.Token()
	atOnce(50, func() { assert.NoError(t, s.PutMark(ctx, "k", nil, time.Hour)) }) // over all connections

	address.swallow.Store(true)
	won, err := s.PutMarkNX(ctx, "state", []byte("mine"), time.Hour)
	require.NoError(t, err)
	assert.True(t, won, "its own claim was taken for another's")
	assert.False(t, address.swallow.Load())
	won, err = other.PutMarkNX(ctx, "state", []byte("another's"), time.Hour)
	require.NoError(t, err)
	assert.False(t, won)

	address.swallow.Store(true)
	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), inAnHour()))
	address.swallow.Store(true)
	assert.Equal(t, "record", found(t, s, token))
	assert.False(t, address.swallow.Load())
}

func TestAfterItsEndAStoreRefusesAndLeavesNothingBehind(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	before := runtime.NumGoroutine()
	s, err := goredisstore.New(one(server))
	require.NoError(t, err)
	require.NoError(t, s.CommitCtx(ctx, storetest.Token(), []byte("record"), inAnHour()))
	s.Close()
	s.Close()
	_, _, err = s.FindCtx(ctx, storetest.Token())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)

	unreachable := redistest.Start(t)
	unreachable.Stop()
	for _, option := range []redis.UniversalOptions{
		one(unreachable),
		{Addrs: []string{unreachable.Addr()}, MasterName: redistest.MasterSet},
	} {
		s, err := goredisstore.New(option)
		require.NoError(t, err)
		for range 20 {
			_, _, err := s.FindCtx(ctx, storetest.Token())
			require.Error(t, err)
		}
		s.Close()
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, patience, 10*time.Millisecond)
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}
	with := func(change func(o *redis.UniversalOptions)) redis.UniversalOptions {
		o := good
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		client redis.UniversalOptions
		says   string
	}{
		"no address":           {client: redis.UniversalOptions{}, says: "Addrs"},
		"replicas":             {client: with(func(o *redis.UniversalOptions) { o.ReadOnly = true }), says: "ReadOnly"},
		"the nearest":          {client: with(func(o *redis.UniversalOptions) { o.RouteByLatency = true }), says: "RouteByLatency"},
		"any":                  {client: with(func(o *redis.UniversalOptions) { o.RouteRandomly = true }), says: "RouteRandomly"},
		"Sentinel and Cluster": {client: with(func(o *redis.UniversalOptions) { o.MasterName, o.IsClusterMode = "m", true }), says: "mutually exclusive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := goredisstore.New(c.client)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func found(t *testing.T, s store.Sessions, token string) string {
	t.Helper()
	b, _, err := s.FindCtx(context.Background(), token)
	assert.NoError(t, err)
	return string(b)
}

// dialed counts the connections that the options open.
func dialed(option redis.UniversalOptions) (redis.UniversalOptions, chan struct{}) {
	dials := make(chan struct{}, 1000)
	option.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials <- struct{}{}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return option, dials
}

// fill opens n connections and leaves them idle.
func fill(t *testing.T, server *redistest.Server, s *goredisstore.Store, dials chan struct{}, n int) {
	t.Helper()
	server.Freeze()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, _, err := s.Find(storetest.Token())
			assert.NoError(t, err)
		})
	}
	for range n {
		<-dials
	}
	server.Thaw()
	wg.Wait()
}

func TestConnectionsThatTheNetworkForgotCostOneCallAndNotOneEach(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faultproxy.Start(server.Addr())
	require.NoError(t, err)
	defer proxy.Close()
	option, dials := dialed(redis.UniversalOptions{Addrs: []string{proxy.Addr()}, DialTimeout: patience})
	s := open(t, option, goredisstore.WithTimeout(time.Second)) // the store's own timeout says that the server is silent
	fill(t, server, s, dials, 8)

	proxy.HalfOpen()
	_, _, err = s.Find(storetest.Token())
	require.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	_, _, err = s.Find(storetest.Token())
	require.NoError(t, err)
}

func TestACallersDeadlineLeavesTheRestOfThePool(t *testing.T) {
	server := redistest.Start(t)
	option, dials := dialed(one(server))
	s := open(t, option)
	fill(t, server, s, dials, 20)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	server.Freeze()
	_, _, err := s.FindCtx(ctx, storetest.Token())
	server.Thaw()
	require.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	for len(dials) > 0 {
		<-dials
	}
	atOnce(19, func() {
		_, _, err := s.Find(storetest.Token())
		assert.NoError(t, err)
	})
	assert.LessOrEqual(t, len(dials), 1, "connections were closed that the server had not forgotten")
}
