package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/store"
)

// The files session*.go and guard.go are the only ones that know scs. They load
// and save through its public calls instead of its LoadAndSave, because a login
// wall has to tell "the store is down" from "not logged in" from "this record is
// damaged", and has to have the session saved before the answer begins:
//
//	session.go           where sessions are kept
//	session_cookie.go    which tokens a request brings, and its cookie
//	session_visit.go     what the gate knows of a request, and its context
//	session_load.go      the session of a request
//	session_grace.go     the one that has just taken the place of another
//	session_login.go     an identity goes in, under a new token
//	session_save.go      what changed, before the answer begins
//	session_silence.go   a store that gives no answer
//	session_end.go       logout and revocation
//	recent.go            what was just done with a token
//	traces.go            requests that scs's LoadAndSave serves

// sessions finds identities in scs sessions and puts them there.
type sessions struct {
	manager *scs.SessionManager
	guard   *guard    // in front of the manager's store
	own     bool      // the manager is this library's
	lazy    bool      // records are looked into without decoding them
	dataKey any       // where the manager keeps a session in a context; nil if that is not known
	backing scs.Store // what the options gave
	marks   store.Marks
	index   store.Index   // nil where the store has none
	batch   store.Batcher // nil where the store has none
	appIDs  []string      // identities of other accounts are not looked at
	idle    time.Duration
	now     func() time.Time
	silence *silence // shared by all accounts

	corrupt  func(context.Context) // is told of each damaged record
	unopened func(context.Context) // is told of each that no key opens

	takesBearer    bool // WithMiniProgram
	decodeIdentity func(appID, text string) (Identity, error)
}

// setSessions makes the manager, or takes the application's, and finds the
// home of the claims.
func (a *Auth) setSessions(c *config) error {
	s := &sessions{now: c.now, silence: &silence{}, appIDs: c.appIDs(), takesBearer: c.miniAppID != "", decodeIdentity: decodeIdentity}
	a.sessions = s
	s.corrupt = func(ctx context.Context) {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonSessionCorrupt, Detail: "a session record could not be read and was deleted; its owner is anonymous"})
	}
	s.unopened = func(ctx context.Context) {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonSessionCorrupt, Detail: "no key opens a session record; it was not deleted, because another instance may have its key; its owner is anonymous"})
	}
	if c.mgrSet {
		if c.manager.IdleTimeout > 0 {
			c.logger.Warn("wechatauth: WithSessionManager: with IdleTimeout, scs writes the whole session and its cookie on every request: of two at once the later one undoes what the other put, and a response that arrives after that of a login replaces the new cookie by the old one; prefer WithIdleTimeout")
		}
		if domain := strings.TrimPrefix(c.manager.Cookie.Domain, "."); domain != "" {
			c.logger.Warn("wechatauth: WithSessionManager: Cookie.Domain sends the session token to every host below " + domain + "; leave it empty unless all of them are trusted")
		}
		s.use(c.manager, guardIn(c.manager, c.now))
		s.backing = s.guard.inner
		inner := c.observed(s.backing)
		s.marks, s.index = marksOf(inner), indexOf(inner)
		s.batch, _ = s.backing.(store.Batcher)
		return nil
	}
	inner, err := c.sessionStore()
	if err != nil {
		return err
	}
	if inner, err = c.encrypted(inner); err != nil {
		return err
	}
	inner = c.observed(inner)
	s.backing, s.marks, s.index = inner, marksOf(inner), indexOf(inner)
	s.batch, _ = inner.(store.Batcher)
	if c.idle != nil {
		s.idle = *c.idle
	}
	m := newManager()
	m.Codec = Codec{}
	m.HashTokenInStore = true // a reader of the store finds no token
	m.Lifetime = DefaultLifetime
	if c.lifetime != nil {
		m.Lifetime = *c.lifetime
	}
	m.Cookie.Name = cookiePrefix(a.base) + "session" + a.cookieTag(c.appID)
	if c.cookieName != nil {
		m.Cookie.Name = *c.cookieName
	}
	m.Cookie.Secure = a.base.Scheme == "https"
	m.ErrorFunc = a.stopLoadAndSave
	s.own = true
	g := newGuard(inner, s.idle, c.now)
	g.serve(m)
	s.use(m, g)
	return nil
}

