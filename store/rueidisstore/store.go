package rueidisstore

import (
	"fmt"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/config"
)

// Store keeps sessions in Redis. Its methods are those of package store. A read
// returns early at the deadline of its context, but not when that is canceled,
// because what is in progress is of use to other calls. A Store is safe for
// concurrent use by multiple goroutines.
type Store struct {
	*store.Store

	transport *transport
}

var _ store.Whole = (*Store)(nil)

// New returns a store for the Redis that client names. It does not connect
// until the first call; if that fails, each further call tries again until one
// succeeds. Close it when it is no longer used.
//
// A field of client that is not set gets a value that suits a web server: the
// store's timeout (1 second) for dialing and for the wait for a reply, also for
// Sentinels, from which the primary is looked up every 5 seconds; connections
// that are used for at most 30 minutes, so that they follow a host name whose
// address has changed; buffers of 64 KiB. The store itself controls retries,
// pipelining and client-side caching: it overwrites DisableRetry,
// AlwaysPipelining, DisableAutoPipelining, DisableCache, NewCacheStoreFn,
// OnInvalidations and ClientTrackingOptions. It returns an error if client
// would read from replicas.
func New(client rueidis.ClientOption, opts ...store.Option) (*Store, error) {
	o := config.Resolve(opts)
	t, err := newTransport(client, o)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	s, err := store.Over(t, o)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	return &Store{Store: s, transport: t}, nil
}

// Close closes all connections after the calls in progress, and waits at most a
// second for each of them if Redis does not respond. Later calls fail.
func (s *Store) Close() { s.transport.connector.close() }
