package session

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/internal/cookie"
)

// maxSessionCookies of the name are tried: a neighbour may have planted one
// beside ours.
const maxSessionCookies = 4

// tokens appends the well-formed session tokens that the request brings.
func (s *Manager) tokens(r *http.Request, tokens []string) (_ []string, sent bool) {
	for value := range cookie.Values(r.Header, s.manager.Cookie.Name) {
		sent = true
		if ValidToken(value) && len(tokens) < maxSessionCookies && !slices.Contains(tokens, value) {
			tokens = append(tokens, value)
		}
	}
	return tokens, sent
}

// cookieSent reports whether the request brings a session cookie, of whatever
// value.
func (s *Manager) cookieSent(r *http.Request) bool {
	for range cookie.Values(r.Header, s.manager.Cookie.Name) {
		return true
	}
	return false
}

// WriteCookie sets the cookie of a session that another callback of the same
// login has saved, as that one did. The request's own session has no part in it.
func (s *Manager) WriteCookie(w http.ResponseWriter, saved Saved) error {
	v, err := s.NewSession(context.Background(), noVisit)
	if err != nil {
		return err
	}
	if saved.Remember {
		s.manager.RememberMe(v.ctx, true)
	}
	s.manager.WriteSessionCookie(v.ctx, w, saved.Token, saved.Expiry)
	return nil
}

// cookieSet reports whether the answer has the session cookie already, from
// the application's own LoadAndSave inside of the gate.
func (s *Manager) cookieSet(w http.ResponseWriter) bool {
	for _, line := range w.Header()["Set-Cookie"] {
		if rest, ok := strings.CutPrefix(line, s.manager.Cookie.Name); ok && strings.HasPrefix(rest, "=") {
			return true
		}
	}
	return false
}
