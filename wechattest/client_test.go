package wechattest_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

func newClient(t *testing.T, sim *wechattest.Server, appID, secret string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(appID, secret, append([]client.Option{client.WithEndpoints(sim.Endpoints())}, opts...)...)
	require.NoError(t, err)
	return c
}

func codeOf(t *testing.T, callback string) string {
	t.Helper()
	u, err := url.Parse(callback)
	require.NoError(t, err)
	return u.Query().Get("code")
}

func TestClient_WebLogin(t *testing.T) {
	sim := simulator(t)
	c := newClient(t, sim, appID, secret)
	callback, err := sim.CallbackURL(phone(), c.AuthorizeURL(loopback, client.ScopeUserInfo, "s1"))
	require.NoError(t, err)
	token, err := c.Exchange(t.Context(), codeOf(t, callback))
	require.NoError(t, err)
	require.Equal(t, wechattest.OpenID(appID, "小明"), token.OpenID)
	require.Equal(t, 2*time.Hour, token.ExpiresIn)
	user, err := c.UserInfo(t.Context(), token.AccessToken.Reveal(), token.OpenID, client.LangZhCN)
	require.NoError(t, err)
	require.Equal(t, "小明", user.Nickname)
	picture, err := http.Get(user.AvatarURL)
	require.NoError(t, err)
	picture.Body.Close()
	require.Equal(t, http.StatusOK, picture.StatusCode)
	require.NoError(t, c.CheckToken(t.Context(), token.AccessToken.Reveal(), token.OpenID))
	again, err := c.Refresh(t.Context(), token.RefreshToken.Reveal())
	require.NoError(t, err)
	require.Equal(t, token.AccessToken.Reveal(), again.AccessToken.Reveal())

	_, err = c.Exchange(t.Context(), codeOf(t, callback))
	var failure *client.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, 40163, failure.Code)
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`, failure.RID)
}

func TestClient_QRLogin(t *testing.T) {
	sim := simulator(t)
	c := newClient(t, sim, siteID, siteSecret)
	callback, err := sim.CallbackURL(computer(), c.QRConnectURL(loopback, "s1"))
	require.NoError(t, err)
	token, err := c.Exchange(t.Context(), codeOf(t, callback))
	require.NoError(t, err)
	require.Equal(t, wechattest.OpenID(siteID, "小明"), token.OpenID)
}

func TestClient_MiniProgram(t *testing.T) {
	sim := simulator(t)
	c := newClient(t, sim, miniID, miniSecret)
	session, err := c.Code2Session(t.Context(), sim.WXLogin(miniID, "Lin"))
	require.NoError(t, err)
	require.Equal(t, wechattest.OpenID(miniID, "Lin"), session.OpenID)
	number, err := c.PhoneNumber(t.Context(), sim.GetPhoneNumber(miniID, "Lin"))
	require.NoError(t, err)
	require.NotEmpty(t, number)
}

func TestClient_Platform(t *testing.T) {
	sim := simulator(t)
	c := newClient(t, sim, appID, secret, client.WithComponent(platform, func(context.Context) (client.Secret, error) {
		return client.NewSecret(sim.ComponentToken(platform)), nil
	}))
	callback, err := sim.CallbackURL(phone(), c.AuthorizeURL(loopback, client.ScopeBase, "s1"))
	require.NoError(t, err)
	token, err := c.Exchange(t.Context(), codeOf(t, callback))
	require.NoError(t, err)
	require.Equal(t, wechattest.OpenID(appID, "小明"), token.OpenID)
}

func TestClient_AuthorizeOptions(t *testing.T) {
	sim := simulator(t, wechattest.WithQuirks(wechattest.RecentConsent))
	c := newClient(t, sim, appID, secret)
	_, err := sim.CallbackURL(phone(), c.AuthorizeURL(loopback, client.ScopeUserInfo, "s1"))
	require.NoError(t, err)
	_, page := open(t, phone(), c.AuthorizeURL(loopback, client.ScopeUserInfo, "s1", client.ForcePopup()))
	require.Contains(t, page, "允许")

	fresh := simulator(t)
	c = newClient(t, fresh, appID, secret)
	callback, err := fresh.CallbackURL(phone(), c.AuthorizeURL(loopback, client.ScopeUserInfo, "s1", client.ForceSnapShot()))
	require.NoError(t, err)
	token, err := c.Exchange(t.Context(), codeOf(t, callback))
	require.NoError(t, err)
	require.True(t, token.Snapshot)
}
