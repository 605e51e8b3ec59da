package wechattest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

const numberPath = "wxa/business/getuserphonenumber"

// The errcodes of a call with an account token.
const (
	taken    = 40029 // the token is valid, but the code sent with it is not
	replaced = 40001
	expired  = 42001
)

// judged returns the errcode of a call with an account token.
func judged(t *testing.T, sim *wechattest.Server, token string) int {
	t.Helper()
	return post(t, sim, numberPath+"?access_token="+token, map[string]string{"code": "0bogus"}).errcode()
}

func plainToken(t *testing.T, sim *wechattest.Server, change ...string) response {
	t.Helper()
	pairs := []string{"grant_type", "client_credential", "appid", miniID, "secret", miniSecret}
	return get(t, sim, "cgi-bin/token", with(pairs, change...)...)
}

func stable(t *testing.T, sim *wechattest.Server, force bool) response {
	t.Helper()
	return post(t, sim, "cgi-bin/stable_token", map[string]any{
		"grant_type": "client_credential", "appid": miniID, "secret": miniSecret, "force_refresh": force,
	})
}

func TestPlainToken(t *testing.T) {
	sim := simulator(t)
	first := plainToken(t, sim)
	require.EqualValues(t, 7200, first["expires_in"])
	second := plainToken(t, sim)
	require.NotEqual(t, first["access_token"], second["access_token"])
	require.Equal(t, taken, judged(t, sim, first.text("access_token")), "both are valid for five minutes")
	sim.Advance(5 * time.Minute)
	require.Equal(t, replaced, judged(t, sim, first.text("access_token")))
	require.Equal(t, taken, judged(t, sim, second.text("access_token")))
	sim.Advance(115 * time.Minute)
	require.Equal(t, replaced, judged(t, sim, first.text("access_token")), "permanently")
	require.Equal(t, expired, judged(t, sim, second.text("access_token")))
}

func TestPlainTokenErrcodes(t *testing.T) {
	for name, tt := range map[string]struct {
		change []string
		want   int
	}{
		"no appid":      {[]string{"-appid"}, 41002},
		"no secret":     {[]string{"-secret"}, 41004},
		"no grant_type": {[]string{"-grant_type"}, 40002},
		"unknown appid": {[]string{"appid", "wxffffffffffffffff"}, 40013},
		"wrong secret":  {[]string{"secret", "wrong"}, 40125},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, plainToken(t, simulator(t), tt.change...).errcode())
		})
	}
}

func TestStableToken(t *testing.T) {
	sim := simulator(t)
	first := stable(t, sim, false)
	sim.Advance(time.Hour)
	second := stable(t, sim, false)
	require.Equal(t, first["access_token"], second["access_token"])
	require.EqualValues(t, 3600, second["expires_in"])
	sim.Advance(55 * time.Minute)
	third := stable(t, sim, false)
	require.NotEqual(t, first["access_token"], third["access_token"])
	require.Equal(t, taken, judged(t, sim, first.text("access_token")), "both are valid in the last five minutes")
	sim.Advance(5 * time.Minute)
	require.Equal(t, expired, judged(t, sim, first.text("access_token")))
	require.Equal(t, taken, judged(t, sim, third.text("access_token")))
}

func TestStableToken_ForceRefresh(t *testing.T) {
	sim := simulator(t)
	first := stable(t, sim, true)
	second := stable(t, sim, true)
	require.NotEqual(t, first["access_token"], second["access_token"])
	require.Equal(t, replaced, judged(t, sim, first.text("access_token")), "invalid immediately")
	sim.Advance(29 * time.Second)
	require.Equal(t, second["access_token"], stable(t, sim, true)["access_token"], "not twice within 30 seconds")
	for range 19 {
		sim.Advance(30 * time.Second)
		require.Zero(t, stable(t, sim, true).errcode())
	}
	sim.Advance(30 * time.Second)
	require.Equal(t, 45009, stable(t, sim, true).errcode(), "20 times a day")
	require.Zero(t, stable(t, sim, false).errcode())
	sim.Advance(24 * time.Hour)
	require.Zero(t, stable(t, sim, true).errcode())
}

