package rueidisstore_test

import (
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
)

func TestNew_invalid(t *testing.T) {
	good := rueidis.ClientOption{InitAddress: []string{"127.0.0.1:1"}}
	with := func(change func(o *rueidis.ClientOption)) rueidis.ClientOption {
		o := good
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		client rueidis.ClientOption
		opts   []store.Option
		says   string
	}{
		"no address":           {client: rueidis.ClientOption{}, says: "InitAddress"},
		"replicas only":        {client: with(func(o *rueidis.ClientOption) { o.ReplicaOnly = true }), says: "ReplicaOnly"},
		"reads from replicas":  {client: with(func(o *rueidis.ClientOption) { o.SendToReplicas = func(rueidis.Completed) bool { return true } }), says: "SendToReplicas"},
		"RESP2 and near cache": {client: with(func(o *rueidis.ClientOption) { o.AlwaysRESP2 = true }), opts: []store.Option{nearCache()}, says: "RESP3"},
		"no bytes":             {client: good, opts: []store.Option{rueidisstore.WithNearCache(0, time.Minute)}, says: "maxBytes"},
		"no age":               {client: good, opts: []store.Option{rueidisstore.WithNearCache(1, 0)}, says: "maxAge"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rueidisstore.New(c.client, c.opts...)
			require.ErrorContains(t, err, c.says)
		})
	}
}
