package wechattest

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// TB is the part of testing.TB used by the assertions and by [Login].
type TB interface {
	// Helper marks the caller as a helper.
	Helper()
	// Errorf reports a failure and continues the test.
	Errorf(format string, args ...any)
	// Fatalf reports a failure and ends the test.
	Fatalf(format string, args ...any)
}

// Leaks describes every request in which a browser sent something that only a
// server may have: an AppSecret, a token or a session_key, plain or
// percent-encoded, in the URL (path or query), the Referer, a cookie or a form.
// An AppSecret shorter than 16 bytes, which WeChat does not issue, is found
// only as a separate word: "secret" is found neither in "secretary" nor in
// "?secret=". The descriptions do not contain the secrets.
//
// The simulator sees only what a browser sends to it, and not what the browser
// sends to the site.
func (s *Server) Leaks() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.leaks...)
}

// AssertNoLeaks reports a test failure for each of [Server.Leaks].
func (s *Server) AssertNoLeaks(t TB) {
	t.Helper()
	for _, leak := range s.Leaks() {
		t.Errorf("wechattest: %s", leak)
	}
}

// AssertCalls reports a test failure unless an endpoint was called exactly n
// times.
func (s *Server) AssertCalls(t TB, endpoint string, n int) {
	t.Helper()
	if got := s.Count(endpoint); got != n {
		t.Errorf("wechattest: %s was called %d times, want %d", endpointName(endpoint), got, n)
	}
}

var (
	tokenForm      = regexp.MustCompile(`\d\d_[0-9A-Za-z]{50,}`)
	sessionKeyForm = regexp.MustCompile(`[0-9A-Za-z+/]{22}==`)
)

// inspect searches a browser's request for secrets. The caller holds s.mu.
func (s *Server) inspect(r *http.Request, endpoint, posted string) {
	places := map[string]string{
		"URL": r.URL.EscapedPath() + "?" + r.URL.RawQuery, "Referer": r.Referer(), "Cookie": r.Header.Get("Cookie"), "form": posted,
	}
	for place, text := range places {
		if what := s.secretIn(text); what != "" {
			s.leaks = append(s.leaks, fmt.Sprintf("%s in the %s of a browser's request to %s", what, place, endpoint))
		}
	}
}

// secretIn names the first secret in text, plain or percent-encoded.
func (s *Server) secretIn(text string) string {
	for range 3 {
		for secret, appID := range s.world.Load().secrets {
			if holds(text, secret) {
				return "the AppSecret of " + appID
			}
		}
		if what := s.secretOfCorp(text); what != "" {
			return what
		}
		for _, t := range tokenForm.FindAllString(text, -1) {
			if s.logins[t] != nil || s.byAccountToken[t] != nil {
				return "a token"
			}
		}
		for _, k := range sessionKeyForm.FindAllString(text, -1) {
			if s.secretKeys[k] {
				return "a session_key"
			}
		}
		text = percentEncoded.ReplaceAllStringFunc(text, decodeByte)
	}
	return ""
}

// percentEncoded matches what can be decoded. url.PathUnescape would fail at a
// literal percent sign.
var percentEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

func decodeByte(encoded string) string {
	b, _ := hex.DecodeString(encoded[1:]) // two hexadecimal digits
	return string(b)
}

// holds reports whether text contains a secret; a short one counts only as a
// separate word that is not the name of a parameter.
func holds(text, secret string) bool {
	const long = 16
	if len(secret) >= long {
		return strings.Contains(text, secret)
	}
	for start := 0; ; {
		i := strings.Index(text[start:], secret)
		if i < 0 {
			return false
		}
		before, after := text[:start+i], text[start+i+len(secret):]
		if !endsInWord.MatchString(before) && !goesOnAsWord.MatchString(after) {
			return true
		}
		start += i + 1
	}
}

var (
	endsInWord   = regexp.MustCompile(`[0-9A-Za-z_-]$`)
	goesOnAsWord = regexp.MustCompile(`^[0-9A-Za-z_=-]`)
)

// fromBrowser reports whether a request to the API host was sent by a page.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") != "" || r.Header.Get("Origin") != "" ||
		strings.HasPrefix(r.UserAgent(), "Mozilla/")
}
