// Package nearcache caches records that were read from Redis in memory.
package nearcache

import (
	"bytes"
	"container/list"
	"fmt"
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
// each read is announced before it is sent, and a change in the meantime spoils
// it: its record is returned to the reader and not cached.
type Cache struct {
	prefix string
	limits Limits

	mu       sync.Mutex
	records  map[string]*list.Element // by token; the values are *kept
	recent   *list.List               // the most recently used first
	bytes    int
	readings map[string]*Reading // by token
}

// kept is a cached record.
type kept struct {
	token  string
	record []byte
	ends   time.Time // when it expires in Redis; zero for never
	until  time.Time // the end of the time in which it may be served
}

// Reading is one or more reads of a record that are in progress.
type Reading struct {
	token   string
	readers int
	spoiled bool
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
		prefix: prefix, limits: limits,
		records: map[string]*list.Element{}, recent: list.New(), readings: map[string]*Reading{},
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
		n.remove(e)
		return nil, 0, false
	}
	n.recent.MoveToFront(e)
	if !k.ends.IsZero() {
		ttl = k.ends.Sub(now)
	}
	return bytes.Clone(k.record), ttl, true
}

// Begin announces a read. The caller must then call Keep or Abandon.
func (n *Cache) Begin(token string) *Reading {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, found := n.readings[token]
	if !found {
		r = &Reading{token: token}
		n.readings[token] = r
	}
	r.readers++
	return r
}

// Abandon ends a read that found nothing to cache.
func (n *Cache) Abandon(r *Reading) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end(r)
}

// Keep ends a read and caches its record, which must not be modified
// afterwards. ttl is the record's remaining lifetime at some time not before
// asked, when the read was sent.
func (n *Cache) Keep(r *Reading, record []byte, ttl time.Duration, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end(r)
	if r.spoiled {
		return
	}
	k := &kept{token: r.token, record: record, until: asked.Add(n.limits.MaxAge)}
	if ttl > 0 {
		k.ends = asked.Add(ttl)
		if k.ends.Before(k.until) {
			k.until = k.ends
		}
	}
	if e, found := n.records[r.token]; found {
		n.remove(e)
	}
	n.records[r.token] = n.recent.PushFront(k)
	n.bytes += k.size()
	for n.bytes > n.limits.MaxBytes {
		n.remove(n.recent.Back())
	}
}

func (n *Cache) end(r *Reading) {
	r.readers--
	if r.readers == 0 && n.readings[r.token] == r {
		delete(n.readings, r.token)
	}
}

// Forget removes the record, and spoils its reads in progress.
func (n *Cache) Forget(token string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetOne(token)
}

// Invalidate removes the records of changed keys. The transport calls it. If
// keys is nil, it removes everything, because the data was dropped or a
// connection ended.
func (n *Cache) Invalidate(keys []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if keys == nil {
		n.forgetAll()
		return
	}
	for _, key := range keys {
		if token, ours := strings.CutPrefix(key, n.prefix); ours {
			n.forgetOne(token)
		}
	}
}

func (n *Cache) forgetOne(token string) {
	if e, found := n.records[token]; found {
		n.remove(e)
	}
	if r, found := n.readings[token]; found {
		r.spoiled = true
		delete(n.readings, token)
	}
}

func (n *Cache) forgetAll() {
	n.records, n.bytes = map[string]*list.Element{}, 0
	n.recent.Init()
	for _, r := range n.readings {
		r.spoiled = true
	}
	n.readings = map[string]*Reading{}
}

func (n *Cache) remove(e *list.Element) {
	k := n.recent.Remove(e).(*kept)
	delete(n.records, k.token)
	n.bytes -= k.size()
}

// size adds an eighth for the allocator, which rounds up.
func (k *kept) size() int { return len(k.record)*9/8 + len(k.token) + bookkeeping }
