package goredisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func behindSentinels(g *redistest.Sentinels) redis.UniversalOptions {
	return redis.UniversalOptions{Addrs: g.Addrs(), MasterName: redistest.MasterSet}
}

func TestBehindSentinels(t *testing.T) {
	group := redistest.StartSentinels(t)
	option := behindSentinels(group)

	t.Run("the store keeps the promises of the interfaces", func(t *testing.T) {
		storetest.Run(t, opener(patient(option)))
	})
	t.Run("another name than theirs is a mistake of configuration", func(t *testing.T) {
		misnamed := patient(option)
		misnamed.MasterName = "another"
		_, _, err := open(t, misnamed).Find(storetest.Token())
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
	})
	t.Run("no login is lost when the primary is killed under 50 logins a second", func(t *testing.T) {
		const workers, every = 5, 100 * time.Millisecond
		one, other := open(t, option, goredisstore.WithTimeout(time.Second)), open(t, option, goredisstore.WithTimeout(time.Second))
		tr := storetest.StartTraffic(t, storetest.NewLogins(10_000), workers, every, one, other)
		tr.Release(10_000)
		tr.Await(50)
		group.KillPrimary()
		group.AwaitFailover()
		tr.Await(100)
		tr.Verify(open(t, patient(option)))
	})
}
