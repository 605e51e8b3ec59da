package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

// save commits what changed in the visit's session and puts its cookie into
// w's headers. Nothing is written where the manager's own LoadAndSave does it.
func (s *sessions) save(w http.ResponseWriter, v *visit) error {
	switch {
	case v.outer:
		s.touchOuter(v)
		return nil
	case v.late || v.down != nil:
		return nil
	}
	if v.lost() {
		s.giveUp(v)
	}
	if v.untouched() {
		s.keep(w, v)
		return nil
	}
	switch s.manager.Status(v.ctx) {
	case scs.Modified:
		if err := s.indexMoved(v); err != nil {
			return err
		}
		token, expiry, err := s.commit(v)
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
		s.keep(w, v)
	}
	return nil
}

// commit writes the session. The store of a manager of the application's is
// guarded for that, so that a session which ended under way stays ended with it
// too.
func (s *sessions) commit(v *visit) (token string, expiry time.Time, err error) {
	if _, guarded := s.manager.Store.(*guard); guarded || v.token == "" {
		return s.manager.Commit(v.ctx)
	}
	g := newGuard(s.manager.Store, 0, s.now)
	m := *s.manager // keeps sessions in a context where the original does
	m.Store = g
	return m.Commit(context.WithValue(v.ctx, g, &track{token: s.storeKey(v.token)}))
}

// keep leaves a session that did not change as it is.
func (s *sessions) keep(w http.ResponseWriter, v *visit) {
	if v.damaged && !s.cookieSet(w) {
		s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
	}
	s.touch(v)
}

// giveUp deletes a record that turned out to be unreadable while the request ran.
// The session that took its place is a new one. What cannot be deleted now is
// met by the next request.
func (s *sessions) giveUp(v *visit) {
	s.corrupt(v.ctx)
	_ = s.drop(v.ctx, v.token)
	v.damaged, v.token, v.touch = true, "", false
}

// cookieDue reports whether the browser needs to be told of a session that was
// saved. One that it knows is not sent again: the answer could arrive after
// that of a login, and put the old token in the new one's place. With the idle
// timeout of the application's own manager the cookie ends with the record, and
// has to be sent again to last.
func (s *sessions) cookieDue(v *visit, token string) bool {
	return s.manager.IdleTimeout > 0 || token != v.token || !s.manager.Deadline(v.ctx).Equal(v.deadline) || s.manager.GetBool(v.ctx, rememberKey) != v.remembered()
}

// rememberKey is where scs notes RememberMe, which changes the cookie.
const rememberKey = "__rememberMe"

// touch moves the record's expiry of a session in use. It is no failure of
// the request if that does not work: the next one tries again. The cookie
// needs no touch: it lasts until the deadline.
func (s *sessions) touch(v *visit) {
	if g, ok := s.manager.Store.(*guard); ok && v.touch && v.token != "" {
		_ = g.touch(v.ctx, s.storeKey(v.token), v.deadline)
	}
}

// touchOuter is touch for a session that scs's LoadAndSave around the gate has
// loaded: how long its record will live is not known here. If the session has
// changed, scs saves it, which is a touch too.
func (s *sessions) touchOuter(v *visit) {
	g, ok := s.manager.Store.(*guard)
	if ok && g.idle > 0 && v.token != "" && s.manager.Status(v.ctx) == scs.Unmodified {
		_ = g.touch(v.ctx, s.storeKey(v.token), s.manager.Deadline(v.ctx))
	}
}
