package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

func TestCheckFindsEachPolicyThatEvictsSessions(t *testing.T) {
	server := redistest.Start(t)
	s := store.New(server.Pool())
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
