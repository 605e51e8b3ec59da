package wechatauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/store"
)

// guard stands between scs and the session store. scs writes whole records
// without asking what became of them since they were read; the guard knows
// which record a request has read, and lets it be overwritten only while it
// is still there.
type guard struct {
	inner scs.Store
	idle  time.Duration
	now   func() time.Time

	found   recent // tokens of records that were read without a track
	touched recent // tokens whose records were touched
}

// foundLife is how long a request may be under way that scs has loaded the
// session for, and still not bring it back.
const foundLife = time.Hour

func newGuard(inner scs.Store, idle time.Duration, now func() time.Time) *guard {
	return &guard{inner: inner, idle: idle, now: now, found: recent{life: foundLife}, touched: recent{life: idle / touchesPerTimeout}}
}

// touchesPerTimeout is how often a session in use is touched in its idle timeout.
const touchesPerTimeout = 20

// errSessionGone: the session ended while a request that had loaded it ran.
var errSessionGone = errors.New("session ended during the request")

// tokenLength is that of scs's tokens: 32 bytes in unpadded base64url.
const tokenLength = 43

// validToken keeps what cannot be a token away from the store.
func validToken(s string) bool {
	if len(s) != tokenLength {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// hashedToken is the key under which scs keeps a session with
// HashTokenInStore.
func hashedToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// track is what one request has read. It travels in the context, from the
// load to the commit.
type track struct {
	token       string
	bytes       []byte
	decoding    bool // scs is to have these bytes, and not to ask the store again
	touchDue    bool
	ended       bool        // that record was gone when this request was to delete it
	holdDeletes bool        // keep deletions until the new record is saved
	held        []string    // tokens whose records are to be deleted then
	with        store.Batch // goes with the next write of a login, in one call
}

// take returns the writes that are to go with the next one, which the caller
// does.
func (t *track) take() store.Batch {
	with := t.with
	t.with = store.Batch{}
	return with
}

// trackOf returns the track of the request, which has the guard as its key: gates
// with managers of their own may stand around each other. Where nobody keeps
// one, as in the manager's LoadAndSave around the gate, it is a blank one.
func (g *guard) trackOf(ctx context.Context) (t *track, kept bool) {
	if t, ok := ctx.Value(g).(*track); ok {
		return t, true
	}
	return &track{}, false
}

// read reads the record of a request's session, and notes it in the track.
func (g *guard) read(ctx context.Context, token string, t *track) (found bool, err error) {
	if !validToken(token) {
		return false, nil
	}
	b, ttl, found, err := g.find(ctx, token)
	if err != nil || !found {
		return false, err
	}
	t.token, t.bytes = token, b
	t.touchDue = g.idle > 0 && (ttl < 0 || ttl < g.idle-g.idle/touchesPerTimeout)
	return true, nil
}

// FindCtx implements scs.CtxStore. A session that is being decoded was read
// before.
func (g *guard) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if !validToken(token) {
		return nil, false, nil
	}
	t, kept := g.trackOf(ctx)
	if t.decoding && t.token == token {
		return t.bytes, true, nil
	}
	b, _, found, err := g.find(ctx, token)
	if found && err == nil && !kept {
		g.found.note(token, g.now())
	}
	return b, found && err == nil, err
}

// find reads the record, and with an idle timeout what is left of its life;
// -1 where the store does not tell.
func (g *guard) find(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error) {
	if f, ok := g.inner.(store.TTLFinder); ok && g.idle > 0 {
		return f.FindTTLCtx(ctx, token)
	}
	if cs, ok := g.inner.(scs.CtxStore); ok {
		b, found, err = cs.FindCtx(ctx, token)
		return b, -1, found, err
	}
	b, found, err = g.inner.Find(token)
	return b, -1, found, err
}

// CommitCtx implements scs.CtxStore. A record that this request has loaded is
// overwritten only if it still exists, and goes on under a new token only if it
// did when that was drawn. Where nobody keeps a track, whatever was found lately
// counts as loaded.
func (g *guard) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	expiry = g.clamp(expiry)
	t, kept := g.trackOf(ctx)
	if loaded := t.token == token || !kept && g.found.has(token, g.now()); !loaded {
		if t.ended {
			return errSessionGone
		}
		if all, ok := g.inner.(store.Batcher); ok && t.with.Len() > 0 {
			together := t.with
			together.Commit(token, b, expiry)
			return all.DoBatch(ctx, together)
		}
		return g.commit(ctx, token, b, expiry)
	}
	found, err := g.update(ctx, token, b, expiry)
	if err == nil && !found {
		return errSessionGone
	}
	return err
}

