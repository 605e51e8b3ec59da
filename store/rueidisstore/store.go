package rueidisstore

import (
	"fmt"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
)

// Store keeps sessions in Redis. Its methods are those of package store. A read
// ends early at the deadline of its context, but not when that is canceled: what
// is in progress is of use to other calls. It is safe for concurrent use.
type Store struct {
	*store.Store

	transport *transport
}

var _ store.Whole = (*Store)(nil)

// New returns a store for the Redis that client names, and does not connect
// yet: it does with the first call, and with each further one until it has
// succeeded. Close it when it is no longer used.
//
// Of client, what is not set gets values fit for a web server: the store's
// timeout (1 s) for dialling and for silence, also towards Sentinels, which are
// asked for the primary every 5 s; connections that live for at most 30 minutes,
// so that they follow a name whose address has changed; buffers of 64 KiB. The
// store itself decides about repetitions, pipelining and client-side caching
// (DisableRetry, AlwaysPipelining, DisableAutoPipelining, DisableCache,
// NewCacheStoreFn, OnInvalidations, ClientTrackingOptions are overwritten), and
// refuses what would read from replicas.
func New(client rueidis.ClientOption, opts ...Option) (*Store, error) {
	o := resolve(opts)
	t, err := newTransport(client, o)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	s, err := store.Over(t, o.near, o.common...)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	return &Store{Store: s, transport: t}, nil
}

// Close ends all connections after what is under way, and waits a second for
// each at most where Redis is silent. Later calls fail.
func (s *Store) Close() { s.transport.connector.close() }
