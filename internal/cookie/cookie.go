// Package cookie sets, reads and deletes cookies, and seals their values.
package cookie

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/seal"
)

const (
	// Skew is how far the clocks of two instances may be apart.
	Skew = 5 * time.Minute

	// MaxBytes is what name and value of a cookie may have. Browsers drop larger
	// ones, and it leaves room in the 8 KiB that servers give all headers.
	MaxBytes = 4096
	// MaxOpened is the number of decryptions that a request may cost for each kind
	// of cookie.
	MaxOpened = 8
)

// A Sealer encrypts the values of cookies, as [seal.Ring] does.
type Sealer interface {
	Seal(plain []byte, place ...string) string
	Open(text string, place ...string) ([]byte, error)
}

// A Jar sets and reads the cookies of one account. It is safe for concurrent use.
type Jar struct {
	Ring   Sealer
	Secure bool
	Bound  []string // what every seal is bound to, besides the cookie's name
	Now    func() time.Time
}

// Place is what the seal of a cookie is bound to.
func (j *Jar) Place(purpose, name string) []string {
	return append(append(make([]string, 0, 2+len(j.Bound)), purpose, name), j.Bound...)
}

// Open opens a cookie that was sealed for this purpose under its own name.
func (j *Jar) Open(name, value, purpose string) ([]byte, error) {
	if len(value) > MaxBytes {
		return nil, seal.ErrOpen
	}
	return j.Ring.Open(value, j.Place(purpose, name)...)
}

// Find opens the cookie of this name. Another application on the same host
// can set a second one: the first that opens is returned.
func (j *Jar) Find(r *http.Request, purpose, name string) ([]byte, bool) {
	tried := 0
	for value := range Values(r.Header, name) {
		if tried == MaxOpened {
			break
		}
		tried++
		if plain, err := j.Open(name, value, purpose); err == nil {
			return plain, true
		}
	}
	return nil, false
}

// Seal returns v as the value of a cookie. JSON's escapes for HTML are left
// out: they would make six bytes of each "&" in a return URL.
func (j *Jar) Seal(v any, purpose, name string) (string, error) {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return j.Ring.Seal(plain.Bytes(), j.Place(purpose, name)...), nil
}

// DropIfSent deletes the named cookie if the request contains it.
func (j *Jar) DropIfSent(w http.ResponseWriter, r *http.Request, name string) {
	if _, err := r.Cookie(name); err == nil {
		j.Drop(w, name)
	}
}

// Fresh reports whether a value that any instance issued, at a time in Unix
// milliseconds, is valid at now. The clock that issued it may be up to Skew ahead.
// If that clock may also be behind without shortening the time, add [Skew] to ttl.
func Fresh(now time.Time, issuedAt int64, ttl time.Duration) bool {
	age := time.UnixMilli(now.UnixMilli()).Sub(time.UnixMilli(issuedAt)) // it saturates
	return age <= ttl && age >= -Skew
}

// Set adds a cookie to the response. The line is written by hand, as
// http.Cookie.String writes it, because values are ours: base64url, or "1".
func (j *Jar) Set(w http.ResponseWriter, name, value string, life time.Duration) {
	const most = len("=; Path=/; Max-Age=; HttpOnly; Secure; SameSite=Lax") + 20
	var line strings.Builder
	line.Grow(len(name) + len(value) + most)
	line.WriteString(name)
	line.WriteByte('=')
	line.WriteString(value)
	line.WriteString("; Path=/; Max-Age=")
	line.WriteString(strconv.FormatInt(int64(life/time.Second), 10))
	line.WriteString("; HttpOnly")
	if j.Secure {
		line.WriteString("; Secure")
	}
	line.WriteString("; SameSite=Lax")
	w.Header().Add("Set-Cookie", line.String())
}

func (j *Jar) Drop(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Path: "/", MaxAge: -1,
		Secure: j.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// Values returns the values of the cookies of this name, as
// http.Request.CookiesNamed reads them, but without parsing the others: a
// browser sends all cookies of a site with each request.
func Values(h http.Header, name string) iter.Seq[string] {
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

// cookieValue removes the quotes from a value. It reports false for a value
// with bytes that no cookie has.
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

// Without returns the request as if the browser had not sent the cookies of these
// names.
func Without(r *http.Request, names ...string) *http.Request {
	r = r.Clone(r.Context())
	sent := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range sent {
		if !slices.Contains(names, c.Name) {
			r.AddCookie(c)
		}
	}
	return r
}
