package redistest

import (
	"maps"
	"slices"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// slots is the number of slots of a Redis Cluster.
const slots = 16384

// A Cluster is a Redis Cluster of three primaries, each with a replica. A node
// that does not respond for two seconds is considered down. Its methods end the
// test when they fail, and must be called from the test's own goroutine.
type Cluster struct {
	t       Host
	servers []*Server // three primaries, then the replica of each
	ids     []string  // the ids that the servers have for each other
}

// StartCluster runs the six processes and returns when all slots are served and
// every replica is in sync. The args are options of each server.
func StartCluster(t Host, args ...string) *Cluster {
	t.Helper()
	args = append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
		"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}, args...)
	c := &Cluster{t: t}
	for range 6 {
		s := Start(t, args...)
		id, err := redis.String(s.Do("CLUSTER", "MYID"), nil)
		if err != nil {
			t.Fatalf("redistest: CLUSTER MYID: %v", err)
		}
		c.servers, c.ids = append(c.servers, s), append(c.ids, id)
	}
	for i, s := range c.servers {
		s.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < 3 {
			s.Do("CLUSTER", "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1)
		}
		if i > 0 {
			c.servers[0].Do("CLUSTER", "MEET", "127.0.0.1", s.Port())
		}
	}
	c.awaitEach("knows the others", func(s *Server) bool {
		return strings.Count(s.nodes(), "\n") == 6 && !strings.Contains(s.nodes(), "handshake")
	})
	for i := range 3 {
		c.servers[3+i].Do("CLUSTER", "REPLICATE", c.ids[i])
	}
	for _, s := range c.servers[3:] {
		await(t, "the replica is in sync", s.inSync)
	}
	c.awaitEach("knows who serves which slot, and its replica", func(s *Server) bool {
		ranges, err := redis.Values(s.Do("CLUSTER", "SLOTS"), nil)
		complete := err == nil && len(ranges) == 3 && s.clusterOK()
		for _, r := range ranges {
			complete = complete && len(r.([]any)) == 4 // first slot, last slot, primary, replica
		}
		return complete
	})
	return c
}

func (c *Cluster) awaitEach(what string, holds func(*Server) bool) {
	c.t.Helper()
	for _, s := range c.servers {
		if s.Running() {
			await(c.t, "every node "+what, func() bool { return holds(s) })
		}
	}
}

func (s *Server) nodes() string {
	text, _ := redis.String(s.Do("CLUSTER", "NODES"), nil)
	return text
}

func (s *Server) clusterOK() bool {
	text, _ := redis.String(s.Do("CLUSTER", "INFO"), nil)
	return lines(text)["cluster_state"] == "ok"
}

// Addrs returns the addresses of all servers.
func (c *Cluster) Addrs() []string { return addrs(c.servers) }

// Servers returns the three servers that began as primaries, then the replica
// of each.
func (c *Cluster) Servers() []*Server { return c.servers }

// Slot returns the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	slot, err := redis.Int(c.servers[1].Do("CLUSTER", "KEYSLOT", key), nil)
	if err != nil {
		c.t.Fatalf("redistest: CLUSTER KEYSLOT: %v", err)
	}
	return slot
}

// SlotsOf returns up to 60 slots of the first primary that hold some of the keys,
// spread over their list.
func (c *Cluster) SlotsOf(keys []string) []int {
	c.t.Helper()
	var found []int
	for i := 0; i < len(keys) && len(found) < 60; i += 7 {
		slot := c.Slot(keys[i])
		if slot < slots/3 && !slices.Contains(found, slot) {
			found = append(found, slot)
		}
	}
	return found
}

// Stats merges a section of INFO of all running servers.
func (c *Cluster) Stats(section string) map[string]string {
	c.t.Helper()
	all := map[string]string{}
	for _, s := range c.servers {
		if s.Running() {
			maps.Copy(all, s.Info(section))
		}
	}
	return all
}

// MoveSlots moves slots of the first primary to the second one while the
// cluster serves. When all of them are being moved and half of their keys have
// arrived, it calls halfway.
func (c *Cluster) MoveSlots(slots []int, halfway func()) {
	c.t.Helper()
	const from, to = 0, 1
	source, target := c.servers[from], c.servers[to]
	for _, slot := range slots {
		target.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from])
		source.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to])
		c.moveKeys(slot, source, target, func(n int) int { return (n + 1) / 2 })
	}
	halfway()
	for _, slot := range slots {
		for c.moveKeys(slot, source, target, func(n int) int { return n }) > 0 {
		}
		for _, i := range []int{to, from, 2} {
			c.servers[i].Do("CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
		}
	}
}

// moveKeys moves some of the keys in the slot and returns how many.
func (c *Cluster) moveKeys(slot int, source, target *Server, some func(n int) int) int {
	c.t.Helper()
	const atMost, timeout = 1000, 10_000
	keys, err := redis.Strings(source.Do("CLUSTER", "GETKEYSINSLOT", slot, atMost), nil)
	if err != nil {
		c.t.Fatalf("redistest: CLUSTER GETKEYSINSLOT: %v", err)
	}
	keys = keys[:some(len(keys))]
	for _, key := range keys {
		source.Do("MIGRATE", "127.0.0.1", target.Port(), key, 0, timeout)
	}
	return len(keys)
}

// KillPrimary kills one of the first three servers, by its number, when its
// replica has every acknowledged write, and returns without waiting for the
// failover.
func (c *Cluster) KillPrimary(i int) {
	c.t.Helper()
	killInSync(c.t, c.servers[i], c.servers[3+i])
}

// AwaitFailover returns when the replica of a killed primary serves in its
// place and every running server knows.
func (c *Cluster) AwaitFailover(i int) {
	c.t.Helper()
	await(c.t, "the replica is a primary", func() bool {
		return c.servers[3+i].Info("replication")["role"] == "master"
	})
	c.awaitEach("serves again", func(s *Server) bool { return s.clusterOK() })
}
