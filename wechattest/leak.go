package wechattest

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// TB is the part of testing.TB that the assertions need.
type TB interface {
	// Helper marks an assertion as no line to report.
	Helper()
	// Errorf reports what is wrong and lets the test go on.
	Errorf(format string, args ...any)
}

// Leaks tells of every request in which a browser carried what only a server
// may hold: an AppSecret, a token or a session_key in the URL (path or query),
// the Referer, a cookie or a form, as it is or under percent-encoding. An
// AppSecret of fewer than 16 bytes, which is none of WeChat's, counts only
// where it stands alone: "secret" is not found in "secretary", nor in
// "?secret=". The secrets themselves are not in the texts.
//
// The simulator sees what a browser sends to it, and nothing that stays between
// the browser and the site.
func (s *Server) Leaks() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.leaks...)
}

// AssertNoLeaks fails a test for each of Leaks.
func (s *Server) AssertNoLeaks(t TB) {
	t.Helper()
	for _, leak := range s.Leaks() {
		t.Errorf("wechattest: %s", leak)
	}
}

// AssertCalls fails a test unless an endpoint was asked exactly n times.
func (s *Server) AssertCalls(t TB, endpoint string, n int) {
	t.Helper()
	if got := s.Count(endpoint); got != n {
		t.Errorf("wechattest: %s was asked %d times, want %d", endpointName(endpoint), got, n)
	}
}

var (
	tokenForm      = regexp.MustCompile(`\d\d_[0-9A-Za-z]{50,}`)
	sessionKeyForm = regexp.MustCompile(`[0-9A-Za-z+/]{22}==`)
)

// inspect looks for secrets in what a browser sent. The caller holds s.mu.
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

// secretIn names the first secret found in a text, also under percent-encoding.
func (s *Server) secretIn(text string) string {
	for range 3 {
		for _, a := range s.cfg.accounts {
			if holds(text, a.Secret) {
				return "the AppSecret of " + a.AppID
			}
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

// percentEncoded finds what can be decoded; url.PathUnescape gives up at a
// percent sign that stands for itself.
var percentEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

func decodeByte(encoded string) string {
	b, _ := hex.DecodeString(encoded[1:]) // two hex digits
	return string(b)
}

// holds reports whether a secret is in a text; a short one only as a word of
// its own that is not the name of a parameter.
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