func TestAccountTokens_Independent(t *testing.T) {
	sim := simulator(t)
	plain, steady := plainToken(t, sim).text("access_token"), stable(t, sim, false).text("access_token")
	require.NotEqual(t, plain, steady)
	stable(t, sim, true)
	require.Equal(t, taken, judged(t, sim, plain))
	steady = stable(t, sim, false).text("access_token")
	plainToken(t, sim)
	sim.Advance(6 * time.Minute)
	require.Equal(t, taken, judged(t, sim, steady))
}

func TestStableToken_JSONOnly(t *testing.T) {
	sim := simulator(t)
	resp, err := http.Post(sim.URL+"/cgi-bin/stable_token?"+values([]string{
		"grant_type", "client_credential", "appid", miniID, "secret", miniSecret,
	}).Encode(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 41002, decode(t, resp).errcode())
	require.Equal(t, 47001, post(t, sim, "cgi-bin/stable_token", "text").errcode())
	require.Equal(t, 40125, post(t, sim, "cgi-bin/stable_token", map[string]string{"grant_type": "client_credential", "appid": miniID, "secret": "wrong"}).errcode())
}

func TestPlatformLogin(t *testing.T) {
	const exchangePath, refreshPath = "sns/oauth2/component/access_token", "sns/oauth2/component/refresh_token"
	onBehalf := []string{"&state=s1", "&state=s1&component_appid=" + platform}

	t.Run("a whole login", func(t *testing.T) {
		sim := simulator(t)
		token := sim.ComponentToken(platform)
		a := get(t, sim, exchangePath, "appid", appID, "code", code(t, sim, "snsapi_userinfo", onBehalf...), "grant_type", "authorization_code",
			"component_appid", platform, "component_access_token", token)
		require.Equal(t, wechattest.OpenID(appID, "小明"), a["openid"])
		require.NotEmpty(t, a["unionid"])
		require.Equal(t, "小明", profile(t, sim, a)["nickname"])
		b := get(t, sim, refreshPath, "appid", appID, "grant_type", "refresh_token", "refresh_token", a.text("refresh_token"),
			"component_appid", platform, "component_access_token", token)
		require.Equal(t, a["access_token"], b["access_token"])
		require.Equal(t, 40030, refreshed(t, sim, a).errcode(), "the account itself cannot refresh it")
	})
	t.Run("mini program", func(t *testing.T) {
		sim := simulator(t)
		a := get(t, sim, "sns/component/jscode2session", "appid", miniID, "js_code", sim.WXLogin(miniID, "Lin"), "grant_type", "authorization_code",
			"component_appid", platform, "component_access_token", sim.ComponentToken(platform))
		require.Equal(t, wechattest.OpenID(miniID, "Lin"), a["openid"])
		require.Len(t, a["session_key"], 24)
	})
	t.Run("the account's own endpoint requires a secret", func(t *testing.T) {
		sim := simulator(t)
		a := get(t, sim, "sns/oauth2/access_token", "appid", appID, "code", "0bogus", "grant_type", "authorization_code",
			"component_appid", platform, "component_access_token", sim.ComponentToken(platform))
		require.Equal(t, 41004, a.errcode())
	})

	accounts := wechattest.DefaultAccounts()
	lonely := accounts[0]
	lonely.Platforms = nil
	elsewhere := accounts[3]
	elsewhere.AllowedIPs = []string{"192.0.2.1"}
	for name, tt := range map[string]struct {
		opts   []wechattest.Option
		later  time.Duration
		change func(sim *wechattest.Server) []string
		want   int
	}{
		"no appid":                  {change: func(*wechattest.Server) []string { return []string{"-appid"} }, want: 41002},
		"no code":                   {change: func(*wechattest.Server) []string { return []string{"-code"} }, want: 41008},
		"no platform":               {change: func(*wechattest.Server) []string { return []string{"-component_appid"} }, want: 41018},
		"no platform token":         {change: func(*wechattest.Server) []string { return []string{"-component_access_token"} }, want: 41021},
		"no grant_type":             {change: func(*wechattest.Server) []string { return []string{"-grant_type"} }, want: 40002},
		"unknown appid":             {change: func(*wechattest.Server) []string { return []string{"appid", "wxffffffffffffffff"} }, want: 40013},
		"unknown platform token":    {change: func(*wechattest.Server) []string { return []string{"component_access_token", "10_bogus"} }, want: 40094},
		"token of another platform": {change: func(*wechattest.Server) []string { return []string{"component_appid", "wxeeeeeeeeeeeeeeee"} }, want: 40094},
		"the account's own token": {change: func(sim *wechattest.Server) []string {
			return []string{"component_access_token", accountToken(t, sim, appID, secret)}
		}, want: 48001},
		"expired platform token": {later: 2 * time.Hour, want: 42001},
		"not authorized":         {opts: []wechattest.Option{wechattest.WithAccount(lonely, accounts[3])}, want: 61003},
		"address not registered": {opts: []wechattest.Option{wechattest.WithAccount(accounts[0], elsewhere)}, want: 61004},
		"unknown code":           {want: 40029},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, tt.opts...)
			pairs := []string{"appid", appID, "code", "0bogus", "grant_type", "authorization_code",
				"component_appid", platform, "component_access_token", sim.ComponentToken(platform)}
			if tt.change != nil {
				pairs = with(pairs, tt.change(sim)...)
			}
			sim.Advance(tt.later)
			require.Equal(t, tt.want, get(t, sim, exchangePath, pairs...).errcode())
		})
	}
}

