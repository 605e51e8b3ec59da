package rueidisstore

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"

	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// read is a read of a record that was not there before.
func (n *nearCache) read(token string, size int) {
	n.keep(n.begin(token), make([]byte, size), time.Hour, time.Now())
}

func (n *nearCache) holds(token string) bool {
	_, _, found := n.get(token, time.Now())
	return found
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestTheNearCacheTakesNoMoreMemoryThanItMay(t *testing.T) {
	const maxBytes = 8 << 20
	for name, size := range map[string]int{"small records": 100, "large records": 10_000} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			n := newNearCache("scs:session:", maxBytes, time.Hour)
			for range 40_000 {
				n.read(storetest.Token(), size)
			}
			taken := int64(heap()) - int64(before)
			t.Log(taken*100/maxBytes, "% of what it may")
			assert.Less(t, taken, int64(maxBytes))
			assert.Greater(t, taken, int64(maxBytes/3), "it holds far less than it may")
			runtime.KeepAlive(n)
		})
	}
}

func TestTheNearCacheGivesUpWhatWasNotUsedForLongest(t *testing.T) {
	n := newNearCache("scs:session:", 10*(112+43+bookkeeping), time.Hour)
	used := storetest.Token()
	n.read(used, 100)
	unused := storetest.Token()
	n.read(unused, 100)
	for range 9 {
		assert.True(t, n.holds(used))
		n.read(storetest.Token(), 100)
	}
	assert.True(t, n.holds(used))
	assert.False(t, n.holds(unused))

	n.read(storetest.Token(), 1<<20)
	assert.Zero(t, n.bytes, "a record larger than the cache is not kept")
	assert.Empty(t, n.records)
}

func TestTheNearCacheIsEmptyAgainWhenEverythingIsForgotten(t *testing.T) {
	n := newNearCache("scs:session:", 1<<20, time.Hour)
	token := storetest.Token()
	n.read(token, 100)
	n.read(storetest.Token(), 100)
	n.forget(token)
	assert.False(t, n.holds(token))
	n.invalidate(nil)
	assert.Zero(t, n.bytes)
	assert.Empty(t, n.records)
	assert.Zero(t, n.recent.Len())
	assert.Empty(t, n.readings)
}

func TestAReadThatAChangeHasOvertakenIsNotKept(t *testing.T) {
	for name, change := range map[string]func(n *nearCache, token string){
		"a change of the record": func(n *nearCache, token string) { n.forget(token) },
		"a lost connection":      func(n *nearCache, _ string) { n.invalidate(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNearCache("scs:session:", 1<<20, time.Hour)
			token := storetest.Token()
			early, joined := n.begin(token), n.begin(token)
			change(n, token)
			late := n.begin(token)

			n.keep(early, []byte("old"), time.Hour, time.Now())
			assert.False(t, n.holds(token))
			n.keep(late, []byte("new"), time.Hour, time.Now())
			assert.True(t, n.holds(token))
			n.keep(joined, []byte("old"), time.Hour, time.Now())
			b, _, _ := n.get(token, time.Now())
			assert.Equal(t, "new", string(b))
			assert.Empty(t, n.readings)
		})
	}
}

func TestTheEndOfALifeIsNotTakenForALifeWithoutEnd(t *testing.T) {
	for ms, want := range map[int64]struct {
		ttl   time.Duration
		alive bool
	}{
		-2: {-2 * time.Millisecond, false}, // no such key
		-1: {0, true},                      // no expiry
		0:  {0, false},
		1:  {time.Millisecond, true},
	} {
		ttl, alive := keyspace.Life(ms)
		assert.Equal(t, want.ttl, ttl, "%d", ms)
		assert.Equal(t, want.alive, alive, "%d", ms)
	}
}
