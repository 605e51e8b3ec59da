package authtest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

// AllocatedBy returns approximately how many bytes of heap a call allocated.
func AllocatedBy(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Patience is longer than a busy machine needs. It is never reached in a good
// run.
const Patience = 20 * time.Second

// LoginOf finishes a login that a response started, and returns the response of
// the callback.
func (s *Site) LoginOf(begun Response) Response {
	s.T.Helper()
	require.Equal(s.T, http.StatusSeeOther, begun.StatusCode, begun.Text)
	cookies := begun.FlowCookies()
	require.Len(s.T, cookies, 1)
	back := s.Browser().Step(begun.Header.Get("Location"))
	require.Equal(s.T, http.StatusFound, back.StatusCode, back.Text)
	return s.Wire(http.MethodGet, strings.TrimPrefix(back.Header.Get("Location"), s.Base.String()), PageHeader, CookieHeader(cookies...))
}

// Flood returns the number of requests of a flood: n, or a twentieth of it
// under the race detector.
func Flood(n int) int {
	if UnderRace {
		return n / 20
	}
	return n
}

// Endpoints of WeChat, as the simulator counts them.
const (
	ExchangeEndpoint  = "/sns/oauth2/access_token"
	AuthorizeEndpoint = "/connect/oauth2/authorize"
)

// Wire sends one request through a new socket, byte for byte, and reads the
// response. Host is the base URL's unless the header lines have one.
func (s *Site) Wire(method, target string, header ...string) Response {
	s.T.Helper()
	lines := []string{method + " " + target + " HTTP/1.1"}
	if !strings.Contains(strings.ToLower("\n"+strings.Join(header, "\n")), "\nhost:") {
		lines = append(lines, "Host: "+s.Base.Host)
	}
	return s.WireLines(append(append(lines, header...), "Connection: close")...)
}

// WireLines sends a request of these lines.
func (s *Site) WireLines(lines ...string) Response {
	s.T.Helper()
	conn, err := net.Dial("tcp", s.Server.Listener.Addr().String())
	require.NoError(s.T, err)
	defer conn.Close()
	_, err = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	require.NoError(s.T, err)
	all, err := io.ReadAll(conn)
	require.NoError(s.T, err)
	method, _, _ := strings.Cut(lines[0], " ")
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), &http.Request{Method: method})
	require.NoError(s.T, err, "%q", all)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.T, err)
	return Response{resp, string(body)}
}

// PageHeader makes a raw request a page visit.
const PageHeader = "Accept: text/html"

// CookieHeader writes cookies as one header line.
func CookieHeader(cookies ...*http.Cookie) string {
	var pairs []string
	for _, c := range cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}

// Pending returns a pending login as a page visit begins it, not sealed yet.
func (s *Site) Pending(target string) flow.Flow {
	return flow.Flow{
		State: flow.NewState(), Target: target, AppID: wechattest.DefaultAppID, Scope: client.ScopeBase,
		IssuedAt: s.Clock.Now().UnixMilli(), Key: flow.NewKey(),
	}
}

// FlowCookie seals a pending login with the site's real key.
func (s *Site) FlowCookie(f flow.Flow) *http.Cookie {
	s.T.Helper()
	recorder := CookieWriter{}
	s.Cookies.Put(recorder, nil, f)
	cookies := (&http.Response{Header: recorder.Header()}).Cookies()
	require.Len(s.T, cookies, 1)
	return cookies[0]
}

// A CookieWriter collects cookies without a server.
type CookieWriter http.Header

// Header implements [http.ResponseWriter].
func (w CookieWriter) Header() http.Header { return http.Header(w) }

// Write implements [http.ResponseWriter].
func (w CookieWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// WriteHeader implements [http.ResponseWriter].
func (w CookieWriter) WriteHeader(int) {}

// Endpoints are the paths below the path prefix that the middleware serves.
var Endpoints = []string{"login", "callback", "upgrade", "logout", "mini/login", "mini/ticket", "mini/enter", "scan", "scan/status"}

// CallbackOf returns the URL to which WeChat would redirect the browser of a
// pending login.
func CallbackOf(f flow.Flow, code string) string {
	return "/wechat/callback?code=" + url.QueryEscape(code) + "&state=" + f.State
}

// Grant makes WeChat's next responses to an exchange successful, for any code,
// so that a test needs no authorize page.
func (s *Site) Grant(times int) {
	for range times {
		s.Sim.Fail(ExchangeEndpoint, wechattest.Raw(http.StatusOK, "text/plain",
			`{"access_token":"access-token-for-tests","expires_in":7200,"refresh_token":"refresh-token-for-tests","openid":"`+AliceOpenID+`","scope":"snsapi_base"}`))
	}
}

// Two people of the simulator; the first holds the phone.
var (
	AliceOpenID = wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name)
	BobOpenID   = wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[1].Name)
)

