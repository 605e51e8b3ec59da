package wechattest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// Short names used throughout the tests.
const (
	appID, secret         = wechattest.DefaultAppID, wechattest.DefaultSecret
	siteID, siteSecret    = wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret
	miniID, miniSecret    = wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret
	platform, platformKey = wechattest.DefaultComponentAppID, wechattest.DefaultComponentSecret

	authorizePath = "connect/oauth2/authorize"
	exchangePath  = "sns/oauth2/access_token"
	refreshPath   = "sns/oauth2/refresh_token"
)

// noon is the time at which every simulator starts; Advance adds to it.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func simulator(t *testing.T, opts ...wechattest.Option) *wechattest.Server {
	t.Helper()
	fixed := []wechattest.Option{wechattest.WithClock(func() time.Time { return noon }), wechattest.WithSeed(1)}
	sim := wechattest.NewServer(append(fixed, opts...)...)
	t.Cleanup(sim.Close)
	return sim
}

// site starts a site that responds to every callback with its query as JSON.
func site(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(r.URL.Query())
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/cb"
}

func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(handle)
	t.Cleanup(srv.Close)
	return srv.URL
}

// open opens a page as a phone does and returns the response without following
// redirects.
func open(t *testing.T, browser *http.Client, pageURL string) (resp *http.Response, text string) {
	t.Helper()
	stay := *browser
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := stay.Get(pageURL)
	require.NoError(t, err)
	return resp, body(t, resp)
}

func phone() *http.Client { return wechattest.Browser(wechattest.IPhone) }

// authorizeURL returns an authorize URL with the documented order of
// parameters; change edits the query.
func authorizeURL(sim *wechattest.Server, callback, scope string, change ...string) string {
	query := "appid=" + appID + "&redirect_uri=" + url.QueryEscape(callback) +
		"&response_type=code&scope=" + scope + "&state=s1"
	return sim.URL + "/connect/oauth2/authorize?" + strings.NewReplacer(change...).Replace(query) + "#wechat_redirect"
}

func qrURL(sim *wechattest.Server, callback string, change ...string) string {
	query := "appid=" + siteID + "&redirect_uri=" + url.QueryEscape(callback) +
		"&response_type=code&scope=snsapi_login&state=s1"
	return sim.URL + "/connect/qrconnect?" + strings.NewReplacer(change...).Replace(query) + "#wechat_redirect"
}

// code runs a login with a scope up to the callback and returns the code.
func code(t *testing.T, sim *wechattest.Server, scope string, change ...string) string {
	t.Helper()
	callback, err := sim.CallbackURL(phone(), authorizeURL(sim, "http://127.0.0.1/cb", scope, change...))
	require.NoError(t, err)
	u, err := url.Parse(callback)
	require.NoError(t, err)
	return u.Query().Get("code")
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

func query(t *testing.T, resp *http.Response) url.Values {
	t.Helper()
	q, text := url.Values{}, body(t, resp)
	require.NoError(t, json.Unmarshal([]byte(text), &q), text)
	return q
}

func values(pairs []string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

// A response is a decoded response of the API host.
type response map[string]any

func (a response) text(name string) string { s, _ := a[name].(string); return s }

func (a response) errcode() int { n, _ := a["errcode"].(float64); return int(n) }

func decode(t *testing.T, resp *http.Response) response {
	t.Helper()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	a, text := response{}, body(t, resp)
	require.NoError(t, json.Unmarshal([]byte(text), &a), text)
	return a
}

// get calls an API endpoint with GET.
func get(t *testing.T, sim *wechattest.Server, path string, pairs ...string) response {
	t.Helper()
	resp, err := sim.Client().Get(sim.URL + "/" + path + "?" + values(pairs).Encode())
	require.NoError(t, err)
	return decode(t, resp)
}

// post calls an API endpoint with POST and a JSON body.
func post(t *testing.T, sim *wechattest.Server, path string, in any) response {
	t.Helper()
	b, err := json.Marshal(in)
	require.NoError(t, err)
	resp, err := http.Post(sim.URL+"/"+path, "application/json", strings.NewReader(string(b)))
	require.NoError(t, err)
	return decode(t, resp)
}

func exchange(t *testing.T, sim *wechattest.Server, code string) response {
	t.Helper()
	return get(t, sim, exchangePath, "appid", appID, "secret", secret, "code", code, "grant_type", "authorization_code")
}

// token completes a login with a scope and returns the token response.
func token(t *testing.T, sim *wechattest.Server, scope string, change ...string) response {
	t.Helper()
	a := exchange(t, sim, code(t, sim, scope, change...))
	require.NotEmpty(t, a.text("access_token"), a)
	return a
}

func profile(t *testing.T, sim *wechattest.Server, token response) response {
	t.Helper()
	return get(t, sim, "sns/userinfo", "access_token", token.text("access_token"), "openid", token.text("openid"))
}

func miniSession(t *testing.T, sim *wechattest.Server, jsCode string) response {
	t.Helper()
	return get(t, sim, "sns/jscode2session", "appid", miniID, "secret", miniSecret, "js_code", jsCode, "grant_type", "authorization_code")
}

func accountToken(t *testing.T, sim *wechattest.Server, appID, secret string) string {
	t.Helper()
	a := post(t, sim, "cgi-bin/stable_token", map[string]any{"grant_type": "client_credential", "appid": appID, "secret": secret})
	require.NotEmpty(t, a.text("access_token"), a)
	return a.text("access_token")
}

// soon returns a context that bounds how long a test waits for something that
// must happen immediately.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
