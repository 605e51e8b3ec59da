// Package config holds the settings that the stores for all client libraries
// share.
package config

import (
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/nearcache"
)

const (
	// DefaultTimeout is the time limit for a call, unless WithTimeout sets
	// another.
	DefaultTimeout = time.Second

	// IdleTimeout is less than the 5 minutes after which load balancers and
	// servers ("timeout 300") commonly close an idle connection.
	IdleTimeout = 4 * time.Minute

	// ConnLifetime makes connections follow a host name whose address has
	// changed.
	ConnLifetime = 30 * time.Minute
)

// Options are the settings of a store.
type Options struct {
	Prefix  string
	Timeout time.Duration
	Now     func() time.Time
	Acks    int               // of replicas, for which a revocation waits
	Near    *nearcache.Limits // nil for no near cache
}

// Resolve returns the defaults as changed by the options.
func Resolve[F ~func(*Options)](opts []F) Options {
	o := Options{Prefix: keyspace.DefaultPrefix}
	for _, opt := range opts {
		opt(&o)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}
