package session

import (
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

// save writes the visit's session once, before the response begins, and puts its
// cookie into w's headers. What is written:
//
//	outer middleware saves  nothing; a touch, if scs's LoadAndSave will not write
//	the store is down, or   nothing; an error if the handler changed the session
//	a renewed token         (rejectChanges)
//	a corrupt record        it is deleted, and what the handler put gets a new token
//	unchanged               a touch, if more than 1/20 of the idle timeout is used
//	                        (saveUnchanged, requestTrack.touchDue)
//	modified                the index of a new token, then the record, if the one that
//	                        was read is still there (guardedStore.CommitCtx); the
//	                        cookie, if the token or the expiry changed
//	destroyed               the records are deleted, then the cookie
//
// A login writes before: see LogIn and SaveLogin. Later deletions by the handler
// take effect immediately.
func (s *Manager) save(w http.ResponseWriter, v *Visit) error {
	defer s.release(v)
	switch {
	case v.mode == modeOuter:
		return s.saveOuter(v)
	case v.Unsaved() || v.down != nil:
		return s.rejectChanges(v)
	}
	token, damaged := v.Token, v.Brought == Damaged
	if v.lost() {
		s.deleteUnreadable(v)
		token, damaged = "", true
	}
	if v.untouched() {
		s.saveUnchanged(w, v, token, damaged)
		return nil
	}
	switch s.manager.Status(v.ctx) {
	case scs.Modified:
		if err := s.indexMoved(v); err != nil {
			return err
		}
		saved, expiry, err := s.manager.Commit(v.ctx)
		if errors.Is(err, ErrGone) {
			return nil // it ended while this request ran, and stays ended
		}
		if err != nil {
			return err
		}
		if !v.Bearer && !s.cookieSet(w) && (saved != token || s.cookieDue(v)) {
			s.manager.WriteSessionCookie(v.ctx, w, saved, expiry)
		}
	case scs.Destroyed:
		if err := s.deleteEnded(v); err != nil {
			return err
		}
		if !v.Bearer && !s.cookieSet(w) {
			s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
		}
	default:
		s.saveUnchanged(w, v, token, damaged)
	}
	return nil
}

// changed reports whether a handler has changed the visit's session.
func (s *Manager) changed(v *Visit) bool {
	return !v.untouched() && s.manager.Status(v.ctx) != scs.Unmodified
}

// rejectChanges handles a read-only session. If the session replaces one that
// could not be loaded, a change is an error, because it is lost.
func (s *Manager) rejectChanges(v *Visit) error {
	switch {
	case !s.changed(v):
		return nil
	case v.down != nil:
		return v.down
	case s.manager.Status(v.ctx) == scs.Destroyed:
		return s.deleteEnded(v)
	}
	return nil
}

// saveOuter touches a session in use that scs's LoadAndSave around the gate has
// loaded, and does not save because nothing in it has changed.
func (s *Manager) saveOuter(v *Visit) error {
	if _, ok := s.guard.track(v.ctx); ok { // an outer gate does
		return nil
	}
	if s.guard.idle > 0 && v.Token != "" && s.manager.Status(v.ctx) == scs.Unmodified {
		_ = s.guard.touch(v.ctx, s.StoreKey(v.Token), v.loaded.deadline)
	}
	return nil
}

// deleteEnded deletes the records of a session that the handler has ended.
func (s *Manager) deleteEnded(v *Visit) error {
	return s.guard.dropWaiting(v.ctx)
}

// release makes all later deletions take effect immediately. Of those still
// deferred, one may come from a handler that is still running after its
// response; those that a failed save has deferred are not executed.
func (s *Manager) release(v *Visit) {
	for _, key := range v.ctx.track.release() {
		if s.manager.Status(v.ctx) == scs.Destroyed {
			_, _ = s.guard.DeleteAndReportCtx(v.ctx, key)
		}
	}
}

// abandon handles a panic of the handler: its changes are not saved, but a
// session that it ended is ended.
func (s *Manager) abandon(v *Visit) error {
	defer s.release(v)
	if v.mode == modeOuter || v.untouched() || s.manager.Status(v.ctx) != scs.Destroyed {
		return nil
	}
	return s.deleteEnded(v)
}

// saveUnchanged leaves a session that did not change as it is.
func (s *Manager) saveUnchanged(w http.ResponseWriter, v *Visit, token string, damaged bool) {
	if damaged && !s.cookieSet(w) {
		s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
	}
	if token != "" && v.ctx.track.touchDue {
		_ = s.guard.touch(v.ctx, s.StoreKey(token), v.loaded.deadline) // the next request tries again
	}
}

// deleteUnreadable deletes a record that turned out to be unreadable while the
// request ran. The session that replaces it is new. If the record cannot be
// deleted now, the next request deletes it.
func (s *Manager) deleteUnreadable(v *Visit) {
	s.report(v.ctx, ErrCorrupt)
	_, _ = s.drop(v.ctx, v.Token)
}

// cookieDue reports whether the browser needs the cookie of a session again
// that was saved under the same token. If nothing about it changed it is not
// sent: the response could arrive after that of a login and replace the new
// token with the old one. With the idle timeout of the application's own
// manager the cookie expires with the record, and must be sent again to be
// kept.
func (s *Manager) cookieDue(v *Visit) bool {
	return s.manager.IdleTimeout > 0 || !s.manager.Deadline(v.ctx).Equal(v.loaded.deadline) || s.manager.GetBool(v.ctx, rememberKey) != v.remembered()
}

// rememberKey is the key under which scs stores RememberMe, which changes the
// cookie.
const rememberKey = "__rememberMe"
