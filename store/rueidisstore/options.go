package rueidisstore

import (
	"errors"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/nearcache"
)

const (
	// defaultTimeout is the time limit for a call, unless WithTimeout sets
	// another.
	defaultTimeout = time.Second

	// bufferSize replaces rueidis's buffers of half a megabyte for each
	// direction of each connection. Sessions are small.
	bufferSize = 64 << 10

	// sentinelRefresh is how often the primary is looked up from the
	// Sentinels, in addition to their own messages, which can be missed.
	sentinelRefresh = 5 * time.Second

	// lifetime makes connections follow a host name whose address has
	// changed.
	lifetime = 30 * time.Minute
)

// Option changes a setting of a store.
type Option func(*options)

type options struct {
	timeout time.Duration
	near    *nearcache.Limits
	common  []store.Option
}

// WithPrefix sets the prefix of session keys. Applications that share a Redis
// need different prefixes. It also keeps marks and indexes apart. The default
// is "scs:session:", as in package store.
func WithPrefix(prefix string) Option { return common(store.WithPrefix(prefix)) }

// WithTimeout sets the time limit for a call, including connecting and retries.
// The default is 1 second, which also replaces a d that is not positive.
func WithTimeout(d time.Duration) Option {
	return func(o *options) {
		o.timeout = d
		o.common = append(o.common, store.WithTimeout(d))
	}
}

// WithClock sets the clock by which expiries are converted to lifetimes, and
// the age of the near cache's records is measured. It must be safe for
// concurrent use. The default is time.Now.
func WithClock(now func() time.Time) Option { return common(store.WithClock(now)) }

func common(opt store.Option) Option {
	return func(o *options) { o.common = append(o.common, opt) }
}

// WithNearCache enables reading sessions from memory while Redis has not
// reported a change; the package comment lists what is guaranteed. The cache
// holds at most maxBytes, including keys and bookkeeping (a session uses its
// record's size and about 300 bytes), and nothing for longer than maxAge. Both
// must be positive. 32 MiB and a minute are good initial values. By default,
// there is no near cache.
func WithNearCache(maxBytes int, maxAge time.Duration) Option {
	return func(o *options) { o.near = &nearcache.Limits{MaxBytes: maxBytes, MaxAge: maxAge} }
}

func resolve(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.timeout <= 0 {
		o.timeout = defaultTimeout
	}
	return o
}

// clientOption returns the caller's option with what a session store needs, and
// with values fit for a web server where the caller has set none.
func clientOption(given rueidis.ClientOption, timeout time.Duration) (rueidis.ClientOption, error) {
	switch {
	case len(given.InitAddress) == 0:
		return given, errors.New("InitAddress: name at least one Redis, Sentinel or Cluster node (host:port)")
	case given.ReplicaOnly || given.SendToReplicas != nil || len(given.Standalone.ReplicaAddress) > 0:
		return given, errors.New("ReplicaOnly, SendToReplicas, Standalone.ReplicaAddress: sessions are read from the primary only, because a replica may not know of a login or logout yet")
	}
	c := given
	c.InitAddress = slices.Clone(given.InitAddress)
	c.Dialer.Timeout = orDefault(c.Dialer.Timeout, timeout)
	c.Dialer.KeepAlive = orDefault(c.Dialer.KeepAlive, rueidis.DefaultTCPKeepAlive)
	c.Sentinel.Dialer.Timeout = orDefault(c.Sentinel.Dialer.Timeout, timeout)
	c.Sentinel.Dialer.KeepAlive = orDefault(c.Sentinel.Dialer.KeepAlive, rueidis.DefaultTCPKeepAlive)
	c.Sentinel.TopologyRefreshInterval = orDefault(c.Sentinel.TopologyRefreshInterval, sentinelRefresh)
	c.ConnWriteTimeout = orDefault(c.ConnWriteTimeout, max(timeout, defaultTimeout))
	c.ConnLifetime = orDefault(c.ConnLifetime, lifetime)
	c.ReadBufferEachConn = orDefault(c.ReadBufferEachConn, bufferSize)
	c.WriteBufferEachConn = orDefault(c.WriteBufferEachConn, bufferSize)

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

func orDefault[T int | time.Duration](given, otherwise T) T {
	if given == 0 {
		return otherwise
	}
	return given
}