func (g *guard) commit(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if cs, ok := g.inner.(scs.CtxStore); ok {
		return cs.CommitCtx(ctx, token, b, expiry)
	}
	return g.inner.Commit(token, b, expiry)
}

// update overwrites an existing record; with a store that cannot do that in
// one step, in two.
func (g *guard) update(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if u, ok := g.inner.(store.Updater); ok {
		return u.UpdateCtx(ctx, token, b, expiry)
	}
	if _, _, found, err := g.find(ctx, token); err != nil || !found {
		return false, err
	}
	return true, g.commit(ctx, token, b, expiry)
}

// touch moves the record's expiry to the idle timeout from now, at the latest
// to deadline. Of requests at the same time one does it.
func (g *guard) touch(ctx context.Context, token string, deadline time.Time) error {
	if !g.touched.note(token, g.now()) {
		return nil
	}
	err := g.move(ctx, token, g.clamp(deadline))
	if err != nil {
		g.touched.forget(token)
	}
	return err
}

// move gives a record another expiry. A store that cannot is given the record
// it had.
func (g *guard) move(ctx context.Context, token string, expiry time.Time) error {
	if toucher, ok := g.inner.(store.Toucher); ok {
		_, err := toucher.TouchCtx(ctx, token, expiry)
		return err
	}
	t, _ := g.trackOf(ctx)
	b := t.bytes
	if b == nil { // scs has read it
		var found bool
		var err error
		if b, _, found, err = g.find(ctx, token); err != nil || !found {
			return err
		}
	}
	_, err := g.update(ctx, token, b, expiry)
	return err
}

func (g *guard) clamp(expiry time.Time) time.Time {
	if g.idle == 0 {
		return expiry
	}
	if idle := g.now().Add(g.idle); idle.Before(expiry) {
		return idle
	}
	return expiry
}

// DeleteCtx implements scs.CtxStore. A session that was never stored has no
// token and needs no call.
func (g *guard) DeleteCtx(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	t, _ := g.trackOf(ctx)
	if t.holdDeletes {
		t.held = append(t.held, token)
		return nil
	}
	found, err := g.DropCtx(ctx, token)
	if err == nil && t.token == token {
		t.ended = !found
	}
	return err
}

// releaseDeletes returns the tokens whose deletion was held back, and holds
// none back any more.
func (g *guard) releaseDeletes(ctx context.Context) (held []string) {
	t, _ := g.trackOf(ctx)
	held, t.held, t.holdDeletes = t.held, nil, false
	return held
}

// DropCtx implements store.Dropper; with a store that cannot do that in one
// step, in two.
func (g *guard) DropCtx(ctx context.Context, token string) (bool, error) {
	if d, ok := g.inner.(store.Dropper); ok {
		return d.DropCtx(ctx, token)
	}
	_, _, found, err := g.find(ctx, token)
	if err != nil {
		return false, err
	}
	if cs, ok := g.inner.(scs.CtxStore); ok {
		return found, cs.DeleteCtx(ctx, token)
	}
	return found, g.inner.Delete(token)
}

// Find implements scs.Store.
func (g *guard) Find(token string) ([]byte, bool, error) {
	return g.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (g *guard) Commit(token string, b []byte, expiry time.Time) error {
	return g.CommitCtx(context.Background(), token, b, expiry)
}

// Delete implements scs.Store.
func (g *guard) Delete(token string) error {
	return g.DeleteCtx(context.Background(), token)
}

// AllCtx implements scs.IterableCtxStore, where the store below does.
func (g *guard) AllCtx(ctx context.Context) (map[string][]byte, error) {
	switch s := g.inner.(type) {
	case scs.IterableCtxStore:
		return s.AllCtx(ctx)
	case scs.IterableStore:
		return s.All()
	}
	return nil, errors.New("wechatauth: this session store cannot be iterated")
}
