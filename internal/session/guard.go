package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/store"
)

// guardedStore sits between scs and the session store. scs writes whole records
// without checking whether they have changed since they were read; the guard
// records which record a request has read, and overwrites it only if it still
// exists.
type guardedStore struct {
	inner   store.Whole
	given   scs.Store // inner is made from it
	idle    time.Duration
	now     func() time.Time
	manager *scs.SessionManager // whose store it is
	dataKey any                 // where the manager keeps a session in a context; nil if that is not known

	touched tokenSet // tokens whose records were touched
	traces  traces   // of requests without a track
}

func newGuardedStore(given scs.Store, idle time.Duration, now func() time.Time) *guardedStore {
	return &guardedStore{inner: store.Adapt(given), given: given, idle: idle, now: now, touched: tokenSet{life: idle / touchesPerTimeout}}
}

// Unwrap returns the store that the guard wraps.
func (g *guardedStore) Unwrap() scs.Store { return g.given }

// serve installs the guard as the manager's store.
func (g *guardedStore) serve(m *scs.SessionManager) {
	g.manager, g.dataKey = m, dataKeyOf(m)
	m.Store = g
}

// guardIn returns the guard that wraps the store of an application's manager,
// and installs one unless another Auth has done so.
func guardIn(m *scs.SessionManager, now func() time.Time) *guardedStore {
	guarding.Lock()
	defer guarding.Unlock()
	g, ok := m.Store.(*guardedStore)
	if !ok {
		g = newGuardedStore(m.Store, 0, now)
		g.serve(m)
		report := m.ErrorFunc
		m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
			if report != nil && !errors.Is(err, ErrGone) { // ended: the response needs no cookie
				report(w, r, err)
			}
		}
	}
	return g
}

var guarding sync.Mutex

// touchesPerTimeout is how often a session in use is touched in its idle timeout.
const touchesPerTimeout = 20

// ErrGone means that the session ended while a request that had loaded it ran.
var ErrGone = errors.New("session ended during the request")

// scs's tokens are 32 bytes in unpadded base64url.
const (
	TokenLength   = 43
	tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// ValidToken reports whether s has the form of a token, so that no other value
// reaches the store.
func ValidToken(s string) bool {
	return len(s) == TokenLength && strings.Trim(s, tokenAlphabet) == ""
}

// HashToken is the key under which scs keeps a session with
// HashTokenInStore.
func HashToken(token string) string {
	var room [64]byte // a token needs no other memory
	sum := sha256.Sum256(append(room[:0], token...))
	base64.RawURLEncoding.Encode(room[:], sum[:])
	return string(room[:TokenLength])
}

// A requestTrack is what one request has read. The context carries it from the
// load to the commit.
type requestTrack struct {
	token    string
	bytes    []byte
	decoding bool        // scs gets these bytes instead of reading the store again
	touchDue bool        // the record's expiry is to be moved
	replaced string      // the token that a login of the same user replaced
	late     bool        // what the request writes is not saved
	login    bool        // the next commit is a login's, which sees to the old records itself
	with     store.Batch // goes with the next write of a login, in one call

	mu      sync.Mutex // a handler may outlive its response
	session any        // scs's data of the session; nil if it is not decoded, or its key not known
	ended   bool       // a record that was read was gone when its successor was written
	holds   bool       // keep deletions back until the session is saved
	held    []string   // tokens whose records are to be deleted then
	merged  []string   // tokens that MergeSession has read
}

// hold defers a deletion. It returns false if deletions are not deferred.
func (t *requestTrack) hold(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holds {
		t.held = append(t.held, token)
	}
	return t.holds
}

// holding reports whether the deletion of this token is deferred.
func (t *requestTrack) holding(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.held, token)
}

// decoded notes scs's data of the session.
func (t *requestTrack) decoded(data any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.session = data
}

// isOf reports whether data is that of the session.
func (t *requestTrack) isOf(data any) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.session == data
}

// wrote notes that the session was saved under this token: if it is saved once
// more, the record must still be there.
func (t *requestTrack) wrote(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = token
}

// merge notes that another session goes into this one.
func (t *requestTrack) merge(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.merged = append(t.merged, token)
}

func (t *requestTrack) merges() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.merged) > 0
}

// dropped notes that a record was deleted. If it had been read and was gone, the
// session has ended.
func (t *requestTrack) dropped(token string, found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = t.ended || !found && (token == t.token || slices.Contains(t.merged, token))
}

func (t *requestTrack) isOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.late || t.ended
}

// restart marks all later writes as a login's, which needs no earlier session.
func (t *requestTrack) restart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.login, t.late, t.ended, t.holds = true, false, false, true
}

// takeHeld returns and clears the tokens whose deletion is deferred.
func (t *requestTrack) takeHeld() (held []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	held, t.held = t.held, nil
	return held
}

// release stops deferring: later deletions take effect immediately. It returns
// the deferred ones.
func (t *requestTrack) release() (held []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	held, t.held, t.holds = t.held, nil, false
	return held
}

// take returns the writes to be batched with the next one, which the caller
// executes.
func (t *requestTrack) take() store.Batch {
	with := t.with
	t.with = store.Batch{}
	return with
}

// track returns the track of the request, which has the guard as its key:
// gates that have different managers may be nested. It returns false if the
// session in the context was loaded by the manager's LoadAndSave (see traces),
// or is not that of the request but one that the manager's Iterate visits.
func (g *guardedStore) track(ctx context.Context) (*requestTrack, bool) {
	t, ok := ctx.Value(g).(*requestTrack)
	return t, ok && t.isOf(g.dataIn(ctx))
}

// trackOf returns the track of the request, or an empty one if it has none.
func (g *guardedStore) trackOf(ctx context.Context) *requestTrack {
	if t, ok := ctx.Value(g).(*requestTrack); ok {
		return t
	}
	return &requestTrack{}
}

