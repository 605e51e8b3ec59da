package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestMisreplies(t *testing.T) {
	commands := []string{"CONFIG", "GET", "PEXPIRE", "PTTL", "SCAN", "SET", "TIME", "UNLINK", "ZADD", "ZRANGE", "ZREM", "ZREMRANGEBYSCORE"}
	storetest.Misreplies(t, commands, func(t *testing.T, addr string) store.Sessions {
		pool, err := store.NewPool("redis://" + addr)
		require.NoError(t, err)
		t.Cleanup(func() { pool.Close() })
		return patient(pool)
	})
}

func TestDoubledReplies(t *testing.T) {
	storetest.Doubled(t, func(t *testing.T, addr string) store.Sessions {
		pool, err := store.NewPool("redis://" + addr)
		require.NoError(t, err)
		t.Cleanup(func() { pool.Close() })
		return patient(pool)
	})
}
