package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/store"
)

// LogOut deletes the sessions of the request's cookies, unread, and the cookie.
// It reports whether there was one.
func (s *Manager) LogOut(w http.ResponseWriter, r *http.Request, a *Audience) (ended bool, err error) {
	held := FromContext(r.Context())
	token, sent := Bearer(r)
	switch isBearer := sent && a.Bearer; {
	case held.isOf(s), !isBearer && s.has(r.Context()):
		return s.logoutLoaded(w, r)
	case isBearer:
		if !ValidToken(token) {
			return false, nil
		}
		return s.drop(r.Context(), token)
	}
	tokens, _ := s.tokens(r, nil)
	for _, token := range tokens {
		found, err := s.end(r.Context(), token)
		if err != nil {
			return ended, fmt.Errorf("delete session: %w", err)
		}
		ended = ended || found
	}
	v, err := s.emptyVisit(r.Context(), noAudience)
	if err != nil {
		return ended, err
	}
	s.manager.WriteSessionCookie(v.ctx, w, "", time.Time{})
	return ended, nil
}

// logoutLoaded ends the session in the request's context. The middleware that
// loaded it writes the cookie when the response begins.
func (s *Manager) logoutLoaded(w http.ResponseWriter, r *http.Request) (ended bool, err error) {
	held := FromContext(r.Context())
	if held.isOf(s) && held.down != nil {
		return false, held.down
	}
	if ended, err = s.endLoaded(r.Context(), s.manager.Token(r.Context())); err != nil {
		return false, fmt.Errorf("delete session: %w", err)
	}
	if !held.isOf(s) {
		return ended, nil
	}
	held.ended.Store(true)
	if held.Unsaved() {
		s.manager.WriteSessionCookie(r.Context(), w, "", time.Time{})
	}
	return ended, nil
}

// endLoaded deletes the session in the context, and clears scs's data of it.
func (s *Manager) endLoaded(ctx context.Context, token string) (found bool, err error) {
	if token != "" {
		if found, err = s.end(ctx, token); err != nil {
			return false, err
		}
	}
	if err := s.guard.dropWaiting(ctx); err != nil { // the token was a new one
		return false, err
	}
	// Nothing is left for scs to delete.
	return found, s.manager.Destroy(context.WithValue(ctx, s.guard, &requestTrack{holds: true, session: s.guard.dataIn(ctx)}))
}

// end deletes the session of a token.
func (s *Manager) end(ctx context.Context, token string) (found bool, err error) {
	found, err = s.drop(ctx, token)
	if err != nil || found {
		return found, err
	}
	return s.endRenewed(ctx, token)
}

// endRenewed deletes the session whose token a login of the same user has just
// replaced: that is the session the user means to end.
func (s *Manager) endRenewed(ctx context.Context, token string) (found bool, err error) {
	for range maxSessionCookies {
		next, err := s.renewed(ctx, token)
		if err != nil || next == "" {
			return false, err
		}
		found, err := s.drop(ctx, next)
		if err != nil || found {
			return found, err
		}
		token = next
	}
	return false, nil
}

// Revoke ends all sessions of a user and returns how many were still valid. A
// request in flight may renew the token of one of them, or create a session
// from it (a scan, a web-view). The new key is in the index before its record
// is written, and its record is written before the old one is deleted. So the
// index is read until no key is left to try. A key without a record is tried
// twice: if its record is written only after the second try, the old record
// still existed during the first, and the request finds that Revoke has deleted
// it. A login with a code from WeChat has no older session and is not affected
// by Revoke.
func (s *Manager) Revoke(ctx context.Context, appID, openID string) (n int, err error) {
	const twice = 2
	user, tried := User(appID, openID), map[string]int{}
	for {
		keys, err := s.store.SessionsOf(ctx, user)
		switch {
		case errors.Is(err, store.ErrNoIndex):
			return n, err
		case err != nil:
			return n, fmt.Errorf("find sessions of user: %w", err)
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return tried[key] == twice })
		if len(keys) == 0 {
			return n, nil
		}
		ended, err := s.store.DeleteAndReportAllCtx(ctx, keys)
		n += len(ended)
		if err != nil {
			return n, fmt.Errorf("delete sessions: %w", err)
		}
		// A key without a record belongs to a session that ended long ago or
		// that a login is about to save, in which case the index must keep it.
		// Keys of ended sessions expire from the index.
		if err := s.store.RemoveSession(ctx, user, ended...); err != nil {
			return n, fmt.Errorf("remove sessions from index: %w", err)
		}
		for _, key := range keys {
			tried[key]++
		}
		for _, key := range ended {
			tried[key] = twice
		}
	}
}

// drop deletes the session of a token, and reports whether there was one.
func (s *Manager) drop(ctx context.Context, token string) (found bool, err error) {
	return s.guard.DeleteAndReportCtx(ctx, s.StoreKey(token))
}
