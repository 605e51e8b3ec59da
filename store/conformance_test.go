package store_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Sessions { return store.NewMemory() })
}

func TestEncrypt_redis(t *testing.T) {
	open := redisOpener(t)
	storetest.Run(t, func(t *testing.T) store.Sessions { return encrypted(t, open(t), 1) })
}

func TestEncrypt_memory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Sessions { return encrypted(t, store.NewMemory(), 1) })
}

// redisOpener returns an opener of stores on one server with different prefixes,
// so that each is empty and must not see the keys of the others.
func redisOpener(t *testing.T) storetest.Opener {
	pool := redistest.Start(t).Pool()
	var stores atomic.Int64
	return func(*testing.T) store.Sessions {
		return patient(pool, store.WithPrefix(fmt.Sprintf("app[%d]*?:", stores.Add(1))))
	}
}

// patient returns a store with a long timeout, for calls that must not fail on a
// busy machine.
func patient(pool store.Pool, opts ...store.Option) *store.Store {
	return store.New(pool, append([]store.Option{store.WithTimeout(time.Minute)}, opts...)...)
}

func encrypted(t *testing.T, inner store.Sessions, seeds ...byte) store.Sessions {
	t.Helper()
	var keys [][]byte
	for _, seed := range seeds {
		keys = append(keys, append(bytes.Repeat([]byte{seed}, 31), 0))
	}
	s, err := store.Encrypt(inner, keys...)
	require.NoError(t, err)
	return s
}
