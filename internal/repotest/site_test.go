// Package repotest has only tests: of the docs, the exported surface, the doc
// comments, and the rules that the repository and its packages follow.
package repotest

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// TestMain runs the tests in the root of the module: the paths in the docs
// start there.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// A site is an application that requires a login, on a real server, with a
// WeChat simulator.
type site struct {
	t      *testing.T
	sim    *wechattest.Server
	server *httptest.Server
	auth   *wechatauth.Auth
	logs   *logBuffer
}

// newSite starts an application that responds with the user's openid.
func newSite(t *testing.T, opts ...wechatauth.Option) *site {
	t.Helper()
	s := &site{t: t, sim: wechattest.NewServer(), server: httptest.NewUnstartedServer(nil), logs: &logBuffer{}}
	t.Cleanup(func() { s.server.Close(); s.sim.Close() })
	auth, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("http://" + s.server.Listener.Addr().String()),
		wechatauth.WithEndpoints(s.sim.Endpoints()),
		wechatauth.WithLogger(slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}, opts...)...)
	require.NoError(t, err)
	s.auth = auth
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("/", auth.RequireWeChat(http.HandlerFunc(openIDOf)))
	s.server.Config.Handler = mux
	s.server.Start()
	return s
}

// openIDOf responds with the user's openid.
func openIDOf(w http.ResponseWriter, r *http.Request) {
	id, ok := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "logged-in=%t openid=%s", ok, id.OpenID)
}

// A response is an HTTP response whose body has been read.
type response struct {
	*http.Response
	body string
}

// visit requests a page and follows redirects.
func (s *site) visit(browser *http.Client, path string) response {
	s.t.Helper()
	resp, err := browser.Get(s.server.URL + path)
	require.NoError(s.t, err)
	return s.read(resp)
}

// step requests a page, or another URL, and follows no redirect.
func (s *site) step(browser *http.Client, target string) response {
	s.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.server.URL + target
	}
	still := *browser
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := still.Get(target)
	require.NoError(s.t, err)
	return s.read(resp)
}

// authorize begins a login at a page, and returns the URL that WeChat sends
// the browser back to.
func (s *site) authorize(browser *http.Client, path string) (callback string) {
	s.t.Helper()
	return s.step(browser, s.step(browser, path).Header.Get("Location")).Header.Get("Location")
}

// miniLogin sends a code to the login endpoint of mini programs.
func (s *site) miniLogin(code string) response {
	s.t.Helper()
	resp, err := s.server.Client().Post(s.server.URL+"/wechat/mini/login", "application/json", strings.NewReader(`{"code":"`+code+`"}`))
	require.NoError(s.t, err)
	return s.read(resp)
}

func (s *site) read(resp *http.Response) response {
	s.t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return response{resp, string(body)}
}

// withMiniProgram configures the simulator's mini program.
func withMiniProgram() wechatauth.Option {
	return wechatauth.WithMiniProgram(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret)
}

// A logBuffer is a log that requests write to at the same time.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// last returns the newest line.
func (b *logBuffer) last() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(b.buf.String()), "\n")
	return lines[len(lines)-1]
}

func person(i int) string { return wechattest.DefaultPeople()[i].Name }
