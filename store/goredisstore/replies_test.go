package goredisstore_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestMisreplies(t *testing.T) {
	commands := []string{"CONFIG", "GET", "HELLO", "PEXPIRE", "PTTL", "SCAN", "SET", "TIME", "UNLINK", "ZADD", "ZRANGE", "ZREM", "ZREMRANGEBYSCORE"}
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			storetest.Misreplies(t, commands, func(t *testing.T, addr string) store.Sessions {
				return open(t, patient(redis.UniversalOptions{Addrs: []string{addr}, Protocol: protocol}))
			})
		})
	}
}

func TestDoubledReplies(t *testing.T) {
	storetest.Doubled(t, func(t *testing.T, addr string) store.Sessions {
		return open(t, patient(redis.UniversalOptions{Addrs: []string{addr}}))
	})
}
