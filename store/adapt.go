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
	a := &adapted{inner: inner}
	var ok bool
	if a.CtxStore, ok = inner.(scs.CtxStore); !ok {
		a.CtxStore = withoutContext{inner}
	}
	if a.Marks, ok = inner.(Marks); !ok {
		a.Marks = NewMemory()
	}
	if a.Index, ok = inner.(Index); !ok {
		a.Index = noIndex{}
	}
	a.updater, _ = inner.(Updater)
	a.toucher, _ = inner.(Toucher)
	a.dropper, _ = inner.(DeleteReporter)
	a.ttls, _ = inner.(TTLFinder)
	a.batcher, _ = inner.(Batcher)
	return a
}

// adapted adds to a store what it lacks. The fields of missing interfaces are
// nil.
type adapted struct {
	scs.CtxStore
	Marks
	Index
	inner   scs.Store
	updater Updater
	toucher Toucher
	dropper DeleteReporter
	ttls    TTLFinder
	batcher Batcher
}

func (a *adapted) FindTTLCtx(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error) {
	if a.ttls != nil {
		return a.ttls.FindTTLCtx(ctx, token)
	}
	b, found, err = a.FindCtx(ctx, token)
	return b, -1, found, err
}

func (a *adapted) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (found bool, err error) {
	if a.updater != nil {
		return a.updater.UpdateCtx(ctx, token, b, expiry)
	}
	if _, found, err = a.FindCtx(ctx, token); err != nil || !found {
		return false, err
	}
	return true, a.CommitCtx(ctx, token, b, expiry)
}

func (a *adapted) TouchCtx(ctx context.Context, token string, expiry time.Time) (found bool, err error) {
	if a.toucher != nil {
		return a.toucher.TouchCtx(ctx, token, expiry)
	}
	b, found, err := a.FindCtx(ctx, token)
	switch {
	case err != nil || !found:
		return false, err
	case a.updater != nil: // which does not restore a deleted record
		return a.updater.UpdateCtx(ctx, token, b, expiry)
	}
	return true, a.CommitCtx(ctx, token, b, expiry)
}

// DeleteAndReportCtx also deletes a value that is not a session record.
func (a *adapted) DeleteAndReportCtx(ctx context.Context, token string) (found bool, err error) {
	if a.dropper != nil {
		return a.dropper.DeleteAndReportCtx(ctx, token)
	}
	_, found, err = a.FindCtx(ctx, token)
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrDecrypt) {
		return false, err
	}
	return found, a.DeleteCtx(ctx, token)
}

func (a *adapted) DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	if a.dropper != nil {
		return a.dropper.DeleteAndReportAllCtx(ctx, tokens)
	}
	for _, token := range tokens {
		if err := ctx.Err(); err != nil {
			return dropped, err
		}
		found, err := a.DeleteAndReportCtx(ctx, token)
		if err != nil {
			return dropped, err
		}
		if found {
			dropped = append(dropped, token)
		}
	}
	return dropped, nil
}

func (a *adapted) AllCtx(ctx context.Context) (map[string][]byte, error) {
	switch s := a.inner.(type) {
	case scs.IterableCtxStore:
		return s.AllCtx(ctx)
	case scs.IterableStore:
		return s.All()
	}
	return nil, errors.New("wechatauth: this session store cannot be iterated")
}

func (a *adapted) All() (map[string][]byte, error) { return a.AllCtx(context.Background()) }

// DoBatch implements [Batcher].
func (a *adapted) DoBatch(ctx context.Context, b Batch) (err error) {
	if a.batcher != nil {
		return a.batcher.DoBatch(ctx, b)
	}
	return oneByOne(ctx, a, b)
}

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

// Check implements [Checker].
func (a *adapted) Check(ctx context.Context) error {
	if c, ok := a.inner.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
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
