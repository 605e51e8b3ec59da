package stores

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// patience bounds every wait. It is not waited out unless a test fails.
const patience = time.Minute

// A Store is a store of sessions that can be checked.
type Store interface {
	store.Sessions
	store.Checker
}

// LogInAndOut logs a user in, out and in again, and revokes them, at two
// instances of an application with a store each.
func LogInAndOut(t *testing.T, first, second Store) {
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	a, b := NewInstance(t, sim, first), NewInstance(t, sim, second)
	browser := wechattest.Browser(wechattest.IPhone)

	// A cookie jar does not distinguish the ports of the two instances.
	assert.Equal(t, "hello", a.Visit(browser, "/"))
	assert.Equal(t, "hello", b.Visit(browser, "/"))
	assert.Equal(t, 1, sim.Count("/sns/oauth2/access_token"), "one login serves both")

	thief := b.SameSession(browser)
	assert.Equal(t, http.StatusOK, b.Fetch(thief))
	a.Post(browser, "/wechat/logout")
	assert.Equal(t, http.StatusUnauthorized, a.Fetch(thief))
	b.AwaitAnonymous(thief)

	assert.Equal(t, "hello", b.Visit(browser, "/wechat/login?next=/"))
	assert.Equal(t, http.StatusOK, a.Fetch(browser))
	ended, err := b.auth.RevokeUser(t.Context(), wechattest.DefaultAppID, a.lastOpenID())
	require.NoError(t, err)
	assert.Positive(t, ended)
	assert.Equal(t, http.StatusUnauthorized, b.Fetch(browser))
	a.AwaitAnonymous(browser)
}

// An Instance is one process of an application with logins.
type Instance struct {
	t      *testing.T
	auth   *wechatauth.Auth
	server *httptest.Server
	openID chan string // of the last user
}

// NewInstance starts an instance whose users log in at sim.
func NewInstance(t *testing.T, sim *wechattest.Server, s Store) *Instance {
	in := &Instance{t: t, server: httptest.NewUnstartedServer(nil), openID: make(chan string, 1)}
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("http://"+in.server.Listener.Addr().String()),
		wechatauth.WithEndpoints(sim.Endpoints()),
		wechatauth.WithStore(s),
		wechatauth.WithIdleTimeout(time.Hour),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	require.NoError(t, s.Check(t.Context()))
	in.auth = auth
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("/", auth.RequireWeChat(http.HandlerFunc(in.page)))
	mux.Handle("/renew", auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(in.t, auth.Sessions().RenewToken(r.Context()))
		io.WriteString(w, "renewed")
	})))
	in.server.Config.Handler = mux
	in.server.Start()
	t.Cleanup(in.server.Close)
	return in
}

func (in *Instance) page(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	select {
	case <-in.openID:
	default:
	}
	select {
	case in.openID <- id.OpenID:
	default:
	}
	io.WriteString(w, "hello")
}

func (in *Instance) lastOpenID() string { return <-in.openID }

// SameSession returns a browser with the session cookie of another.
func (in *Instance) SameSession(browser *http.Client) *http.Client {
	in.t.Helper()
	other := wechattest.Browser(wechattest.IPhone)
	if c := in.session(browser); c != nil {
		other.Jar.SetCookies(in.site(), []*http.Cookie{c})
	}
	return other
}

// session returns the browser's session cookie, or nil.
func (in *Instance) session(browser *http.Client) *http.Cookie {
	in.t.Helper()
	for _, c := range browser.Jar.Cookies(in.site()) {
		if c.Name == in.auth.Sessions().Cookie.Name {
			return c
		}
	}
	return nil
}

func (in *Instance) site() *url.URL {
	in.t.Helper()
	site, err := url.Parse(in.server.URL)
	require.NoError(in.t, err)
	return site
}

// Renew replaces the user's session token, as an application may.
func (in *Instance) Renew(browser *http.Client) {
	in.t.Helper()
	assert.Equal(in.t, "renewed", in.Visit(browser, "/renew"))
}

// Visit is a page visit with all its redirects.
func (in *Instance) Visit(browser *http.Client, path string) string {
	in.t.Helper()
	status, body := in.do(browser, http.MethodGet, path, http.Header{})
	require.Equal(in.t, http.StatusOK, status, body)
	return body
}

// Fetch is a request of a script. It returns the status.
func (in *Instance) Fetch(browser *http.Client) int {
	in.t.Helper()
	status, _ := in.do(browser, http.MethodGet, "/", http.Header{
		"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}})
	return status
}

// Post submits a form without fields.
func (in *Instance) Post(browser *http.Client, path string) {
	in.t.Helper()
	still := *browser
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	status, body := in.do(&still, http.MethodPost, path, http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}})
	require.Equal(in.t, http.StatusSeeOther, status, body)
}

// AwaitAnonymous returns when the instance has no session for the browser. With
// a near cache that takes a message from Redis.
func (in *Instance) AwaitAnonymous(browser *http.Client) {
	in.t.Helper()
	require.Eventually(in.t, func() bool { return in.Fetch(browser) == http.StatusUnauthorized }, patience, time.Millisecond)
}

func (in *Instance) do(browser *http.Client, method, path string, header http.Header) (int, string) {
	in.t.Helper()
	r, err := http.NewRequest(method, in.server.URL+path, strings.NewReader(""))
	require.NoError(in.t, err)
	r.Header = header
	resp, err := browser.Do(r)
	require.NoError(in.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(in.t, err)
	return resp.StatusCode, string(body)
}
