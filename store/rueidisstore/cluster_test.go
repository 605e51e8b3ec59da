package rueidisstore_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

func TestInACluster(t *testing.T) {
	cluster := redistest.StartCluster(t)
	option := rueidis.ClientOption{InitAddress: cluster.Addrs()[:3]}
	for _, s := range cluster.Servers() {
		s.Do("CONFIG", "RESETSTAT")
	}

	t.Run("the store keeps the promises of the interfaces", func(t *testing.T) {
		storetest.Run(t, opener(patient(option), nearCache()))
	})
	t.Run("visitors log in and out", func(t *testing.T) {
		logInAndOut(t, func() *rueidisstore.Store { return open(t, patient(option), nearCache()) })
	})
	t.Run("no login of a thousand is lost while slots move and a primary is killed", func(t *testing.T) {
		plain, cached := open(t, option, rueidisstore.WithTimeout(time.Second)), open(t, option, rueidisstore.WithTimeout(time.Second), nearCache())
		logins := storetest.NewLogins(1000)
		const workers = 8
		tr := storetest.StartTraffic(t, logins, workers, 0, plain, cached)
		tr.Do(200)
		early := open(t, patient(option))
		assertAlive(t, early, logins[:200])
		tr.Release(100)
		cluster.MoveSlots(slotsOf(cluster, logins), func() { tr.Do(300) })
		assertAlive(t, early, logins[:200])
		tr.Release(100)
		cluster.KillPrimary(2)
		tr.Release(200)
		cluster.AwaitFailover(2)
		tr.Do(100)
		tr.Verify(open(t, patient(option)))
		assert.Equal(t, len(logins), tr.Done)
		assert.Positive(t, counted(t, cluster, "errorstats", "errorstat_ASK"), "no call met a slot on its way")
		assert.Positive(t, counted(t, cluster, "errorstats", "errorstat_MOVED"), "no call met a slot that had moved")
	})
	t.Run("all of it without a transaction, script or command for several keys", func(t *testing.T) {
		for name := range stats(t, cluster, "commandstats") {
			command := strings.TrimPrefix(name, "cmdstat_")
			if !strings.ContainsAny(command, "|") { // of the tests' own and for connecting
				assert.Contains(t, singleKeyCommands, command)
			}
		}
		assert.Positive(t, counted(t, cluster, "commandstats", "cmdstat_set"))
		for _, replica := range cluster.Servers()[3:5] {
			assert.NotContains(t, infoOf(t, replica, "commandstats"), "cmdstat_scan", "a replica was asked for sessions")
		}
	})
}

// assertAlive finds the logins' sessions.
func assertAlive(t *testing.T, s *rueidisstore.Store, logins []*storetest.Login) {
	t.Helper()
	for _, l := range logins {
		_, found, err := s.FindCtx(t.Context(), l.Token)
		require.NoError(t, err)
		assert.Equal(t, !l.LoggedOut, found)
	}
}

// singleKeyCommands are those of the store, those for connecting, and those by
// which the servers and the tests move slots.
var singleKeyCommands = []string{
	"get", "pttl", "set", "pexpire", "unlink", "zadd", "zrange", "zrem", "zremrangebyscore", "scan",
	"hello", "asking", "ping", "role", "time", "info",
	"migrate", "restore-asking", "del", "pexpireat", "select", "replconf", "psync",
}

// slotsOf are slots of the first primary in which the sessions of some logins
// are, early and late ones.
func slotsOf(c *redistest.Cluster, logins []*storetest.Login) []int {
	found := map[int]bool{}
	var slots []int
	for i := 0; i < len(logins) && len(slots) < 60; i += 7 {
		slot := c.Slot("scs:session:" + logins[i].Token)
		if slot < 16384/3 && !found[slot] {
			found[slot] = true
			slots = append(slots, slot)
		}
	}
	return slots
}

// stats joins a section of INFO of all servers that live.
func stats(t *testing.T, c *redistest.Cluster, section string) map[string]string {
	all := map[string]string{}
	for _, s := range c.Servers() {
		if !s.Running() {
			continue
		}
		maps.Copy(all, infoOf(t, s, section))
	}
	return all
}

// infoOf is a section of a server's INFO.
func infoOf(t *testing.T, s *redistest.Server, section string) map[string]string {
	t.Helper()
	text, err := redis.String(s.Do("INFO", section), nil)
	require.NoError(t, err)
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			values[name] = value
		}
	}
	return values
}

// counted is 1 if any server has counted what is named, or else 0.
func counted(t *testing.T, c *redistest.Cluster, section, name string) int {
	if _, ok := stats(t, c, section)[name]; ok {
		return 1
	}
	return 0
}
