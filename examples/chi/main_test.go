package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// newSite returns a simulator, a server that has not started, and an Auth for it.
func newSite(t *testing.T) (sim *wechattest.Server, site *httptest.Server, auth *wechatauth.Auth) {
	t.Helper()
	sim = wechattest.NewServer()
	t.Cleanup(sim.Close)
	site = httptest.NewUnstartedServer(nil)
	t.Cleanup(site.Close)
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("http://"+site.Listener.Addr().String()),
		wechatauth.WithEndpoints(sim.Endpoints()),
	)
	require.NoError(t, err)
	return sim, site, auth
}

func TestGroup(t *testing.T) {
	sim, site, auth := newSite(t)
	site.Config.Handler = app(auth)
	site.Start()
	browser := wechattest.Browser(wechattest.IPhone)
	hello := "Hello, " + wechattest.OpenID(wechattest.DefaultAppID, "小明") + "\n"

	visits := []struct {
		name, path string
		status     int
		body       string
		logins     int // so far
	}{
		{"a public page", "/public", http.StatusOK, "Hello, guest\n", 0},
		{"a missing page", "/nothing", http.StatusNotFound, "404 page not found\n", 0},
		{"a page of the group", "/?from=menu", http.StatusOK, hello, 1},
		{"once", "/", http.StatusOK, hello, 1},
	}
	for _, v := range visits {
		resp, err := browser.Get(site.URL + v.path)
		require.NoError(t, err, v.name)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err, v.name)
		assert.Equal(t, v.status, resp.StatusCode, v.name)
		assert.Equal(t, v.body, string(body), v.name)
		assert.Equal(t, site.URL+v.path, resp.Request.URL.String(), v.name)
		sim.AssertCalls(t, "sns/oauth2/access_token", v.logins)
	}
	sim.AssertNoLeaks(t)
}

// chi's Logger writes the code of a callback that it wraps. A group with the
// Logger, next to the mounted Auth, does not.
func TestLogger(t *testing.T) {
	for name, c := range map[string]struct {
		routes func(r chi.Router, logger func(http.Handler) http.Handler, auth *wechatauth.Auth)
		leaks  bool
	}{
		"around all": {func(r chi.Router, logger func(http.Handler) http.Handler, auth *wechatauth.Auth) {
			r.Use(logger)
			r.Mount("/wechat/", auth)
			r.With(auth.RequireWeChat).Get("/", hello)
		}, true},
		"in the group": {func(r chi.Router, logger func(http.Handler) http.Handler, auth *wechatauth.Auth) {
			r.Mount("/wechat/", auth)
			r.Group(func(r chi.Router) {
				r.Use(logger, auth.RequireWeChat)
				r.Get("/", hello)
			})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, site, auth := newSite(t)
			var logged bytes.Buffer
			r := chi.NewRouter()
			c.routes(r, middleware.RequestLogger(&middleware.DefaultLogFormatter{Logger: log.New(&logged, "", 0), NoColor: true}), auth)
			site.Config.Handler = r
			site.Start()
			browser := wechattest.Browser(wechattest.IPhone)
			code := ""
			browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
				if r.URL.Path == "/wechat/callback" {
					code = r.URL.Query().Get("code")
				}
				return nil
			}
			resp, err := browser.Get(site.URL + "/")
			require.NoError(t, err)
			resp.Body.Close()
			site.Close() // the Logger writes after the response
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.NotEmpty(t, code)
			assert.Contains(t, logged.String(), site.URL+"/ ")
			assert.Equal(t, c.leaks, strings.Contains(logged.String(), code), logged.String())
		})
	}
}
