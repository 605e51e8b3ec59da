package store

import (
	"context"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Call describes one call of a store, for [Observe]. It contains no key, token
// or value.
type Call struct {
	// Op is the operation: "find session", "commit session", "update
	// session", "touch session", "delete session", "delete sessions", "list
	// sessions", "claim mark", "put mark", "read mark", "delete mark", "add
	// to index", "read index" or "remove from index".
	Op string
	// Duration is the time the call took, including retries. Each of the
	// writes that are sent together ([Batcher]) has the duration of all of
	// them.
	Duration time.Duration
	// Err is the error, or nil if the call succeeded. [ClassOf] returns its
	// class.
	Err error
}

// Observe returns a store that calls f after each call, in the goroutine of
// that call and with its context. f must be fast and safe for concurrent use.
//
// The store is adapted first; see [Adapt].
func Observe(inner scs.Store, f func(ctx context.Context, c Call)) Whole {
	return &observed{Whole: Adapt(inner), f: f}
}

// An observed store reports its calls to f.
type observed struct {
	Whole
	f func(context.Context, Call)
}

// since reports a call that started at began. It is deferred; err therefore
// points to the result.
func since(ctx context.Context, f func(context.Context, Call), op string, began time.Time, err *error) {
	f(ctx, Call{Op: op, Duration: time.Since(began), Err: *err})
}

func (s *observed) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	defer since(ctx, s.f, "find session", time.Now(), &err)
	return s.Whole.FindCtx(ctx, token)
}

func (s *observed) FindTTLCtx(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error) {
	defer since(ctx, s.f, "find session", time.Now(), &err)
	return s.Whole.FindTTLCtx(ctx, token)
}

func (s *observed) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) (err error) {
	defer since(ctx, s.f, "commit session", time.Now(), &err)
	return s.Whole.CommitCtx(ctx, token, b, expiry)
}

func (s *observed) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (found bool, err error) {
	defer since(ctx, s.f, "update session", time.Now(), &err)
	return s.Whole.UpdateCtx(ctx, token, b, expiry)
}

func (s *observed) TouchCtx(ctx context.Context, token string, expiry time.Time) (found bool, err error) {
	defer since(ctx, s.f, "touch session", time.Now(), &err)
	return s.Whole.TouchCtx(ctx, token, expiry)
}

func (s *observed) DeleteCtx(ctx context.Context, token string) (err error) {
	defer since(ctx, s.f, "delete session", time.Now(), &err)
	return s.Whole.DeleteCtx(ctx, token)
}

func (s *observed) DeleteAndReportCtx(ctx context.Context, token string) (found bool, err error) {
	defer since(ctx, s.f, "delete session", time.Now(), &err)
	return s.Whole.DeleteAndReportCtx(ctx, token)
}

func (s *observed) DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	defer since(ctx, s.f, "delete sessions", time.Now(), &err)
	return s.Whole.DeleteAndReportAllCtx(ctx, tokens)
}

func (s *observed) AllCtx(ctx context.Context) (all map[string][]byte, err error) {
	defer since(ctx, s.f, "list sessions", time.Now(), &err)
	return s.Whole.AllCtx(ctx)
}

func (s *observed) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (won bool, err error) {
	defer since(ctx, s.f, "claim mark", time.Now(), &err)
	return s.Whole.PutMarkNX(ctx, key, value, ttl)
}

func (s *observed) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) (err error) {
	defer since(ctx, s.f, "put mark", time.Now(), &err)
	return s.Whole.PutMark(ctx, key, value, ttl)
}

func (s *observed) Mark(ctx context.Context, key string) (value []byte, found bool, err error) {
	defer since(ctx, s.f, "read mark", time.Now(), &err)
	return s.Whole.Mark(ctx, key)
}

func (s *observed) DeleteMark(ctx context.Context, key string) (err error) {
	defer since(ctx, s.f, "delete mark", time.Now(), &err)
	return s.Whole.DeleteMark(ctx, key)
}

func (s *observed) AddSession(ctx context.Context, user, token string, expiry time.Time) (err error) {
	defer since(ctx, s.f, "add to index", time.Now(), &err)
	return s.Whole.AddSession(ctx, user, token, expiry)
}

func (s *observed) SessionsOf(ctx context.Context, user string) (tokens []string, err error) {
	defer since(ctx, s.f, "read index", time.Now(), &err)
	return s.Whole.SessionsOf(ctx, user)
}

func (s *observed) RemoveSession(ctx context.Context, user string, tokens ...string) (err error) {
	defer since(ctx, s.f, "remove from index", time.Now(), &err)
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
