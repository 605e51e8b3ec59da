package rueidisstore_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
	"github.com/wechatauth/wechatauth/store/rueidisstore"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestVisitorsLogInAndOut(t *testing.T) {
	server := redistest.Start(t)
	logInAndOut(t, func() *rueidisstore.Store { return open(t, one(server), nearCache()) })
}

func TestWithANearCacheALoggedInVisitorCostsNoRoundTrip(t *testing.T) {
	server := redistest.Start(t)
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	a, b := newInstance(t, sim, open(t, one(server), nearCache())), newInstance(t, sim, open(t, one(server), nearCache()))
	browser := wechattest.Browser(wechattest.IPhone)
	a.visit(browser, "/")
	b.visit(browser, "/")
	assert.Empty(t, storetest.Sent(server, func() {
		for range 20 {
			assert.Equal(t, http.StatusOK, a.fetch(browser))
			assert.Equal(t, http.StatusOK, b.fetch(browser))
		}
	}))

	old := a.sameSession(browser)
	b.renew(browser)
	a.awaitAnonymous(old)
	b.post(browser, "/wechat/logout")
	a.awaitAnonymous(browser)
}

// renew gives the visitor's session another token, as an application may.
func (in *instance) renew(browser *http.Client) {
	in.t.Helper()
	assert.Equal(in.t, "renewed", in.visit(browser, "/renew"))
}

// logInAndOut goes through a visitor's life at an application of two instances,
// each with a store of its own.
func logInAndOut(t *testing.T, newStore func() *rueidisstore.Store) {
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	a, b := newInstance(t, sim, newStore()), newInstance(t, sim, newStore())
	browser := wechattest.Browser(wechattest.IPhone)

	// The cookie jar does not tell the two instances' ports apart.
	assert.Equal(t, "hello", a.visit(browser, "/"))
	assert.Equal(t, "hello", b.visit(browser, "/"))
	assert.Equal(t, 1, sim.Count("/sns/oauth2/access_token"), "one login serves both")

	thief := b.sameSession(browser)
	assert.Equal(t, http.StatusOK, b.fetch(thief))
	a.post(browser, "/wechat/logout")
	assert.Equal(t, http.StatusUnauthorized, a.fetch(thief))
	b.awaitAnonymous(thief)

	assert.Equal(t, "hello", b.visit(browser, "/wechat/login?next=/"))
	assert.Equal(t, http.StatusOK, a.fetch(browser))
	ended, err := b.auth.RevokeUser(t.Context(), wechattest.DefaultAppID, a.lastOpenID())
	require.NoError(t, err)
	assert.Positive(t, ended)
	assert.Equal(t, http.StatusUnauthorized, b.fetch(browser))
	a.awaitAnonymous(browser)
}

// instance is an application behind the login wall.
type instance struct {
	t      *testing.T
	auth   *wechatauth.Auth
	server *httptest.Server
	openID chan string // of the last visitor
}

func newInstance(t *testing.T, sim *wechattest.Server, s *rueidisstore.Store) *instance {
	in := &instance{t: t, server: httptest.NewUnstartedServer(nil), openID: make(chan string, 1)}
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

func (in *instance) page(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	select {
	case <-in.openID:
	default:
	}
	in.openID <- id.OpenID
	io.WriteString(w, "hello")
}

func (in *instance) lastOpenID() string { return <-in.openID }

// sameSession is a browser with the session cookie of another.
func (in *instance) sameSession(browser *http.Client) *http.Client {
	in.t.Helper()
	site, err := url.Parse(in.server.URL)
	require.NoError(in.t, err)
	other := wechattest.Browser(wechattest.IPhone)
	for _, c := range browser.Jar.Cookies(site) {
		if c.Name == in.auth.Sessions().Cookie.Name {
			other.Jar.SetCookies(site, []*http.Cookie{c})
		}
	}
	return other
}

// visit is a page visit with all its redirects.
func (in *instance) visit(browser *http.Client, path string) string {
	in.t.Helper()
	status, body := in.do(browser, http.MethodGet, path, http.Header{})
	require.Equal(in.t, http.StatusOK, status, body)
	return body
}

// fetch is a script's request.
func (in *instance) fetch(browser *http.Client) int {
	in.t.Helper()
	status, _ := in.do(browser, http.MethodGet, "/", http.Header{
		"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}})
	return status
}

func (in *instance) post(browser *http.Client, path string) {
	in.t.Helper()
	still := *browser
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	status, body := in.do(&still, http.MethodPost, path, http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}})
	require.Equal(in.t, http.StatusSeeOther, status, body)
}

// awaitAnonymous returns when Redis has told the instance that the session is
// gone.
func (in *instance) awaitAnonymous(browser *http.Client) {
	in.t.Helper()
	require.Eventually(in.t, func() bool { return in.fetch(browser) == http.StatusUnauthorized }, patience, time.Millisecond)
}

func (in *instance) do(browser *http.Client, method, path string, header http.Header) (int, string) {
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

// A key that is no session record is deleted, and its visitor is anonymous.
func TestARecordThatIsNoneIsHealed(t *testing.T) {
	server := redistest.Start(t)
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	for _, opts := range [][]rueidisstore.Option{nil, {nearCache()}} {
		in := newInstance(t, sim, open(t, one(server), opts...))
		for _, damage := range []func(key string){
			func(key string) { server.Do("DEL", key); server.Do("LPUSH", key, "x") },
			func(key string) { server.Do("SET", key, make([]byte, 2<<20), "KEEPTTL") },
		} {
			browser := wechattest.Browser(wechattest.IPhone)
			in.visit(browser, "/")
			keys, err := redis.Strings(server.Do("KEYS", "scs:session:*"), nil)
			require.NoError(t, err)
			require.Len(t, keys, 1)
			damage(keys[0])
			in.awaitAnonymous(browser)
			assert.Zero(t, server.Do("EXISTS", keys[0]))
			assert.Equal(t, "hello", in.visit(browser, "/"))
			in.post(browser, "/wechat/logout")
		}
	}
}
