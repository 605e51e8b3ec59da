package rueidisstore_test

import (
	"testing"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

func TestMisreplies(t *testing.T) {
	commands := []string{"CLIENT", "CONFIG", "GET", "HELLO", "PEXPIRE", "PTTL", "SCAN", "SET", "TIME", "UNLINK", "ZADD", "ZRANGE", "ZREM", "ZREMRANGEBYSCORE"}
	for name, opts := range map[string][]rueidisstore.Option{"without near cache": nil, "with near cache": {nearCache()}} {
		t.Run(name, func(t *testing.T) {
			storetest.Misreplies(t, commands, func(t *testing.T, addr string) store.Sessions {
				return open(t, patient(rueidis.ClientOption{InitAddress: []string{addr}}), opts...)
			})
		})
	}
}

func TestDoubledReplies(t *testing.T) {
	for name, opts := range map[string][]rueidisstore.Option{"without near cache": nil, "with near cache": {nearCache()}} {
		t.Run(name, func(t *testing.T) {
			storetest.Doubled(t, func(t *testing.T, addr string) store.Sessions {
				return open(t, patient(rueidis.ClientOption{InitAddress: []string{addr}}), opts...)
			})
		})
	}
}
