package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestCartSurvivesLogin(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	site := httptest.NewUnstartedServer(nil)
	defer site.Close()
	base := "http://" + site.Listener.Addr().String()
	sessions := scs.New()
	sessions.Store = store.New(redistest.Start(t).Pool())
	sessions.Cookie.Name = "app_session"
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(base),
		wechatauth.WithEndpoints(sim.Endpoints()),
		wechatauth.WithSessionManager(sessions),
	)
	require.NoError(t, err)
	site.Config.Handler = app(auth, sessions)
	site.Start()
	browser := wechattest.Browser(wechattest.IPhone)

	resp, err := browser.PostForm(base+"/cart", url.Values{"item": {"tea"}})
	require.NoError(t, err)
	resp.Body.Close()
	before := cookie(t, browser, base)

	resp, err = browser.Get(base + "/checkout?step=1")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.NoError(t, err)
	assert.Equal(t, wechattest.OpenID(wechattest.DefaultAppID, "小明")+" buys tea\n", string(body))
	assert.Equal(t, base+"/checkout?step=1", resp.Request.URL.String())
	assert.NotEqual(t, before, cookie(t, browser, base), "the login changed the session token")
	sim.AssertNoLeaks(t)
}

// cookie returns the value of the only session cookie.
func cookie(t *testing.T, browser *http.Client, base string) (value string) {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	n := 0
	for _, c := range browser.Jar.Cookies(u) {
		if c.Name == "app_session" {
			n, value = n+1, c.Value
		}
	}
	assert.Equal(t, 1, n)
	return value
}
