// Package nearcache caches records that were read from Redis in memory.
package nearcache

import (
	"bytes"
	"container/list"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// bookkeeping is the overhead of a cached record in the map and the list, in
// addition to its bytes and its token.
const bookkeeping = 250

// Cache holds records that were read from Redis for as long as Redis reports
// their changes. It is safe for concurrent use by multiple goroutines.
//
// A read and the report of a change may cross on their way to the cache. So
// changes are counted, and the record of a read during which one was counted is
// returned to the reader and not cached.
type Cache struct {
	prefix string
	limits Limits
	seed   maphash.Seed

	mu      sync.Mutex
	records map[string]*list.Element // by token; the values are *kept
	recent  *list.List               // the most recently used first
	bytes   int
	// changes has a count for all tokens with the same hash, so that few of
	// the reads are those of another token than the one that has changed.
	changes [1024]uint64
}

// kept is a cached record.
type kept struct {
	token  string
	record []byte
	ends   time.Time // when it expires in Redis; zero for never
	until  time.Time // the end of the time in which it may be served
}

// Limits limits the size of a cache and the age of its records.
type Limits struct {
	MaxBytes int           // including keys and bookkeeping
	MaxAge   time.Duration // since a record was read from Redis
}

// Validate returns an error unless both limits are positive.
func (l Limits) Validate() error {
	if l.MaxBytes <= 0 || l.MaxAge <= 0 {
		return fmt.Errorf("WithNearCache: maxBytes %d and maxAge %v must both be positive", l.MaxBytes, l.MaxAge)
	}
	return nil
}

// New returns an empty cache of the records whose keys start with the prefix.
func New(prefix string, limits Limits) *Cache {
	return &Cache{
		prefix: prefix, limits: limits, seed: maphash.MakeSeed(),
		records: map[string]*list.Element{}, recent: list.New(),
	}
}

// Get returns a copy of the record and its remaining lifetime, which is 0 for a
// record without an expiry.
func (n *Cache) Get(token string, now time.Time) (b []byte, ttl time.Duration, found bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, found := n.records[token]
	if !found {
		return nil, 0, false
	}
	k := e.Value.(*kept)
	if !now.Before(k.until) {
		n.remove(token)
		return nil, 0, false
	}
	n.recent.MoveToFront(e)
	if !k.ends.IsZero() {
		ttl = k.ends.Sub(now)
	}
	return bytes.Clone(k.record), ttl, true
}

// Begin returns the number of changes before a read, for Keep.
func (n *Cache) Begin(token string) (changes uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return *n.changesOf(token)
}

func (n *Cache) changesOf(token string) *uint64 {
	return &n.changes[maphash.String(n.seed, token)%uint64(len(n.changes))]
}

// Keep caches the record of a read, which must not be modified afterwards, if
// there was no change since Begin. ttl is the record's remaining lifetime at some
// time not before asked, when the read was sent.
func (n *Cache) Keep(token string, changes uint64, record []byte, ttl time.Duration, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if changes != *n.changesOf(token) {
		return
	}
	k := &kept{token: token, record: record, until: asked.Add(n.limits.MaxAge)}
	if ttl > 0 {
		k.ends = asked.Add(ttl)
		if k.ends.Before(k.until) {
			k.until = k.ends
		}
	}
	n.remove(token)
	n.records[token] = n.recent.PushFront(k)
	n.bytes += k.size()
	for n.bytes > n.limits.MaxBytes {
		n.remove(n.recent.Back().Value.(*kept).token)
	}
}

// Forget removes the record, and that of a read in progress is not cached.
func (n *Cache) Forget(token string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.change(token)
}

// Invalidate removes the records of changed keys. The transport calls it. If
// keys is nil, it removes everything, because the data was dropped or a
// connection ended.
func (n *Cache) Invalidate(keys []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key := range keys {
		if token, ours := strings.CutPrefix(key, n.prefix); ours {
			n.change(token)
		}
	}
	if keys == nil {
		n.records, n.bytes = map[string]*list.Element{}, 0
		n.recent.Init()
		for i := range n.changes {
			n.changes[i]++
		}
	}
}

func (n *Cache) change(token string) {
	*n.changesOf(token)++
	n.remove(token)
}

func (n *Cache) remove(token string) {
	if e, found := n.records[token]; found {
		n.bytes -= n.recent.Remove(e).(*kept).size()
		delete(n.records, token)
	}
}

// size adds an eighth for the allocator, which rounds up.
func (k *kept) size() int { return len(k.record)*9/8 + len(k.token) + bookkeeping }
