package goredisstore

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/wechatauth/wechatauth/store/internal/config"
)

// respVersion is the RESP version that the store needs; it uses nothing that
// RESP3 adds.
const respVersion = 2

// clientOptions returns the caller's options with what a session store needs,
// and with values that suit a web server if the caller has set none.
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
	o.Protocol = cmp.Or(o.Protocol, respVersion)
	o.DialTimeout = cmp.Or(o.DialTimeout, timeout)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, max(timeout, config.DefaultTimeout))
	o.WriteTimeout = cmp.Or(o.WriteTimeout, max(timeout, config.DefaultTimeout))
	o.ConnMaxIdleTime = cmp.Or(o.ConnMaxIdleTime, config.IdleTimeout)
	o.ConnMaxLifetime = cmp.Or(o.ConnMaxLifetime, config.ConnLifetime)

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
