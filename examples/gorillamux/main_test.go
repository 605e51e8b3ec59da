package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestRouter(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	site := httptest.NewUnstartedServer(nil)
	defer site.Close()
	base := "http://" + site.Listener.Addr().String()
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(base),
		wechatauth.WithEndpoints(sim.Endpoints()),
	)
	require.NoError(t, err)
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
		{"a missing page", "/nothing", http.StatusNotFound, "404 page not found\n", 0},
		{"a route", "/?from=menu", http.StatusOK, hello, 1},
		{"once", "/", http.StatusOK, hello, 1},
	}
	for _, v := range visits {
		resp, err := browser.Get(base + v.path)
		require.NoError(t, err, v.name)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err, v.name)
		assert.Equal(t, v.status, resp.StatusCode, v.name)
		assert.Equal(t, v.body, string(body), v.name)
		assert.Equal(t, base+v.path, resp.Request.URL.String(), v.name)
		sim.AssertCalls(t, "sns/oauth2/access_token", v.logins)
	}
	sim.AssertNoLeaks(t)
}
