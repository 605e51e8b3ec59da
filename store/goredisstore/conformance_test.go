package goredisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// patience is the time for calls that must not fail on a busy machine.
const patience = time.Minute

// patient bears a busy machine, and its connections do, too.
func patient(option redis.UniversalOptions) redis.UniversalOptions {
	option.DialTimeout, option.ReadTimeout, option.WriteTimeout = patience, patience, patience
	return option
}

func one(server *redistest.Server) redis.UniversalOptions {
	return patient(redis.UniversalOptions{Addrs: []string{server.Addr()}})
}

func open(t testing.TB, client redis.UniversalOptions, opts ...goredisstore.Option) *goredisstore.Store {
	t.Helper()
	s, err := goredisstore.New(client, append([]goredisstore.Option{goredisstore.WithTimeout(patience)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

var stores atomic.Int64

// opener gives every caller a prefix of his own on the same Redis, so that each
// store is empty, and has to keep out of the others' sight.
func opener(client redis.UniversalOptions, opts ...goredisstore.Option) storetest.Opener {
	return func(t *testing.T) store.Sessions {
		prefix := goredisstore.WithPrefix(fmt.Sprintf("app[%d]*?:", stores.Add(1)))
		return open(t, client, append([]goredisstore.Option{prefix}, opts...)...)
	}
}

func TestStoreKeepsThePromisesOfTheInterfaces(t *testing.T) {
	server := redistest.Start(t)
	for _, protocol := range []int{2, 3} {
		option := one(server)
		option.Protocol = protocol
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) { storetest.Run(t, opener(option)) })
	}
}

func inAnHour() time.Time { return time.Now().Add(time.Hour) }
