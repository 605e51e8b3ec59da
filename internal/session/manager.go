package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/store"
)

// Config configures a Manager.
type Config struct {
	// Manager is an application's own. If it is nil, the Manager makes one with the
	// fields of the next group.
	Manager *scs.SessionManager

	Store      scs.Store
	Lifetime   time.Duration
	Idle       time.Duration // 0 for no idle timeout
	CookieName string
	Secure     bool
	// Failed responds if scs's LoadAndSave could not load or save.
	Failed func(w http.ResponseWriter, r *http.Request, err error)

	// Observe wraps a store so that its calls are observed. It may be nil.
	Observe func(scs.Store) scs.Store
	Now     func() time.Time
	// Report is called with an error that no request fails for: ErrCorrupt,
	// ErrDecrypt, ErrLost or ErrAbandoned, or one that wraps it.
	Report func(ctx context.Context, err error)
}

// The errors that a Manager reports.
var (
	// ErrCorrupt means that a record could not be read and was deleted. The
	// user is anonymous.
	ErrCorrupt = errors.New("a session record could not be read and was deleted; the user is anonymous")
	// ErrDecrypt means that no key opens a record. It stays, because another
	// instance may have its key.
	ErrDecrypt = errors.New("no key opens a session record; it was not deleted, because another instance may have its key; the user is anonymous")
	// ErrLost means that a handler changed a session that could not be loaded,
	// after its response had begun.
	ErrLost = errors.New("a handler changed a session that could not be loaded, after its response had begun; the change is lost")
	// ErrAbandoned means that the session that a panicking handler had ended could
	// not be deleted.
	ErrAbandoned = errors.New("a handler panicked, and the session that it had ended could not be deleted")
)

// An Audience describes whose sessions count.
type Audience struct {
	AppIDs []string // of the identities that are looked at
	Bearer bool     // whether bearer tokens count
}

// Store is where a session manager of scs stores its records.
type Store = scs.Store

// A Manager reads and writes identities in scs sessions. It is safe for
// concurrent use by multiple goroutines.
type Manager struct {
	manager *scs.SessionManager
	guard   *guardedStore // in front of the manager's store
	own     bool          // the manager is this library's
	lazy    bool          // records are looked into without decoding them
	dataKey any           // where the manager keeps a session in a context; nil if that is not known
	store   store.Whole   // that of the options; its calls are observed
	idle    time.Duration
	now     func() time.Time
	breaker *breaker // whether the store responds

	report         func(context.Context, error)
	decodeIdentity func(appID, text string) (identity.Identity, error) // identity.Decode
}

// New returns a Manager. It does not access the store.
func New(c Config) *Manager {
	s := &Manager{now: c.Now, report: c.Report, breaker: &breaker{}, decodeIdentity: identity.Decode}
	observed := c.Observe
	if observed == nil {
		observed = func(inner scs.Store) scs.Store { return inner }
	}
	if c.Manager != nil {
		s.use(c.Manager, guardIn(c.Manager, c.Now))
		s.store = store.Adapt(observed(s.guard.inner)) // the same marks as the batches'
		return s
	}
	s.own, s.idle = true, c.Idle
	m := newManager()
	m.Codec = store.Codec{}
	m.HashTokenInStore = true // so that an attacker with read access to the store finds no token
	m.Lifetime = c.Lifetime
	m.Cookie.Name, m.Cookie.Secure = c.CookieName, c.Secure
	m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, ErrGone) { // ended: the response needs no cookie
			c.Failed(w, r, err)
		}
	}
	g := newGuardedStore(observed(c.Store), s.idle, c.Now)
	s.store = g.inner
	g.serve(m)
	s.use(m, g)
	return s
}

func (s *Manager) use(m *scs.SessionManager, g *guardedStore) {
	s.manager, s.guard, s.dataKey = m, g, g.dataKey
	_, ours := m.Codec.(store.Codec)
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

func (s *Manager) StoreKey(token string) string {
	if s.manager.HashTokenInStore {
		return HashToken(token)
	}
	return token
}

// SessionManager returns scs's manager.
func (s *Manager) SessionManager() *scs.SessionManager { return s.manager }

// Marks returns the marks kept in the same store.
func (s *Manager) Marks() store.Marks { return s.store }

// Batcher returns the writer of batches to the same store. The calls of an
// application's own manager are not observed.
func (s *Manager) Batcher() store.Batcher { return s.guard.inner }

// IsApplications reports whether the manager is an application's own.
func (s *Manager) IsApplications() bool { return !s.own }

// Check looks for faults of the store: see [store.Checker].
func (s *Manager) Check(ctx context.Context) error { return s.store.Check(ctx) }

// DescribeCookie describes the session cookie for an operator.
func (s *Manager) DescribeCookie() string {
	c := s.manager.Cookie
	return fmt.Sprintf("session cookie name=%s Secure=%t Domain=%q Path=%q SameSite=%d", c.Name, c.Secure, c.Domain, c.Path, c.SameSite)
}

// User returns the name of a user in the store.
func User(appID, openID string) string { return appID + " " + openID }

// expiry returns when the visit's session expires if it is not used again.
func (s *Manager) expiry(v *Visit) time.Time {
	deadline := s.manager.Deadline(v.ctx)
	if s.idle == 0 {
		return deadline
	}
	if idle := s.now().Add(s.idle); idle.Before(deadline) {
		return idle
	}
	return deadline
}
