package session

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/store"
)

// isUser reports whether the visit is one of this user, logged in.
func (v *Visit) isUser(id identity.Identity) bool {
	return v.LoggedIn && v.Identity.AppID == id.AppID && v.Identity.OpenID == id.OpenID
}

// Try calls f with a context that has the session of the pending login:
// values that f puts are saved with it. Another user's values are removed
// first. If f returns an error, the session is as it was.
func (s *Manager) Try(v *Visit, id identity.Identity, f func(context.Context) error) error {
	before := map[string]any{}
	for _, key := range s.manager.Keys(v.ctx) {
		before[key] = s.manager.Get(v.ctx, key)
	}
	was, wasIn := v.Identity, v.LoggedIn
	if wasIn && !v.isUser(id) {
		if err := s.manager.Clear(v.ctx); err != nil {
			return fmt.Errorf("clear session: %w", err)
		}
		v.Identity, v.LoggedIn = identity.Identity{}, false
	}
	err := f(v.ctx)
	if err == nil {
		return nil
	}
	v.Identity, v.LoggedIn = was, wasIn
	_ = s.manager.Clear(v.ctx) // in memory, and without an error
	for key, value := range before {
		s.manager.Put(v.ctx, key, value)
	}
	return err
}

// LogIn puts an identity into the visit's session under a new token, so that
// the old token, which others may know, is of no use. The session's other
// values are kept, unless they belong to a different user.
func (s *Manager) LogIn(v *Visit, id identity.Identity) error {
	same := v.isUser(id)
	if v.LoggedIn && !same {
		if err := s.manager.Clear(v.ctx); err != nil {
			return fmt.Errorf("clear session: %w", err)
		}
	}
	if same {
		v.ctx.track.replaced = s.manager.Token(v.ctx)
	}
	if err := s.renew(v); err != nil {
		return err
	}
	for _, appID := range v.audience.AppIDs {
		s.manager.Remove(v.ctx, identity.Key(appID))
	}
	s.manager.Put(v.ctx, identity.Key(id.AppID), identity.Encode(id))
	v.Identity, v.LoggedIn = id, true
	if v.mode == modeUnsaved {
		v.mode = modeSaved
	}
	return nil
}

// UpdateIdentity replaces the visit's identity by a more complete one of the
// same user.
func (s *Manager) UpdateIdentity(v *Visit, id identity.Identity) {
	s.manager.Put(v.ctx, identity.Key(id.AppID), identity.Encode(id))
	v.Identity = id
}

// renew gives the session a new token. The record under the old one is deleted
// after the new one is saved: a store that fails between the two must not cost
// the user their existing session.
func (s *Manager) renew(v *Visit) error {
	if _, ok := s.guard.track(v.ctx); !ok { // LoadAndSave around the gate has loaded it
		v.ctx.guard, v.ctx.track.token, v.ctx.track.session = s.guard, s.StoreKey(v.Token), s.guard.dataIn(v.ctx)
	}
	s.guard.trackOf(v.ctx).restart()
	if err := s.manager.RenewToken(v.ctx); err != nil {
		return fmt.Errorf("renew session token: %w", err)
	}
	s.manager.SetDeadline(v.ctx, s.now().Add(s.manager.Lifetime).UTC()) // scs's clock is time.Now
	return nil
}

// SaveLogin commits a login before the response begins: first the index, so
// that no session is ever missing from it, then the session. If outer
// middleware saves the session too, it also writes the cookie. The caller
// executes the remaining writes, Saved.Rest, together with a shared result or
// alone.
func (s *Manager) SaveLogin(w http.ResponseWriter, v *Visit) (Saved, error) {
	t := s.guard.trackOf(v.ctx) // that of a gate further out, where there is one
	t.with = s.indexWrites(v)
	token, expiry, err := s.manager.Commit(v.ctx)
	t.take()
	if err != nil {
		return Saved{}, err
	}
	saved := Saved{Token: token, Expiry: expiry, Remember: s.manager.GetBool(v.ctx, rememberKey)}
	if v.mode == modeOuter { // outer middleware writes it again, if it still exists
		s.guard.noteRead(v.ctx, s.StoreKey(token))
	}
	if v.Bearer { // which has no cookie, so it ends with the record
		saved.Expiry = s.expiry(v)
	}
	if err := s.dropOthers(v); err != nil {
		return Saved{}, err
	}
	saved.Rest = s.deleteReplaced(v, token)
	if v.mode == modeOuter {
		t.wrote(s.StoreKey(token)) // as above, where it is a gate
	}
	if v.mode != modeOuter && !v.Bearer {
		s.manager.WriteSessionCookie(v.ctx, w, token, expiry)
	}
	return saved, nil
}

