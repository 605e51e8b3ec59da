package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/internal/identity"
)

// A Visit is one request with its session. The gate decides by it, and the
// request's context carries it.
type Visit struct {
	Identity identity.Identity // if LoggedIn
	LoggedIn bool              // as loaded
	Brought  Brought
	Token    string // the session's; empty for a new one
	Bearer   bool   // the token is that of a mini program, and no cookie

	sessions *Manager
	audience *Audience     // whose identities were looked for
	ctx      *visitContext // with the session's data
	data     *sessionData  // nil if scs has loaded it already
	loaded   loaded
	mode     mode
	down     error // why the store could not be read; the session is a placeholder then

	ended  atomic.Bool // by LogOut, perhaps from a handler still running after its response
	around *Visit      // that of the gate of the same manager around this one
	shows  atomic.Bool // an inner gate has served a logged-in user
}

// Brought is what a request brings in its cookies or as a bearer token.
type Brought int

const (
	Nothing   Brought = iota
	Session           // a session, with or without an identity
	Unknown           // a token, and there is no session of it
	Damaged           // a session whose record could not be read, and was deleted
	Ambiguous         // the sessions of two users, of which none counts
)

// mode is what becomes of the changes that a request makes to its session.
type mode int

const (
	modeSaved   mode = iota // they are saved before the response begins
	modeUnsaved             // they are not saved: another request has just given the session a new token
	modeOuter               // outer middleware saves them: scs's LoadAndSave, or another gate
)

// loaded is what a session had when it was loaded.
type loaded struct {
	deadline time.Time
	remember bool // RememberMe, if the session was decoded when loaded
}

// Unsaved reports whether changes of the session are not saved.
func (v *Visit) Unsaved() bool { return v.mode == modeUnsaved }

// visitKey is a pointer, so that no other package can collide with it.
var visitKey = &struct{ name string }{"wechatauth visit"}

// noAudience is the audience of a session in which no identity is looked for.
var noAudience = &Audience{}

// FromContext returns the visit of a request that has passed a gate; nil for any
// other.
func FromContext(ctx context.Context) *Visit {
	v, _ := ctx.Value(visitKey).(*Visit)
	return v
}

// Context returns the context that handlers get, with the session's data.
func (v *Visit) Context() context.Context { return v.ctx }

// isOf reports whether the visit is one of the manager's session. Two gates may
// share a manager.
func (v *Visit) isOf(s *Manager) bool { return v != nil && v.sessions.manager == s.manager }

// In reports whether the user is logged in now.
func (v *Visit) In() bool { return v.LoggedIn && !v.ended.Load() }

// visitContext is the context that handlers get, and all state that the gate
// keeps for one request, in one allocation. It resolves this package's own keys
// itself; the most frequent one, the identity, is found without a search.
type visitContext struct {
	context.Context
	visit  Visit
	guard  *guardedStore // whose track this is; nil where there is none
	track  requestTrack
	own    sessionData // where visit.data leads, unless a gate further out has it
	writer http1Writer
}

// newVisit returns a visit whose session is new, or still to be found. Scs's
// data of it is created on first use.
func (s *Manager) newVisit(ctx context.Context, a *Audience) *visitContext {
	c := &visitContext{Context: ctx}
	c.guard = s.guard
	c.track.holds = true
	c.visit.ctx, c.visit.sessions, c.visit.audience, c.visit.data = c, s, a, &c.own
	c.own.sessions, c.own.ctx = s, c
	return c
}

// outerVisit returns a visit whose session is in the context already.
func (s *Manager) outerVisit(ctx context.Context, a *Audience) *visitContext {
	c := &visitContext{Context: ctx}
	c.visit.ctx, c.visit.sessions, c.visit.audience, c.visit.mode = c, s, a, modeOuter
	return c
}

// String keeps tokens and openids out of logs of contexts.
func (c *visitContext) String() string { return "wechatauth.visit" }

// GoString is String, for %#v.
func (c *visitContext) GoString() string { return c.String() }

// Value implements context.Context.
func (c *visitContext) Value(key any) any {
	switch {
	case key == any(visitKey):
		return &c.visit
	case c.visit.data != nil && key == c.visit.data.sessions.dataKey:
		return c.visit.data.get()
	case c.guard != nil && key == any(c.guard):
		return &c.track
	}
	return c.Context.Value(key)
}

// sessionData is scs's data of a session, decoded on first use: a route that
// only needs the identity never decodes it. It is safe for concurrent use by
// multiple goroutines.
type sessionData struct {
	sessions *Manager
	ctx      *visitContext
	token    string // whose record the visit has read; empty for a new session

	mu       sync.Mutex
	decoded  any  // as scs keeps it in a context; nil until first used
	remember bool // as loaded: RememberMe
	lost     bool // the record could not be decoded, and this is a new session
}

// get decodes the session, once. In a record whose checksum is right, only
// values encoded with gob can be unreadable, such as a type that this build
// does not know. It is too late for an error then: the handler gets an empty
// session.
func (d *sessionData) get() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.decoded == nil && d.decode(d.token) != nil {
		d.lost = true
		_ = d.decode("") // decodes nothing that could fail
	}
	return d.decoded
}

// decode makes scs decode the record that the visit has read.
func (d *sessionData) decode(token string) error {
	d.ctx.track.decoding = true
	defer func() { d.ctx.track.decoding = false }()
	loaded, err := d.sessions.manager.Load(pendingValues{d.ctx}, token)
	if err != nil {
		return err
	}
	d.decoded = loaded.Value(d.sessions.dataKey)
	d.ctx.track.decoded(d.decoded)
	d.remember = token != "" && d.sessions.manager.GetBool(loaded, rememberKey)
	return nil
}

// untouched reports whether the session has not been used. Then it has no
// values that its record does not have.
func (v *Visit) untouched() bool {
	if v.data == nil {
		return false
	}
	v.data.mu.Lock()
	defer v.data.mu.Unlock()
	return v.data.decoded == nil
}

// remembered reports whether RememberMe was set when the session was loaded.
func (v *Visit) remembered() bool {
	if v.data == nil {
		return v.loaded.remember
	}
	v.data.mu.Lock()
	defer v.data.mu.Unlock()
	return v.data.remember
}

// lost reports whether the session was used but could not be decoded.
func (v *Visit) lost() bool {
	if v.data == nil {
		return false
	}
	v.data.mu.Lock()
	defer v.data.mu.Unlock()
	return v.data.lost
}

// pendingValues is the context of a visit whose session is just being decoded: scs
// has to find none in it.
type pendingValues struct{ *visitContext }

func (u pendingValues) Value(key any) any {
	if key == u.own.sessions.dataKey {
		return nil
	}
	return u.visitContext.Value(key)
}

// dataKeyOf finds out under which key of a context scs keeps its data: a
// manager that is to load a session looks first whether there is one. It
// returns nil if the manager does not; then sessions are decoded when loaded.
func dataKeyOf(m *scs.SessionManager) any {
	asked := &lookup{Context: context.Background()}
	_, _ = m.Load(asked, "") // a new session cannot fail
	return asked.key
}

// lookup is an empty context that records the first key passed to Value.
type lookup struct {
	context.Context
	key any
}

func (a *lookup) Value(key any) any {
	if a.key == nil {
		a.key = key
	}
	return nil
}
