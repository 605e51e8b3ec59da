package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

func testCheck(t *testing.T, c Client) {
	ctx := context.Background()
	t.Run("no problem", func(t *testing.T) {
		c.Each(t, func(t *testing.T, variant string) {
			require.NoError(t, c.Open(t, One(redistest.Start(t)).In(variant)).Check(ctx))
		})
	})
	t.Run("eviction", func(t *testing.T) { testEviction(t, c) })
	t.Run("settings without the right to read them", func(t *testing.T) {
		server := redistest.Start(t)
		setUser(t, []*redistest.Server{server}, needed(c.rights(t, "")))
		err := c.Open(t, One(server).asWeChat()).Check(ctx)
		AssertNotes(t, err)
	})
	t.Run("clocks apart", func(t *testing.T) {
		server := redistest.Start(t)
		for off, want := range map[time.Duration]string{
			45 * time.Second: "45s apart", -45 * time.Second: "45s apart", -time.Hour: "1h0m0s apart", 0: "",
		} {
			config := One(server)
			config.Clock = func() time.Time { return time.Now().Add(off) }
			err := c.Open(t, config).Check(ctx)
			if want == "" {
				assert.NoError(t, err)
				continue
			}
			assert.ErrorContains(t, err, want)
		}
	})
	t.Run("a Sentinel", func(t *testing.T) {
		group := redistest.StartSentinels(t)
		config := Config{Addrs: group.Addrs()[:1]}
		err := c.Open(t, config).Check(ctx)
		require.ErrorContains(t, err, "SET: check: ERR unknown command SET: the server is a Sentinel")
	})
	t.Run("a missing database", func(t *testing.T) {
		config := One(redistest.Start(t))
		config.Database = 9999
		require.ErrorContains(t, c.Open(t, config).Check(ctx), "use database 0")
	})
	t.Run("a database of a Cluster", func(t *testing.T) {
		server := redistest.Start(t, "--cluster-enabled", "yes")
		config := One(server)
		config.Database, config.Single = 1, true
		err := c.Open(t, config).Check(ctx)
		require.ErrorContains(t, err, "SELECT is not allowed in cluster mode: use database 0")
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
	})
	t.Run("rights and another error", func(t *testing.T) {
		proxy, err := faultproxy.StartReplies(redistest.Start(t).Addr())
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		proxy.Reject(func(command []string) string {
			return map[string]string{
				"GET":  "NOPERM User wechat has no permissions to run the 'get' command",
				"PTTL": "NOPERM User wechat has no permissions to run the 'pttl' command",
				"ZADD": "ERR unsupported command 'ZADD'",
			}[command[0]]
		})
		err = c.Open(t, at(proxy.Addr())).Check(ctx)
		require.ErrorContains(t, err, "grant +get +pttl\n")
		require.ErrorContains(t, err, "ZADD: check: unsupported command ZADD: the server, or a proxy in front of it")
	})
	t.Run("proxies", func(t *testing.T) { testCheckProxies(t, c) })
	t.Run("a replica", func(t *testing.T) {
		server := redistest.Start(t)
		server.Do("REPLICAOF", "127.0.0.1", "1")
		require.ErrorContains(t, c.Open(t, One(server)).Check(ctx), "READONLY")
	})
}

func testEviction(t *testing.T, c Client) {
	server := redistest.Start(t)
	s := c.Open(t, One(server))
	for _, tt := range []struct {
		maxmemory, policy string
		evicts            bool
	}{
		{"100mb", "noeviction", false},
		{"100mb", "volatile-ttl", false},
		{"100mb", "volatile-lru", true},
		{"100mb", "volatile-lfu", true},
		{"100mb", "volatile-random", true},
		{"100mb", "allkeys-lru", true},
		{"100mb", "allkeys-lfu", true},
		{"100mb", "allkeys-random", true},
		{"0", "allkeys-lru", false},
		{"0", "volatile-lru", false},
	} {
		t.Run(tt.policy+" of "+tt.maxmemory, func(t *testing.T) {
			server.Do("CONFIG", "SET", "maxmemory", tt.maxmemory)
			server.Do("CONFIG", "SET", "maxmemory-policy", tt.policy)
			err := s.Check(context.Background())
			if !tt.evicts {
				require.NoError(t, err)
				return
			}
			var found *store.Finding
			require.ErrorAs(t, err, &found)
			assert.False(t, found.Note)
			assert.Contains(t, found.English, "maxmemory-policy "+tt.policy+")")
			assert.Contains(t, found.English, "volatile-ttl, which evicts the sessions that would end soonest")
			assert.Contains(t, found.Chinese, "maxmemory-policy "+tt.policy+"）")
		})
	}
}

// testCheckProxies checks through proxies that return other replies than Redis.
func testCheckProxies(t *testing.T, c Client) {
	proxy, err := faultproxy.StartReplies(redistest.Start(t).Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	const nothing = "$-1\r\n"
	for name, p := range map[string]struct {
		says string
		edit func() func(command []string, reply []byte) []byte
	}{
		"a query cache": {"GET after SET XX returned what no primary of Redis returns", func() func([]string, []byte) []byte {
			cache := map[string][]byte{}
			return func(command []string, reply []byte) []byte {
				if command[0] != "GET" {
					return reply
				}
				if cache[command[1]] == nil {
					cache[command[1]] = slices.Clone(reply)
				}
				return cache[command[1]]
			}
		}},
		"reads from a replica that is behind": {"GET after SET returned what no primary of Redis returns", func() func([]string, []byte) []byte {
			return func(command []string, reply []byte) []byte {
				if command[0] == "GET" {
					return []byte(nothing)
				}
				return reply
			}
		}},
		"no expiry": {"PEXPIRE returned what no primary of Redis returns", func() func([]string, []byte) []byte {
			return func(command []string, reply []byte) []byte {
				if command[0] == "PEXPIRE" {
					return []byte(":0\r\n")
				}
				return reply
			}
		}},
		"a command that it does not have": {"ZADD: check: ERR unknown command ZADD: the server, or a proxy in front of it", func() func([]string, []byte) []byte {
			return func(command []string, reply []byte) []byte {
				if command[0] == "ZADD" {
					return []byte("-ERR unknown command 'ZADD'\r\n")
				}
				return reply
			}
		}},
		"an old server": {"SET: check: ERR syntax error: the server is too old", func() func([]string, []byte) []byte {
			return func(command []string, reply []byte) []byte {
				if command[0] == "SET" {
					return []byte("-ERR syntax error\r\n")
				}
				return reply
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			proxy.Edit(p.edit())
			err := c.Open(t, at(proxy.Addr())).Check(context.Background())
			require.ErrorContains(t, err, p.says)
			var found *store.Finding
			require.ErrorAs(t, err, &found)
			assert.False(t, found.Note)
			assert.NotEmpty(t, found.Chinese)
		})
	}
}

// AssertNotes asserts that err is what Check returns without the right to read the
// clock and the eviction policy: a note for each, with the right to grant.
func AssertNotes(t *testing.T, err error) {
	t.Helper()
	assert.ErrorContains(t, err, "the clock of Redis could not be seen")
	assert.ErrorContains(t, err, "the eviction policy of Redis could not be seen")
	assert.ErrorContains(t, err, "grant +time")
	assert.ErrorContains(t, err, "grant +config|get")
	for _, one := range err.(interface{ Unwrap() []error }).Unwrap() {
		var found *store.Finding
		require.ErrorAs(t, one, &found)
		assert.True(t, found.Note, "%v", found)
		assert.Contains(t, found.English, "could not be seen")
		assert.Contains(t, found.Chinese, "无法查看")
	}
}
