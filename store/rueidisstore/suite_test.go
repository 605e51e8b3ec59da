package rueidisstore_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// withNearCache is the name of that variant.
const withNearCache = "with near cache"

var client = storetest.Client{
	Module:         "store/rueidisstore",
	New:            newStore,
	Variants:       []string{"without near cache", withNearCache},
	Commands:       []string{"CLIENT", "CLUSTER", "HELLO"},
	DetectsCluster: true,
	SentinelRights: true,
}

func TestStore(t *testing.T) { storetest.Suite(t, client) }

func newStore(c storetest.Config) (storetest.Store, func(), error) {
	opts := c.Options()
	if c.Variant == withNearCache {
		opts = append(opts, nearCache())
	}
	s, err := rueidisstore.New(optionOf(c), opts...)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

// optionOf returns rueidis's option for the Redis of c.
func optionOf(c storetest.Config) rueidis.ClientOption {
	o := rueidis.ClientOption{
		InitAddress: c.Addrs, Username: c.Username, Password: c.Password, SelectDB: c.Database,
		TLSConfig: c.TLS, ForceSingleClient: c.Single,
		// rueidis holds the memory of a closed client for a second, and the suite
		// opens a thousand.
		RingScaleEachConn: 6, ReadBufferEachConn: 16 << 10, WriteBufferEachConn: 16 << 10,
	}
	o.Sentinel.MasterSet = c.MasterSet
	if c.Patient() {
		o = patient(o)
	}
	if c.Dialed != nil {
		o.DialCtxFn = func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			c.Dialed()
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return o
}

// patience is the time limit of calls that must not fail on a busy machine.
const patience = storetest.Patience

// patient sets the time limits of rueidis to patience.
func patient(option rueidis.ClientOption) rueidis.ClientOption {
	option.Dialer.Timeout, option.ConnWriteTimeout = patience, patience
	option.Sentinel.Dialer.Timeout = patience
	option.Dialer.KeepAlive = time.Hour // or rueidis itself would notice a server that is silent
	return option
}

func one(server *redistest.Server) rueidis.ClientOption {
	return patient(rueidis.ClientOption{InitAddress: []string{server.Addr()}})
}

func nearCache() store.Option { return rueidisstore.WithNearCache(8<<20, time.Hour) }

func open(t testing.TB, client rueidis.ClientOption, opts ...store.Option) *rueidisstore.Store {
	t.Helper()
	s, err := rueidisstore.New(client, append([]store.Option{store.WithTimeout(patience)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func inAnHour() time.Time { return time.Now().Add(time.Hour) }
