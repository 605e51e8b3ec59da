package store

import (
	"context"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Call is one call of a store, as [Observe] tells of it. It holds no key, token
// or value.
type Call struct {
	// Op is what was done: "find session", "commit session", "update session",
	// "touch session", "delete session", "delete sessions", "list sessions", "claim mark",
	// "put mark", "read mark", "delete mark", "add to index", "read index" or
	// "remove from index".
	Op string
	// Duration is how long it took, repetitions included. Writes that go
	// together ([Batcher]) have that of all of them.
	Duration time.Duration
	// Err is what went wrong; nil where nothing did. [ClassOf] sorts it.
	Err error
}

// Observe wraps a store so that told learns of each call, after it, in the
// goroutine that made it: told must be quick and safe for concurrent use. ctx
// is that of the call.
//
// The wrapped store does what the store does. A store that implements
// [Sessions], and one that implements none of the interfaces of this package
// beside those of scs, is wrapped; one in between is returned as it is, because
// a wrapper would hide or invent what it can do.
func Observe(inner scs.Store, told func(ctx context.Context, c Call)) scs.Store {
	if whole, ok := inner.(Sessions); ok {
		return &observed{Sessions: whole, told: told}
	}
	plain := observedPlain{inner: inner, told: told}
	switch inner.(type) {
	case Updater, Toucher, Dropper, TTLFinder, Marks, Index:
		return inner
	case scs.IterableStore, scs.IterableCtxStore:
		return &observedIterable{plain}
	}
	return &plain
}

// observed is a whole store whose calls are told.
type observed struct {
	Sessions
	told func(context.Context, Call)
}

// since tells of a call that began then. It is deferred, with its results
// behind pointers.
func since(ctx context.Context, told func(context.Context, Call), op string, began time.Time, err *error) {
	told(ctx, Call{Op: op, Duration: time.Since(began), Err: *err})
}

func (s *observed) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	defer since(ctx, s.told, "find session", time.Now(), &err)
	return s.Sessions.FindCtx(ctx, token)
}

func (s *observed) FindTTLCtx(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error) {
	defer since(ctx, s.told, "find session", time.Now(), &err)
	return s.Sessions.FindTTLCtx(ctx, token)
}

func (s *observed) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) (err error) {
	defer since(ctx, s.told, "commit session", time.Now(), &err)
	return s.Sessions.CommitCtx(ctx, token, b, expiry)
}

func (s *observed) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (found bool, err error) {
	defer since(ctx, s.told, "update session", time.Now(), &err)
	return s.Sessions.UpdateCtx(ctx, token, b, expiry)
}

func (s *observed) TouchCtx(ctx context.Context, token string, expiry time.Time) (found bool, err error) {
	defer since(ctx, s.told, "touch session", time.Now(), &err)
	return s.Sessions.TouchCtx(ctx, token, expiry)
}

func (s *observed) DeleteCtx(ctx context.Context, token string) (err error) {
	defer since(ctx, s.told, "delete session", time.Now(), &err)
	return s.Sessions.DeleteCtx(ctx, token)
}

func (s *observed) DropCtx(ctx context.Context, token string) (found bool, err error) {
	defer since(ctx, s.told, "delete session", time.Now(), &err)
	return s.Sessions.DropCtx(ctx, token)
}

func (s *observed) DropAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	defer since(ctx, s.told, "delete sessions", time.Now(), &err)
	return s.Sessions.DropAllCtx(ctx, tokens)
}

func (s *observed) AllCtx(ctx context.Context) (all map[string][]byte, err error) {
	defer since(ctx, s.told, "list sessions", time.Now(), &err)
	return s.Sessions.AllCtx(ctx)
}

func (s *observed) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (won bool, err error) {
	defer since(ctx, s.told, "claim mark", time.Now(), &err)
	return s.Sessions.PutMarkNX(ctx, key, value, ttl)
}

func (s *observed) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) (err error) {
	defer since(ctx, s.told, "put mark", time.Now(), &err)
	return s.Sessions.PutMark(ctx, key, value, ttl)
}

func (s *observed) Mark(ctx context.Context, key string) (value []byte, found bool, err error) {
	defer since(ctx, s.told, "read mark", time.Now(), &err)
	return s.Sessions.Mark(ctx, key)
}

func (s *observed) DeleteMark(ctx context.Context, key string) (err error) {
	defer since(ctx, s.told, "delete mark", time.Now(), &err)
	return s.Sessions.DeleteMark(ctx, key)
}

func (s *observed) AddSession(ctx context.Context, user, token string, expiry time.Time) (err error) {
	defer since(ctx, s.told, "add to index", time.Now(), &err)
	return s.Sessions.AddSession(ctx, user, token, expiry)
}

func (s *observed) SessionsOf(ctx context.Context, user string) (tokens []string, err error) {
	defer since(ctx, s.told, "read index", time.Now(), &err)
	return s.Sessions.SessionsOf(ctx, user)
}

func (s *observed) RemoveSession(ctx context.Context, user string, tokens ...string) (err error) {
	defer since(ctx, s.told, "remove from index", time.Now(), &err)
	return s.Sessions.RemoveSession(ctx, user, tokens...)
}

func (s *observed) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s *observed) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s *observed) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

func (s *observed) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }

// Check implements [Checker], where the store below does.
func (s *observed) Check(ctx context.Context) error {
	if c, ok := s.Sessions.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// observedPlain is a store that knows what scs asks for, and no more.
type observedPlain struct {
	inner scs.Store
	told  func(context.Context, Call)
}

func (s *observedPlain) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	defer since(ctx, s.told, "find session", time.Now(), &err)
	if cs, ok := s.inner.(scs.CtxStore); ok {
		return cs.FindCtx(ctx, token)
	}
	return s.inner.Find(token)
}

func (s *observedPlain) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) (err error) {
	defer since(ctx, s.told, "commit session", time.Now(), &err)
	if cs, ok := s.inner.(scs.CtxStore); ok {
		return cs.CommitCtx(ctx, token, b, expiry)
	}
	return s.inner.Commit(token, b, expiry)
}

func (s *observedPlain) DeleteCtx(ctx context.Context, token string) (err error) {
	defer since(ctx, s.told, "delete session", time.Now(), &err)
	if cs, ok := s.inner.(scs.CtxStore); ok {
		return cs.DeleteCtx(ctx, token)
	}
	return s.inner.Delete(token)
}

func (s *observedPlain) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s *observedPlain) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s *observedPlain) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// observedIterable is one that can list its sessions too.
type observedIterable struct{ observedPlain }

func (s *observedIterable) AllCtx(ctx context.Context) (all map[string][]byte, err error) {
	defer since(ctx, s.told, "list sessions", time.Now(), &err)
	if cs, ok := s.inner.(scs.IterableCtxStore); ok {
		return cs.AllCtx(ctx)
	}
	return s.inner.(scs.IterableStore).All()
}

func (s *observedIterable) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }
