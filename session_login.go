package wechatauth

import (
	"fmt"
	"net/http"
	"strings"
)

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
	if g, ok := s.manager.Store.(*guard); ok {
		g.trackOf(v.ctx).holdDeletes = true
	}
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
