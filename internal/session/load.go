package session

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/record"
	"github.com/wechatauth/wechatauth/store"
)

// Load finds the session of the request. An error means that the store is
// unavailable: it is not known whether the user is logged in. A corrupt record
// is not an error; the user is anonymous and the record is deleted.
//
// If hasty is set and the store timed out a moment ago, Load returns an error
// immediately.
func (s *Manager) Load(r *http.Request, a *Audience, hasty bool) (*Visit, error) {
	ctx := r.Context()
	if held := FromContext(ctx); held.isOf(s) {
		return s.loadFromOuterGate(ctx, r, a, held)
	}
	if a.Bearer {
		if token, ok := Bearer(r); ok {
			return s.loadBearer(ctx, a, token)
		}
	}
	if s.has(ctx) {
		return s.loadNested(ctx, r, a), nil
	}
	var (
		roomForTokens [maxSessionCookies]string
		roomForFound  [maxSessionCookies]*Visit
	)
	tokens, sent := s.tokens(r, roomForTokens[:0])
	if hasty && len(tokens) > 0 && s.breakerOpen() {
		return nil, errBreakerOpen
	}
	found, damaged, err := s.loadTokens(ctx, a, tokens, roomForFound[:0])
	switch {
	case err != nil:
		return nil, err
	case len(found) > 0 && ofOneUser(found):
		found[0].Brought = Session
		return found[0], nil
	case len(found) == 0:
		for _, token := range tokens {
			v, err := s.loadRenewed(ctx, a, token)
			if err != nil || v != nil {
				return v, err
			}
		}
	}
	v, err := s.newSession(ctx, a)
	switch {
	case err != nil:
		return nil, err
	case len(found) > 0:
		v.Brought = Ambiguous
	case damaged:
		v.Brought = Damaged
	case sent:
		v.Brought = Unknown
	}
	return v, err
}

// loadNested finds the session that scs's LoadAndSave around the gate has loaded.
func (s *Manager) loadNested(ctx context.Context, r *http.Request, a *Audience) *Visit {
	v := &s.outerVisit(ctx, a).visit
	v.Token, v.loaded.deadline = s.manager.Token(ctx), s.manager.Deadline(ctx)
	v.Brought = s.broughtBy(r, v.Token)
	s.identify(v)
	return v
}

// loadFromOuterGate finds the session that a gate further out has loaded. An
// identity that cannot have changed since is reused, or read from the record
// again if the other gate accepted none or this gate looks for those of other
// accounts.
func (s *Manager) loadFromOuterGate(ctx context.Context, r *http.Request, a *Audience, held *Visit) (*Visit, error) {
	if held.down != nil {
		return nil, held.down
	}
	c := s.outerVisit(ctx, a)
	v := &c.visit
	v.Brought, v.Bearer = s.broughtBy(r, ""), held.Bearer
	if held.Bearer && !a.Bearer {
		return v, nil
	}
	if held.untouched() {
		v.data, v.Token = held.data, held.Token
		v.Brought = s.broughtBy(r, v.Token)
		if held.In() && slices.Equal(held.audience.AppIDs, a.AppIDs) {
			v.Identity, v.LoggedIn = held.Identity, true
		} else if rec, err := record.Open(held.data.ctx.track.bytes); err == nil {
			s.identifyIn(v, rec)
		}
		return v, nil
	}
	v.Token = s.manager.Token(ctx)
	v.Brought = s.broughtBy(r, v.Token)
	s.identify(v)
	return v, nil
}

// broughtBy returns what a request brings if outer middleware has loaded its
// session: that of token, or none.
func (s *Manager) broughtBy(r *http.Request, token string) Brought {
	switch {
	case token != "":
		return Session
	case s.cookieSent(r):
		return Unknown
	}
	return Nothing
}

// loadTokens appends the sessions of a request's cookies, the logged-in ones
// first. A browser normally sends one.
func (s *Manager) loadTokens(ctx context.Context, a *Audience, tokens []string, found []*Visit) (_ []*Visit, damaged bool, err error) {
	for _, token := range tokens {
		v, err := s.loadToken(ctx, a, token)
		switch {
		case errors.Is(err, ErrCorrupt):
			damaged = true
			s.report(ctx, ErrCorrupt)
		case err != nil:
			return nil, false, err
		case v != nil && !v.Bearer:
			found = append(found, v)
		}
	}
	slices.SortStableFunc(found, func(a, b *Visit) int {
		switch {
		case a.LoggedIn == b.LoggedIn:
			return 0
		case a.LoggedIn:
			return -1
		}
		return 1
	})
	return found, damaged, nil
}

// ofOneUser reports whether no two sessions belong to different users. If two
// do, an attacker has planted one of them; it is not known which, so neither
// counts.
func ofOneUser(found []*Visit) bool {
	for _, v := range found {
		if v.LoggedIn && (v.Identity.AppID != found[0].Identity.AppID || v.Identity.OpenID != found[0].Identity.OpenID) {
			return false
		}
	}
	return true
}

// loadBearer finds the session of a bearer token. The request's cookies, if
// any, are ignored: a request has at most one identity.
func (s *Manager) loadBearer(ctx context.Context, a *Audience, token string) (*Visit, error) {
	if token != "" {
		v, err := s.loadToken(ctx, a, token)
		if errors.Is(err, ErrCorrupt) {
			s.report(ctx, ErrCorrupt)
			v, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		if v != nil && v.Bearer {
			v.Brought = Session
			return v, nil
		}
	}
	v, err := s.newSession(ctx, a)
	if err == nil {
		v.Brought, v.Bearer = Unknown, true
	}
	return v, err
}

// emptyVisit returns a visit with the session that the context has already, or
// else a new one. It does not access the store.
func (s *Manager) emptyVisit(ctx context.Context, a *Audience) (*Visit, error) {
	if s.has(ctx) {
		c := s.outerVisit(ctx, a)
		c.visit.mode = modeSaved
		return &c.visit, nil
	}
	return s.newSession(ctx, a)
}

// WithEmpty returns the request with a session in its context. If it had none,
// that is an empty one, which is not saved.
func (s *Manager) WithEmpty(r *http.Request) *http.Request {
	if s.has(r.Context()) {
		return r
	}
	v, err := s.newSession(r.Context(), noAudience)
	if err != nil {
		return r
	}
	v.mode, v.ctx.track.late = modeUnsaved, true
	return r.WithContext(v.ctx)
}

// newSession returns a visit with a new session, in a context that has none.
func (s *Manager) newSession(ctx context.Context, a *Audience) (*Visit, error) {
	c := s.newVisit(ctx, a)
	if s.dataKey != nil {
		return &c.visit, nil
	}
	return &c.visit, s.loadByScs(c, "")
}

// NewSession returns a visit with a new session, whatever session the context has
// already, such as that of the application's own LoadAndSave.
func (s *Manager) NewSession(ctx context.Context, a *Audience) (*Visit, error) {
	if s.dataKey == nil {
		ctx = context.Background() // scs would return the session of ctx
	}
	return s.newSession(ctx, a)
}

// Unloaded returns an empty session in place of one that could not be loaded.
// It is never saved, which would cost the user their existing session.
func (s *Manager) Unloaded(ctx context.Context, down error) (*Visit, error) {
	v, err := s.emptyVisit(ctx, noAudience)
	if err == nil {
		v.down = down
	}
	return v, err
}

// loadToken loads one session; nil if there is none of this token.
func (s *Manager) loadToken(ctx context.Context, a *Audience, token string) (*Visit, error) {
	if !ValidToken(token) { // whose hash would be a valid one
		return nil, nil
	}
	c := s.newVisit(ctx, a)
	found, err := c.guard.read(ctx, s.StoreKey(token), &c.track)
	s.recordTimeout(ctx, err)
	switch {
	case err != nil:
		return nil, s.unread(ctx, token, err)
	case !found:
		return nil, nil
	}
	v := &c.visit
	v.Token = token
	if s.lazy && s.dataKey != nil {
		err = s.loadIdentity(c, token)
	} else {
		err = s.loadWhole(c, token)
	}
	if err != nil {
		return nil, s.deleteCorrupt(ctx, token, err)
	}
	return s.ifNotExpired(v), nil
}

// ifNotExpired returns the visit if its session's deadline has not passed. The
// store's own expiry is by the store's clock; a record that the store keeps
// beyond its deadline is not accepted here.
func (s *Manager) ifNotExpired(v *Visit) *Visit {
	if !v.loaded.deadline.After(s.now()) {
		return nil
	}
	return v
}

// Exists reports whether the store has a session under this key that has not
// expired. It returns false for a record that is not a session.
func (s *Manager) Exists(ctx context.Context, key string) (bool, error) {
	b, _, found, err := s.guard.find(ctx, key)
	if err != nil || !found {
		return false, err
	}
	deadline, _, err := s.manager.Codec.Decode(b)
	return err == nil && deadline.After(s.now()), nil
}

// loadIdentity reads only the identity out of a record; the rest is decoded
// when a handler first uses it.
func (s *Manager) loadIdentity(c *visitContext, token string) error {
	rec, err := record.Open(c.track.bytes)
	switch {
	case errors.Is(err, record.ErrGob):
		return s.loadWhole(c, token)
	case err != nil:
		return err
	}
	v := &c.visit
	c.own.token = token
	v.loaded.deadline, v.Bearer = rec.Deadline(), rec.Bool(BearerKey)
	s.identifyIn(v, rec)
	return nil
}

// loadWhole decodes a session whose identity cannot be read without decoding
// it.
func (s *Manager) loadWhole(c *visitContext, token string) error {
	if err := s.loadByScs(c, token); err != nil {
		return err
	}
	v := &c.visit
	v.loaded.deadline, v.Bearer, v.loaded.remember = s.manager.Deadline(c), s.manager.GetBool(c, BearerKey), s.manager.GetBool(c, rememberKey)
	s.identify(v)
	return nil
}

// loadByScs lets scs load the session now. If the context key that scs uses is
// not known, the context becomes scs's own.
func (s *Manager) loadByScs(c *visitContext, token string) error {
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

// deleteCorrupt deletes a record that could not be read: otherwise the user
// would be locked out until the cookie expires.
func (s *Manager) deleteCorrupt(ctx context.Context, token string, damage error) error {
	if _, err := s.drop(ctx, token); err != nil {
		return errors.Join(damage, err)
	}
	return ErrCorrupt
}

// unusable reports whether the store has a record under a token that is not a
// session.
func unusable(err error) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrDecrypt)
}

// unread returns the result for a session that the store did not return. One
// that no key opens counts as none and is not deleted: see store.Encrypt.
func (s *Manager) unread(ctx context.Context, token string, err error) error {
	switch {
	case errors.Is(err, store.ErrCorrupt):
		return s.deleteCorrupt(ctx, token, err)
	case errors.Is(err, store.ErrDecrypt):
		s.report(ctx, ErrDecrypt)
		return nil
	}
	return err
}

// identify reads the identity out of a loaded session. The identity of a bearer
// token's session counts only if the token came as a bearer token.
func (s *Manager) identify(v *Visit) {
	if s.manager.GetBool(v.ctx, BearerKey) != v.Bearer {
		return
	}
	for _, appID := range v.audience.AppIDs {
		text, _ := s.manager.Get(v.ctx, identity.Key(appID)).(string)
		if text == "" {
			continue
		}
		if id, err := s.decodeIdentity(appID, text); err == nil {
			v.Identity, v.LoggedIn = id, true
			return
		}
	}
}

// identifyIn reads the identity out of a record.
func (s *Manager) identifyIn(v *Visit, rec record.Record) {
	for _, appID := range v.audience.AppIDs {
		text, found := rec.String(identity.Key(appID))
		if !found {
			continue
		}
		if id, err := s.decodeIdentity(appID, string(text)); err == nil {
			v.Identity, v.LoggedIn = id, true
			return
		}
	}
}

// has reports whether the context holds session data of this manager already.
func (s *Manager) has(ctx context.Context) bool {
	if s.dataKey != nil {
		return ctx.Value(s.dataKey) != nil
	}
	loaded, err := s.manager.Load(ctx, "")
	return err == nil && loaded == ctx
}
