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

// Call is one request that the simulator was asked, as the journal keeps it.
// Secrets, tokens and session keys are not kept, also where they do not belong:
// "…" stands for an AppID of another form than WeChat's, and for a part of an
// unknown path that is, or could be, a secret. Codes and states are masked to
// their first four characters, those shorter than eight to "…".
type Call struct {
	Time     time.Time `json:"time"`     // on the simulator's clock
	Method   string    `json:"method"`   // as in the request
	Endpoint string    `json:"endpoint"` // the path without its leading slash, masked if unknown
	AppID    string    `json:"app_id"`   // as in the request, or that of its token; empty where none was sent
	Code     string    `json:"code"`     // masked: code, js_code
	State    string    `json:"state"`    // masked
	Person   string    `json:"person"`   // whose browser it was; empty for a server's call
	Fault    string    `json:"fault"`    // the scripted fault that it met
	Errcode  int       `json:"errcode"`  // as answered; for a page its error number
	Outcome  string    `json:"outcome"`  // in a word or two, for people

	ended int // which call to end it was, from 1; 0 while it is open
}

// journalLimit is how many calls the journal keeps, about.
const journalLimit = 20000

type journal struct {
	calls  []*Call
	counts map[string]int
	first  int // how many older calls were dropped
	ended  int // how many calls have ended
}

// Journal returns what was asked so far, oldest first; of a long run, the last
// 15,000 calls and more.
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

// Count is how often an endpoint was asked, calls that are still open
// included. Endpoints are named by path: "sns/oauth2/access_token".
func (s *Server) Count(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.counts[endpointName(endpoint)]
}

// WaitForCalls blocks until an endpoint was asked n times, calls that are still open
// included. It fails when ctx ends first (the error wraps ctx's) or when the
// simulator is closed. With Block it makes tests of concurrency exact without
// sleeping.
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
			return fmt.Errorf("await %d calls of %s: the simulator was closed after %d", n, endpoint, count)
		case <-ctx.Done():
			return fmt.Errorf("await %d calls of %s, saw %d: %w", n, endpoint, count, ctx.Err())
		}
	}
}

// note enters a request into the journal.
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

// end enters that a call is over, answered or not.
func (s *Server) end(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.ended++
	c.ended = s.journal.ended
	s.wake()
}

// wake lets everybody look again who waits for something to happen. The
// caller holds s.mu.
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

// maskAppID keeps what has the form of an AppID, or of an original ID. A secret
// that was sent in its place has not.
func maskAppID(id string) string {
	if id == "" || appIDForm.MatchString(id) || originalIDForm.MatchString(id) {
		return id
	}
	return "…"
}

var originalIDForm = regexp.MustCompile(`^gh_[0-9a-f]{12}$`)

// maskPath names a path that is not known, without any secret in it. Words of
// API paths are shorter than tokens, codes and AppSecrets. The caller holds
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

// mask keeps the first four characters of what is at least twice as long.
func mask(secret string) string {
	switch {
	case secret == "":
		return ""
	case len(secret) < 8:
		return "…"
	}
	return secret[:4] + "…"
}
