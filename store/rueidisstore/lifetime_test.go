package rueidisstore

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestConnLifetime(t *testing.T) {
	o, err := clientOption(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}}, time.Second)
	require.NoError(t, err)
	assert.Equal(t, 30*time.Minute, o.ConnLifetime)

	var dials atomic.Int64
	s, err := New(rueidis.ClientOption{
		InitAddress: []string{redistest.Start(t).Addr()}, ConnLifetime: 20 * time.Millisecond,
		DialCtxFn: func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			dials.Add(1)
			return d.DialContext(ctx, "tcp", addr)
		},
	}, store.WithTimeout(storetest.Patience))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	for dials.Load() < 10 { // no call fails while connections are replaced
		_, _, err := s.Find(storetest.Token())
		require.NoError(t, err)
	}
}
