package wechatauth

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// maxSessionCookies of the name are tried: a neighbour may have planted one
// beside ours.
const maxSessionCookies = 4

// tokens returns the well-formed session tokens that the request brings.
func (s *sessions) tokens(r *http.Request) (tokens []string, sent bool) {
	for _, c := range r.CookiesNamed(s.manager.Cookie.Name) {
		sent = true
		if validToken(c.Value) && len(tokens) < maxSessionCookies && !slices.Contains(tokens, c.Value) {
			tokens = append(tokens, c.Value)
		}
	}
	return tokens, sent
}

// writeCookie gives the browser the cookie of a session that another callback
// of the same login has saved.
func (s *sessions) writeCookie(ctx context.Context, w http.ResponseWriter, token string, expiry time.Time) error {
	v, err := s.empty(ctx)
	if err != nil {
		return err
	}
	s.manager.WriteSessionCookie(v.ctx, w, token, expiry)
	return nil
}

// cookieSet reports whether the answer has the session cookie already, from
// the application's own LoadAndSave inside of the gate.
func (s *sessions) cookieSet(w http.ResponseWriter) bool {
	prefix := s.manager.Cookie.Name + "="
	for _, line := range w.Header()["Set-Cookie"] {
		if len(line) >= len(prefix) && line[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}
