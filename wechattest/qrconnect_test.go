package wechattest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

func computer() *http.Client { return wechattest.Browser(wechattest.Chrome) }

func siteToken(t *testing.T, sim *wechattest.Server, code string) response {
	t.Helper()
	return get(t, sim, exchangePath, "appid", siteID, "secret", siteSecret, "code", code, "grant_type", "authorization_code")
}

func TestQRLogin(t *testing.T) {
	sim := simulator(t)
	sim.SetPerson("Lin")
	browser := computer()
	page, err := browser.Get(qrURL(sim, site(t)))
	require.NoError(t, err)
	resp, err := sim.Allow(browser, page)
	require.NoError(t, err)
	q := query(t, resp)
	require.Equal(t, "s1", q.Get("state"))
	a := siteToken(t, sim, q.Get("code"))
	require.Equal(t, "snsapi_login", a["scope"])
	require.Equal(t, wechattest.OpenID(siteID, "Lin"), a["openid"])
	require.Equal(t, wechattest.UnionID(wechattest.DefaultOpenPlatform, "Lin"), a["unionid"])
	require.Equal(t, "Lin 🌿", profile(t, sim, a)["nickname"])
}

func TestQRConnect_ErrorPages(t *testing.T) {
	strict := wechattest.Account{AppID: siteID, Secret: siteSecret, Kind: wechattest.WebsiteApp, Domains: []string{"www.example.com"}}
	tests := map[string]struct {
		opts   []wechattest.Option
		change []string
		want   string
	}{
		"no appid":         {nil, []string{"appid=" + siteID, "x=y"}, "appid不能为空"},
		"no redirect_uri":  {nil, []string{"redirect_uri", "x"}, "redirect_uri不能为空"},
		"no scope":         {nil, []string{"scope", "x"}, "scope不能为空"},
		"official account": {nil, []string{siteID, appID}, "该链接无法访问"},
		"unknown appid":    {nil, []string{siteID, "wxffffffffffffffff"}, "AppID 参数错误"},
		"another scope":    {nil, []string{"snsapi_login", "snsapi_userinfo"}, "Scope 参数错误"},
		"no response_type": {nil, []string{"response_type=code&", ""}, "该链接无法访问"},
		"inside WeChat":    {nil, nil, "并没有这些scope的权限"},
		"foreign callback": {[]wechattest.Option{wechattest.WithAccount(strict)}, nil, "该链接无法访问"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			browser := computer()
			if name == "inside WeChat" {
				browser = phone()
			}
			resp, page := open(t, browser, qrURL(simulator(t, tt.opts...), loopback, tt.change...))
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Contains(t, page, tt.want)
			require.NotContains(t, page, "data-uuid")
		})
	}
}

func TestQRConnect_DesktopWeChat(t *testing.T) {
	for _, agent := range []string{wechattest.Windows, wechattest.Mac} {
		_, page := open(t, wechattest.Browser(agent), qrURL(simulator(t), loopback))
		require.Contains(t, page, "data-uuid")
	}
}

func TestQRConnect_Embedded(t *testing.T) {
	const jssdk = "response_type=code&scope=snsapi_login&state=s1"
	for redirect, want := range map[string]bool{"true": false, "false": true} {
		_, page := open(t, computer(), qrURL(simulator(t), loopback, jssdk, "scope=snsapi_login&state=s1&login_type=jssdk&self_redirect="+redirect))
		require.Equal(t, want, strings.Contains(page, " data-top"))
	}
}

func TestQRConnect_WxLoginParameters(t *testing.T) {
	for name, change := range map[string][]string{
		"wxLogin.js": {"response_type=code&scope=snsapi_login&state=s1", "scope=snsapi_login&state=s1&login_type=jssdk&self_redirect=true&style=white&href=data%3Atext%2Fcss%3Bbase64%2C"},
		"options":    {"&state=s1", "&state=s1&lang=en&stylelite=1&fast_login=0"},
		"any order":  {"appid=" + siteID + "&redirect_uri", "lang=cn&appid=" + siteID + "&redirect_uri"},
		"long state": {"state=s1", "state=0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"},
	} {
		t.Run(name, func(t *testing.T) {
			_, page := open(t, computer(), qrURL(simulator(t), loopback, change...))
			require.Contains(t, page, "data-uuid")
		})
	}
}

// uuid opens the QR code page and returns its uuid.
func uuid(t *testing.T, sim *wechattest.Server) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, qrURL(sim, loopback), nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/json")
	resp, err := computer().Do(req)
	require.NoError(t, err)
	var page struct{ UUID string }
	require.NoError(t, json.Unmarshal([]byte(body(t, resp)), &page))
	return page.UUID
}

func poll(t *testing.T, sim *wechattest.Server, uuid, last string) string {
	t.Helper()
	resp, text := open(t, computer(), sim.URL+"/connect/l/qrconnect?uuid="+uuid+"&last="+last+"&_=1")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return text
}

func confirm(t *testing.T, sim *wechattest.Server, uuid, choice string) {
	t.Helper()
	resp, err := phone().PostForm(sim.URL+"/connect/confirm", url.Values{"uuid": {uuid}, "answer": {choice}})
	require.NoError(t, err)
	resp.Body.Close()
}

