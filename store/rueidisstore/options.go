package rueidisstore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
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
)

// Option changes a store from its defaults.
type Option func(*options)

type options struct {
	prefix    string
	timeout   time.Duration
	now       func() time.Time
	nearCache bool
	maxBytes  int
	maxAge    time.Duration
}

// WithPrefix sets what session keys begin with; the default is "scs:session:",
// as in package store. Applications that share a Redis need different ones.
// Marks and indexes are kept apart by it too.
func WithPrefix(prefix string) Option { return func(o *options) { o.prefix = prefix } }

// WithTimeout sets the time for one call, connecting and repeating included;
// the default is 1 s, and what is not positive means the default.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithClock sets the clock that tells how far off an expiry is and how old what
// the near cache holds; the default is time.Now. It must be safe for concurrent
// use.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithNearCache answers reads of sessions from memory while Redis has not told
// of a change; the package comment says what is promised. It holds at most
// maxBytes, counting keys and bookkeeping (a session takes its record's size
// and about 300 bytes), and nothing for longer than maxAge. Both must be
// positive. 32 MiB and a minute are values to begin with.
func WithNearCache(maxBytes int, maxAge time.Duration) Option {
	return func(o *options) { o.nearCache, o.maxBytes, o.maxAge = true, maxBytes, maxAge }
}

func resolve(opts []Option) (options, error) {
	o := options{prefix: keyspace.DefaultPrefix}
	for _, opt := range opts {
		opt(&o)
	}
	if o.timeout <= 0 {
		o.timeout = defaultTimeout
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.nearCache && (o.maxBytes <= 0 || o.maxAge <= 0) {
		return o, fmt.Errorf("WithNearCache: maxBytes %d and maxAge %v must both be positive", o.maxBytes, o.maxAge)
	}
	return o, nil
}

// clientOption is the caller's option with what a session store needs and with
// values fit for a web server where the caller has set none.
func clientOption(given rueidis.ClientOption, o options, d *dialer, near *nearCache) (rueidis.ClientOption, error) {
	switch {
	case len(given.InitAddress) == 0:
		return given, errors.New("InitAddress: name at least one Redis, Sentinel or Cluster node (host:port)")
	case given.ReplicaOnly || given.SendToReplicas != nil || len(given.Standalone.ReplicaAddress) > 0:
		return given, errors.New("ReplicaOnly, SendToReplicas, Standalone.ReplicaAddress: sessions are read from the primary only, because a replica may not know of a login or logout yet")
	case near != nil && given.AlwaysRESP2:
		return given, errors.New("AlwaysRESP2: the near cache needs RESP3")
	}
	c := given
	c.InitAddress = slices.Clone(given.InitAddress)
	c.DialFn, c.DialCtxFn = nil, d.dial
	c.Dialer.Timeout = orDefault(c.Dialer.Timeout, o.timeout)
	c.Dialer.KeepAlive = orDefault(c.Dialer.KeepAlive, rueidis.DefaultTCPKeepAlive)
	c.Sentinel.Dialer.Timeout = orDefault(c.Sentinel.Dialer.Timeout, o.timeout)
	c.Sentinel.Dialer.KeepAlive = orDefault(c.Sentinel.Dialer.KeepAlive, rueidis.DefaultTCPKeepAlive)
	c.Sentinel.TopologyRefreshInterval = orDefault(c.Sentinel.TopologyRefreshInterval, sentinelRefresh)
	c.ConnWriteTimeout = orDefault(c.ConnWriteTimeout, max(o.timeout, defaultTimeout))
	c.ReadBufferEachConn = orDefault(c.ReadBufferEachConn, bufferSize)
	c.WriteBufferEachConn = orDefault(c.WriteBufferEachConn, bufferSize)

	// A connection that is always read from is known to be dead before it is
	// used, and a call that gives up leaves the others on it alone.
	c.AlwaysPipelining, c.DisableAutoPipelining = true, false
	// The store repeats by itself, writes too, and within one deadline.
	c.DisableRetry = true

	c.NewCacheStoreFn, c.OnInvalidations, c.ClientTrackingOptions = nil, nil, nil
	c.DisableCache = near == nil
	if near != nil {
		// Not OPTIN: a read that a cluster node redirects must be tracked
		// where it is answered, too. rueidis's own cache stays empty.
		c.ClientTrackingOptions = []string{"OPTOUT"}
		c.OnInvalidations = near.invalidate
	}
	return c, nil
}

func orDefault[T int | time.Duration](given, otherwise T) T {
	if given == 0 {
		return otherwise
	}
	return given
}