func TestPlatformToken(t *testing.T) {
	const path = "cgi-bin/component/api_component_token"
	in := func(ticket string, change ...string) map[string]string {
		m := map[string]string{"component_appid": platform, "component_appsecret": platformKey, "component_verify_ticket": ticket}
		for i := 0; i < len(change); i += 2 {
			m[change[i]] = change[i+1]
		}
		return m
	}
	sim := simulator(t)
	ticket := sim.VerifyTicket(platform)
	a := post(t, sim, path, in(ticket))
	require.EqualValues(t, 7200, a["expires_in"])
	session := get(t, sim, "sns/component/jscode2session", "appid", miniID, "js_code", sim.WXLogin(miniID, "Lin"), "grant_type", "authorization_code",
		"component_appid", platform, "component_access_token", a.text("component_access_token"))
	require.Zero(t, session.errcode())

	require.Equal(t, 41018, post(t, sim, path, in(ticket, "component_appid", "")).errcode())
	require.Equal(t, 41004, post(t, sim, path, in(ticket, "component_appsecret", "")).errcode())
	require.Equal(t, 61011, post(t, sim, path, in(ticket, "component_appid", appID)).errcode())
	require.Equal(t, 40125, post(t, sim, path, in(ticket, "component_appsecret", "wrong")).errcode())
	require.Equal(t, 61006, post(t, sim, path, in("bogus")).errcode())
	require.Equal(t, 47001, post(t, sim, path, "text").errcode())
	sim.Advance(12 * time.Hour)
	require.Equal(t, 61005, post(t, sim, path, in(ticket)).errcode())
	require.Equal(t, 40001, judged(t, sim, sim.ComponentToken(platform)), "a platform's token is not an account token")
}

func TestPlatform_CallbackDomains(t *testing.T) {
	accounts := wechattest.DefaultAccounts()
	accounts[0].Domains = []string{"shop.example"}
	accounts[3].Domains = []string{"platform.example"}
	sim := simulator(t, wechattest.WithAccount(accounts...))
	for callback, want := range map[string]int{"https://platform.example/": http.StatusFound, "https://shop.example/": http.StatusOK} {
		resp, _ := open(t, phone(), authorizeURL(sim, callback, "snsapi_base", "&state=s1", "&state=s1&component_appid="+platform))
		require.Equal(t, want, resp.StatusCode, callback)
	}
}