// Session puts a logged-in session into the store, and returns its token.
func (s *Site) Session(openID string) string {
	s.T.Helper()
	text := identity.Encode(identity.Identity{OpenID: openID, Scope: client.ScopeBase, Channel: wechatauth.ChannelWeChat, LoginAt: s.Clock.Now()})
	return s.SessionWith(identity.Key(wechattest.DefaultAppID), text)
}

// StoreKey returns the key in the store of the session of a token.
func (s *Site) StoreKey(token string) string {
	if s.Auth.Sessions().HashTokenInStore {
		return session.HashToken(token)
	}
	return token
}

// FailureTTL is how long the result of a failed login is shared with its
// duplicates.
const FailureTTL = 3 * time.Second

// StoredAt returns the key in Redis of the session of a token.
func (s *Site) StoredAt(token string) string { return "scs:session:" + s.StoreKey(token) }

// SessionWith puts a session with one value into the store.
func (s *Site) SessionWith(key string, value any) string {
	s.T.Helper()
	m := s.Auth.Sessions()
	ctx, err := m.Load(context.Background(), "")
	require.NoError(s.T, err)
	m.Put(ctx, key, value)
	token, _, err := m.Commit(ctx)
	require.NoError(s.T, err)
	return token
}

// LoggedIn returns a browser with a logged-in session.
func (s *Site) LoggedIn(openID string) *Browser {
	s.T.Helper()
	b := s.Browser()
	b.SetCookie(s.SessionCookie(), s.Session(openID))
	return b
}

// ReasonOf returns the reason on a page of the middleware, or the whole text of
// another page.
func ReasonOf(got Response) string {
	if _, reason, ok := strings.Cut(got.Text, `data-reason="`); ok {
		reason, _, _ = strings.Cut(reason, `"`)
		return reason
	}
	return got.Text
}

// SetOf returns the Set-Cookie line with this name, or "" if there is none.
func (a Response) SetOf(name string) string {
	for _, line := range a.Header["Set-Cookie"] {
		if strings.HasPrefix(line, name+"=") {
			return line
		}
	}
	return ""
}

// FlowCookies returns the flow cookies that a response sets, without those it
// clears.
func (a Response) FlowCookies() (set []*http.Cookie) {
	for _, c := range a.Cookies() {
		// The name of the login counter is shorter.
		if _, state, ok := strings.Cut(c.Name, "wechat_flow_"); ok && len(state) == flow.StateLength/2 && c.MaxAge > 0 {
			set = append(set, c)
		}
	}
	return set
}

var statePart = regexp.MustCompile(`state=[A-Za-z0-9]{32}\b`)

// WithoutState blanks the state of an authorize URL: the rest must be the same
// in every login.
func WithoutState(authorizeURL string) string {
	return statePart.ReplaceAllString(authorizeURL, "state=STATE")
}

// Untouched runs f and asserts that it makes no call to WeChat's API or Redis.
// It logs its counts, which .ci/suite adds up.
func (s *Site) Untouched(t *testing.T, redis *redistest.Server, f func()) {
	t.Helper()
	before := s.apiCalls()
	commands := redis.Commands(f)
	assert.Empty(t, commands, "0 Redis")
	calls := s.apiCalls() - before
	assert.Zero(t, calls, "0 API")
	t.Logf("api-calls %d, redis-commands %d", calls, len(commands))
}

// apiCalls counts the calls to WeChat's API: the entries of the journal except
// for the pages that a browser loads.
func (s *Site) apiCalls() (calls int) {
	for _, call := range s.Sim.Journal() {
		if !strings.HasPrefix(call.Endpoint, "connect/") {
			calls++
		}
	}
	return calls
}

// Holding returns a browser with a planted cookie.
func (s *Site) Holding(name, value string) *Browser {
	b := s.Browser()
	b.SetCookie(name, value)
	return b
}

// EncodeIdentity returns an identity as it is stored in a session.
func EncodeIdentity(id wechatauth.Identity) string { return identity.Encode(identity.Identity(id)) }
