package wechatauth

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxSessionCookies of the name are tried: a neighbour may have planted one
// beside ours.
const maxSessionCookies = 4

// tokens appends the well-formed session tokens that the request brings.
func (s *sessions) tokens(r *http.Request, tokens []string) (_ []string, sent bool) {
	for value := range cookieValues(r.Header, s.manager.Cookie.Name) {
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
	for range cookieValues(r.Header, s.manager.Cookie.Name) {
		return true
	}
	return false
}

// cookieValues are the values of the cookies of this name, as
// http.Request.CookiesNamed reads them, and without making anything of the
// others: a browser sends all cookies of a site with each request.
func cookieValues(h http.Header, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h["Cookie"] {
			for line != "" {
				var pair string
				pair, line, _ = strings.Cut(line, ";")
				key, value, _ := strings.Cut(trimBlank(pair), "=")
				if trimBlank(key) != name {
					continue
				}
				if value, ok := cookieValue(value); ok && !yield(value) {
					return
				}
			}
		}
	}
}

// cookieValue takes the quotes off a value. One with bytes that no cookie has
// is not ok.
func cookieValue(s string) (value string, ok bool) {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return "", false
		}
	}
	return s, true
}

func trimBlank(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

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
