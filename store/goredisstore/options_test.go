package goredisstore_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store/goredisstore"
)

func TestNew_invalid(t *testing.T) {
	good := redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}
	with := func(change func(o *redis.UniversalOptions)) redis.UniversalOptions {
		o := good
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		client redis.UniversalOptions
		says   string
	}{
		"no address":           {client: redis.UniversalOptions{}, says: "Addrs"},
		"replicas":             {client: with(func(o *redis.UniversalOptions) { o.ReadOnly = true }), says: "ReadOnly"},
		"the nearest":          {client: with(func(o *redis.UniversalOptions) { o.RouteByLatency = true }), says: "RouteByLatency"},
		"any":                  {client: with(func(o *redis.UniversalOptions) { o.RouteRandomly = true }), says: "RouteRandomly"},
		"Sentinel and Cluster": {client: with(func(o *redis.UniversalOptions) { o.MasterName, o.IsClusterMode = "m", true }), says: "mutually exclusive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := goredisstore.New(c.client)
			require.ErrorContains(t, err, c.says)
		})
	}
}
