package goredisstore

import (
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/config"
)

// A Store keeps sessions in Redis. Its methods are those of package store. It is
// safe for concurrent use by multiple goroutines.
type Store struct {
	*store.Store

	client redis.UniversalClient
}

var _ store.Whole = (*Store)(nil)

// New returns a store for the Redis that client names. It does not connect
// until the first call. Close it when it is no longer used.
//
// A field of client that is not set gets a value that suits a web server: the
// store's timeout (1 second) for dialing, reading and writing, RESP2, and
// connections that may be idle for at most 4 minutes and are used for at most
// 30. The store sets ContextTimeoutEnabled, MaxRetries, DialerRetries,
// DisableIdentity and MaintNotificationsConfig itself. It returns an error if
// client would read from replicas, or names no address.
func New(client redis.UniversalOptions, opts ...store.Option) (*Store, error) {
	o := config.Resolve(opts)
	t, err := newTransport(client, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	s, err := store.Over(t, o)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	return &Store{Store: s, client: t.client}, nil
}

// Close closes all connections. Later calls fail.
func (s *Store) Close() error { return s.client.Close() }
