package redistest

import (
	"fmt"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSentinels_Failover(t *testing.T) {
	g := StartSentinels(t)
	assert.Len(t, g.Addrs(), 3)
	old := g.Primary()
	assert.Same(t, g.Servers()[0], old)
	for i := range 1000 {
		old.Do("SET", fmt.Sprint("k", i), "v")
	}
	g.KillPrimary()
	g.AwaitFailover()
	assert.Same(t, g.Servers()[1], g.Primary())
	assert.EqualValues(t, 1000, g.Primary().Do("DBSIZE"))
}

func TestCluster_Failover(t *testing.T) {
	c := StartCluster(t)
	assert.Len(t, c.Addrs(), 6)
	slot, keys := keysOfTheFirstPrimary(c)
	for _, key := range keys {
		c.servers[0].Do("SET", key, "v")
	}

	called := false
	c.MoveSlots([]int{slot}, func() {
		called = true
		replies := map[string]int{}
		for _, key := range keys {
			replies[ask(t, c.servers[0], key)]++
		}
		assert.Equal(t, map[string]int{"v": 2, fmt.Sprintf("ASK %d %s", slot, c.servers[1].Addr()): 2}, replies)
	})
	assert.True(t, called)
	assert.Equal(t, "v", ask(t, c.servers[1], keys[0]))
	assert.Equal(t, fmt.Sprintf("MOVED %d %s", slot, c.servers[1].Addr()), ask(t, c.servers[0], keys[0]))

	c.KillPrimary(1)
	c.AwaitFailover(1)
	for _, key := range keys {
		assert.Equal(t, "v", ask(t, c.servers[4], key))
	}
}

// ask returns a server's reply for a key, which may be an error.
func ask(t *testing.T, s *Server, key string) string {
	conn, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	reply, err := redis.String(conn.Do("GET", key))
	if err != nil {
		return err.Error()
	}
	return reply
}

// keysOfTheFirstPrimary returns four keys of one slot.
func keysOfTheFirstPrimary(c *Cluster) (slot int, keys []string) {
	for tag := 0; ; tag++ {
		keys = keys[:0]
		for i := range 4 {
			keys = append(keys, fmt.Sprintf("{%d}%d", tag, i))
		}
		if slot = c.Slot(keys[0]); slot < slots/3 {
			return slot, keys
		}
	}
}
