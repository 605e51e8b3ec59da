package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Sentinels is a primary with one replica, watched by three Sentinels, of which
// two must agree. They consider a primary down if it does not respond for a
// second. Its methods end the test when they fail, and must be called from the
// test's own goroutine.
type Sentinels struct {
	t         Host
	servers   []*Server
	sentinels []*Server
}

// MasterSet is the name of the primary in the Sentinels' configuration.
const MasterSet = "sessions"

// StartSentinels runs the five processes and returns when the replica is in
// sync and all of them know each other. The args are options of the primary and
// the replica.
func StartSentinels(t Host, args ...string) *Sentinels {
	t.Helper()
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...)
	primary, replica := Start(t, args...), Start(t, args...)
	replica.Do("REPLICAOF", "127.0.0.1", primary.Port())
	await(t, "the replica is in sync", replica.inSync)

	g := &Sentinels{t: t, servers: []*Server{primary, replica}}
	for range 3 {
		g.sentinels = append(g.sentinels, onFreePort(t, []string{
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", MasterSet, primary.Port()),
			fmt.Sprintf("sentinel down-after-milliseconds %s 1000", MasterSet),
			fmt.Sprintf("sentinel failover-timeout %s 5000", MasterSet),
		}, launchSentinel))
	}
	for _, s := range g.sentinels {
		await(t, "the Sentinels know each other", func() bool {
			known := s.fields("SENTINEL", "MASTER", MasterSet)
			return known["num-slaves"] == "1" && known["num-other-sentinels"] == "2" && known["flags"] == "master"
		})
	}
	return g
}

// launchSentinel runs a Sentinel whose configuration has the given lines.
func launchSentinel(port int, dir string, lines []string) (*process, error) {
	config := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	return start("+monitor master", append([]string{config, "--sentinel"}, fixed(port, dir)...)...)
}

// Addrs returns the addresses of the Sentinels.
func (g *Sentinels) Addrs() []string { return addrs(g.sentinels) }

// Servers returns the primary and the replica, in their initial roles.
func (g *Sentinels) Servers() []*Server { return g.servers }

// DownAfter sets how long a primary may fail to respond before the Sentinels
// consider it down. It is a second otherwise.
func (g *Sentinels) DownAfter(d time.Duration) {
	g.t.Helper()
	for _, s := range g.sentinels {
		s.Do("SENTINEL", "SET", MasterSet, "down-after-milliseconds", d.Milliseconds())
	}
}

// Primary returns the server that all Sentinels name.
func (g *Sentinels) Primary() *Server {
	g.t.Helper()
	var primary *Server
	await(g.t, "the Sentinels agree on a primary", func() bool {
		named := map[string]bool{}
		for _, s := range g.sentinels {
			pair, err := redis.Strings(s.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterSet), nil)
			if err != nil || len(pair) != 2 {
				return false
			}
			named[pair[1]] = true
		}
		for _, s := range g.servers {
			if len(named) == 1 && named[fmt.Sprint(s.Port())] {
				primary = s
			}
		}
		return primary != nil
	})
	return primary
}

// KillPrimary kills the primary when its replica has every acknowledged write,
// and returns without waiting for the failover.
func (g *Sentinels) KillPrimary() {
	g.t.Helper()
	primary := g.Primary()
	for _, s := range g.servers {
		if s != primary {
			killInSync(g.t, primary, s)
		}
	}
}

// AwaitFailover returns when the other server is the primary.
func (g *Sentinels) AwaitFailover() {
	g.t.Helper()
	await(g.t, "the replica is the primary", func() bool {
		primary := g.Primary()
		return primary.Running() && primary.Info("replication")["role"] == "master"
	})
}
