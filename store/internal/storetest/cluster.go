package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// BehindSentinels returns a [Config] for the primary of the group.
func BehindSentinels(g *redistest.Sentinels) Config {
	return Config{Addrs: g.Addrs(), MasterSet: redistest.MasterSet}
}

// InCluster returns a [Config] for the cluster.
func InCluster(c *redistest.Cluster) Config { return Config{Addrs: c.Addrs()[:3]} }

// LastVariant returns the variant that differs most from the default.
func (c Client) LastVariant() string {
	if len(c.Variants) == 0 {
		return ""
	}
	return c.Variants[len(c.Variants)-1]
}

// two opens a store of the default and one of the last variant.
func (c Client) two(t *testing.T, config Config) []store.Sessions {
	config.Timeout = time.Second
	return []store.Sessions{c.Open(t, config), c.Open(t, config.In(c.LastVariant()))}
}

func testSentinels(t *testing.T, c Client) {
	group := redistest.StartSentinels(t)
	config := BehindSentinels(group)
	c.Each(t, func(t *testing.T, variant string) {
		t.Run("conformance", func(t *testing.T) { Run(t, c.opener(config.In(variant), "app[%d]*?:")) })
	})
	t.Run("conformance with the rights of the docs", func(t *testing.T) {
		where := ""
		if c.SentinelRights {
			where = "behind Sentinels"
		}
		setUser(t, group.Servers(), c.rights(t, where))
		Run(t, c.opener(config.In(c.LastVariant()).asWeChat(), ownPrefix))
	})
	t.Run("an unknown name", func(t *testing.T) {
		misnamed := config
		misnamed.MasterSet = "another"
		_, _, err := c.Open(t, misnamed).Find(Token())
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
	})
	t.Run("no login of 50 a second is lost when the primary is killed", func(t *testing.T) {
		const workers, every = 5, 100 * time.Millisecond
		tr := StartTraffic(t, NewLogins(10_000), workers, every, c.two(t, config)...)
		tr.Release(10_000)
		tr.Await(50)
		group.KillPrimary()
		group.AwaitFailover()
		tr.Await(100)
		tr.Verify(c.Open(t, config))
	})
}

func testCluster(t *testing.T, c Client) {
	cluster := redistest.StartCluster(t)
	config := InCluster(cluster)
	for _, s := range cluster.Servers() {
		s.Do("CONFIG", "RESETSTAT")
	}
	c.Each(t, func(t *testing.T, variant string) {
		t.Run("conformance", func(t *testing.T) { Run(t, c.opener(config.In(variant), "app[%d]*?:")) })
	})
	t.Run("no login of a thousand is lost while slots move and a primary is killed", func(t *testing.T) {
		logins := NewLogins(1000)
		const workers = 8
		tr := StartTraffic(t, logins, workers, 0, c.two(t, config)...)
		tr.Do(200)
		early := c.Open(t, config.In(c.LastVariant()))
		assertAlive(t, early, logins[:200])
		tr.Release(100)
		cluster.MoveSlots(cluster.SlotsOf(keysOf(logins)), func() { tr.Do(300) })
		assertAlive(t, early, logins[:200])
		tr.Release(100)
		cluster.KillPrimary(2)
		tr.Release(200)
		cluster.AwaitFailover(2)
		tr.Do(100)
		tr.Verify(c.Open(t, config))
		assert.Equal(t, len(logins), tr.Done)
		assert.True(t, counted(cluster, "errorstats", "errorstat_ASK"), "no call met a slot on its way")
		assert.True(t, counted(cluster, "errorstats", "errorstat_MOVED"), "no call met a slot that had moved")
	})
	t.Run("no transaction, script or command for several keys", func(t *testing.T) {
		for name := range cluster.Stats("commandstats") {
			command := strings.TrimPrefix(name, "cmdstat_")
			if !strings.ContainsAny(command, "|") { // of the tests themselves and of connecting
				assert.Contains(t, singleKeyCommands, command)
			}
		}
		assert.True(t, counted(cluster, "commandstats", "cmdstat_set"))
		for _, replica := range cluster.Servers()[3:5] {
			assert.NotContains(t, replica.Info("commandstats"), "cmdstat_scan", "a replica executed SCAN")
		}
	})
	t.Run("rights", func(t *testing.T) { testClusterRights(t, c) })
}

func testClusterRights(t *testing.T, c Client) {
	cluster := redistest.StartCluster(t)
	rights := c.rights(t, "in a Cluster")
	setUser(t, cluster.Servers(), rights)
	t.Run("conformance with those of the docs", func(t *testing.T) {
		Run(t, c.opener(InCluster(cluster).In(c.LastVariant()).asWeChat(), ownPrefix))
	})
	t.Run("each one missing", func(t *testing.T) {
		c.missingRights(t, InCluster(cluster), cluster.Servers(), rights)
	})
}

// assertAlive asserts that the logins' sessions exist.
func assertAlive(t *testing.T, s store.Sessions, logins []*Login) {
	t.Helper()
	for _, l := range logins {
		_, found, err := s.FindCtx(t.Context(), l.Token)
		require.NoError(t, err)
		assert.Equal(t, !l.LoggedOut, found)
	}
}

// singleKeyCommands are the commands of the store, those of its connections, and
// those by which servers and tests move slots.
var singleKeyCommands = []string{
	"get", "pttl", "set", "pexpire", "del", "zadd", "zrange", "zrem", "zremrangebyscore", "scan",
	"hello", "asking", "ping", "role", "time", "info",
	"migrate", "restore-asking", "del", "pexpireat", "select", "replconf", "psync",
}

// keysOf returns the keys of the logins' sessions.
func keysOf(logins []*Login) (keys []string) {
	for _, l := range logins {
		keys = append(keys, "scs:session:"+l.Token)
	}
	return keys
}

// counted reports whether any server has counted what is named.
func counted(c *redistest.Cluster, section, name string) bool {
	_, ok := c.Stats(section)[name]
	return ok
}
