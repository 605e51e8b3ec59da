package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Two applications on different domains log in through one relay, on the only
// domain configured for their account.
func TestTwoApplications(t *testing.T) {
	const key = "relay-key-for-tests-0123456789abcdef"
	front := httptest.NewUnstartedServer(nil)
	sim := wechattest.NewServer()
	defer sim.Close()
	var callbacks string
	var shops []*httptest.Server
	for range 2 {
		shop := httptest.NewUnstartedServer(nil)
		base := "http://" + shop.Listener.Addr().String()
		requireLogin := wechatauth.RequireWeChat(
			wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
			wechatauth.WithBaseURL(base), wechatauth.WithEndpoints(sim.Endpoints()),
			wechatauth.WithRelay("http://"+front.Listener.Addr().String()+"/relay", []byte(key)))
		shop.Config.Handler = requireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := wechatauth.IdentityFromContext(r.Context())
			fmt.Fprint(w, id.OpenID)
		}))
		shop.Start()
		defer shop.Close()
		if callbacks != "" {
			callbacks += ","
		}
		callbacks += base + "/wechat/callback"
		shops = append(shops, shop)
	}
	handler, err := app(key, callbacks)
	require.NoError(t, err)
	front.Config.Handler = handler
	front.Start()
	defer front.Close()

	for _, shop := range shops {
		resp, err := wechattest.Browser(wechattest.IPhone).Get(shop.URL + "/x")
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name), string(body))
		assert.Equal(t, shop.URL+"/x", resp.Request.URL.String())
	}
}
