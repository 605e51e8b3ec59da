package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/record"
	"github.com/wechatauth/wechatauth/store"
)

// load finds the visitor's session. An error means that the store could not
// be asked: the visitor is neither logged in nor anonymous. A damaged record
// is no error; its owner is anonymous and the record is deleted.
func (s *sessions) load(r *http.Request) (*visit, error) { return s.loadIf(r, false) }

// loadIf is load. With hasty, a store that was silent a moment ago is not waited
// for: that is an error too.
func (s *sessions) loadIf(r *http.Request, hasty bool) (*visit, error) {
	ctx := r.Context()
	if held, ok := ctx.Value(visitKey).(*visit); ok && held.manager == s.manager {
		return s.loadHeld(ctx, r, held)
	}
	if s.takesBearer {
		if token, ok := bearer(r); ok {
			return s.loadBearer(ctx, token)
		}
	}
	if s.has(ctx) {
		return s.loadOuter(ctx, r), nil
	}
	var (
		roomForTokens [maxSessionCookies]string
		roomForFound  [maxSessionCookies]*visit
	)
	tokens, sent := s.tokens(r, roomForTokens[:0])
	if hasty && len(tokens) > 0 && s.silent() {
		return nil, errSilent
	}
	found, damaged, err := s.loadTokens(ctx, tokens, roomForFound[:0])
	switch {
	case err != nil:
		return nil, err
	case len(found) > 0 && ofOneUser(found):
		found[0].sent = true
		return found[0], nil
	case len(found) == 0:
		for _, token := range tokens {
			v, err := s.loadRenewed(ctx, token)
			if err != nil || v != nil {
				return v, err
			}
		}
	}
	v, err := s.fresh(ctx)
	if err == nil {
		v.sent, v.damaged, v.ambiguous = sent, damaged, len(found) > 0
	}
	return v, err
}

// loadOuter finds the session that scs's LoadAndSave around the gate has loaded.
func (s *sessions) loadOuter(ctx context.Context, r *http.Request) *visit {
	v := &s.outerVisit(ctx).visit
	v.sent, v.token, v.deadline = s.cookieSent(r), s.manager.Token(ctx), s.manager.Deadline(ctx)
	s.identify(v)
	return v
}

// loadHeld finds the session that a gate further out has loaded. An identity that
// nobody can have changed is taken over, or read out of the record once more where
// the other gate has let none count, or this one looks for those of other accounts.
func (s *sessions) loadHeld(ctx context.Context, r *http.Request, held *visit) (*visit, error) {
	if held.down != nil {
		return nil, held.down
	}
	c := s.outerVisit(ctx)
	v := &c.visit
	v.sent, v.bearer = s.cookieSent(r), held.bearer
	if held.bearer && !s.takesBearer {
		return v, nil
	}
	if held.untouched() {
		v.data, v.token = held.data, held.token
		if held.in() && slices.Equal(held.sessions.appIDs, s.appIDs) {
			v.identity, v.loggedIn = held.identity, true
		} else if rec, err := record.Open(held.data.ctx.track.bytes); err == nil {
			s.identifyIn(v, rec)
		}
		return v, nil
	}
	v.token = s.manager.Token(ctx)
	s.identify(v)
	return v, nil
}

// loadTokens appends the sessions of a request's cookies, the logged-in ones
// first. A browser that is left alone sends one.
func (s *sessions) loadTokens(ctx context.Context, tokens []string, found []*visit) (_ []*visit, damaged bool, err error) {
	for _, token := range tokens {
		v, err := s.loadToken(ctx, token)
		switch {
		case errors.Is(err, errDamaged):
			damaged = true
			s.corrupt(ctx)
		case err != nil:
			return nil, false, err
		case v != nil && !v.bearer:
			found = append(found, v)
		}
	}
	slices.SortStableFunc(found, func(a, b *visit) int {
		switch {
		case a.loggedIn == b.loggedIn:
			return 0
		case a.loggedIn:
			return -1
		}
		return 1
	})
	return found, damaged, nil
}

