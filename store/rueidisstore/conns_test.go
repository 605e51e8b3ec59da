package rueidisstore_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// On one connection for all calls.
func TestSharedConnection(t *testing.T) {
	t.Run("the call that connects is canceled", testCanceledDial)
	t.Run("a call gives up", testGivenUp)
}

// One call connects for all that wait. Its cancellation must not affect them.
func testCanceledDial(t *testing.T) {
	server := redistest.Start(t)
	dials := make(chan struct{}, 100)
	option := one(server)
	option.PipelineMultiplex = -1 // one connection for all
	option.DialCtxFn = func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
		dials <- struct{}{}
		return d.DialContext(ctx, "tcp", addr)
	}
	s, token := open(t, option), storetest.Token()
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	server.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	server.Freeze()
	for range len(dials) {
		<-dials
	}

	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _, err := s.FindCtx(short, token)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
	<-dials
	for range 20 {
		wg.Go(func() { assert.NoError(t, mustFind(s, token)) })
	}
	<-short.Done()
	<-dials
	server.Thaw()
	wg.Wait()
}

// A call that gives up does not close the connection of the others.
func testGivenUp(t *testing.T) {
	server := redistest.Start(t)
	var dials atomic.Int64
	option := one(server)
	option.PipelineMultiplex = -1 // one connection for all
	option.DialCtxFn = func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
		dials.Add(1)
		return d.DialContext(ctx, "tcp", addr)
	}
	s, token := open(t, option), storetest.Token()
	require.NoError(t, s.Commit(token, []byte("record"), inAnHour()))
	before := dials.Load()

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	server.Freeze()
	_, _, err := s.FindCtx(ctx, token)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	server.Thaw()
	require.NoError(t, mustFind(s, token))
	assert.Equal(t, before, dials.Load())
}

func mustFind(s *rueidisstore.Store, token string) error {
	_, found, err := s.Find(token)
	if err == nil && !found {
		return errors.New("session lost")
	}
	return err
}
