package store

import "time"

// purgePerWrite is the number of entries that a write examines to remove those
// that have expired. It is more than one, so that expired entries do not
// accumulate however fast new ones are added, and small, so that no write has to
// clean up after an idle hour.
const purgePerWrite = 8

// expiring is a map whose entries expire. Reads may run concurrently, but not
// with a write.
type expiring[V any] struct {
	entries map[string]*entry[V]
	ring    []*entry[V] // all entries, which writes examine in turn
	next    int         // the one that is examined next
}

type entry[V any] struct {
	key    string
	value  V
	expiry time.Time
	place  int // in the ring
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
		return
	}
	if m.entries == nil {
		m.entries = map[string]*entry[V]{}
	}
	e := &entry[V]{key, value, expiry, len(m.ring)}
	m.entries[key], m.ring = e, append(m.ring, e)
}

// remove removes the entry. The last one of the ring takes its place.
func (m *expiring[V]) remove(key string) {
	e, ok := m.entries[key]
	if !ok {
		return
	}
	last := len(m.ring) - 1
	m.ring[e.place], m.ring[last].place = m.ring[last], e.place
	m.ring[last], m.ring = nil, m.ring[:last]
	delete(m.entries, key)
}

func (m *expiring[V]) purge(now time.Time) {
	for range min(purgePerWrite, len(m.ring)) {
		m.next %= len(m.ring)
		if e := m.ring[m.next]; e.expiry.After(now) {
			m.next++
		} else {
			m.remove(e.key)
		}
	}
}
