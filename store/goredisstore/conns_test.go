package goredisstore_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestIdleConnections(t *testing.T) {
	t.Run("forgotten by the network", testForgotten)
	t.Run("after the deadline of a caller", testDeadline)
}

// Forgotten connections cost one call, and not one each.
func testForgotten(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faultproxy.Start(server.Addr())
	require.NoError(t, err)
	defer proxy.Close()
	option, dials := dialed(redis.UniversalOptions{Addrs: []string{proxy.Addr()}, DialTimeout: patience})
	s := open(t, option, store.WithTimeout(time.Second)) // the store's own timeout says that the server is silent
	fill(t, server, s, dials, 8)

	proxy.HalfOpen()
	_, _, err = s.Find(storetest.Token())
	require.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
	_, _, err = s.Find(storetest.Token())
	require.NoError(t, err)
}

// The deadline of a caller closes at most its own connection.
func testDeadline(t *testing.T) {
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
	var all sync.WaitGroup
	for range 19 {
		all.Go(func() {
			_, _, err := s.Find(storetest.Token())
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.LessOrEqual(t, len(dials), 1, "working connections were closed")
}

// dialed returns options that send on the channel for each dial.
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
