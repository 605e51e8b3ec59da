package goredisstore

import (
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/wechatauth/wechatauth/store"
)

const (
	// defaultTimeout is the time limit for a call, unless WithTimeout sets
	// another.
	defaultTimeout = time.Second

	// idleTime is less than the 5 minutes after which load balancers and servers
	// ("timeout 300") commonly close an idle connection.
	idleTime = 4 * time.Minute

	// lifetime makes connections follow a host name whose address has
	// changed.
	lifetime = 30 * time.Minute

	// respVersion is the RESP version that the store needs; it uses nothing
	// that RESP3 adds.
	respVersion = 2
)

// Option changes a setting of a store.
type Option func(*options)

type options struct {
	timeout time.Duration
	common  []store.Option
}

// WithPrefix sets what session keys begin with. Applications that share a Redis
// need different prefixes. It also keeps marks and indexes apart. The default is
// "scs:session:", as in package store.
func WithPrefix(prefix string) Option { return common(store.WithPrefix(prefix)) }

// WithTimeout sets the time limit for a call, including connecting and retries.
// The default is 1 second, which also replaces a d that is not positive.
func WithTimeout(d time.Duration) Option {
	return func(o *options) {
		o.timeout = d
		o.common = append(o.common, store.WithTimeout(d))
	}
}

// WithClock sets the clock by which expiries are converted to lifetimes. It must
// be safe for concurrent use. The default is time.Now.
func WithClock(now func() time.Time) Option { return common(store.WithClock(now)) }

func common(opt store.Option) Option {
	return func(o *options) { o.common = append(o.common, opt) }
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

// clientOptions returns the caller's options with what a session store needs, and
// with values fit for a web server where the caller has set none.
func clientOptions(given redis.UniversalOptions, timeout time.Duration) (redis.UniversalOptions, error) {
	switch {
	case len(given.Addrs) == 0:
		return given, errors.New("no Addrs: name at least one Redis, Sentinel or Cluster node (host:port)")
	case given.ReadOnly || given.RouteByLatency || given.RouteRandomly:
		return given, errors.New("unsupported ReadOnly, RouteByLatency or RouteRandomly: sessions are read from the primary only, because a replica may not have a login or logout yet")
	case given.MasterName != "" && given.IsClusterMode:
		return given, errors.New("the fields MasterName and IsClusterMode are mutually exclusive")
	}
	o := given
	o.Addrs = slices.Clone(given.Addrs)
	o.Protocol = orDefault(o.Protocol, respVersion)
	o.DialTimeout = orDefault(o.DialTimeout, timeout)
	o.ReadTimeout = orDefault(o.ReadTimeout, max(timeout, defaultTimeout))
	o.WriteTimeout = orDefault(o.WriteTimeout, max(timeout, defaultTimeout))
	o.ConnMaxIdleTime = orDefault(o.ConnMaxIdleTime, idleTime)
	o.ConnMaxLifetime = orDefault(o.ConnMaxLifetime, lifetime)

	// A call ends at its deadline. The store retries by itself, including
	// writes, and within that deadline.
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = -1, 1

	// Send neither CLIENT SETINFO nor CLIENT MAINT_NOTIFICATIONS, which
	// proxies reject and an ACL would have to allow.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

func orDefault[T int | time.Duration](given, otherwise T) T {
	if given == 0 {
		return otherwise
	}
	return given
}
