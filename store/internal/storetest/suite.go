package storetest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// Patience is the time limit of calls that must not fail on a busy machine.
const Patience = time.Minute

// A Store is a store of sessions over one client library for Redis.
type Store interface {
	store.Sessions
	store.Checker
}

// A Client opens stores over one client library for Redis.
type Client struct {
	// Module is the folder of the store's package, as the docs name it.
	Module string

	// New returns a new store and a function that closes it.
	New func(c Config) (s Store, end func(), err error)

	// Variants are the names of the settings under which the store must behave in
	// the same way, such as "with near cache". The first is the default.
	Variants []string

	// Commands are the commands that its connections need, in addition to those of
	// the store.
	Commands []string

	// Standalone is true if it supports neither Sentinels nor a Cluster.
	Standalone bool

	// DetectsCluster is true if it finds out by itself that its only address is a
	// node of a Cluster.
	DetectsCluster bool

	// SentinelRights is true if the docs list rights that it needs behind
	// Sentinels.
	SentinelRights bool

	// Conns returns the numbers of open and of idle connections. It is nil if the
	// client library does not report them.
	Conns func(s Store) (open, idle int)
}

// A Config describes the store that a test needs.
type Config struct {
	Addrs     []string
	MasterSet string // if the addresses are those of Sentinels
	Username  string
	Password  string
	Database  int
	TLS       *tls.Config
	Variant   string // the default if empty
	Prefix    string // the default if empty
	Clock     func() time.Time
	Acks      int // of replicas, for which a revocation waits

	// Timeout is the time limit of a call of the store. The default is [Patience],
	// for the client library as well.
	Timeout time.Duration

	// OnlyStore sets the time limits of the client library to [Patience], so that
	// only Timeout ends a call.
	OnlyStore bool

	// Single is true if a node of a Cluster is to be used as a single server.
	Single bool

	// Dialed, if not nil, is called before each dial.
	Dialed func()
}

// Patient reports whether the time limits of the client library are [Patience].
func (c Config) Patient() bool { return c.Timeout == 0 || c.OnlyStore }

// StoreTimeout is the time limit of a call of the store.
func (c Config) StoreTimeout() time.Duration {
	if c.Timeout == 0 {
		return Patience
	}
	return c.Timeout
}

// Options returns the options of a store for this config.
func (c Config) Options() []store.Option {
	opts := []store.Option{store.WithTimeout(c.StoreTimeout())}
	if c.Prefix != "" {
		opts = append(opts, store.WithPrefix(c.Prefix))
	}
	if c.Clock != nil {
		opts = append(opts, store.WithClock(c.Clock))
	}
	if c.Acks != 0 {
		opts = append(opts, store.WithReplicaAcks(c.Acks))
	}
	return opts
}

// Suite runs the tests that every store over Redis must pass.
func Suite(t *testing.T, c Client) {
	for _, group := range []struct {
		name string
		test func(*testing.T, Client)
	}{
		{"conformance", testConformance},
		{"commands", testCommands},
		{"keys", testKeys},
		{"rights", testRights},
		{"check", testCheck},
		{"faults", testFaults},
		{"replies", testReplies},
		{"cures", testCures},
		{"sentinels", testSentinels},
		{"cluster", testCluster},
		{"replicas", testReplicas},
	} {
		if c.Standalone && (group.name == "sentinels" || group.name == "cluster") {
			continue
		}
		t.Run(group.name, func(t *testing.T) { group.test(t, c) })
	}
}

// Each runs f as a sub-test for each variant.
func (c Client) Each(t *testing.T, f func(t *testing.T, variant string)) {
	if len(c.Variants) == 0 {
		f(t, "")
	}
	for _, variant := range c.Variants {
		t.Run(variant, func(t *testing.T) { f(t, variant) })
	}
}

// Open returns a store that is closed at the end of the test.
func (c Client) Open(t testing.TB, config Config) Store {
	t.Helper()
	s, end, err := c.New(config)
	require.NoError(t, err)
	t.Cleanup(end)
	return s
}

var prefixes atomic.Int64

// opener returns a function that opens stores whose prefixes differ, so that
// each is empty and must not see the keys of the others.
func (c Client) opener(config Config, prefix string) Opener {
	return func(t *testing.T) store.Sessions {
		config.Prefix = fmt.Sprintf(prefix, prefixes.Add(1))
		return c.Open(t, config)
	}
}

// One returns a [Config] for one server.
func One(server *redistest.Server) Config { return Config{Addrs: []string{server.Addr()}} }

// In returns the config with a variant.
func (c Config) In(variant string) Config {
	c.Variant = variant
	return c
}

// Everywhere runs f as a sub-test for each variant with a server, and, unless the
// client is standalone, behind Sentinels and in a Cluster.
func (c Client) Everywhere(t *testing.T, f func(t *testing.T, config Config)) {
	configs := map[string]func(t *testing.T) Config{"server": func(t *testing.T) Config { return One(redistest.Start(t)) }}
	if !c.Standalone {
		configs["sentinels"] = func(t *testing.T) Config { return BehindSentinels(redistest.StartSentinels(t)) }
		configs["cluster"] = func(t *testing.T) Config { return InCluster(redistest.StartCluster(t)) }
	}
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			where := config(t)
			c.Each(t, func(t *testing.T, variant string) { f(t, where.In(variant)) })
		})
	}
}

// testConformance uses a server without UNLINK, like Redis 3.2 and some
// proxies.
func testConformance(t *testing.T, c Client) {
	server := redistest.Start(t, "--rename-command", "UNLINK", "")
	c.Each(t, func(t *testing.T, variant string) {
		Run(t, c.opener(One(server).In(variant), "app[%d]*?:"))
	})
}

func testReplies(t *testing.T, c Client) {
	c.Each(t, func(t *testing.T, variant string) {
		open := func(t *testing.T, addr string) store.Sessions {
			return c.Open(t, Config{Addrs: []string{addr}, Variant: variant})
		}
		t.Run("mistyped", func(t *testing.T) { testMisreplies(t, c, Config{Variant: variant}) })
		t.Run("doubled", func(t *testing.T) { Doubled(t, open) })
		t.Run("out of step", func(t *testing.T) { testOutOfStep(t, c, variant) })
	})
}

// mustFind returns an error unless there is a session.
func mustFind(s store.Sessions, token string) error {
	_, found, err := s.Find(token)
	if err == nil && !found {
		return errors.New("session lost")
	}
	return err
}

// atOnce calls f n times concurrently.
func atOnce(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

// Sent returns the commands that f makes the server execute, without those of
// the connections themselves.
func Sent(server *redistest.Server, f func()) []string {
	commands := []string{}
	for _, c := range server.Commands(f) {
		name, _, _ := strings.Cut(c, " ")
		switch strings.ToUpper(name) {
		case "PING", "CLIENT", "HELLO", "CLUSTER":
		default:
			commands = append(commands, c)
		}
	}
	return commands
}

// recordOf returns the record of a token, or an empty string.
func recordOf(t *testing.T, s store.Sessions, token string) string {
	t.Helper()
	b, _, err := s.FindCtx(context.Background(), token)
	assert.NoError(t, err)
	return string(b)
}