func (s *sessions) use(m *scs.SessionManager, g *guard) {
	s.manager, s.guard, s.dataKey = m, g, g.dataKey
	_, ours := m.Codec.(Codec)
	// With IdleTimeout, scs writes every session that it has decoded.
	s.lazy = ours && m.IdleTimeout == 0
}

// newManager is scs.New without the store in memory that scs starts, whose
// cleanup runs until the process ends. A manager needs a context key that no
// other has, which scs gives only in New; if a release of scs has no such
// field, it is scs.New.
func newManager() *scs.SessionManager {
	m := &scs.SessionManager{Cookie: scs.SessionCookie{Name: "session", HttpOnly: true, Path: "/", SameSite: http.SameSiteLaxMode, Persist: true}}
	field := reflect.ValueOf(m).Elem().FieldByName("contextKey")
	if field.Kind() != reflect.String {
		return scs.New()
	}
	reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().SetString(fmt.Sprintf("wechatauth.session.%d", managers.Add(1)))
	return m
}

var managers atomic.Uint64

// stopLoadAndSave is what the LoadAndSave of the wall's own manager does with an
// error. A session that ended while the request ran stays ended, and its answer
// goes on without a cookie.
func (a *Auth) stopLoadAndSave(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errSessionGone) {
		return
	}
	a.report(r.Context(), Event{Kind: EventStopped, Reason: ReasonStoreUnavailable, Err: err, Detail: "LoadAndSave could not load or save the session"})
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

// sessionStore opens the store that the options name; in memory without one.
func (c *config) sessionStore() (scs.Store, error) {
	switch {
	case c.storeSet:
		return c.store, nil
	case c.poolSet:
		return store.New(c.pool, store.WithClock(c.now)), nil
	case c.redisURL != nil:
		pool, err := store.NewPool(*c.redisURL)
		if err != nil {
			return nil, fmt.Errorf("WithRedisURL: %w", err)
		}
		return store.New(pool, store.WithClock(c.now)), nil
	}
	return store.NewMemory(store.WithClock(c.now)), nil
}

// encrypted wraps the store with WithSessionEncryption.
func (c *config) encrypted(inner scs.Store) (scs.Store, error) {
	if !c.sessionKeysSet {
		return inner, nil
	}
	whole, ok := inner.(store.Sessions)
	if !ok {
		return nil, fmt.Errorf("WithSessionEncryption: %T does less than store.Sessions asks for; use a store of package store", inner)
	}
	sealed, err := store.Encrypt(whole, c.sessionKeys...)
	if err != nil {
		return nil, fmt.Errorf("WithSessionEncryption: %w", err)
	}
	return sealed, nil
}

// marksOf returns the store's own marks; for a store that has none, marks in
// memory, which join the callbacks of one instance.
func marksOf(s scs.Store) store.Marks {
	if m, ok := s.(store.Marks); ok {
		return m
	}
	return store.NewMemory()
}

// indexOf returns the store's own index of users; nil where it has none.
func indexOf(s scs.Store) store.Index {
	index, _ := s.(store.Index)
	return index
}

func (s *sessions) storeKey(token string) string {
	if s.manager.HashTokenInStore {
		return hashedToken(token)
	}
	return token
}

// describeCookie tells an operator what the browser was given.
func (s *sessions) describeCookie() string {
	c := s.manager.Cookie
	return fmt.Sprintf("session cookie name=%s Secure=%t Domain=%q Path=%q SameSite=%d", c.Name, c.Secure, c.Domain, c.Path, c.SameSite)
}

// userKey names a user in the index.
func userKey(appID, openID string) string { return appID + " " + openID }

// expiry is when the visit's session ends if it is not used again.
func (s *sessions) expiry(v *visit) time.Time {
	deadline := s.manager.Deadline(v.ctx)
	if s.idle == 0 {
		return deadline
	}
	if idle := s.now().Add(s.idle); idle.Before(deadline) {
		return idle
	}
	return deadline
}