// read reads the record of a request's session, and notes it in the track.
func (g *guardedStore) read(ctx context.Context, token string, t *requestTrack) (found bool, err error) {
	if !ValidToken(token) {
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
func (g *guardedStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if !ValidToken(token) {
		return nil, false, nil
	}
	t, isTracked := g.track(ctx)
	switch {
	case !isTracked && ctx.Err() != nil:
		return nil, false, ctx.Err() // this request cannot be identified
	case !isTracked && g.isHeld(ctx, token):
		return nil, false, nil
	case !isTracked:
	case t.decoding && t.token == token:
		return t.bytes, true, nil
	case t.holding(token):
		return nil, false, nil
	}
	b, _, found, err := g.find(ctx, token)
	if unusable(err) {
		return nil, false, nil // the application's own LoadAndSave would respond with 500
	}
	switch {
	case !found || err != nil:
	case isTracked:
		t.merge(token)
	default:
		g.noteRead(ctx, token)
	}
	return b, found && err == nil, err
}

// find reads the record and, with an idle timeout, its remaining time to live,
// or -1 if the store does not report it.
func (g *guardedStore) find(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error) {
	if g.idle > 0 {
		return g.inner.FindTTLCtx(ctx, token)
	}
	b, found, err = g.inner.FindCtx(ctx, token)
	return b, -1, found, err
}

// CommitCtx implements scs.CtxStore. A record that this request has loaded is
// overwritten only if it still exists, and moves to a new token only if it has
// existed until then; the same applies to merged records.
func (g *guardedStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	expiry = g.clamp(expiry)
	t, ok := g.track(ctx)
	if !ok {
		return g.commitUntracked(ctx, token, b, expiry)
	}
	write := g.overwrite
	switch {
	case t.isOver():
		return ErrGone
	case t.token == token:
	case t.login:
		return g.commitLogin(ctx, t, token, b, expiry)
	default:
		write = g.inner.CommitCtx
	}
	if t.token != "" && t.token != token || t.merges() {
		if err := g.indexUsers(ctx, token, b); err != nil {
			return err
		}
	}
	if err := write(ctx, token, b, expiry); err != nil {
		return err
	}
	if err := g.dropHeld(ctx, t); err != nil {
		return err
	}
	if t.isOver() {
		_, _ = g.DeleteAndReportCtx(ctx, token) // no response names this token
		return ErrGone
	}
	t.wrote(token)
	return nil
}

// commitLogin writes the session of a login, in one call with what goes with it.
func (g *guardedStore) commitLogin(ctx context.Context, t *requestTrack, token string, b []byte, expiry time.Time) error {
	if t.with.Len() == 0 {
		return g.inner.CommitCtx(ctx, token, b, expiry)
	}
	together := t.with
	together.Commit(token, b, expiry)
	return g.inner.DoBatch(ctx, together)
}

// dropWaiting deletes the records whose deletion the request has deferred.
func (g *guardedStore) dropWaiting(ctx context.Context) error {
	if t, ok := g.track(ctx); ok {
		return g.dropHeld(ctx, t)
	}
	_, err := g.dropTraced(ctx)
	return err
}

// dropHeld deletes the records whose deletion was deferred, and notes in the
// track if the one that the request had read was already gone.
func (g *guardedStore) dropHeld(ctx context.Context, t *requestTrack) error {
	held := t.takeHeld()
	for i, token := range held {
		found, err := g.DeleteAndReportCtx(ctx, token)
		if err != nil {
			for _, waits := range held[i:] {
				t.hold(waits)
			}
			return err
		}
		t.dropped(token, found)
	}
	return nil
}

// overwrite replaces a record; it returns an error if the record is gone.
func (g *guardedStore) overwrite(ctx context.Context, token string, b []byte, expiry time.Time) error {
	found, err := g.inner.UpdateCtx(ctx, token, b, expiry)
	if err == nil && !found {
		return ErrGone
	}
	return err
}

// touch moves the record's expiry to the idle timeout from now, at the latest
// to deadline. Of concurrent requests, one does it.
func (g *guardedStore) touch(ctx context.Context, token string, deadline time.Time) error {
	if !g.touched.add(token, g.now()) {
		return nil
	}
	_, err := g.inner.TouchCtx(ctx, token, g.clamp(deadline))
	if err != nil {
		g.touched.forget(token)
	}
	return err
}

func (g *guardedStore) clamp(expiry time.Time) time.Time {
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
func (g *guardedStore) DeleteCtx(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	t, ok := g.track(ctx)
	if !ok {
		return g.deleteUntracked(ctx, token)
	}
	if byScs, _ := deleter(); byScs && t.hold(token) {
		return nil
	}
	found, err := g.DeleteAndReportCtx(ctx, token)
	if err == nil {
		t.dropped(token, found)
	}
	return err
}

// DeleteAndReportCtx deletes a record, and reports whether there was one.
func (g *guardedStore) DeleteAndReportCtx(ctx context.Context, token string) (bool, error) {
	return g.inner.DeleteAndReportCtx(ctx, token)
}

// Find implements scs.Store.
func (g *guardedStore) Find(token string) ([]byte, bool, error) {
	return g.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (g *guardedStore) Commit(token string, b []byte, expiry time.Time) error {
	return g.CommitCtx(context.Background(), token, b, expiry)
}

// Delete implements scs.Store.
func (g *guardedStore) Delete(token string) error {
	return g.DeleteCtx(context.Background(), token)
}

// AllCtx implements scs.IterableCtxStore. It returns an error if the store below
// does not.
func (g *guardedStore) AllCtx(ctx context.Context) (map[string][]byte, error) {
	return g.inner.AllCtx(ctx)
}
