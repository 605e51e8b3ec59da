package wecom

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
)

const (
	testCorpID  = "ww1234567890abcdef"
	testAgentID = 1000002
	testSecret  = "app-secret-for-tests-0123456789abcdefghijkl"
	testCode    = "code-for-tests-0123456789abcdefghijklmnopqrs"
	testTicket  = "ticket-for-tests-0123456789"
	testToken   = "token-for-tests-"
)

// A peer is an HTTP server in place of WeCom. It issues numbered tokens, records
// its requests and responds to the other calls with reply.
type peer struct {
	*httptest.Server
	reply func(call string, n int) string // n counts the requests of the call

	mu       sync.Mutex
	requests []string // "METHOD path?sorted query"
	bodies   []string
	counts   map[string]int
	gettoken string // the response; if empty, a new token
}

func newPeer(t *testing.T, reply func(call string, n int) string) *peer {
	t.Helper()
	p := &peer{reply: reply, counts: map[string]int{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	call := strings.TrimPrefix(r.URL.Path, "/cgi-bin/")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path+"?"+r.URL.Query().Encode())
	p.bodies = append(p.bodies, string(body))
	p.counts[call]++
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	switch {
	case call != "gettoken":
		fmt.Fprint(w, strings.ReplaceAll(p.reply(call, p.counts[call]), echo, echoed(r, body)))
	case p.gettoken != "":
		fmt.Fprint(w, strings.ReplaceAll(p.gettoken, echo, echoed(r, body)))
	default:
		fmt.Fprintf(w, `{"errcode":0,"errmsg":"ok","access_token":"%s%d","expires_in":7200}`, testToken, p.counts[call])
	}
}

func (p *peer) client(t *testing.T, opts ...Option) *Client {
	t.Helper()
	opts = append([]Option{WithEndpoints(Endpoints{Open: p.URL, Login: p.URL, API: p.URL})}, opts...)
	c, err := New(testCorpID, testAgentID, testSecret, opts...)
	require.NoError(t, err)
	return c
}

func always(body string) func(string, int) string { return func(string, int) string { return body } }

// errorBody is an error response in WeCom's form, whose errmsg repeats what the
// request has.
func errorBody(code int) string {
	return fmt.Sprintf(`{"errcode":%d,"errmsg":"some error%s, hint: [1700000000123456789012345], from ip: 203.0.113.7, more info at https://open.work.weixin.qq.com/devtool/query?e=%d"}`,
		code, echo, code)
}

// echo is replaced by the secrets of a request.
const echo = "$ECHO"

func echoed(r *http.Request, body []byte) (text string) {
	for _, name := range []string{"corpsecret", "access_token", "code", "js_code", "userid"} {
		if v := r.URL.Query().Get(name); v != "" {
			text += " " + v
		}
	}
	if strings.Contains(string(body), testTicket) {
		text += " " + testTicket
	}
	return text
}

func assertNoSecrets(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, secret := range []string{testSecret, testCode, testTicket, testToken, "ZhangSan"} {
			assert.NotContains(t, text, secret)
		}
	}
}

func failure(t *testing.T, err error) *client.Error {
	t.Helper()
	e, ok := err.(*client.Error)
	require.True(t, ok, "%T: %v", err, err)
	return e
}
