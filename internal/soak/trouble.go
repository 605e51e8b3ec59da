package main

import (
	"time"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
)

// keepsData makes Redis write every acknowledged command to a file that
// outlives its process.
var keepsData = []string{"--appendonly", "yes", "--appendfsync", "no"}

// A ground is the Redis under test and the way to it.
type ground struct {
	redis *redistest.Server
	proxy *faultproxy.Proxy
}

func newGround(h *host) *ground {
	g := &ground{redis: redistest.Start(h, keepsData...)}
	var err error
	g.proxy, err = faultproxy.Start(g.redis.Addr())
	h.must(err)
	h.Cleanup(g.proxy.Close)
	return g
}

// A fault is something that goes wrong with Redis for a while.
type fault struct {
	name       string
	lasts      time.Duration
	begin, end func()
}

// faults returns the faults that sessions in Redis survive. No acknowledged
// write may be lost after one of them.
func (g *ground) faults() []fault {
	do := func(command string, args ...any) func() { return func() { g.redis.Do(command, args...) } }
	nothing := func() {}
	return []fault{
		{"frozen", 6 * time.Second, g.redis.Freeze, g.redis.Thaw},
		{"connections reset", 3 * time.Second, g.proxy.Reset, g.proxy.Pass},
		{"killed, and back", 0, g.redis.Restart, nothing},
		{"silence", 5 * time.Second, g.proxy.Blackhole, g.proxy.Pass},
		{"a replica", 4 * time.Second, do("REPLICAOF", "127.0.0.1", "1"), do("REPLICAOF", "NO", "ONE")},
		{"open connections forgotten", 0, g.proxy.HalfOpen, nothing},
		{"slow", 5 * time.Second, func() { g.proxy.Delay(200 * time.Millisecond) }, g.proxy.Pass},
		{"no memory", 4 * time.Second, do("CONFIG", "SET", "maxmemory", "1"), do("CONFIG", "SET", "maxmemory", "0")},
		{"replies cut", 3 * time.Second, func() { g.proxy.Cut(40) }, g.proxy.Pass},
		{"stopped", 5 * time.Second, g.redis.Stop, g.redis.Restart},
		{"connections killed", 0, do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), nothing},
		{"too slow", 5 * time.Second, func() { g.proxy.Delay(3 * time.Second) }, g.proxy.Pass},
		{"no replicas", 4 * time.Second, do("CONFIG", "SET", "min-replicas-to-write", "1"), do("CONFIG", "SET", "min-replicas-to-write", "0")},
		{"one reply cut", 0, func() { g.proxy.CutOnce(0) }, nothing},
	}
}
