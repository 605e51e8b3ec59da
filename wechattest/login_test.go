package wechattest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// site answers callbacks with their query, as JSON.
func site(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(r.URL.Query())
	}))
	t.Cleanup(srv.Close)
	return srv
}

func simulator(t *testing.T, opts ...wechattest.Option) *wechattest.Server {
	sim := wechattest.NewServer(opts...)
	t.Cleanup(sim.Close)
	return sim
}

// authorizeURL has the documented order of parameters.
func authorizeURL(sim *wechattest.Server, callback, scope, extras string) string {
	return sim.URL + "/connect/oauth2/authorize?appid=" + wechattest.DefaultAppID + "&redirect_uri=" + url.QueryEscape(callback) +
		"&response_type=code&scope=" + scope + "&state=s1" + extras + "#wechat_redirect"
}

func qrURL(sim *wechattest.Server, callback string) string {
	return sim.URL + "/connect/qrconnect?appid=" + wechattest.DefaultWebsiteAppID + "&redirect_uri=" + url.QueryEscape(callback) +
		"&response_type=code&scope=snsapi_login&state=s1#wechat_redirect"
}

func body(t *testing.T, resp *http.Response) string {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

func callbackQuery(t *testing.T, resp *http.Response) url.Values {
	q := url.Values{}
	require.NoError(t, json.Unmarshal([]byte(body(t, resp)), &q))
	return q
}

// ask calls an API endpoint and returns the decoded answer.
func ask(t *testing.T, sim *wechattest.Server, path string, params ...string) map[string]any {
	q := url.Values{}
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
	}
	resp, err := http.Get(sim.URL + "/" + path + "?" + q.Encode())
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	answer := map[string]any{}
	text := body(t, resp)
	require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
	return answer
}

func exchange(t *testing.T, sim *wechattest.Server, code string) map[string]any {
	return ask(t, sim, "sns/oauth2/access_token", "appid", wechattest.DefaultAppID, "secret", wechattest.DefaultSecret,
		"code", code, "grant_type", "authorization_code")
}

func TestBaseIsSilent(t *testing.T) {
	sim, app := simulator(t), site(t)
	resp, err := wechattest.Browser(wechattest.IPhone).Get(authorizeURL(sim, app.URL+"/cb?a=1", "snsapi_base", ""))
	require.NoError(t, err)
	q := callbackQuery(t, resp)
	require.Equal(t, "s1", q.Get("state"))
	require.Equal(t, "1", q.Get("a"))
	require.Regexp(t, `^0[A-Za-z0-9]{31}$`, q.Get("code"))

	token := exchange(t, sim, q.Get("code"))
	require.Equal(t, wechattest.OpenID(wechattest.DefaultAppID, "小明"), token["openid"])
	require.NotContains(t, token, "unionid")
	again := exchange(t, sim, q.Get("code"))
	require.EqualValues(t, 40163, again["errcode"])
}

func TestUserInfoAsksForConsent(t *testing.T) {
	sim, app := simulator(t), site(t)
	sim.Hold("Lin")
	phone := wechattest.Browser(wechattest.Android)
	page, err := phone.Get(authorizeURL(sim, app.URL+"/cb", "snsapi_userinfo", ""))
	require.NoError(t, err)
	resp, err := sim.Allow(phone, page)
	require.NoError(t, err)
	token := exchange(t, sim, callbackQuery(t, resp).Get("code"))
	require.Equal(t, wechattest.UnionID(wechattest.DefaultOpenPlatform, "Lin"), token["unionid"])
	info := ask(t, sim, "sns/userinfo", "access_token", token["access_token"].(string), "openid", token["openid"].(string))
	require.Equal(t, "Lin 🌿", info["nickname"])
	require.Equal(t, token["unionid"], info["unionid"])
}

func TestQRCodeLogin(t *testing.T) {
	sim, app := simulator(t), site(t)
	desk := wechattest.Browser(wechattest.OrdinaryBrowser)
	page, err := desk.Get(qrURL(sim, app.URL+"/cb"))
	require.NoError(t, err)
	resp, err := sim.Allow(desk, page)
	require.NoError(t, err)
	token := ask(t, sim, "sns/oauth2/access_token", "appid", wechattest.DefaultWebsiteAppID, "secret", wechattest.DefaultWebsiteSecret,
		"code", callbackQuery(t, resp).Get("code"), "grant_type", "authorization_code")
	require.Equal(t, "snsapi_login", token["scope"])

	callback, err := sim.CallbackURL(desk, qrURL(sim, app.URL+"/cb"))
	require.NoError(t, err)
	require.Contains(t, callback, app.URL+"/cb?code=0")
}

func TestMiniProgramLogin(t *testing.T) {
	sim := simulator(t)
	session := ask(t, sim, "sns/jscode2session", "appid", wechattest.DefaultMiniProgramAppID, "secret", wechattest.DefaultMiniProgramSecret,
		"js_code", sim.JSCode(wechattest.DefaultMiniProgramAppID, "Lin"), "grant_type", "authorization_code")
	require.Len(t, session["session_key"], 24)
	require.Equal(t, wechattest.OpenID(wechattest.DefaultMiniProgramAppID, "Lin"), session["openid"])
}