func TestQRPoll(t *testing.T) {
	hold := wechattest.WithPollHold(time.Millisecond)
	const waiting, scanned = "window.wx_errcode=408;window.wx_code='';", "window.wx_errcode=404;window.wx_code='';"

	t.Run("waiting, scanned, confirmed", func(t *testing.T) {
		sim := simulator(t, hold)
		id := uuid(t, sim)
		require.Equal(t, waiting, poll(t, sim, id, ""))
		_, page := open(t, phone(), sim.URL+"/connect/confirm?uuid="+id)
		require.Contains(t, page, "确认登录网站")
		require.Equal(t, scanned, poll(t, sim, id, ""))
		require.Equal(t, waiting, poll(t, sim, id, "404"), "no change")
		confirm(t, sim, id, "allow")
		m := regexp.MustCompile(`^window\.wx_errcode=405;window\.wx_code='(\w{32})';$`).FindStringSubmatch(poll(t, sim, id, "404"))
		require.NotNil(t, m)
		require.Zero(t, siteToken(t, sim, m[1]).errcode())
	})
	t.Run("denied", func(t *testing.T) {
		sim := simulator(t, hold)
		id := uuid(t, sim)
		confirm(t, sim, id, "refuse")
		require.Equal(t, "window.wx_errcode=403;window.wx_code='';", poll(t, sim, id, ""))
	})
	t.Run("expired", func(t *testing.T) {
		sim := simulator(t, hold)
		id := uuid(t, sim)
		sim.Advance(5 * time.Minute)
		require.Equal(t, "window.wx_errcode=402;window.wx_code='';", poll(t, sim, id, ""))
		_, page := open(t, phone(), sim.URL+"/connect/confirm?uuid="+id)
		require.Contains(t, page, "二维码已过期")
		require.Equal(t, "window.wx_errcode=402;window.wx_code='';", poll(t, sim, "unknown", ""))
	})
	t.Run("responds when the status changes", func(t *testing.T) {
		sim := simulator(t, wechattest.WithPollHold(time.Hour))
		id := uuid(t, sim)
		result := make(chan string, 1)
		go func() { result <- poll(t, sim, id, "") }()
		require.NoError(t, sim.WaitForCalls(soon(t), "connect/l/qrconnect", 1))
		confirm(t, sim, id, "refuse")
		require.Contains(t, <-result, "403")
	})
	t.Run("responds when the code expires", func(t *testing.T) {
		for name, advance := range map[string]func(*wechattest.Server){
			"Advance":      func(sim *wechattest.Server) { sim.Advance(10 * time.Minute) },
			"control page": func(sim *wechattest.Server) { control(t, jar(t), sim, "advance", "by", "10m") },
		} {
			t.Run(name, func(t *testing.T) {
				sim := simulator(t, wechattest.WithPollHold(time.Hour))
				id := uuid(t, sim)
				ctx, polling := soon(t), sim.URL+"/connect/l/qrconnect?uuid="+id
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, polling, nil)
				require.NoError(t, err)
				result := make(chan string, 1)
				go func() {
					resp, err := computer().Do(req)
					if err != nil {
						result <- err.Error()
						return
					}
					defer resp.Body.Close()
					text, _ := io.ReadAll(resp.Body)
					result <- string(text)
				}()
				require.NoError(t, sim.WaitForCalls(ctx, "connect/l/qrconnect", 1))
				advance(sim)
				require.Equal(t, "window.wx_errcode=402;window.wx_code='';", <-result)
			})
		}
	})
	t.Run("confirmed only once", func(t *testing.T) {
		sim := simulator(t, hold)
		id := uuid(t, sim)
		confirm(t, sim, id, "allow")
		first := poll(t, sim, id, "")
		confirm(t, sim, id, "allow")
		require.Equal(t, first, poll(t, sim, id, ""))
	})
}

func TestQRLogin_Refuse(t *testing.T) {
	t.Run("the site is not notified", func(t *testing.T) {
		sim := simulator(t)
		browser := computer()
		page, err := browser.Get(qrURL(sim, loopback))
		require.NoError(t, err)
		resp, err := sim.Refuse(browser, page)
		require.NoError(t, err)
		require.Contains(t, body(t, resp), "已取消授权")
	})
	t.Run("RefusalCallback", func(t *testing.T) {
		sim := simulator(t, wechattest.WithQuirks(wechattest.RefusalCallback))
		browser := computer()
		page, err := browser.Get(qrURL(sim, site(t)))
		require.NoError(t, err)
		resp, err := sim.Refuse(browser, page)
		require.NoError(t, err)
		require.Equal(t, url.Values{"state": {"s1"}}, query(t, resp))
	})
}

func TestQRPicture(t *testing.T) {
	resp, picture := open(t, computer(), simulator(t).URL+"/connect/qrcode/0123456789abcdef")
	require.Equal(t, "image/svg+xml", resp.Header.Get("Content-Type"))
	require.Contains(t, picture, "<path")
}
