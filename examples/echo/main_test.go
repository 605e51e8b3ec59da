package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/accounts"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	northID, northSecret = "wx00000000000000a1", "north-secret-for-tests"
	southID, southSecret = "wx00000000000000a2", "south-secret-for-tests"
)

func TestAccountGroups(t *testing.T) {
	sim := wechattest.NewServer(wechattest.WithAccount(
		wechattest.Account{AppID: northID, Secret: northSecret},
		wechattest.Account{AppID: southID, Secret: southSecret},
	))
	defer sim.Close()
	site := httptest.NewUnstartedServer(nil)
	defer site.Close()
	base := "http://" + site.Listener.Addr().String()
	auth, err := wechatauth.New(
		wechatauth.WithAccounts(accounts.ByPathPrefix(map[string]wechatauth.Account{
			"/north/": {AppID: northID, Secret: northSecret},
			"/south/": {AppID: southID, Secret: southSecret},
		})),
		wechatauth.WithBaseURL(base),
		wechatauth.WithEndpoints(sim.Endpoints()),
	)
	require.NoError(t, err)
	site.Config.Handler = app(auth)
	site.Start()
	browser := wechattest.Browser(wechattest.IPhone)
	hello := func(appID string) string {
		return "Hello, " + wechattest.OpenID(appID, "小明") + " of " + appID + "\n"
	}

	visits := []struct {
		name, path string
		status     int
		body       string
		logins     int // so far
	}{
		{"a public page", "/", http.StatusOK, "Hello, guest\n", 0},
		{"a login in the north", "/north/orders?id=7", http.StatusOK, hello(northID), 1},
		{"once", "/north/orders", http.StatusOK, hello(northID), 1},
		{"another login in the south", "/south/orders", http.StatusOK, hello(southID), 2},
		{"still logged in in the north", "/north/orders", http.StatusOK, hello(northID), 2},
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
