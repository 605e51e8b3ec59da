package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestLogin(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	site := httptest.NewUnstartedServer(nil)
	defer site.Close()
	base := "http://" + site.Listener.Addr().String()
	site.Config.Handler = app(wechatauth.RequireWeChat(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(base),
		wechatauth.WithEndpoints(sim.Endpoints()),
	))
	site.Start()
	browser := wechattest.Browser(wechattest.IPhone)

	for range 2 {
		resp, err := browser.Get(base + "/?from=menu")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "Hello, "+wechattest.OpenID(wechattest.DefaultAppID, "小明")+"\n", string(body))
		assert.Equal(t, base+"/?from=menu", resp.Request.URL.String())
	}
	sim.AssertCalls(t, "sns/oauth2/access_token", 1)
	sim.AssertNoLeaks(t)
}

func TestHello(t *testing.T) {
	for name, tt := range map[string]struct {
		user wechatauth.Identity
		want string
	}{
		"logged in":     {wechatauth.Identity{AppID: wechattest.DefaultAppID, OpenID: "o1"}, "Hello, o1\n"},
		"not logged in": {wechatauth.Identity{}, "Hello, \n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			w := httptest.NewRecorder()
			hello(w, r.WithContext(wechatauth.ContextWithIdentity(r.Context(), tt.user)))
			assert.Equal(t, tt.want, w.Body.String())
		})
	}
}

func TestExpiry(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	site := httptest.NewUnstartedServer(nil)
	defer site.Close()
	var passed atomic.Int64 // added to the real time
	site.Config.Handler = app(wechatauth.RequireWeChat(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("http://"+site.Listener.Addr().String()),
		wechatauth.WithEndpoints(sim.Endpoints()),
		wechatauth.WithClock(func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }),
	))
	site.Start()
	browser := wechattest.Login(t, site.URL, "Lin")

	for _, tt := range []struct {
		passed time.Duration
		want   int
	}{
		{0, http.StatusOK},
		{wechatauth.DefaultLifetime - time.Minute, http.StatusOK},
		{wechatauth.DefaultLifetime, http.StatusUnauthorized},
	} {
		passed.Store(int64(tt.passed))
		resp, err := wechattest.Fetch(browser, http.MethodGet, site.URL, nil)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, tt.want, resp.StatusCode, tt.passed)
	}
}
