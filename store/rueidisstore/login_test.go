package rueidisstore_test

import (
	"net/http"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/suite/stores"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestLogin(t *testing.T) {
	client.Everywhere(t, func(t *testing.T, config storetest.Config) {
		stores.LogInAndOut(t, client.Open(t, config), client.Open(t, config))
	})
	t.Run("no round trip with a near cache", testNoRoundTrip)
	t.Run("a corrupt record", testCorruptRecord)
}

func testNoRoundTrip(t *testing.T) {
	server := redistest.Start(t)
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	a := stores.NewInstance(t, sim, open(t, one(server), nearCache()))
	b := stores.NewInstance(t, sim, open(t, one(server), nearCache()))
	browser := wechattest.Browser(wechattest.IPhone)
	a.Visit(browser, "/")
	b.Visit(browser, "/")
	assert.Empty(t, storetest.Sent(server, func() {
		for range 20 {
			assert.Equal(t, http.StatusOK, a.Fetch(browser))
			assert.Equal(t, http.StatusOK, b.Fetch(browser))
		}
	}))

	old := a.SameSession(browser)
	b.Renew(browser)
	a.AwaitAnonymous(old)
	b.Post(browser, "/wechat/logout")
	a.AwaitAnonymous(browser)
}

// A key that is not a session record is deleted, and the request is
// unauthenticated.
func testCorruptRecord(t *testing.T) {
	server := redistest.Start(t)
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	client.Each(t, func(t *testing.T, variant string) {
		in := stores.NewInstance(t, sim, client.Open(t, storetest.One(server).In(variant)))
		for _, damage := range []func(key string){
			func(key string) { server.Do("DEL", key); server.Do("LPUSH", key, "x") },
			func(key string) { server.Do("SET", key, make([]byte, 2<<20), "KEEPTTL") },
		} {
			browser := wechattest.Browser(wechattest.IPhone)
			in.Visit(browser, "/")
			keys, err := redis.Strings(server.Do("KEYS", "scs:session:*"), nil)
			require.NoError(t, err)
			require.Len(t, keys, 1)
			damage(keys[0])
			in.AwaitAnonymous(browser)
			assert.Zero(t, server.Do("EXISTS", keys[0]))
			assert.Equal(t, "hello", in.Visit(browser, "/"))
			in.Post(browser, "/wechat/logout")
		}
	})
}