// ofOneUser reports whether sessions are not those of two users. If they are,
// somebody has planted one beside the visitor's own: there is no telling which,
// so neither counts.
func ofOneUser(found []*visit) bool {
	for _, v := range found {
		if v.loggedIn && (v.identity.AppID != found[0].identity.AppID || v.identity.OpenID != found[0].identity.OpenID) {
			return false
		}
	}
	return true
}

// loadBearer finds the session of a bearer token. The request's cookies, if it
// has any, are not looked at: two identities in one request would be one too
// many.
func (s *sessions) loadBearer(ctx context.Context, token string) (*visit, error) {
	if token != "" {
		v, err := s.loadToken(ctx, token)
		if errors.Is(err, errDamaged) {
			s.corrupt(ctx)
			v, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		if v != nil && v.bearer {
			v.sent = true
			return v, nil
		}
	}
	v, err := s.fresh(ctx)
	if err == nil {
		v.sent, v.bearer = true, true
	}
	return v, err
}

// errDamaged: there was a record and it could not be read. It is deleted.
var errDamaged = errors.New("session record is damaged")

// empty returns a visit with the session that the context has already, or else a
// new one. No store is asked.
func (s *sessions) empty(ctx context.Context) (*visit, error) {
	if s.has(ctx) {
		c := s.outerVisit(ctx)
		c.visit.outer = false
		return &c.visit, nil
	}
	return s.fresh(ctx)
}

// withEmpty returns the request with a session in its context. If it had none,
// that is an empty one, which is not saved.
func (s *sessions) withEmpty(r *http.Request) *http.Request {
	if s.has(r.Context()) {
		return r
	}
	v, err := s.fresh(r.Context())
	if err != nil {
		return r
	}
	v.late, v.ctx.track.late = true, true
	return r.WithContext(v.ctx)
}

// fresh returns a visit with a new session, in a context that has none.
func (s *sessions) fresh(ctx context.Context) (*visit, error) {
	c := s.newVisit(ctx)
	if s.dataKey != nil {
		return &c.visit, nil
	}
	return &c.visit, s.loadByScs(c, "")
}

// alone returns a visit with a new session, whatever session the context has
// already, such as that of the application's own LoadAndSave.
func (s *sessions) alone(ctx context.Context) (*visit, error) {
	if s.dataKey == nil {
		ctx = context.Background() // scs would return the session of ctx
	}
	return s.fresh(ctx)
}

// standIn returns an empty session in place of one that could not be asked
// for. It is never saved: that would cost the visitor the session he has.
func (s *sessions) standIn(ctx context.Context, down error) (*visit, error) {
	v, err := s.empty(ctx)
	if err == nil {
		v.down = down
	}
	return v, err
}

// loadToken loads one session; nil if there is none of this token.
func (s *sessions) loadToken(ctx context.Context, token string) (*visit, error) {
	if !validToken(token) { // whose hash would be a valid one
		return nil, nil
	}
	c := s.newVisit(ctx)
	found, err := c.guard.read(ctx, s.storeKey(token), &c.track)
	s.listen(ctx, err)
	switch {
	case err != nil:
		return nil, s.unread(ctx, token, err)
	case !found:
		return nil, nil
	}
	v := &c.visit
	v.token, v.touch = token, c.track.touchDue
	if s.lazy && s.dataKey != nil {
		err = s.look(c, token)
	} else {
		err = s.loadWhole(c, token)
	}
	if err != nil {
		return nil, s.heal(ctx, token, err)
	}
	return s.alive(v), nil
}

// alive returns the visit if its session's deadline is to come. The store's own
// expiry is by the store's clock; a record that outlived its deadline there is
// not honoured here.
func (s *sessions) alive(v *visit) *visit {
	if !v.deadline.After(s.now()) {
		return nil
	}
	return v
}

// lives reports whether the session of this key in the store is there, and not
// over. What is no session lives no more.
func (s *sessions) lives(ctx context.Context, key string) (bool, error) {
	b, _, found, err := s.guard.find(ctx, key)
	if err != nil || !found {
		return false, err
	}
	deadline, _, err := s.manager.Codec.Decode(b)
	return err == nil && deadline.After(s.now()), nil
}

// look reads what the gate asks for out of a record, and leaves the rest until a
// handler asks for it.
func (s *sessions) look(c *visitContext, token string) error {
	rec, err := record.Open(c.track.bytes)
	switch {
	case errors.Is(err, record.ErrGob):
		return s.loadWhole(c, token)
	case err != nil:
		return err
	}
	v := &c.visit
	c.own.token = token
	v.deadline, v.bearer = rec.Deadline(), rec.Bool(bearerKey)
	s.identifyIn(v, rec)
	return nil
}

// loadWhole decodes a session that cannot be looked into without.
func (s *sessions) loadWhole(c *visitContext, token string) error {
	if err := s.loadByScs(c, token); err != nil {
		return err
	}
	v := &c.visit
	v.deadline, v.bearer, v.remember = s.manager.Deadline(c), s.manager.GetBool(c, bearerKey), s.manager.GetBool(c, rememberKey)
	s.identify(v)
	return nil
}

// loadByScs lets scs load the session now. Where it is not known under which key
// it keeps it, the context becomes scs's own.
func (s *sessions) loadByScs(c *visitContext, token string) error {
	if s.dataKey != nil {
		c.own.token = token
		return c.own.decode(token)
	}
	c.track.decoding = true
	defer func() { c.track.decoding = false }()
	loaded, err := s.manager.Load(context.WithValue(c.Context, c.guard, &c.track), token)
	if err == nil {
		c.Context, c.visit.data = loaded, nil
	}
	return err
}

// heal deletes a record that could not be read: otherwise its owner would be
// shut out until the cookie dies.
func (s *sessions) heal(ctx context.Context, token string, damage error) error {
	if _, err := s.drop(ctx, token); err != nil {
		return errors.Join(damage, err)
	}
	return errDamaged
}

// unusable reports whether the store has something under a token, and no session.
func unusable(err error) bool {
	return errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrUnopened)
}

