package rueidisstore

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/config"
	"github.com/wechatauth/wechatauth/store/internal/nearcache"
)

const (
	// bufferSize replaces rueidis's buffers of half a megabyte for each
	// direction of each connection. Sessions are small.
	bufferSize = 64 << 10

	// sentinelRefresh is how often the primary is looked up from the
	// Sentinels, in addition to their own messages, which can be missed.
	sentinelRefresh = 5 * time.Second
)

// WithNearCache enables reading sessions from memory while Redis has not
// reported a change; the package comment lists what is guaranteed. The cache
// holds at most maxBytes, including keys and bookkeeping (a session uses its
// record's size and about 300 bytes), and nothing for longer than maxAge. Both
// must be positive. 32 MiB and a minute are good initial values. By default,
// there is no near cache.
func WithNearCache(maxBytes int, maxAge time.Duration) store.Option {
	return func(o *config.Options) { o.Near = &nearcache.Limits{MaxBytes: maxBytes, MaxAge: maxAge} }
}

// clientOption returns the caller's option with what a session store needs, and
// with values that suit a web server if the caller has set none.
func clientOption(given rueidis.ClientOption, timeout time.Duration) (rueidis.ClientOption, error) {
	switch {
	case len(given.InitAddress) == 0:
		return given, errors.New("InitAddress: name at least one Redis, Sentinel or Cluster node (host:port)")
	case given.ReplicaOnly || given.SendToReplicas != nil || len(given.Standalone.ReplicaAddress) > 0:
		return given, errors.New("ReplicaOnly, SendToReplicas, Standalone.ReplicaAddress: sessions are read from the primary only, because a replica may not know of a login or logout yet")
	}
	c := given
	c.InitAddress = slices.Clone(given.InitAddress)
	c.Dialer.Timeout = cmp.Or(c.Dialer.Timeout, timeout)
	c.Dialer.KeepAlive = cmp.Or(c.Dialer.KeepAlive, rueidis.DefaultTCPKeepAlive)
	c.Sentinel.Dialer.Timeout = cmp.Or(c.Sentinel.Dialer.Timeout, timeout)
	c.Sentinel.Dialer.KeepAlive = cmp.Or(c.Sentinel.Dialer.KeepAlive, rueidis.DefaultTCPKeepAlive)
	c.Sentinel.TopologyRefreshInterval = cmp.Or(c.Sentinel.TopologyRefreshInterval, sentinelRefresh)
	c.ConnWriteTimeout = cmp.Or(c.ConnWriteTimeout, max(timeout, config.DefaultTimeout))
	c.ConnLifetime = cmp.Or(c.ConnLifetime, config.ConnLifetime)
	c.ReadBufferEachConn = cmp.Or(c.ReadBufferEachConn, bufferSize)
	c.WriteBufferEachConn = cmp.Or(c.WriteBufferEachConn, bufferSize)

	// A connection that is always read from is known to be dead before it
	// is used, and a call that gives up does not affect the others on it.
	c.AlwaysPipelining, c.DisableAutoPipelining = true, false
	// The store retries by itself, including writes, and within one
	// deadline.
	c.DisableRetry = true

	c.NewCacheStoreFn, c.OnInvalidations, c.ClientTrackingOptions = nil, nil, nil
	c.DisableCache = true // unless there is a near cache
	return c, nil
}
