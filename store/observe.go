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
// The store is adapted first: see [Adapt].
func Observe(inner scs.Store, told func(ctx context.Context, c Call)) Whole {
	return &observed{Whole: Adapt(inner), told: told}
}

// observed is a whole store whose calls are told.
type observed struct {
	Whole
	told func(context.Context, Call)
}

// since tells of a call that began then. It is deferred, with its results
// behind pointers.
func since(ctx context.Context, told func(context.Context, Call), op string, began time.Time, err *error) {
	told(ctx, Call{Op: op, Duration: time.Since(began), Err: *err})
}

func (s *observed) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	defer since(ctx, s.told, "find session", time.Now(), &err)
	return s.Whole.FindCtx(ctx, token)
}

func (s *observed) FindTTLCtx(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error) {
	defer since(ctx, s.told, "find session", time.Now(), &err)
	return s.Whole.FindTTLCtx(ctx, token)
}

func (s *observed) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) (err error) {
	defer since(ctx, s.told, "commit session", time.Now(), &err)
	return s.Whole.CommitCtx(ctx, token, b, expiry)
}

func (s *observed) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (found bool, err error) {
	defer since(ctx, s.told, "update session", time.Now(), &err)
	return s.Whole.UpdateCtx(ctx, token, b, expiry)
}

func (s *observed) TouchCtx(ctx context.Context, token string, expiry time.Time) (found bool, err error) {
	defer since(ctx, s.told, "touch session", time.Now(), &err)
	return s.Whole.TouchCtx(ctx, token, expiry)
}

func (s *observed) DeleteCtx(ctx context.Context, token string) (err error) {
	defer since(ctx, s.told, "delete session", time.Now(), &err)
	return s.Whole.DeleteCtx(ctx, token)
}

func (s *observed) DeleteAndReportCtx(ctx context.Context, token string) (found bool, err error) {
	defer since(ctx, s.told, "delete session", time.Now(), &err)
	return s.Whole.DeleteAndReportCtx(ctx, token)
}

func (s *observed) DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	defer since(ctx, s.told, "delete sessions", time.Now(), &err)
	return s.Whole.DeleteAndReportAllCtx(ctx, tokens)
}

func (s *observed) AllCtx(ctx context.Context) (all map[string][]byte, err error) {
	defer since(ctx, s.told, "list sessions", time.Now(), &err)
	return s.Whole.AllCtx(ctx)
}

func (s *observed) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (won bool, err error) {
	defer since(ctx, s.told, "claim mark", time.Now(), &err)
	return s.Whole.PutMarkNX(ctx, key, value, ttl)
}

func (s *observed) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) (err error) {
	defer since(ctx, s.told, "put mark", time.Now(), &err)
	return s.Whole.PutMark(ctx, key, value, ttl)
}

func (s *observed) Mark(ctx context.Context, key string) (value []byte, found bool, err error) {
	defer since(ctx, s.told, "read mark", time.Now(), &err)
	return s.Whole.Mark(ctx, key)
}

func (s *observed) DeleteMark(ctx context.Context, key string) (err error) {
	defer since(ctx, s.told, "delete mark", time.Now(), &err)
	return s.Whole.DeleteMark(ctx, key)
}

func (s *observed) AddSession(ctx context.Context, user, token string, expiry time.Time) (err error) {
	defer since(ctx, s.told, "add to index", time.Now(), &err)
	return s.Whole.AddSession(ctx, user, token, expiry)
}

func (s *observed) SessionsOf(ctx context.Context, user string) (tokens []string, err error) {
	defer since(ctx, s.told, "read index", time.Now(), &err)
	return s.Whole.SessionsOf(ctx, user)
}

func (s *observed) RemoveSession(ctx context.Context, user string, tokens ...string) (err error) {
	defer since(ctx, s.told, "remove from index", time.Now(), &err)
	return s.Whole.RemoveSession(ctx, user, tokens...)
}

func (s *observed) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s *observed) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s *observed) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

func (s *observed) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }
