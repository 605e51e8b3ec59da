package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"
)

// A visit is one request with its session: what the gate decides by, and what
// the request's context holds.
type visit struct {
	ctx       context.Context // with the session's data
	manager   *scs.SessionManager
	token     string    // the session's; empty for a new one
	sent      bool      // the request carried a session cookie
	ambiguous bool      // the request brought the sessions of two users
	damaged   bool      // a record of the request's was not readable, and is deleted
	bearer    bool      // a mini program's: no cookie
	late      bool      // found by a token that was renewed a moment ago: to be read only
	outer     bool      // somebody further out loads and saves this session
	down      error     // the store is, and the session is a stand-in
	touch     bool      // the record's expiry is due to be moved
	deadline  time.Time // as loaded
	remember  bool      // likewise: RememberMe
	replaced  string    // the token that a login of the same user replaced
	identity  Identity  // of a visitor who is logged in
	loggedIn  bool
}

// load finds the visitor's session. An error means that the store could not
// be asked: the visitor is neither logged in nor anonymous. A damaged record
// is no error; its owner is anonymous and the record is deleted.
func (s *sessions) load(r *http.Request) (*visit, error) {
	if v, ok := r.Context().Value(visitKey).(*visit); ok && v.manager == s.manager && v.down != nil {
		return nil, v.down
	}
	if s.has(r.Context()) {
		v := &visit{ctx: r.Context(), manager: s.manager, outer: true, sent: len(r.CookiesNamed(s.manager.Cookie.Name)) > 0}
		v.token = s.manager.Token(v.ctx)
		s.identify(v)
		return v, nil
	}
	if token, ok := bearer(r); ok && s.takesBearer {
		return s.loadBearer(r.Context(), token)
	}
	tokens, sent := s.tokens(r)
	found, damaged, err := s.loadTokens(r.Context(), tokens)
	switch {
	case err != nil:
		return nil, err
	case len(found) > 0 && ofOneUser(found):
		found[0].sent = true
		return found[0], nil
	case len(found) == 0:
		for _, token := range tokens {
			v, err := s.loadRenewed(r.Context(), token)
			if err != nil || v != nil {
				return v, err
			}
		}
	}
	v, err := s.empty(r.Context())
	if err == nil {
		v.sent, v.damaged, v.ambiguous = sent, damaged, len(found) > 0
	}
	return v, err
}

// loadTokens loads the sessions of a request's cookies, the logged-in ones
// first. A browser that is left alone sends one.
func (s *sessions) loadTokens(ctx context.Context, tokens []string) (found []*visit, damaged bool, err error) {
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
	v, err := s.empty(ctx)
	if err == nil {
		v.sent, v.bearer = true, true
	}
	return v, err
}

// errDamaged: there was a record and it could not be read. It is deleted.
var errDamaged = errors.New("session record is damaged")

// empty returns a visit with a new session, which no store has to be asked for.
func (s *sessions) empty(ctx context.Context) (*visit, error) {
	ctx, err := s.manager.Load(ctx, "")
	if err != nil {
		return nil, err
	}
	return &visit{ctx: ctx, manager: s.manager}, nil
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
	tracked, t := withTrack(ctx)
	loaded, err := s.manager.Load(tracked, token)
	if err != nil {
		if s.damaged(ctx, t, token) {
			return nil, errDamaged
		}
		return nil, err
	}
	if s.manager.Token(loaded) == "" {
		return nil, nil
	}
	// The store's own expiry is by the store's clock; a record that outlived
	// its deadline there is not honoured here.
	if !s.manager.Deadline(loaded).After(s.now()) {
		return nil, nil
	}
	v := &visit{
		ctx: loaded, manager: s.manager, token: token, touch: t.touchDue, bearer: s.manager.GetBool(loaded, bearerKey),
		deadline: s.manager.Deadline(loaded), remember: s.manager.GetBool(loaded, rememberKey),
	}
	s.identify(v)
	return v, nil
}

// damaged reports whether a record that did not load is there and cannot be
// decoded. It is deleted then: otherwise its owner would be shut out until
// the cookie dies.
func (s *sessions) damaged(ctx context.Context, t *track, token string) bool {
	if _, ok := s.manager.Store.(*guard); ok {
		// What the guard has read and scs not decoded needs no second look, and
		// a store that failed is not asked twice.
		return t.token != "" && s.drop(ctx, token) == nil
	}
	find := s.manager.Store.Find
	if cs, ok := s.manager.Store.(scs.CtxStore); ok {
		find = func(key string) ([]byte, bool, error) { return cs.FindCtx(ctx, key) }
	}
	b, found, err := find(s.storeKey(token))
	if err != nil || !found {
		return false
	}
	if _, _, err := s.manager.Codec.Decode(b); err == nil {
		return false
	}
	return s.drop(ctx, token) == nil
}

// identify reads the identity out of a loaded session.
func (s *sessions) identify(v *visit) {
	for _, appID := range s.appIDs {
		text, _ := s.manager.Get(v.ctx, identityKey(appID)).(string)
		if text == "" {
			continue
		}
		if id, err := decodeIdentity(appID, text); err == nil {
			v.identity, v.loggedIn = id, true
			return
		}
	}
}

// has reports whether the context holds session data of this manager already.
func (s *sessions) has(ctx context.Context) bool {
	loaded, err := s.manager.Load(ctx, "")
	return err == nil && loaded == ctx
}
