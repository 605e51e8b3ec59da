package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A script is a browser that sends requests as the script of a page does.
type script struct {
	*http.Client
	t    *testing.T
	base string
}

func (s script) fetch(path string) (status int, body map[string]string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.base+path, nil)
	require.NoError(s.t, err)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Sec-Fetch-Mode", "cors")
	req.Header.Set("Sec-Fetch-Dest", "empty")
	resp, err := s.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&body))
	return resp.StatusCode, body
}

func start(t *testing.T) (script, *wechattest.Server) {
	t.Helper()
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	site := httptest.NewUnstartedServer(nil)
	t.Cleanup(site.Close)
	base := "http://" + site.Listener.Addr().String()
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(base),
		wechatauth.WithEndpoints(sim.Endpoints()),
	)
	require.NoError(t, err)
	site.Config.Handler = app(auth)
	site.Start()
	return script{wechattest.Browser(wechattest.IPhone), t, base}, sim
}

func TestPage(t *testing.T) {
	s, sim := start(t)
	for _, name := range []string{"/", "/app.js", "/style.css", "/icon.svg"} {
		resp, err := s.Get(s.base + name)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, resp.StatusCode, name)
		assert.NotEmpty(t, body, name)
	}
	sim.AssertCalls(t, "sns/oauth2/access_token", 0)
}

func TestLoginURL(t *testing.T) {
	s, sim := start(t)
	status, body := s.fetch("/api/me")
	require.Equal(t, http.StatusUnauthorized, status)

	resp, err := s.Get(body["login_url"] + "?next=" + url.QueryEscape("/?from=menu#/me"))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, s.base+"/?from=menu#/me", resp.Request.URL.String())

	status, body = s.fetch("/api/me")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, wechattest.OpenID(wechattest.DefaultAppID, "小明"), body["openid"])
	status, body = s.fetch("/api/profile")
	assert.Equal(t, http.StatusForbidden, status)
	assert.Equal(t, "scope_required", body["error"])
	assert.Equal(t, s.base+"/wechat/upgrade", body["login_url"])

	resp, err = s.Post(s.base+"/wechat/logout", "application/x-www-form-urlencoded", strings.NewReader("next=%2F%23%2F"))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, s.base+"/#/", resp.Request.URL.String())
	status, _ = s.fetch("/api/me")
	assert.Equal(t, http.StatusUnauthorized, status)
	sim.AssertNoLeaks(t)
}
