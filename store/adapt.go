package store

import (
	"context"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"
)

// ErrNoIndex is returned by SessionsOf of a store that [Adapt] has adapted and
// that does not implement [Index], so it does not record the sessions of a
// user.
var ErrNoIndex = errors.New("wechatauth: this session store has no index of users (store.Index); use a store of package store")

// Whole combines all interfaces of this package. [Adapt] returns one for any
// store.
type Whole interface {
	Sessions
	Batcher
	Checker
}

// Adapt returns any scs store as a [Whole] store. A store that already is one
// is returned unchanged. Missing operations are performed in several steps,
// which are not atomic: an update, a touch and DeleteAndReportCtx read the
// record first; a batch makes one write after the other; and FindTTLCtx returns
// -1 for the remaining lifetime, which it does not know. Marks are kept in the
// memory of this process. Without an index, sessions are not indexed, and
// SessionsOf returns [ErrNoIndex]. Without a [Checker], Check returns nil.
func Adapt(inner scs.Store) Whole {
	if whole, ok := inner.(Whole); ok {
		return whole
	}
	a := &adapted{CtxStore: or[scs.CtxStore](inner, withoutContext{inner})}
	missing := steps{a, inner}
	a.Updater = or[Updater](inner, missing)
	a.Toucher = or[Toucher](inner, missing)
	a.DeleteReporter = or[DeleteReporter](inner, missing)
	a.TTLFinder = or[TTLFinder](inner, missing)
	a.Batcher = or[Batcher](inner, missing)
	a.Checker = or[Checker](inner, missing)
	a.IterableCtxStore = or[scs.IterableCtxStore](inner, missing)
	a.Index = or[Index](inner, noIndex{})
	a.Marks = or[Marks](inner, NewMemory())
	return a
}

// or returns the store if it implements T, and otherwise its substitute.
func or[T any](inner scs.Store, substitute T) T {
	if t, ok := inner.(T); ok {
		return t
	}
	return substitute
}

// adapted is a store with a substitute for each interface that it lacks.
type adapted struct {
	scs.CtxStore
	Updater
	Toucher
	DeleteReporter
	TTLFinder
	Batcher
	Checker
	scs.IterableCtxStore
	Marks
	Index
}

func (a *adapted) All() (map[string][]byte, error) { return a.AllCtx(context.Background()) }

// steps implements what a store lacks by its other operations.
type steps struct {
	*adapted
	inner scs.Store
}

func (s steps) FindTTLCtx(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error) {
	b, found, err = s.FindCtx(ctx, token)
	return b, -1, found, err
}

func (s steps) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (found bool, err error) {
	if _, found, err = s.FindCtx(ctx, token); err != nil || !found {
		return false, err
	}
	return true, s.CommitCtx(ctx, token, b, expiry)
}

func (s steps) TouchCtx(ctx context.Context, token string, expiry time.Time) (found bool, err error) {
	b, found, err := s.FindCtx(ctx, token)
	if err != nil || !found {
		return false, err
	}
	if _, missing := s.Updater.(steps); !missing { // it does not restore a deleted record
		return s.Updater.UpdateCtx(ctx, token, b, expiry)
	}
	return true, s.CommitCtx(ctx, token, b, expiry)
}

// DeleteAndReportCtx also deletes a value that is not a session record.
func (s steps) DeleteAndReportCtx(ctx context.Context, token string) (found bool, err error) {
	_, found, err = s.FindCtx(ctx, token)
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrDecrypt) {
		return false, err
	}
	return found, s.DeleteCtx(ctx, token)
}

func (s steps) DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	for _, token := range tokens {
		if err := ctx.Err(); err != nil {
			return dropped, err
		}
		found, err := s.DeleteAndReportCtx(ctx, token)
		if err != nil {
			return dropped, err
		}
		if found {
			dropped = append(dropped, token)
		}
	}
	return dropped, nil
}

func (s steps) AllCtx(context.Context) (map[string][]byte, error) {
	if i, ok := s.inner.(scs.IterableStore); ok {
		return i.All()
	}
	return nil, errors.New("wechatauth: this session store cannot be iterated")
}

func (s steps) DoBatch(ctx context.Context, b Batch) (err error) { return oneByOne(ctx, s.adapted, b) }

func (steps) Check(context.Context) error { return nil }

// oneByOne performs the writes of a batch in order, each with a separate call.
// After an error it writes no more sessions, which might be missing from the
// index. The other writes are still tried: a deletion that fails must not cost
// the result of a login.
func oneByOne(ctx context.Context, s Whole, b Batch) (err error) {
	for _, w := range b.writes {
		if err != nil && w.kind == writeCommit {
			continue
		}
		err = errors.Join(err, w.do(ctx, s))
	}
	return err
}

func (w write) do(ctx context.Context, s Whole) error {
	switch w.kind {
	case writeAddSession:
		return s.AddSession(ctx, w.user, w.key, w.expiry)
	case writeCommit:
		return s.CommitCtx(ctx, w.key, w.value, w.expiry)
	case writeDelete:
		return s.DeleteCtx(ctx, w.key)
	case writePutMark:
		return s.PutMark(ctx, w.key, w.value, w.ttl)
	}
	return s.RemoveSession(ctx, w.user, w.key) // writeRemoveSession
}

// withoutContext adapts a store whose methods have no context.
type withoutContext struct{ scs.Store }

func (s withoutContext) FindCtx(_ context.Context, token string) ([]byte, bool, error) {
	return s.Find(token)
}

func (s withoutContext) CommitCtx(_ context.Context, token string, b []byte, expiry time.Time) error {
	return s.Commit(token, b, expiry)
}

func (s withoutContext) DeleteCtx(_ context.Context, token string) error { return s.Delete(token) }

// noIndex is an index without sessions.
type noIndex struct{}

func (noIndex) AddSession(context.Context, string, string, time.Time) error { return nil }

func (noIndex) SessionsOf(context.Context, string) ([]string, error) { return nil, ErrNoIndex }

func (noIndex) RemoveSession(context.Context, string, ...string) error { return nil }
