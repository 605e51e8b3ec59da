package store

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/config"
	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// Memory keeps sessions in the memory of this process. Use it for a single
// instance, for local development and for tests: sessions end with the process,
// and other instances do not see them. It needs no goroutine: an expired entry
// is not found, and later writes remove a few expired entries each. A Memory is
// safe for concurrent use by multiple goroutines and shares no memory with its
// callers.
type Memory struct {
	now func() time.Time

	mu       sync.RWMutex
	sessions expiring[[]byte]
	marks    expiring[[]byte]
	users    expiring[map[string]time.Time] // token → expiry
}

var _ Sessions = (*Memory)(nil)

// NewMemory returns an empty store. Of the options, only [WithClock] has an
// effect.
func NewMemory(opts ...Option) *Memory {
	return &Memory{now: config.Resolve(opts).Now}
}

// FindCtx implements scs.CtxStore.
func (m *Memory) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	b, _, found, err := m.FindTTLCtx(ctx, token)
	return b, found, err
}

// FindTTLCtx implements [TTLFinder].
func (m *Memory) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	if !keyspace.ValidToken(token) {
		return nil, 0, false, nil
	}
	return m.read(ctx, "find session", &m.sessions, token)
}

// read returns a copy of a value, and its remaining lifetime.
func (m *Memory) read(ctx context.Context, op string, from *expiring[[]byte], key string) (b []byte, ttl time.Duration, found bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, false, newError(op, err)
	}
	now := m.now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	e, found := from.get(key, now)
	if !found {
		return nil, 0, false, nil
	}
	return bytes.Clone(e.value), e.expiry.Sub(now), true, nil
}

// CommitCtx implements scs.CtxStore.
func (m *Memory) CommitCtx(_ context.Context, token string, b []byte, expiry time.Time) error {
	if err := writable("commit session", token, b); err != nil {
		return err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions.set(token, copied(b), expiry, now)
	return nil
}

// UpdateCtx implements [Updater].
func (m *Memory) UpdateCtx(_ context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if !keyspace.ValidToken(token) {
		return false, nil
	}
	if err := writable("update session", token, b); err != nil {
		return false, err
	}
	return m.change(token, func(*entry[[]byte]) []byte { return copied(b) }, expiry), nil
}

// TouchCtx implements [Toucher].
func (m *Memory) TouchCtx(_ context.Context, token string, expiry time.Time) (bool, error) {
	return m.change(token, func(e *entry[[]byte]) []byte { return e.value }, expiry), nil
}

// change rewrites the session if it has not expired, and reports whether it is
// still valid afterwards.
func (m *Memory) change(token string, value func(*entry[[]byte]) []byte, expiry time.Time) bool {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.sessions.get(token, now)
	if !found {
		return false
	}
	m.sessions.set(token, value(e), expiry, now)
	return expiry.After(now)
}

// DeleteCtx implements scs.CtxStore.
func (m *Memory) DeleteCtx(ctx context.Context, token string) error {
	_, err := m.DeleteAndReportCtx(ctx, token)
	return err
}

// DeleteAndReportCtx implements [DeleteReporter].
func (m *Memory) DeleteAndReportCtx(_ context.Context, token string) (bool, error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	_, found := m.sessions.get(token, now)
	m.sessions.remove(token)
	return found, nil
}

// DeleteAndReportAllCtx implements [DeleteReporter].
func (m *Memory) DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, newError("delete sessions", err)
	}
	for _, token := range tokens {
		if found, _ := m.DeleteAndReportCtx(ctx, token); found {
			dropped = append(dropped, token)
		}
	}
	return dropped, nil
}

// AllCtx implements scs.IterableCtxStore.
func (m *Memory) AllCtx(ctx context.Context) (map[string][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, newError("list sessions", err)
	}
	now := m.now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make(map[string][]byte, len(m.sessions.entries))
	for token, e := range m.sessions.entries {
		if e.expiry.After(now) {
			all[token] = bytes.Clone(e.value)
		}
	}
	return all, nil
}

// Find is FindCtx without a context.
func (m *Memory) Find(token string) ([]byte, bool, error) {
	return m.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (m *Memory) Commit(token string, b []byte, expiry time.Time) error {
	return m.CommitCtx(context.Background(), token, b, expiry)
}

// Delete is DeleteCtx without a context.
func (m *Memory) Delete(token string) error { return m.DeleteCtx(context.Background(), token) }

// All is AllCtx without a context.
func (m *Memory) All() (map[string][]byte, error) { return m.AllCtx(context.Background()) }

// PutMarkNX implements [Marks].
func (m *Memory) PutMarkNX(_ context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := lasting("claim mark", ttl); err != nil {
		return false, err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, found := m.marks.get(key, now); found {
		return bytes.Equal(e.value, value), nil
	}
	m.marks.set(key, copied(value), now.Add(ttl), now)
	return true, nil
}

// PutMark implements [Marks].
func (m *Memory) PutMark(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := lasting("put mark", ttl); err != nil {
		return err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks.set(key, copied(value), now.Add(ttl), now)
	return nil
}

// Mark implements [Marks].
func (m *Memory) Mark(ctx context.Context, key string) ([]byte, bool, error) {
	b, _, found, err := m.read(ctx, "read mark", &m.marks, key)
	return b, found, err
}

// DeleteMark implements [Marks].
func (m *Memory) DeleteMark(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks.remove(key)
	return nil
}

// AddSession implements [Index].
func (m *Memory) AddSession(_ context.Context, user, token string, expiry time.Time) error {
	if !keyspace.ValidToken(token) {
		return &Error{Op: "add session to index", Class: ClassConfiguration, Err: errMalformedToken}
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	tokens := map[string]time.Time{}
	if e, found := m.users.get(user, now); found {
		tokens = e.value
	}
	tokens[token] = expiry
	m.setTokens(user, tokens, now)
	return nil
}

// SessionsOf implements [Index].
func (m *Memory) SessionsOf(ctx context.Context, user string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, newError("read index of sessions", err)
	}
	now := m.now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	tokens := []string{}
	if e, found := m.users.get(user, now); found {
		for token := range e.value {
			tokens = append(tokens, token)
		}
	}
	return tokens, nil
}

// RemoveSession implements [Index].
func (m *Memory) RemoveSession(_ context.Context, user string, tokens ...string) error {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, found := m.users.get(user, now); found {
		for _, token := range tokens {
			delete(e.value, token)
		}
		m.setTokens(user, e.value, now)
	}
	return nil
}

// setTokens writes the index of a user without the sessions that have ended.
// The index expires with the last of the others.
func (m *Memory) setTokens(user string, tokens map[string]time.Time, now time.Time) {
	var last time.Time
	for token, expiry := range tokens {
		if !expiry.After(now) {
			delete(tokens, token)
		} else if expiry.After(last) {
			last = expiry
		}
	}
	m.users.set(user, tokens, last, now)
}

// copied returns a copy of b. Unlike bytes.Clone, it returns a non-nil slice
// for a nil record, which remains a record, as in Redis.
func copied(b []byte) []byte { return append([]byte{}, b...) }
