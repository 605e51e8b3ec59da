package session

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/internal/cookie"
)

// maxSessionCookies is how many cookies of the name are tried: a site on a
// sibling domain may have set one in addition to ours.
const maxSessionCookies = 4

// tokens appends the well-formed session tokens of the request.
func (s *Manager) tokens(r *http.Request, tokens []string) (_ []string, sent bool) {
	for value := range cookie.Values(r.Header, s.manager.Cookie.Name) {
		sent = true
		if ValidToken(value) && len(tokens) < maxSessionCookies && !slices.Contains(tokens, value) {
			tokens = append(tokens, value)
		}
	}
	return tokens, sent
}

// cookieSent reports whether the request has a session cookie, even one with an
// invalid value.
func (s *Manager) cookieSent(r *http.Request) bool {
	for range cookie.Values(r.Header, s.manager.Cookie.Name) {
		return true
	}
	return false
}

// WriteCookie sets the cookie of a session that another callback of the same
// login has saved, exactly as that callback did. The request's own session is
// not affected.
func (s *Manager) WriteCookie(w http.ResponseWriter, saved Saved) error {
	v, err := s.NewSession(context.Background(), noAudience)
	if err != nil {
		return err
	}
	if saved.Remember {
		s.manager.RememberMe(v.ctx, true)
	}
	s.manager.WriteSessionCookie(v.ctx, w, saved.Token, saved.Expiry)
	return nil
}

// cookieSet reports whether the response already has the session cookie, set by
// the application's own LoadAndSave inside the gate.
func (s *Manager) cookieSet(w http.ResponseWriter) bool {
	for _, line := range w.Header()["Set-Cookie"] {
		if rest, ok := strings.CutPrefix(line, s.manager.Cookie.Name); ok && strings.HasPrefix(rest, "=") {
			return true
		}
	}
	return false
}
