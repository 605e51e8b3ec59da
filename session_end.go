package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/store"
)

// logout deletes the sessions of the request's cookies, unread, and the cookie.
func (s *sessions) logout(w http.ResponseWriter, r *http.Request) error {
	held, _ := r.Context().Value(visitKey).(*visit)
	token, sent := bearer(r)
	switch isBearer := sent && s.takesBearer; {
	case held != nil && held.manager == s.manager, !isBearer && s.has(r.Context()):
		return s.logoutLoaded(w, r)
	case isBearer:
		if !validToken(token) {
			return nil
		}
		return s.drop(r.Context(), token)
	}
	tokens, _ := s.tokens(r, nil)
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
	if err := s.endLoaded(r.Context(), s.manager.Token(r.Context())); err != nil {
		return fmt.Errorf("delete session: %w", err)
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

// endLoaded deletes the session that the context holds, and has scs forget it.
func (s *sessions) endLoaded(ctx context.Context, token string) error {
	g, guarded := s.manager.Store.(*guard)
	if !guarded {
		if err := s.manager.Destroy(ctx); err != nil || token == "" {
			return err
		}
		return s.endRenewed(ctx, token)
	}
	if token != "" {
		if err := s.end(ctx, token); err != nil {
			return err
		}
	}
	t, _ := g.trackOf(ctx)
	if err := g.dropHeld(ctx, t); err != nil { // the token was a new one
		return err
	}
	// There is nothing left that scs could delete.
	return s.manager.Destroy(context.WithValue(ctx, g, &track{holds: true}))
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

// errNoIndex: the store cannot tell which sessions are a user's.
var errNoIndex = errors.New("wechatauth: this session store has no index of users (store.Index); use a store of package store")

// revoke ends all sessions of a user and returns how many were alive, or all in
// the index where the store cannot tell.
func (s *sessions) revoke(ctx context.Context, appID, openID string) (int, error) {
	if s.index == nil {
		return 0, errNoIndex
	}
	user := userKey(appID, openID)
	keys, err := s.index.SessionsOf(ctx, user)
	if err != nil {
		return 0, fmt.Errorf("find sessions of user: %w", err)
	}
	ended, err := s.dropKeys(ctx, keys)
	if err != nil {
		return len(ended), fmt.Errorf("delete sessions: %w", err)
	}
	// A key without a record ended long ago, or its login is about to save it:
	// the index has to have it then. What has ended leaves the index by itself.
	if err := s.index.RemoveSession(ctx, user, ended...); err != nil {
		return len(ended), fmt.Errorf("remove sessions from index: %w", err)
	}
	return len(ended), nil
}

// dropKeys deletes records by their keys in the store and returns the keys that
// had one. It ends with ctx.
func (s *sessions) dropKeys(ctx context.Context, keys []string) (dropped []string, err error) {
	if d, ok := s.backing.(store.Dropper); ok {
		return d.DropAllCtx(ctx, keys)
	}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return dropped, err
		}
		if _, err := s.dropKey(ctx, key); err != nil {
			return dropped, err
		}
		dropped = append(dropped, key)
	}
	return dropped, nil
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
