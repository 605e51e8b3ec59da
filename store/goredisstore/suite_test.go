package goredisstore_test

import (
	"context"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

var client = storetest.Client{
	Module:   "store/goredisstore",
	New:      newStore,
	Variants: []string{"RESP2", "RESP3"},
	Commands: []string{"HELLO"},
}

func TestStore(t *testing.T) { storetest.Suite(t, client) }

func newStore(c storetest.Config) (storetest.Store, func(), error) {
	s, err := goredisstore.New(optionsOf(c), c.Options()...)
	if err != nil {
		return nil, nil, err
	}
	return s, func() { s.Close() }, nil
}

// optionsOf returns go-redis's options for the Redis of c.
func optionsOf(c storetest.Config) redis.UniversalOptions {
	o := redis.UniversalOptions{
		Addrs: c.Addrs, MasterName: c.MasterSet, Username: c.Username, Password: c.Password, DB: c.Database, TLSConfig: c.TLS,
	}
	switch c.Variant {
	case "RESP2":
		o.Protocol = 2
	case "RESP3":
		o.Protocol = 3
	}
	if c.Patient() {
		o = patient(o)
	}
	if c.Dialed != nil {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c.Dialed()
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	}
	return o
}

// patience is the time limit of calls that must not fail on a busy machine.
const patience = storetest.Patience

// patient sets the time limits of go-redis to patience.
func patient(option redis.UniversalOptions) redis.UniversalOptions {
	option.DialTimeout, option.ReadTimeout, option.WriteTimeout = patience, patience, patience
	return option
}

func one(server *redistest.Server) redis.UniversalOptions {
	return patient(redis.UniversalOptions{Addrs: []string{server.Addr()}})
}

func open(t testing.TB, client redis.UniversalOptions, opts ...store.Option) *goredisstore.Store {
	t.Helper()
	s, err := goredisstore.New(client, append([]store.Option{store.WithTimeout(patience)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}
