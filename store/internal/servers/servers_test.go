package servers

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
)

// A server is a server that the stores are tested against.
type server struct {
	name     string
	topology bool // only for stores that support Sentinels and a Cluster
	start    func(t *testing.T) address

	// cannot are the errors of the stores that cannot use it at all, by the name
	// of the store; "*" stands for all stores.
	cannot map[string]string
	// rejects are the cases in which it may reject a command.
	rejects []string
}

// servers are all servers that this machine has, and the recorded services.
func servers(t *testing.T) []server {
	all := []server{
		{name: "redis", start: func(t *testing.T) address { return at(redistest.Start(t).Addr()) }},
		{name: "redis, Sentinels", topology: true, start: func(t *testing.T) address {
			return address{addrs: redistest.StartSentinels(t).Addrs(), masterSet: redistest.MasterSet}
		}},
		{name: "redis, Cluster", topology: true, start: func(t *testing.T) address {
			return at(redistest.StartCluster(t).Addrs()[:3]...)
		}},
		{name: "nutcracker", start: startNutcracker,
			rejects: []string{"list"}, cannot: closesOnHello("go-redis", "go-redis, RESP3", "rueidis", "rueidis, RESP2", nearCache)},
		{name: "miniredis", start: func(t *testing.T) address { return at(miniredis.RunT(t).Addr()) },
			cannot: map[string]string{nearCache: "leave WithNearCache out"}},
	}
	if _, err := exec.LookPath("valkey-server"); err == nil { // Debian has it since version 13
		all = append(all, server{name: "valkey", start: startValkey})
	}
	text, err := os.ReadFile(filepath.Join("testdata", "services.json"))
	require.NoError(t, err)
	var services []struct {
		Name, Read string
		Rejects    map[string]string
		Cannot     map[string]string
	}
	require.NoError(t, json.Unmarshal(text, &services))
	for _, s := range services {
		require.NotEmpty(t, s.Read, s.Name)
		all = append(all, server{name: s.Name, cannot: s.Cannot, start: func(t *testing.T) address {
			return startService(t, s.Rejects)
		}})
	}
	return all
}

func at(addrs ...string) address { return address{addrs: addrs} }

// closesOnHello is the error of stores whose client library connects with HELLO,
// CLIENT or CLUSTER, for a proxy that closes the connection then.
func closesOnHello(stores ...string) map[string]string {
	all := map[string]string{}
	for _, name := range stores {
		all[name] = "WithRedis"
	}
	return all
}

// startService runs a Redis behind a proxy that rejects commands as a service
// does. A key of rejects is how a command begins, or "*".
func startService(t *testing.T, rejects map[string]string) address {
	proxy, err := faultproxy.StartReplies(redistest.Start(t).Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	proxy.Reject(func(command []string) string {
		line := strings.ToUpper(strings.Join(command[:min(2, len(command))], " "))
		for begin, text := range rejects {
			if begin == "*" || line == begin || strings.HasPrefix(line, begin+" ") {
				return text
			}
		}
		return ""
	})
	return at(proxy.Addr())
}

// startNutcracker runs twemproxy in front of two servers.
func startNutcracker(t *testing.T) address {
	program, err := exec.LookPath("nutcracker")
	if err != nil {
		program = "/usr/sbin/nutcracker" // which is not in every user's PATH
	}
	addr, stats := freeAddr(t), freeAddr(t)
	_, statsPort, err := net.SplitHostPort(stats)
	require.NoError(t, err)
	dir := t.TempDir()
	config := fmt.Sprintf(`sessions:
  listen: %s
  redis: true
  hash: fnv1a_64
  distribution: ketama
  auto_eject_hosts: false
  servers:
   - %s:1
   - %s:1
`, addr, redistest.Start(t).Addr(), redistest.Start(t).Addr())
	file := filepath.Join(dir, "nutcracker.yml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	run(t, addr, program, "-c", file, "-a", "127.0.0.1", "-s", statsPort, "-o", filepath.Join(dir, "log"))
	return at(addr)
}

func startValkey(t *testing.T) address {
	addr := freeAddr(t)
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	run(t, addr, "valkey-server", "--bind", host, "--port", port, "--save", "", "--dir", t.TempDir())
	return at(addr)
}

// run runs a server until the test ends. It returns when the server responds.
func run(t *testing.T, addr, program string, args ...string) {
	cmd := exec.Command(program, args...)
	require.NoError(t, cmd.Start(), "make setup installs what is missing")
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := redis.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_, err = conn.Do("GET", "k")
		return err == nil
	}, patience, patience/6000)
}

// freeAddr returns a loopback address on which nothing listens.
func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
