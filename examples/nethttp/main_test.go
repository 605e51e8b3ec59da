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
