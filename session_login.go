package wechatauth

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/store"
)

// isUser reports whether the visit is one of this user, logged in.
func (v *visit) isUser(id Identity) bool {
	return v.loggedIn && v.identity.AppID == id.AppID && v.identity.OpenID == id.OpenID
}

// admit calls f with a context that has the session of the login to come: what
// f puts is saved with it. Another user's values are removed first. If f
// returns an error, the session is as it was.
func (s *sessions) admit(v *visit, id Identity, f hook) error {
	before := map[string]any{}
	for _, key := range s.manager.Keys(v.ctx) {
		before[key] = s.manager.Get(v.ctx, key)
	}
	identity, loggedIn := v.identity, v.loggedIn
	if loggedIn && !v.isUser(id) {
		if err := s.manager.Clear(v.ctx); err != nil {
			return fmt.Errorf("clear session: %w", err)
		}
		v.identity, v.loggedIn = Identity{}, false
	}
	err := f(v.ctx, id)
	if err == nil {
		return nil
	}
	v.identity, v.loggedIn = identity, loggedIn
	_ = s.manager.Clear(v.ctx) // in memory, and without an error
	for key, value := range before {
		s.manager.Put(v.ctx, key, value)
	}
	return err
}

// login puts an identity into the visit's session under a new token, so that
// whoever knew the old one is out. What the visitor had in his session stays,
// unless it was somebody else's.
func (s *sessions) login(v *visit, id Identity) error {
	text := encodeIdentity(id)
	same := v.isUser(id)
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
		s.manager.Remove(v.ctx, identity.Key(appID))
	}
	s.manager.Put(v.ctx, identity.Key(id.AppID), text)
	v.identity, v.loggedIn, v.late = id, true, false
	return nil
}

// put writes an identity anew that is the visit's own: the same user, known
// better.
func (s *sessions) put(v *visit, id Identity) error {
	text := encodeIdentity(id)
	s.manager.Put(v.ctx, identity.Key(id.AppID), text)
	v.identity = id
	return nil
}

// renew gives the session a new token. The record under the old one is
// deleted after the new one is saved: a store that fails between the two must
// not cost the visitor what he had.
func (s *sessions) renew(v *visit) error {
	if _, ok := s.guard.tracked(v.ctx); !ok { // LoadAndSave around the gate has loaded it
		v.ctx.guard, v.ctx.track.token, v.ctx.track.session = s.guard, s.storeKey(v.token), s.guard.dataIn(v.ctx)
	}
	s.guard.trackOf(v.ctx).restart()
	if err := s.manager.RenewToken(v.ctx); err != nil {
		return fmt.Errorf("renew session token: %w", err)
	}
	return nil
}

// saveLogin commits a login before anything is answered: first the index, so
// that no session is ever missing from it, then the session. Where somebody
// further out saves the session too, the cookie is left to him.
func (s *sessions) saveLogin(w http.ResponseWriter, v *visit) error {
	if s.batches(v) {
		v.ctx.track.with = s.indexWrites(v)
	} else if err := s.addToIndex(v); err != nil {
		return err
	}
	token, expiry, err := s.manager.Commit(v.ctx)
	v.ctx.track.take()
	if err != nil {
		return err
	}
	v.expiry = expiry
	if v.outer { // LoadAndSave writes it once more
		s.guard.noteRead(v.ctx, s.storeKey(token))
	}
	if v.bearer { // which has no cookie, so it ends with the record
		v.expiry = s.expiry(v)
	}
	if err := s.dropOthers(v); err != nil {
		return err
	}
	s.leaveOld(v, token)
	if !v.outer && !v.bearer {
		s.manager.WriteSessionCookie(v.ctx, w, token, expiry)
	}
	return nil
}

// batches reports whether the writes of the visit's login go together.
func (s *sessions) batches(v *visit) bool { return s.batch != nil && v.ctx.guard != nil }

// leaveOld deletes the record that the login has taken the place of, and leaves
// a grace for late readers; a logout that misses the old record finds the new
// one by it. None of it is worth a failure of the login: an old record that
// cannot be deleted now ends by its own expiry.
func (s *sessions) leaveOld(v *visit, token string) {
	var grace []byte
	if v.replaced != "" {
		grace, _ = sealRenewed(token, v.replaced)
	}
	t := s.guard.trackOf(v.ctx)
	old := t.takeHeld()
	t.login = false
	if !s.batches(v) {
		if grace != nil {
			_ = s.marks.PutMark(v.ctx, renewedKey(v.replaced), grace, renewedTTL)
		}
		for _, key := range old {
			_, _ = s.guard.DropCtx(v.ctx, key)
		}
		return
	}
	var together store.Batch
	if grace != nil {
		together.PutMark(renewedKey(v.replaced), grace, renewedTTL)
	}
	for _, key := range old {
		together.Delete(key)
	}
	if v.settles {
		v.ctx.track.with = together
		return
	}
	_ = s.batch.DoBatch(v.ctx, together)
}

// dropOthers ends the identities of other accounts in the session of a login if
// the session that they came from has ended meanwhile.
func (s *sessions) dropOthers(v *visit) error {
	if len(s.usersIn(v)) < 2 {
		return nil
	}
	t := s.guard.trackOf(v.ctx)
	if err := s.guard.dropHeld(v.ctx, t); err != nil || !t.isOver() {
		return err
	}
	text := s.manager.GetString(v.ctx, identity.Key(v.identity.AppID))
	if err := s.manager.Clear(v.ctx); err != nil {
		return err
	}
	s.manager.Put(v.ctx, identity.Key(v.identity.AppID), text)
	t.restart()
	_, _, err := s.manager.Commit(v.ctx)
	return err
}

// indexMoved notes in the index, before it is saved, the session of a user that
// the application has given another deadline. One that has another token, or has
// taken another session in, is noted when it is written: see guard.CommitCtx.
func (s *sessions) indexMoved(v *visit) error {
	if s.manager.Token(v.ctx) != v.token || s.manager.Deadline(v.ctx).Equal(v.deadline) {
		return nil
	}
	return s.addToIndex(v)
}

// addToIndex makes the session findable by each user in it.
func (s *sessions) addToIndex(v *visit) error {
	if s.index == nil {
		return nil
	}
	key, deadline := s.storeKey(s.manager.Token(v.ctx)), s.manager.Deadline(v.ctx)
	for _, user := range s.usersIn(v) {
		if err := s.index.AddSession(v.ctx, user, key, deadline); err != nil {
			return err
		}
	}
	return nil
}

// indexWrites is addToIndex as a part of a batch.
func (s *sessions) indexWrites(v *visit) (b store.Batch) {
	key, deadline := s.storeKey(s.manager.Token(v.ctx)), s.manager.Deadline(v.ctx)
	for _, user := range s.usersIn(v) {
		b.AddSession(user, key, deadline)
	}
	return b
}

// usersIn are the users of a session, as the index names them: with many
// accounts, or gates that share a manager, the others' identities move on to the
// new token too.
func (s *sessions) usersIn(v *visit) (users []string) {
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
	id, err := decodeIdentity(appID, text)
	return userKey(appID, id.OpenID), err == nil
}