// unread is what comes of a session that the store did not hand out. One that no
// key opens is as good as none, and stays: see store.Encrypt.
func (s *sessions) unread(ctx context.Context, token string, err error) error {
	switch {
	case errors.Is(err, store.ErrDamaged):
		return s.heal(ctx, token, err)
	case errors.Is(err, store.ErrUnopened):
		s.unopened(ctx)
		return nil
	}
	return err
}

// identify reads the identity out of a loaded session. One that a bearer token
// opens counts where it came as such, and only there.
func (s *sessions) identify(v *visit) {
	if s.manager.GetBool(v.ctx, bearerKey) != v.bearer {
		return
	}
	for _, appID := range s.appIDs {
		text, _ := s.manager.Get(v.ctx, identity.Key(appID)).(string)
		if text == "" {
			continue
		}
		if id, err := s.decodeIdentity(appID, text); err == nil {
			v.identity, v.loggedIn = id, true
			return
		}
	}
}

// identifyIn reads the identity out of a record.
func (s *sessions) identifyIn(v *visit, rec record.Record) {
	for _, appID := range s.appIDs {
		text, found := rec.String(identity.Key(appID))
		if !found {
			continue
		}
		if id, err := s.decodeIdentity(appID, string(text)); err == nil {
			v.identity, v.loggedIn = id, true
			return
		}
	}
}

// has reports whether the context holds session data of this manager already.
func (s *sessions) has(ctx context.Context) bool {
	if s.dataKey != nil {
		return ctx.Value(s.dataKey) != nil
	}
	loaded, err := s.manager.Load(ctx, "")
	return err == nil && loaded == ctx
}