// Saved is a login that was saved.
type Saved struct {
	Token    string
	Expiry   time.Time   // of the cookie, or of a bearer token
	Remember bool        // scs's RememberMe, which changes the cookie
	Rest     store.Batch // what is left to write
}

// deleteReplaced returns the writes that delete the record that the login has
// replaced, and leave a mark for late readers; a logout that misses the old
// record finds the new one by it. None of these writes makes the login fail: an
// old record that cannot be deleted now ends by its own expiry.
func (s *Manager) deleteReplaced(v *Visit, token string) (rest store.Batch) {
	t := s.guard.trackOf(v.ctx)
	old := t.takeHeld()
	t.login = false
	if replaced := v.ctx.track.replaced; replaced != "" {
		rest.PutMark(renewedKey(replaced), sealRenewed(token, replaced, s.now()), RenewedTTL)
	}
	for _, key := range old {
		rest.Delete(key)
	}
	return rest
}

// dropOthers ends the identities of other accounts in the session of a login if
// the session that they came from has ended meanwhile.
func (s *Manager) dropOthers(v *Visit) error {
	if len(s.usersIn(v)) < 2 {
		return nil
	}
	t := s.guard.trackOf(v.ctx)
	if err := s.guard.dropHeld(v.ctx, t); err != nil || !t.isOver() {
		return err
	}
	text := s.manager.GetString(v.ctx, identity.Key(v.Identity.AppID))
	if err := s.manager.Clear(v.ctx); err != nil {
		return err
	}
	s.manager.Put(v.ctx, identity.Key(v.Identity.AppID), text)
	t.restart()
	_, _, err := s.manager.Commit(v.ctx)
	return err
}

// indexMoved notes in the index, before it is saved, the session of a user that
// the application has given another deadline. One that has another token, or has
// taken another session in, is noted when it is written: see guard.CommitCtx.
func (s *Manager) indexMoved(v *Visit) error {
	if s.manager.Token(v.ctx) != v.Token || s.manager.Deadline(v.ctx).Equal(v.loaded.deadline) {
		return nil
	}
	return s.addToIndex(v)
}

// addToIndex makes the session findable by each user in it.
func (s *Manager) addToIndex(v *Visit) error {
	key, deadline := s.StoreKey(s.manager.Token(v.ctx)), s.manager.Deadline(v.ctx)
	for _, user := range s.usersIn(v) {
		if err := s.store.AddSession(v.ctx, user, key, deadline); err != nil {
			return err
		}
	}
	return nil
}

// indexWrites is addToIndex as a part of a batch.
func (s *Manager) indexWrites(v *Visit) (b store.Batch) {
	key, deadline := s.StoreKey(s.manager.Token(v.ctx)), s.manager.Deadline(v.ctx)
	for _, user := range s.usersIn(v) {
		b.AddSession(user, key, deadline)
	}
	return b
}

// usersIn are the users of a session, as the index names them: with many
// accounts, or gates that share a manager, the others' identities move on to the
// new token too.
func (s *Manager) usersIn(v *Visit) (users []string) {
	for _, name := range s.manager.Keys(v.ctx) {
		if user, ok := userOf(name, s.manager.Get(v.ctx, name)); ok {
			users = append(users, user)
		}
	}
	return users
}

// userOf returns the user whom a value of a session names. It returns false if
// the value is no identity, or one of another release.
func userOf(name string, value any) (user string, ok bool) {
	appID, isIdentity := strings.CutPrefix(name, identity.Key(""))
	text, isText := value.(string)
	if !isIdentity || !isText {
		return "", false
	}
	id, err := identity.Decode(appID, text)
	return User(appID, id.OpenID), err == nil
}
