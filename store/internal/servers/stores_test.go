package servers

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// A fullStore is a store with all that a login uses.
type fullStore interface {
	store.Sessions
	store.Checker
	store.Batcher
}

// An address leads to a server.
type address struct {
	addrs     []string
	masterSet string
}

// stores open a store for an address.
var stores = []struct {
	name     string
	topology bool // it supports Sentinels and a Cluster
	open     func(t *testing.T, a address, prefix string) fullStore
}{
	{"redigo", false, openRedigo},
	{"go-redis", true, func(t *testing.T, a address, prefix string) fullStore { return openGoRedis(t, a, prefix, 0) }},
	{"go-redis, RESP3", true, func(t *testing.T, a address, prefix string) fullStore { return openGoRedis(t, a, prefix, 3) }},
	{"rueidis", true, func(t *testing.T, a address, prefix string) fullStore { return openRueidis(t, a, prefix, false) }},
	{"rueidis, RESP2", true, func(t *testing.T, a address, prefix string) fullStore { return openRueidis(t, a, prefix, true) }},
	{nearCache, true, func(t *testing.T, a address, prefix string) fullStore {
		return openRueidis(t, a, prefix, false, rueidisstore.WithNearCache(1<<20, time.Minute))
	}},
}

// nearCache is the name of the store with a near cache.
const nearCache = "rueidis, near cache"

// patience is the time limit of every call.
const patience = time.Minute

func openRedigo(t *testing.T, a address, prefix string) fullStore {
	pool, err := store.NewPool("redis://" + a.addrs[0])
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	return store.New(pool, store.WithPrefix(prefix), store.WithTimeout(patience))
}

func openGoRedis(t *testing.T, a address, prefix string, protocol int) fullStore {
	s, err := goredisstore.New(redis.UniversalOptions{Addrs: a.addrs, MasterName: a.masterSet, Protocol: protocol},
		store.WithPrefix(prefix), store.WithTimeout(patience))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func openRueidis(t *testing.T, a address, prefix string, resp2 bool, opts ...store.Option) fullStore {
	option := rueidis.ClientOption{InitAddress: a.addrs, AlwaysRESP2: resp2}
	option.Sentinel.MasterSet = a.masterSet
	s, err := rueidisstore.New(option, append(opts, store.WithPrefix(prefix), store.WithTimeout(patience))...)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}
