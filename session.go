package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/store"
)

// This file is the only one that knows scs. It loads and saves through scs's
// public calls instead of its LoadAndSave, because a login wall has to tell
// "the store is down" from "not logged in" from "this record is damaged", and
// has to have the session saved before the answer begins.

// sessions finds identities in scs sessions and puts them there.
type sessions struct {
	manager *scs.SessionManager
	backing scs.Store // what the options gave
	marks   store.Marks
	index   store.Index // nil where the store has none
	appIDs  []string    // identities of other accounts are not looked at
	idle    time.Duration
	now     func() time.Time
	corrupt func(context.Context) // is told of each damaged record

	takesBearer bool // WithMiniProgram
}

// setSessions makes the manager, or takes the application's, and finds the
// home of the claims.
func (a *Auth) setSessions(c *config) error {
	s := &sessions{now: c.now, appIDs: c.appIDs(), takesBearer: c.miniAppID != ""}
	a.sessions = s
	s.corrupt = func(ctx context.Context) {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonSessionCorrupt, Detail: "a session record could not be read and was deleted; its owner is anonymous"})
	}
	if c.mgrSet {
		if c.manager.IdleTimeout > 0 {
			c.logger.Warn("wechatauth: WithSessionManager: with IdleTimeout, scs writes the whole session on every request, so that one under way during a logout brings the session back, and during a login undoes it; prefer WithIdleTimeout")
		}
		s.manager = c.manager
		s.backing = c.manager.Store
		s.marks, s.index = marksOf(c.observed(c.manager.Store)), indexOf(c.observed(c.manager.Store))
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
	if c.idle != nil {
		s.idle = *c.idle
	}
	m := scs.New()
	// scs.New has started the cleanup of a store that is not used here. It
	// cannot be stopped without a race, and sleeps a minute at a time.
	m.Store = &guard{inner: inner, idle: s.idle, now: c.now}
	m.Codec = Codec{}
	m.Lifetime = DefaultLifetime
	if c.lifetime != nil {
		m.Lifetime = *c.lifetime
	}
	m.Cookie.Name = cookiePrefix(a.base) + "session" + a.cookieTag(c.appID)
	if c.cookieName != nil {
		m.Cookie.Name = *c.cookieName
	}
	m.Cookie.Secure = a.base.Scheme == "https"
	s.manager = m
	return nil
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

// maxSessionCookies of the name are tried: a neighbour may have planted one
// beside ours.
const maxSessionCookies = 4

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

// renewedTTL is how long a token that was renewed leads to the new session:
// long enough for the requests that were under way with the old cookie.
const renewedTTL = 20 * time.Second

// loadRenewed finds the session of a token that a login of the same user has
// just replaced. The late reader sees it; he neither writes nor gets a cookie,
// which could arrive after the new one and undo the login.
func (s *sessions) loadRenewed(ctx context.Context, old string) (*visit, error) {
	token, err := s.renewed(ctx, old)
	if err != nil || token == "" {
		return nil, err
	}
	v, err := s.loadToken(ctx, token)
	if errors.Is(err, errDamaged) {
		return nil, nil
	}
	if v == nil || v.bearer {
		return nil, err
	}
	v.sent, v.late = true, true
	return v, err
}

// renewed returns the token that took an old one's place a moment ago; "" if
// none did.
func (s *sessions) renewed(ctx context.Context, old string) (string, error) {
	box, found, err := s.marks.Mark(ctx, renewedKey(old))
	if err != nil || !found {
		return "", err
	}
	token, err := openRenewed(box, old)
	if err != nil {
		return "", nil
	}
	return token, nil
}

// renewedKey names the mark. Tokens stay out of the store where HashTokenInStore
// keeps them out: the old one is hashed, and opens the new one.
func renewedKey(old string) string { return "renewed " + hashedToken(old) }

func sealRenewed(token, old string) ([]byte, error) {
	ring, err := newKeyring("renewed", []byte(old))
	if err != nil {
		return nil, err
	}
	return []byte(ring.seal([]byte(token), "token")), nil
}

func openRenewed(box []byte, old string) (token string, err error) {
	ring, err := newKeyring("renewed", []byte(old))
	if err != nil {
		return "", err
	}
	plain, err := ring.open(string(box), "token")
	if err != nil || !validToken(string(plain)) {
		return "", errUnsealed
	}
	return string(plain), nil
}

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

// tokens returns the well-formed session tokens that the request brings.
func (s *sessions) tokens(r *http.Request) (tokens []string, sent bool) {
	for _, c := range r.CookiesNamed(s.manager.Cookie.Name) {
		sent = true
		if validToken(c.Value) && len(tokens) < maxSessionCookies && !slices.Contains(tokens, c.Value) {
			tokens = append(tokens, c.Value)
		}
	}
	return tokens, sent
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

// login puts an identity into the visit's session under a new token, so that
// whoever knew the old one is out. What the visitor had in his session stays,
// unless it was somebody else's.
func (s *sessions) login(v *visit, id Identity) error {
	text, err := encodeIdentity(id)
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	same := v.loggedIn && v.identity.AppID == id.AppID && v.identity.OpenID == id.OpenID
	if v.loggedIn && !same {
		if err := s.manager.Clear(v.ctx); err != nil {
			return fmt.Errorf("clear session: %w", err)
		}
	}
	if same {
		v.replaced = s.manager.Token(v.ctx)
	}
	if err := s.renew(v); err != nil {
		return err
	}
	for _, appID := range s.appIDs {
		s.manager.Remove(v.ctx, identityKey(appID))
	}
	s.manager.Put(v.ctx, identityKey(id.AppID), text)
	v.identity, v.loggedIn, v.late = id, true, false
	return nil
}

// put writes an identity anew that is the visit's own: the same user, known
// better.
func (s *sessions) put(v *visit, id Identity) error {
	text, err := encodeIdentity(id)
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	s.manager.Put(v.ctx, identityKey(id.AppID), text)
	v.identity = id
	return nil
}

// renew gives the session a new token. The record under the old one is
// deleted after the new one is saved: a store that fails between the two must
// not cost the visitor what he had.
func (s *sessions) renew(v *visit) error {
	trackOf(v.ctx).holdDeletes = true
	if err := s.manager.RenewToken(v.ctx); err != nil {
		return fmt.Errorf("renew session token: %w", err)
	}
	return nil
}

// saveLogin commits a login before anything is answered: first the index, so
// that no session is ever missing from it, then the session. Where somebody
// further out saves the session too, the cookie is left to him.
func (s *sessions) saveLogin(w http.ResponseWriter, v *visit) error {
	if err := s.addToIndex(v); err != nil {
		return err
	}
	token, expiry, err := s.manager.Commit(v.ctx)
	if err != nil {
		return err
	}
	if v.replaced != "" {
		// A grace for late readers, worth no failure of the login. A logout that
		// misses the old record finds the new one by it.
		if box, err := sealRenewed(token, v.replaced); err == nil {
			_ = s.marks.PutMark(v.ctx, renewedKey(v.replaced), box, renewedTTL)
		}
	}
	if g, ok := s.manager.Store.(*guard); ok {
		g.releaseDeletes(v.ctx)
	}
	if !v.outer && !v.bearer {
		s.manager.WriteSessionCookie(v.ctx, w, token, expiry)
	}
	return nil
}

// indexMoved notes in the index, before it is saved, the session of a user that
// the application has given another token or deadline.
func (s *sessions) indexMoved(v *visit) error {
	token, deadline := s.manager.Token(v.ctx), s.manager.Deadline(v.ctx)
	if moved := token != v.token || !deadline.Equal(v.deadline); token == "" || !moved {
		return nil
	}
	return s.addToIndex(v)
}

// addToIndex makes the session findable by each user in it: with many accounts,
// or gates that share a manager, the others' identities move on to the new
// token too.
func (s *sessions) addToIndex(v *visit) error {
	if s.index == nil {
		return nil
	}
	key, deadline := s.storeKey(s.manager.Token(v.ctx)), s.manager.Deadline(v.ctx)
	for _, name := range s.manager.Keys(v.ctx) {
		appID, ok := strings.CutPrefix(name, identityKey(""))
		text, isText := s.manager.Get(v.ctx, name).(string)
		if !ok || !isText {
			continue
		}
		id, err := decodeIdentity(appID, text)
		if err != nil {
			continue // of another release: nobody passes with it
		}
		if err := s.index.AddSession(v.ctx, userKey(appID, id.OpenID), key, deadline); err != nil {
			return err
		}
	}
	return nil
}

// userKey names a user in the index.
func userKey(appID, openID string) string { return appID + " " + openID }

// errNoIndex: the store cannot tell which sessions are a user's.
var errNoIndex = errors.New("wechatauth: this session store has no index of users (store.Index); use a store of package store")

// revoke ends all sessions of a user, each in one call.
func (s *sessions) revoke(ctx context.Context, appID, openID string) (int, error) {
	if s.index == nil {
		return 0, errNoIndex
	}
	user := userKey(appID, openID)
	tokens, err := s.index.SessionsOf(ctx, user)
	if err != nil {
		return 0, fmt.Errorf("find sessions of user: %w", err)
	}
	for n, key := range tokens {
		found, err := s.dropKey(ctx, key)
		if err != nil {
			return n, fmt.Errorf("delete session: %w", err)
		}
		if !found {
			// It ended long ago, or its login is just about to save it: the
			// index has to have it then. What has ended leaves by itself.
			continue
		}
		if err := s.index.RemoveSession(ctx, user, key); err != nil {
			return n + 1, fmt.Errorf("remove session from index: %w", err)
		}
	}
	return len(tokens), nil
}

// drop deletes the session of a token.
func (s *sessions) drop(ctx context.Context, token string) error {
	_, err := s.dropKey(ctx, s.storeKey(token))
	return err
}

// dropKey deletes a record by its key in the store, and reports whether there
// was one; false where the store does not tell.
func (s *sessions) dropKey(ctx context.Context, key string) (found bool, err error) {
	if d, ok := s.manager.Store.(store.Dropper); ok {
		return d.DropCtx(ctx, key)
	}
	if cs, ok := s.manager.Store.(scs.CtxStore); ok {
		return false, cs.DeleteCtx(ctx, key)
	}
	return false, s.manager.Store.Delete(key)
}

// end deletes the session of a token.
func (s *sessions) end(ctx context.Context, token string) error {
	found, err := s.dropKey(ctx, s.storeKey(token))
	if err != nil || found {
		return err
	}
	return s.endRenewed(ctx, token)
}

// endRenewed deletes the session that a login of the same user has just given
// another token: that one is what the visitor wants to end.
func (s *sessions) endRenewed(ctx context.Context, token string) error {
	for range maxSessionCookies {
		next, err := s.renewed(ctx, token)
		if err != nil || next == "" {
			return err
		}
		found, err := s.dropKey(ctx, s.storeKey(next))
		if err != nil || found {
			return err
		}
		token = next
	}
	return nil
}

// writeCookie gives the browser the cookie of a session that another callback
// of the same login has saved.
func (s *sessions) writeCookie(ctx context.Context, w http.ResponseWriter, token string, expiry time.Time) error {
	v, err := s.empty(ctx)
	if err != nil {
		return err
	}
	s.manager.WriteSessionCookie(v.ctx, w, token, expiry)
	return nil
}

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

// describeCookie tells an operator what the browser was given.
func (s *sessions) describeCookie() string {
	c := s.manager.Cookie
	return fmt.Sprintf("session cookie name=%s Secure=%t Domain=%q Path=%q SameSite=%d", c.Name, c.Secure, c.Domain, c.Path, c.SameSite)
}

// logout deletes the sessions of the request's cookies, unread, and the cookie.
func (s *sessions) logout(w http.ResponseWriter, r *http.Request) error {
	if s.has(r.Context()) {
		return s.logoutLoaded(w, r)
	}
	if token, ok := bearer(r); ok && s.takesBearer {
		if !validToken(token) {
			return nil
		}
		return s.drop(r.Context(), token)
	}
	tokens, _ := s.tokens(r)
	for _, token := range tokens {
		if err := s.end(r.Context(), token); err != nil {
			return fmt.Errorf("delete session: %w", err)
		}
	}
	v, err := s.empty(r.Context())
	if err != nil {
		return err
	}
	s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
	return nil
}

// logoutLoaded ends the session that the request's context holds. Whoever
// loaded it writes the cookie when the answer begins.
func (s *sessions) logoutLoaded(w http.ResponseWriter, r *http.Request) error {
	held, _ := r.Context().Value(visitKey).(*visit)
	if held != nil && held.manager == s.manager && held.down != nil {
		return held.down
	}
	token := s.manager.Token(r.Context())
	if err := s.manager.Destroy(r.Context()); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	if _, tells := s.manager.Store.(*guard); token != "" && (!tells || trackOf(r.Context()).ended) {
		if err := s.endRenewed(r.Context(), token); err != nil {
			return fmt.Errorf("delete session: %w", err)
		}
	}
	if held == nil || held.manager != s.manager {
		return nil
	}
	held.loggedIn, held.identity = false, Identity{}
	if held.late {
		s.manager.WriteSessionCookie(r.Context(), w, "", time.Time{})
	}
	return nil
}

// save commits what changed in the visit's session and puts its cookie into
// w's headers. Nothing is written where the application's own LoadAndSave
// does it.
func (s *sessions) save(w http.ResponseWriter, v *visit) error {
	if v.outer || v.late || v.down != nil {
		return nil
	}
	switch s.manager.Status(v.ctx) {
	case scs.Modified:
		if err := s.indexMoved(v); err != nil {
			return err
		}
		token, expiry, err := s.manager.Commit(v.ctx)
		if errors.Is(err, errSessionGone) {
			return nil // it ended while this request ran, and stays ended
		}
		if err != nil {
			return err
		}
		if !v.bearer && !s.cookieSet(w) && s.cookieDue(v, token) {
			s.manager.WriteSessionCookie(v.ctx, w, token, expiry)
		}
	case scs.Destroyed:
		if !v.bearer && !s.cookieSet(w) {
			s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
		}
	default:
		if v.damaged && !s.cookieSet(w) {
			s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
		}
		s.touch(v)
	}
	return nil
}

// cookieDue reports whether the browser needs to be told of a session that was
// saved. One that it knows is not sent again: the answer could arrive after
// that of a login, and put the old token in the new one's place. With the
// application's own manager it is as in scs: whatever is saved is sent.
func (s *sessions) cookieDue(v *visit, token string) bool {
	if _, ok := s.manager.Store.(*guard); !ok {
		return true
	}
	return token != v.token || !s.manager.Deadline(v.ctx).Equal(v.deadline) || s.manager.GetBool(v.ctx, rememberKey) != v.remember
}

// rememberKey is where scs notes RememberMe, which changes the cookie.
const rememberKey = "__rememberMe"

// touch moves the record's expiry of a session in use. It is no failure of
// the request if that does not work: the next one tries again. The cookie
// needs no touch: it lasts until the deadline.
func (s *sessions) touch(v *visit) {
	if g, ok := s.manager.Store.(*guard); ok && v.touch && v.token != "" {
		_, _ = g.touch(v.ctx, s.storeKey(v.token), s.manager.Deadline(v.ctx))
	}
}

// cookieSet reports whether the answer has the session cookie already, from
// the application's own LoadAndSave inside of the gate.
func (s *sessions) cookieSet(w http.ResponseWriter) bool {
	prefix := s.manager.Cookie.Name + "="
	for _, line := range w.Header()["Set-Cookie"] {
		if len(line) >= len(prefix) && line[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

func (s *sessions) storeKey(token string) string {
	if s.manager.HashTokenInStore {
		return hashedToken(token)
	}
	return token
}
