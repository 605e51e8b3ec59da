package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// testReplicas covers revocations that wait for replicas.
func testReplicas(t *testing.T, c Client) {
	t.Run("server", func(t *testing.T) {
		primary, replica := redistest.Start(t, "--repl-diskless-sync-delay", "0"), redistest.Start(t)
		awaitReplica(t, primary, replica)
		config := One(primary)
		testAcks(t, c, config, []*redistest.Server{primary}, []*redistest.Server{replica})
		t.Run("commands", func(t *testing.T) {
			config := config
			config.Acks = 1
			s, token := c.Open(t, config), Token()
			revoke := func() {
				_, err := s.DeleteAndReportAllCtx(context.Background(), []string{token})
				require.NoError(t, err)
			}
			revoke() // which connects
			var sent []string
			for _, c := range Sent(primary, revoke) {
				// rueidis sends a few more before it reuses a connection.
				if words := strings.Fields(c); len(words) > 1 {
					sent = append(sent, words[0]+" "+words[1])
				}
			}
			key := "scs:session:" + token
			// From 7.2, Redis does not wait if the connection's commands
			// changed nothing.
			assert.Equal(t, []string{"DEL " + key, "DEL " + key, "SET wechat:fence:{" + key + "}", "WAIT 1"}, sent)
		})
		t.Run("check", func(t *testing.T) {
			config.Acks = 2
			config.Timeout = 2 * time.Second
			require.ErrorContains(t, c.Open(t, config).Check(context.Background()), "but 1 of 2 replicas have confirmed it: a failover may restore them; connect more replicas")
			setUser(t, []*redistest.Server{primary}, c.rights(t, ""))
			require.ErrorContains(t, c.Open(t, config.asWeChat()).Check(context.Background()), "grant +wait")
			setUser(t, []*redistest.Server{primary}, c.rights(t, "`store.WithReplicaAcks` needs"))
			config.Acks, config.Timeout = 1, 0
			AssertNotes(t, c.Open(t, config.asWeChat()).Check(context.Background()))
		})
	})
	if c.Standalone {
		return
	}
	t.Run("sentinels", func(t *testing.T) {
		group := redistest.StartSentinels(t)
		testAcks(t, c, BehindSentinels(group), group.Servers()[:1], group.Servers()[1:])
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t)
		testAcks(t, c, InCluster(cluster), cluster.Servers()[:3], cluster.Servers()[3:])
		t.Run("while slots move", func(t *testing.T) { testMovingAcks(t, c, cluster) })
	})
}

// testMovingAcks revokes sessions whose slots are being moved or have just been
// moved. They are deleted all the same, and a retry then succeeds.
func testMovingAcks(t *testing.T, c Client, cluster *redistest.Cluster) {
	ctx := context.Background()
	config := InCluster(cluster)
	config.Acks, config.OnlyStore, config.Timeout = 1, true, 2*time.Second
	s := c.Open(t, config.In(c.LastVariant()))
	var logins []*Login
	for range 100 {
		logins = append(logins, &Login{Token: Token()})
	}
	var tokens []string
	revoke := func(some []*Login) (err error) {
		t.Helper()
		tokens = tokens[:0]
		for _, l := range some {
			tokens = append(tokens, l.Token)
		}
		if _, err = s.DeleteAndReportAllCtx(ctx, tokens); err != nil {
			assert.Equal(t, store.ClassRetryNow, store.ClassOf(err), "%v", err)
		}
		for _, token := range tokens {
			assertGone(t, s, token)
		}
		return err
	}
	for _, l := range logins {
		require.NoError(t, s.CommitCtx(ctx, l.Token, []byte("record"), soon()))
	}
	cluster.MoveSlots(cluster.SlotsOf(keysOf(logins)), func() { _ = revoke(logins[:50]) })
	_ = revoke(logins[50:])
	require.Eventually(t, func() bool { return revoke(logins) == nil }, Patience, time.Millisecond)
	for _, replica := range cluster.Servers()[3:] {
		assert.Empty(t, replica.Do("KEYS", "scs:session:*"))
	}
}

// awaitReplica makes a server the replica of another, and waits until it is
// online.
func awaitReplica(t *testing.T, primary, replica *redistest.Server) {
	replica.Do("REPLICAOF", "127.0.0.1", primary.Port())
	awaitOnline(t, primary)
}

func awaitOnline(t *testing.T, primary *redistest.Server) {
	require.Eventually(t, func() bool {
		return strings.Contains(primary.Info("replication")["slave0"], "state=online")
	}, Patience, time.Millisecond)
}

func testAcks(t *testing.T, c Client, config Config, primaries, replicas []*redistest.Server) {
	ctx := context.Background()
	for _, primary := range primaries {
		awaitOnline(t, primary)
	}
	config.Acks, config.OnlyStore = 1, true
	config.Timeout = 2 * time.Second // half of which a store waits for a replica that is frozen
	s := c.Open(t, config.In(c.LastVariant()))
	tokens := make([]string, 20)
	logIn := func() {
		for i := range tokens {
			tokens[i] = Token()
			require.NoError(t, s.CommitCtx(ctx, tokens[i], []byte("record"), soon()))
		}
	}
	assertNoSession := func() {
		t.Helper()
		for _, replica := range replicas {
			assert.Empty(t, replica.Do("KEYS", "scs:session:*"))
		}
	}

	logIn()
	dropped, err := s.DeleteAndReportAllCtx(ctx, tokens)
	require.NoError(t, err)
	assert.Len(t, dropped, len(tokens))
	assertNoSession()

	logIn()
	replicas[0].Freeze()
	dropped, err = s.DeleteAndReportAllCtx(ctx, tokens)
	require.ErrorContains(t, err, "the sessions are deleted, but 0 of 1 replicas have confirmed it")
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	assert.Len(t, dropped, len(tokens))
	for _, token := range tokens {
		assertGone(t, s, token)
	}
	// There is nothing left to delete, but the replica still has the sessions.
	_, err = s.DeleteAndReportAllCtx(ctx, tokens)
	require.ErrorContains(t, err, "0 of 1 replicas")
	replicas[0].Thaw()
	require.Eventually(t, func() bool {
		_, err = s.DeleteAndReportAllCtx(ctx, tokens)
		return err == nil
	}, Patience, time.Millisecond)
	assertNoSession()
}
