package nearcache

import (
	"crypto/rand"
	"encoding/base64"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// newToken returns a session token as scs generates it.
func newToken() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// read puts a record into the cache that was not there before.
func (n *Cache) read(token string, size int) {
	n.Keep(token, n.Begin(token), make([]byte, size), time.Hour, time.Now())
}

func (n *Cache) holds(token string) bool {
	_, _, found := n.Get(token, time.Now())
	return found
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The cache takes no more memory than its limit.
func TestCache_memory(t *testing.T) {
	const maxBytes = 8 << 20
	for name, size := range map[string]int{"small records": 100, "large records": 10_000} {
		t.Run(name, func(t *testing.T) {
			before := heapInUse()
			n := New("scs:session:", Limits{maxBytes, time.Hour})
			for range 40_000 {
				n.read(newToken(), size)
			}
			taken := int64(heapInUse()) - int64(before)
			t.Log(taken*100/maxBytes, "% of the limit")
			assert.Less(t, taken, int64(maxBytes))
			assert.Greater(t, taken, int64(maxBytes/3), "it uses far less than the limit")
			runtime.KeepAlive(n)
		})
	}
}

// The least recently used record is evicted first.
func TestCache_eviction(t *testing.T) {
	n := New("scs:session:", Limits{10 * (112 + 43 + bookkeeping), time.Hour})
	used := newToken()
	n.read(used, 100)
	unused := newToken()
	n.read(unused, 100)
	for range 9 {
		assert.True(t, n.holds(used))
		n.read(newToken(), 100)
	}
	assert.True(t, n.holds(used))
	assert.False(t, n.holds(unused))

	n.read(newToken(), 1<<20)
	assert.Zero(t, n.bytes, "a record larger than the cache is not kept")
	assert.Empty(t, n.records)
}

// Invalidate(nil) empties the cache.
func TestCache_Invalidate(t *testing.T) {
	n := New("scs:session:", Limits{1 << 20, time.Hour})
	token := newToken()
	n.read(token, 100)
	n.read(newToken(), 100)
	n.Forget(token)
	assert.False(t, n.holds(token))
	n.Invalidate(nil)
	assert.Zero(t, n.bytes)
	assert.Empty(t, n.records)
	assert.Zero(t, n.recent.Len())
}

// The result of a read that began before a change is not kept.
func TestCache_Keep(t *testing.T) {
	for name, change := range map[string]func(n *Cache, token string){
		"a change of the record": func(n *Cache, token string) { n.Forget(token) },
		"a lost connection":      func(n *Cache, _ string) { n.Invalidate(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			n := New("scs:session:", Limits{1 << 20, time.Hour})
			token := newToken()
			early, joined := n.Begin(token), n.Begin(token)
			change(n, token)
			late := n.Begin(token)

			n.Keep(token, early, []byte("old"), time.Hour, time.Now())
			assert.False(t, n.holds(token))
			n.Keep(token, late, []byte("new"), time.Hour, time.Now())
			assert.True(t, n.holds(token))
			n.Keep(token, joined, []byte("old"), time.Hour, time.Now())
			b, _, _ := n.Get(token, time.Now())
			assert.Equal(t, "new", string(b))
		})
	}
}

// A PTTL of 0 is the end of a record, not the lack of an expiry.
func TestLife(t *testing.T) {
	for ms, want := range map[int64]struct {
		ttl   time.Duration
		alive bool
	}{
		-2: {-2 * time.Millisecond, false}, // no such key
		-1: {0, true},                      // no expiry
		0:  {0, false},
		1:  {time.Millisecond, true},
	} {
		ttl, alive := resp.Life(ms)
		assert.Equal(t, want.ttl, ttl, "%d", ms)
		assert.Equal(t, want.alive, alive, "%d", ms)
	}
}
