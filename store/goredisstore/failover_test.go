//go:build failover

package goredisstore_test

import (
	"testing"
	"time"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/suite/stores"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// TestFailover measures, so it has a build tag and a separate make target.
func TestFailover(t *testing.T) {
	t.Run("sentinels", func(t *testing.T) {
		group := redistest.StartSentinels(t)
		group.DownAfter(500 * time.Millisecond)
		config := storetest.BehindSentinels(group)
		config.Timeout = time.Second
		stores.SentinelFailover(t, group, client.Open(t, config), client.Open(t, config.In(client.LastVariant())))
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t)
		config := storetest.InCluster(cluster)
		config.Timeout = time.Second
		stores.ClusterFailover(t, cluster, client.Open(t, config), client.Open(t, config.In(client.LastVariant())))
	})
}
