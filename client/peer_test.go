package client

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	testAppID  = "wx0000000000000001"
	testSecret = "app-secret-for-tests"
	testCode   = "0code4testsonly00000000000000000"
	testToken  = "99_access-token-for-tests"
	testFresh  = "99_refresh-token-for-tests"
	testOpenID = "oTESTopenid0000000000000000A"
	testKey    = "AAECAwQFBgcICQoLDA0ODw=="
)

// fakePeer is an HTTP server in place of WeChat that records its requests.
type fakePeer struct {
	*httptest.Server
	mu       sync.Mutex
	received []*http.Request
	bodies   []string
}

// newFakePeer returns a fakePeer that responds to each request with the body
// returned by reply.
func newFakePeer(t *testing.T, reply func(r *http.Request, body string) string) *fakePeer {
	t.Helper()
	p := &fakePeer{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 4096)
		n, _ := r.Body.Read(body)
		p.mu.Lock()
		p.received = append(p.received, r)
		p.bodies = append(p.bodies, string(body[:n]))
		p.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(reply(r, string(body[:n]))))
	}))
	t.Cleanup(p.Close)
	return p
}

func always(body string) func(*http.Request, string) string {
	return func(*http.Request, string) string { return body }
}

func (p *fakePeer) client(t *testing.T, opts ...Option) *Client {
	t.Helper()
	opts = append([]Option{WithEndpoints(Endpoints{Open: p.URL, API: p.URL})}, opts...)
	c, err := New(testAppID, testSecret, opts...)
	require.NoError(t, err)
	return c
}

// requests returns the requests so far as "METHOD path?sorted query".
func (p *fakePeer) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for _, r := range p.received {
		lines = append(lines, r.Method+" "+r.URL.Path+"?"+r.URL.Query().Encode())
	}
	return lines
}
