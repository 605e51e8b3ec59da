package rueidisstore_test

import (
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

func behindSentinels(g *redistest.Sentinels) rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: g.Addrs(), Sentinel: rueidis.SentinelOption{MasterSet: redistest.MasterSet}}
}

func TestBehindSentinels(t *testing.T) {
	group := redistest.StartSentinels(t)
	option := behindSentinels(group)

	t.Run("the store keeps the promises of the interfaces", func(t *testing.T) {
		storetest.Run(t, opener(patient(option), nearCache()))
	})
	t.Run("visitors log in and out", func(t *testing.T) {
		logInAndOut(t, func() *rueidisstore.Store { return open(t, patient(option), nearCache()) })
	})
	t.Run("another name than theirs is a mistake of configuration", func(t *testing.T) {
		misnamed := patient(option)
		misnamed.Sentinel.MasterSet = "another"
		_, _, err := open(t, misnamed).Find(storetest.Token())
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
	})
	t.Run("no login is lost when the primary is killed under 50 logins a second", func(t *testing.T) {
		const workers, every = 5, 100 * time.Millisecond
		plain, cached := open(t, option, rueidisstore.WithTimeout(time.Second)), open(t, option, rueidisstore.WithTimeout(time.Second), nearCache())
		tr := storetest.StartTraffic(t, storetest.NewLogins(10_000), workers, every, plain, cached)
		tr.Release(10_000)
		tr.Await(50)
		group.KillPrimary()
		group.AwaitFailover()
		tr.Await(100)
		tr.Verify(open(t, patient(option)))
	})
}
