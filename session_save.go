package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

// save commits what changed in the visit's session and puts its cookie into
// w's headers. What the handler deletes after that is deleted at once.
func (s *sessions) save(w http.ResponseWriter, v *visit) error {
	defer v.ctx.track.release()
	switch {
	case v.outer:
		return s.saveOuter(v)
	case v.late || v.down != nil:
		return s.saveNothing(v)
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
		if err := s.drops(v); err != nil {
			return err
		}
		if !v.bearer && !s.cookieSet(w) {
			s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
		}
	default:
		s.keep(w, v)
	}
	return nil
}

// saveNothing is for a session that is to be read only, late or as a stand-in. A
// handler that ended it must not be left to believe that it did.
func (s *sessions) saveNothing(v *visit) error {
	if v.untouched() || s.manager.Status(v.ctx) != scs.Destroyed {
		return nil
	}
	if v.down != nil {
		return v.down
	}
	return s.drops(v)
}

// saveOuter does what scs's LoadAndSave around the gate does not: it touches a
// session in use, and saves one before what it takes the place of is deleted.
// Scs saves it once more, as a record that is there already.
func (s *sessions) saveOuter(v *visit) error {
	g := v.ctx.guard
	if g == nil {
		return nil
	}
	switch s.manager.Status(v.ctx) {
	case scs.Unmodified:
		if g.idle > 0 && v.token != "" {
			_ = g.touch(v.ctx, s.storeKey(v.token), v.deadline)
		}
	case scs.Modified:
		if err := s.indexMoved(v); err != nil {
			return err
		}
		if !v.ctx.track.holdsSome() {
			return nil
		}
		_, _, err := s.manager.Commit(v.ctx)
		g.found.note(s.storeKey(s.manager.Token(v.ctx)), s.now())
		if !errors.Is(err, errSessionGone) {
			return err
		}
	case scs.Destroyed:
		return s.drops(v)
	}
	return nil
}

// drops deletes the records of a session that the handler has ended.
func (s *sessions) drops(v *visit) error {
	if v.ctx.guard == nil {
		return nil
	}
	return v.ctx.guard.dropHeld(v.ctx, &v.ctx.track)
}

// abandon is for a handler that panicked: what it put is not saved, but a
// session that it ended is ended.
func (s *sessions) abandon(v *visit) error {
	defer v.ctx.track.release()
	if !v.ctx.track.holdsSome() || s.manager.Status(v.ctx) != scs.Destroyed {
		return nil
	}
	return s.drops(v)
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
