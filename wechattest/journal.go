package wechattest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// A Call is a request to the simulator, as recorded in the journal. It contains
// no secrets, tokens or session keys, not even if they were sent in the wrong
// place: "…" replaces an AppID that does not have WeChat's form, and parts of
// an unknown path that are or could be secrets. Codes and states are masked to
// their first four characters, or to "…" if they are shorter than eight.
type Call struct {
	Time     time.Time `json:"time"`     // on the simulator's clock
	Method   string    `json:"method"`   // as in the request
	Endpoint string    `json:"endpoint"` // the path without the leading slash, masked if unknown
	AppID    string    `json:"app_id"`   // from the request; "…" if it does not have WeChat's form
	Code     string    `json:"code"`     // from the request or its token; empty if there was none
	State    string    `json:"state"`    // masked
	Person   string    `json:"person"`   // whose browser sent the request; empty for a server
	Fault    string    `json:"fault"`    // the scripted fault applied to it
	Errcode  int       `json:"errcode"`  // of the response; for a page, its error number
	Outcome  string    `json:"outcome"`  // a word or two for people

	ended int // the number of this call in the order of ending, from 1; 0 while it is open
}

// journalLimit is the approximate number of calls in the journal.
const journalLimit = 20000

type journal struct {
	calls  []*Call
	counts map[string]int
	first  int // how many older calls were dropped
	ended  int // how many calls have ended
}

// Journal returns the calls so far, oldest first. After many calls, it returns
// at least the last 15,000.
func (s *Server) Journal() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.journal.calls))
	for i, c := range s.journal.calls {
		calls[i] = *c
		calls[i].ended = 0
	}
	return calls
}

// Count returns how often an endpoint was called, including calls that are
// still open. Endpoints are named by path: "sns/oauth2/access_token".
func (s *Server) Count(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.counts[endpointName(endpoint)]
}

// WaitForCalls blocks until an endpoint was called n times, including calls
// that are still open. It returns an error if ctx is done first (the error
// wraps that of ctx) or the simulator is closed. With [Server.Block], it makes
// tests of concurrency deterministic without sleeping.
func (s *Server) WaitForCalls(ctx context.Context, endpoint string, n int) error {
	for {
		s.mu.Lock()
		count, changed := s.journal.counts[endpointName(endpoint)], s.changed
		s.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-s.done:
			return fmt.Errorf("wait for %d calls of %s: simulator closed after %d", n, endpoint, count)
		case <-ctx.Done():
			return fmt.Errorf("wait for %d calls of %s, got %d: %w", n, endpoint, count, ctx.Err())
		}
	}
}

// note adds a request to the journal.
func (s *Server) note(r *http.Request, name string, q url.Values) *Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := q.Get("code")
	if code == "" {
		code = q.Get("js_code")
	}
	c := &Call{
		Time: s.now(), Method: r.Method, Endpoint: name, AppID: maskAppID(q.Get("appid")),
		Code: mask(code), State: mask(q.Get("state")),
	}
	s.journal.calls = append(s.journal.calls, c)
	if len(s.journal.calls) > journalLimit {
		drop := journalLimit / 4
		s.journal.calls = append([]*Call(nil), s.journal.calls[drop:]...)
		s.journal.first += drop
	}
	s.journal.counts[name]++
	s.wake()
	return c
}

// end records that a call has ended, with or without a response.
func (s *Server) end(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.ended++
	c.ended = s.journal.ended
	s.wake()
}

// wake makes all waiters check again. The caller holds s.mu.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) outcome(c *Call, errcode int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Errcode, c.Outcome = errcode, text
}

func endpointName(path string) string { return strings.TrimPrefix(path, "/") }

// maskAppID returns id if it has the form of an AppID or of an original id,
// which a secret sent in its place does not have.
func maskAppID(id string) string {
	if id == "" || appIDForm.MatchString(id) || corpIDForm.MatchString(id) || originalIDForm.MatchString(id) {
		return id
	}
	return "…"
}

var originalIDForm = regexp.MustCompile(`^gh_[0-9a-f]{12}$`)

// maskPath returns the name of an unknown path without any secret in it. Words
// in API paths are shorter than tokens, codes and AppSecrets. The caller holds
// s.mu.
func (s *Server) maskPath(path string) string {
	const longestWord = 23
	if s.secretIn(path) != "" {
		return "…"
	}
	parts := strings.Split(endpointName(path), "/")
	for i, part := range parts {
		if len(part) > longestWord {
			parts[i] = "…"
		}
	}
	return strings.Join(parts, "/")
}

// mask keeps the first four characters of a string at least twice as long.
func mask(secret string) string {
	switch {
	case secret == "":
		return ""
	case len(secret) < 8:
		return "…"
	}
	return secret[:4] + "…"
}
