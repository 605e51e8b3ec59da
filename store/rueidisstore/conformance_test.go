package rueidisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

// patience is the time for calls that must not fail on a busy machine.
const patience = time.Minute

// patient bears a busy machine, and its connections do, too.
func patient(option rueidis.ClientOption) rueidis.ClientOption {
	option.Dialer.Timeout, option.ConnWriteTimeout = patience, patience
	option.Sentinel.Dialer.Timeout = patience
	return option
}

func one(server *redistest.Server) rueidis.ClientOption {
	return patient(rueidis.ClientOption{InitAddress: []string{server.Addr()}})
}

func nearCache() rueidisstore.Option { return rueidisstore.WithNearCache(8<<20, time.Hour) }

func open(t testing.TB, client rueidis.ClientOption, opts ...rueidisstore.Option) *rueidisstore.Store {
	t.Helper()
	s, err := rueidisstore.New(client, append([]rueidisstore.Option{rueidisstore.WithTimeout(patience)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

var stores atomic.Int64

// opener gives every caller a prefix of his own on the same Redis, so that each
// store is empty, and has to keep out of the others' sight.
func opener(client rueidis.ClientOption, opts ...rueidisstore.Option) storetest.Opener {
	return func(t *testing.T) store.Sessions {
		prefix := rueidisstore.WithPrefix(fmt.Sprintf("app[%d]*?:", stores.Add(1)))
		return open(t, client, append([]rueidisstore.Option{prefix}, opts...)...)
	}
}

func TestStoreKeepsThePromisesOfTheInterfaces(t *testing.T) {
	server := redistest.Start(t)
	t.Run("without near cache", func(t *testing.T) { storetest.Run(t, opener(one(server))) })
	t.Run("with near cache", func(t *testing.T) { storetest.Run(t, opener(one(server), nearCache())) })
}

func inAnHour() time.Time { return time.Now().Add(time.Hour) }
