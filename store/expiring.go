package store

import (
	"container/heap"
	"time"
)

// purgePerWrite is the maximum number of expired entries that a write removes.
// It is more than one, so that expired entries decrease however fast new ones
// are added, and small, so that no write has to clean up after an idle hour.
const purgePerWrite = 8

// expiring is a map whose entries expire. Reads may run concurrently, but not
// with a write.
type expiring[V any] struct {
	entries map[string]*entry[V]
	queue   queue[V]
}

type entry[V any] struct {
	key    string
	value  V
	expiry time.Time
	place  int // in the queue
}

// get returns the entry if it has not expired. It writes nothing, so that
// readers can run concurrently.
func (m *expiring[V]) get(key string, now time.Time) (*entry[V], bool) {
	e, ok := m.entries[key]
	if !ok || !e.expiry.After(now) {
		return nil, false
	}
	return e, true
}

// set writes the entry. If its expiry has been reached, the entry is removed.
func (m *expiring[V]) set(key string, value V, expiry, now time.Time) {
	m.purge(now)
	if !expiry.After(now) {
		m.remove(key)
		return
	}
	if e, ok := m.entries[key]; ok {
		e.value, e.expiry = value, expiry
		heap.Fix(&m.queue, e.place)
		return
	}
	if m.entries == nil {
		m.entries = map[string]*entry[V]{}
	}
	e := &entry[V]{key: key, value: value, expiry: expiry}
	m.entries[key] = e
	heap.Push(&m.queue, e)
}

func (m *expiring[V]) remove(key string) {
	if e, ok := m.entries[key]; ok {
		heap.Remove(&m.queue, e.place)
		delete(m.entries, key)
	}
}

func (m *expiring[V]) purge(now time.Time) {
	for range purgePerWrite {
		if len(m.queue) == 0 || m.queue[0].expiry.After(now) {
			return
		}
		m.remove(m.queue[0].key)
	}
}

// queue is a heap of entries, with the first to expire on top.
type queue[V any] []*entry[V]

func (q queue[V]) Len() int           { return len(q) }
func (q queue[V]) Less(i, j int) bool { return q[i].expiry.Before(q[j].expiry) }
func (q queue[V]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue[V]) Push(x any) {
	e := x.(*entry[V])
	e.place = len(*q)
	*q = append(*q, e)
}

func (q *queue[V]) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
