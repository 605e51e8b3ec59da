package goredisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// While the nodes do not agree which of them has a slot, a call fails as one
// that may succeed a moment later.
func TestCluster_Moving(t *testing.T) {
	ctx := context.Background()
	cluster := redistest.StartCluster(t)
	s, err := goredisstore.New(patient(redis.UniversalOptions{Addrs: cluster.Addrs(), IsClusterMode: true}), store.WithTimeout(patience))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	token, later := storetest.Token(), time.Now().Add(time.Hour)
	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), later))
	key := "scs:session:" + token
	var owner, other *redistest.Server
	for _, server := range cluster.Servers()[:3] {
		if len(server.Do("KEYS", key).([]any)) > 0 {
			owner = server
		} else {
			other = server
		}
	}
	id, slot := other.Do("CLUSTER", "MYID"), cluster.Slot(key)
	owner.Do("DEL", key)
	owner.Do("CLUSTER", "SETSLOT", slot, "NODE", id)
	err = s.CommitCtx(ctx, token, []byte("record"), later)
	require.ErrorContains(t, err, "a slot that is being moved")
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	other.Do("CLUSTER", "SETSLOT", slot, "NODE", id)
	require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), later))
}
