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
	// defaultTimeout is the time for one call, unless WithTimeout says other.
	defaultTimeout = time.Second

	// bufferSize replaces rueidis's half a megabyte for each direction of each
	// connection. Sessions are small.
	bufferSize = 64 << 10

	// sentinelRefresh is how often the Sentinels are asked for the primary,
	// beside what they tell by themselves: a message of theirs can be missed.
	sentinelRefresh = 5 * time.Second

	// lifetime makes connections follow a name whose address has changed.
	lifetime = 30 * time.Minute
)

// Option changes a store from its defaults.
type Option func(*options)

type options struct {
	timeout time.Duration
	near    *nearcache.Limits
	common  []store.Option
}

// WithPrefix sets what session keys begin with; the default is "scs:session:",
// as in package store. Applications that share a Redis need different ones.
// Marks and indexes are kept apart by it too.
func WithPrefix(prefix string) Option { return common(store.WithPrefix(prefix)) }

// WithTimeout sets the time for one call, connecting and repeating included;
// the default is 1 s, and what is not positive means the default.
func WithTimeout(d time.Duration) Option {
	return func(o *options) {
		o.timeout = d
		o.common = append(o.common, store.WithTimeout(d))
	}
}

// WithClock sets the clock that tells how far off an expiry is and how old what
// the near cache holds; the default is time.Now. It must be safe for concurrent
// use.
func WithClock(now func() time.Time) Option { return common(store.WithClock(now)) }

func common(opt store.Option) Option {
	return func(o *options) { o.common = append(o.common, opt) }
}

// WithNearCache answers reads of sessions from memory while Redis has not told
// of a change; the package comment says what is promised. It holds at most
// maxBytes, counting keys and bookkeeping (a session takes its record's size
// and about 300 bytes), and nothing for longer than maxAge. Both must be
// positive. 32 MiB and a minute are values to begin with.
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

// clientOption is the caller's option with what a session store needs and with
// values fit for a web server where the caller has set none.
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

	// A connection that is always read from is known to be dead before it is
	// used, and a call that gives up leaves the others on it alone.
	c.AlwaysPipelining, c.DisableAutoPipelining = true, false
	// The store repeats by itself, writes too, and within one deadline.
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
