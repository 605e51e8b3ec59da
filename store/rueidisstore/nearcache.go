package rueidisstore

import (
	"bytes"
	"container/list"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// bookkeeping is what a kept record takes beside its bytes and its token: the
// map's and the list's share of it.
const bookkeeping = 250

// nearCache holds records that were read from Redis while Redis promises to say
// when they change. It is safe for concurrent use.
//
// A read and the word of a change may cross on their way to the cache. So each
// read is announced before it is sent, and what changes meanwhile spoils it:
// its record is handed to the reader and not kept.
type nearCache struct {
	prefix   string
	maxBytes int
	maxAge   time.Duration

	mu       sync.Mutex
	records  map[string]*list.Element // by token; the values are *kept
	recent   *list.List               // the most recently used first
	bytes    int
	readings map[string]*reading // by token
}

// kept is one record.
type kept struct {
	token  string
	record []byte
	ends   time.Time // of its life in Redis; zero for never
	until  time.Time // which it may be served
}

// reading is one or more reads of a record that are under way.
type reading struct {
	token   string
	readers int
	spoiled bool
}

func newNearCache(prefix string, maxBytes int, maxAge time.Duration) *nearCache {
	return &nearCache{
		prefix: prefix, maxBytes: maxBytes, maxAge: maxAge,
		records: map[string]*list.Element{}, recent: list.New(), readings: map[string]*reading{},
	}
}

// get returns a copy of the record and what is left of its life, 0 for a record
// without an end.
func (n *nearCache) get(token string, now time.Time) (b []byte, ttl time.Duration, found bool) {
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

// begin announces a read. It is followed by keep or abandon.
func (n *nearCache) begin(token string) *reading {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, found := n.readings[token]
	if !found {
		r = &reading{token: token}
		n.readings[token] = r
	}
	r.readers++
	return r
}

// abandon ends a read that found nothing to keep.
func (n *nearCache) abandon(r *reading) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end(r)
}

// keep ends a read with the record, which must not change any more, and the life
// it had when or after it was asked for.
func (n *nearCache) keep(r *reading, record []byte, ttl time.Duration, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end(r)
	if r.spoiled {
		return
	}
	k := &kept{token: r.token, record: record, until: asked.Add(n.maxAge)}
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
	for n.bytes > n.maxBytes {
		n.remove(n.recent.Back())
	}
}

func (n *nearCache) end(r *reading) {
	r.readers--
	if r.readers == 0 && n.readings[r.token] == r {
		delete(n.readings, r.token)
	}
}

// forget drops the record, and spoils the reads of it that are under way.
func (n *nearCache) forget(token string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetOne(token)
}

// invalidate is told by Redis what has changed; nil means everything, because
// the data was dropped or a connection ended.
func (n *nearCache) invalidate(keys []rueidis.RedisMessage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if keys == nil {
		n.forgetAll()
		return
	}
	for _, key := range keys {
		name, err := key.ToString()
		if token, ours := strings.CutPrefix(name, n.prefix); err == nil && ours {
			n.forgetOne(token)
		}
	}
}

func (n *nearCache) forgetOne(token string) {
	if e, found := n.records[token]; found {
		n.remove(e)
	}
	if r, found := n.readings[token]; found {
		r.spoiled = true
		delete(n.readings, token)
	}
}

func (n *nearCache) forgetAll() {
	n.records, n.bytes = map[string]*list.Element{}, 0
	n.recent.Init()
	for _, r := range n.readings {
		r.spoiled = true
	}
	n.readings = map[string]*reading{}
}

func (n *nearCache) remove(e *list.Element) {
	k := n.recent.Remove(e).(*kept)
	delete(n.records, k.token)
	n.bytes -= k.size()
}

// size allows an eighth for the allocator, which rounds up.
func (k *kept) size() int { return len(k.record)*9/8 + len(k.token) + bookkeeping }
