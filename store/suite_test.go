package store_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/internal/suite/stores"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

var client = storetest.Client{
	Module:     "store",
	New:        newPoolStore,
	Standalone: true,
	Conns: func(s storetest.Store) (open, idle int) {
		pool := s.(pooled).pool
		return pool.ActiveCount(), pool.IdleCount()
	},
}

func TestStore(t *testing.T) { storetest.Suite(t, client) }

func TestLogin(t *testing.T) {
	client.Everywhere(t, func(t *testing.T, config storetest.Config) {
		stores.LogInAndOut(t, client.Open(t, config), client.Open(t, config))
	})
}

// pooled is a store and its pool.
type pooled struct {
	*store.Store
	pool *redis.Pool
}

func newPoolStore(c storetest.Config) (storetest.Store, func(), error) {
	var dial []redis.DialOption
	if c.Patient() {
		dial = append(dial, redis.DialConnectTimeout(storetest.Patience), redis.DialReadTimeout(storetest.Patience), redis.DialWriteTimeout(storetest.Patience))
	}
	u := url.URL{Scheme: "redis", Host: c.Addrs[0], Path: fmt.Sprint(c.Database)}
	if c.TLS != nil {
		u.Scheme, dial = "rediss", append(dial, redis.DialTLSConfig(c.TLS))
	}
	if c.Password != "" {
		u.User = url.UserPassword(c.Username, c.Password)
	}
	pool, err := store.NewPool(u.String(), dial...)
	if err != nil {
		return nil, nil, err
	}
	return pooled{store.New(pool, c.Options()...), pool}, func() { pool.Close() }, nil
}
