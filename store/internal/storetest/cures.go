package storetest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// testCures checks that the errors of a store include how to fix them.
func testCures(t *testing.T, c Client) {
	t.Run("replies", func(t *testing.T) { testReplyCures(t, c) })
	t.Run("each connection closes", func(t *testing.T) {
		_, _, err := c.Open(t, at(closing(t))).Find(Token())
		require.ErrorContains(t, err, "each connection ends before its first reply: a TLS port needs rediss://")
		assert.Equal(t, store.ClassRetryFresh, store.ClassOf(err))
	})
	t.Run("TLS port", func(t *testing.T) {
		web := httptest.NewUnstartedServer(nil)
		web.Config.ErrorLog = log.New(io.Discard, "", 0)
		web.StartTLS()
		defer web.Close()
		_, _, err := c.Open(t, at(web.Listener.Addr().String())).Find(Token())
		require.ErrorContains(t, err, "rediss:// or a TLSConfig")
	})
	t.Run("no TLS port", func(t *testing.T) {
		web := httptest.NewServer(nil)
		defer web.Close()
		config := at(web.Listener.Addr().String())
		config.TLS = &tls.Config{ServerName: "127.0.0.1"}
		_, _, err := c.Open(t, config).Find(Token())
		require.ErrorContains(t, err, "the port does not speak TLS")
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
	})
	if !c.Standalone {
		t.Run("announced address", func(t *testing.T) { testAnnounced(t, c) })
	}
}

func at(addrs ...string) Config { return Config{Addrs: addrs} }

func testReplyCures(t *testing.T, c Client) {
	server := redistest.Start(t)
	proxy, err := faultproxy.StartReplies(server.Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	for _, r := range []struct {
		reply, says string
		class       store.Class
	}{
		{"ERR unsupported command 'SET'", "SET: the server, or a proxy in front of it, does not offer", store.ClassConfiguration},
		{"ERR command 'set' not support for normal user", "the server, or a proxy in front of it, does not offer", store.ClassConfiguration},
		{"ERR this command is not allowed", "the server, or a proxy in front of it, does not offer", store.ClassConfiguration},
		{"ERR illegal address: 192.0.2.1:4711", "allowlist", store.ClassConfiguration},
		{"ERR unknown command 'SET'", "Sentinel", store.ClassConfiguration},
		{"MOVED 3999 192.0.2.1:6379", "store/goredisstore with IsClusterMode, or store/rueidisstore without ForceSingleClient", store.ClassConfiguration},
		{"NOPERM User wechat has no permissions to run the 'set' command", "grant +set", store.ClassConfiguration},
		{"NOPERM No permissions to access a key", "grant the pattern of the key", store.ClassConfiguration},
		{"READONLY You can't write against a read only replica.", "connect to its primary", store.ClassRetryFresh},
		{"OOM command not allowed when used memory > 'maxmemory'.", "raise maxmemory", store.ClassFailClosed},
	} {
		t.Run(r.reply, func(t *testing.T) {
			proxy.Edit(func(command []string, real []byte) []byte {
				if command[0] == "SET" {
					return []byte("-" + r.reply + "\r\n")
				}
				return real
			})
			err := c.Open(t, at(proxy.Addr())).CommitCtx(context.Background(), Token(), []byte("record"), soon())
			require.ErrorContains(t, err, r.says)
			assert.Equal(t, r.class, store.ClassOf(err))
			assert.NotContains(t, err.Error(), "192.0.2.1")
		})
	}
}

// closing returns the address of a server that closes each connection when it
// receives anything.
func closing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Read(make([]byte, 1024))
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// testAnnounced checks that an error names an unreachable address that a
// Cluster announces.
func testAnnounced(t *testing.T, c Client) {
	server := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", "1")
	server.Do("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	require.Eventually(t, func() bool {
		info, _ := server.Do("CLUSTER", "INFO").([]byte)
		return strings.Contains(string(info), "cluster_state:ok")
	}, Patience, 10*time.Millisecond)
	addrs := []string{server.Addr()}
	if !c.DetectsCluster {
		addrs = append(addrs, server.Addr())
	}
	_, _, err := c.Open(t, at(addrs...)).Find(Token())
	require.ErrorContains(t, err, "cannot connect to 127.0.0.1:1, which a Cluster or Sentinel announces")
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
}
