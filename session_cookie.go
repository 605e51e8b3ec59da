package wechatauth

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
)

// maxSessionCookies of the name are tried: a neighbour may have planted one
// beside ours.
const maxSessionCookies = 4

// tokens appends the well-formed session tokens that the request brings.
func (s *sessions) tokens(r *http.Request, tokens []string) (_ []string, sent bool) {
	for value := range cookie.Values(r.Header, s.manager.Cookie.Name) {
		sent = true
		if validToken(value) && len(tokens) < maxSessionCookies && !slices.Contains(tokens, value) {
			tokens = append(tokens, value)
		}
	}
	return tokens, sent
}

// cookieSent reports whether the request brings a session cookie, of whatever
// value.
func (s *sessions) cookieSent(r *http.Request) bool {
	for range cookie.Values(r.Header, s.manager.Cookie.Name) {
		return true
	}
	return false
}

// writeCookie sets the cookie of a session that another callback of the same
// login has saved, as that one did. The request's own session has no part in it.
func (s *sessions) writeCookie(w http.ResponseWriter, o outcome) error {
	v, err := s.alone(context.Background())
	if err != nil {
		return err
	}
	if o.Remember {
		s.manager.RememberMe(v.ctx, true)
	}
	s.manager.WriteSessionCookie(v.ctx, w, o.Token, time.Unix(o.Expiry, 0))
	return nil
}

// cookieSet reports whether the answer has the session cookie already, from
// the application's own LoadAndSave inside of the gate.
func (s *sessions) cookieSet(w http.ResponseWriter) bool {
	for _, line := range w.Header()["Set-Cookie"] {
		if rest, ok := strings.CutPrefix(line, s.manager.Cookie.Name); ok && strings.HasPrefix(rest, "=") {
			return true
		}
	}
	return false
}
