package wechattest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/wecom"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	corpID, agentID = wechattest.DefaultCorpID, wechattest.DefaultAgentID
	corpSecret      = wechattest.DefaultCorpSecret
	corpExchange    = "cgi-bin/auth/getuserinfo"
	corpCallback    = "http://127.0.0.1/cb"
)

func weComClient(t *testing.T, sim *wechattest.Server, agent int, secret string) *wecom.Client {
	t.Helper()
	c, err := wecom.New(corpID, agent, secret, wecom.WithEndpoints(sim.WeComEndpoints()))
	require.NoError(t, err)
	return c
}

// corpCode runs a login in a browser up to the callback and returns its code.
func corpCode(t *testing.T, sim *wechattest.Server, browser *http.Client, pageURL string) string {
	t.Helper()
	callback, err := sim.CallbackURL(browser, pageURL)
	require.NoError(t, err)
	u, err := url.Parse(callback)
	require.NoError(t, err)
	assert.Equal(t, "s1", u.Query().Get("state"))
	assert.Regexp(t, `^[A-Za-z0-9_-]{43}$`, u.Query().Get("code"))
	return u.Query().Get("code")
}

func weComPhone() *http.Client { return wechattest.Browser(wechattest.WeComPhone) }

func errcodeOf(t *testing.T, err error) int {
	t.Helper()
	e, ok := err.(*client.Error)
	require.True(t, ok, "%T %v", err, err)
	return e.Code
}

// Members, members outside the visible range, members of linked companies,
// customers and strangers.
func TestWeCom_People(t *testing.T) {
	corp := wechattest.DefaultCorps()[0]
	corp.Members = append(corp.Members, wechattest.Member{Person: "linked", UserID: "LiSi", LinkedCorp: "ww00000000000000f6"}, wechattest.Member{Person: "untied", UserID: "untied", NoWeChat: true})
	people := append(wechattest.DefaultPeople(), wechattest.Person{Name: "stranger"}, wechattest.Person{Name: "linked"}, wechattest.Person{Name: "untied"})
	sim := simulator(t, wechattest.WithCorp(corp), wechattest.WithPerson(people...))
	c := weComClient(t, sim, agentID, corpSecret)
	for person, want := range map[string]wecom.UserInfo{
		"小明":       {UserID: "XiaoMing"},
		"Lin":      {UserID: "lin.chen"},
		"untied":   {UserID: "untied"},
		"linked":   {UserID: "ww00000000000000f6/LiSi", LinkedCorpID: "ww00000000000000f6"},
		"阿青":       {OpenID: wechattest.OpenID(corpID, "阿青"), ExternalUserID: wechattest.ExternalUserID(corpID, "阿青")},
		"stranger": {OpenID: wechattest.OpenID(corpID, "stranger")},
	} {
		for _, agent := range []string{wechattest.WeComPhone, wechattest.WeComDesktop, wechattest.WeComMac, wechattest.WeComAndroid, wechattest.IPhone} {
			sim.SetPerson(person)
			user, err := c.UserInfo(t.Context(), corpCode(t, sim, wechattest.Browser(agent), c.AuthorizeURL(corpCallback, client.ScopeBase, "s1")))
			require.NoError(t, err, person)
			want := want
			if person == "untied" && agent == wechattest.IPhone {
				want = wecom.UserInfo{OpenID: wechattest.OpenID(corpID, person)}
			}
			assert.Equal(t, want, *user, "%s in %s", person, agent)
		}
	}
	for id, want := range map[string]error{"xiaoming": nil, "lin.chen": client.ErrOutOfRange, "no.one": client.ErrUserID, "LiSi": client.ErrUserID} {
		m, err := c.Member(t.Context(), id)
		if want != nil {
			assert.ErrorIs(t, err, want, id)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, wecom.Member{UserID: "XiaoMing", Name: "小明"}, *m)
	}
	sim.AssertCalls(t, "cgi-bin/gettoken", 1)
	sim.AssertNoLeaks(t)
}

// The authorize page opens in WeCom and in WeChat only, and checks what WeCom
// checks.
func TestWeCom_AuthorizePage(t *testing.T) {
	corp := wechattest.DefaultCorps()[0]
	corp.Apps[0].Domains = []string{"oa.example.com", "oa.example.com:8443"}
	sim := simulator(t, wechattest.WithCorp(corp))
	c := weComClient(t, sim, agentID, corpSecret)
	good := "https://oa.example.com/cb"
	for name, row := range map[string]struct{ page, agent, want string }{
		"ordinary browser": {c.AuthorizeURL(good, client.ScopeBase, "s"), wechattest.Chrome, "请在企业微信客户端打开链接"},
		"another host":     {c.AuthorizeURL("https://www.example.com/cb", client.ScopeBase, "s"), wechattest.WeComPhone, "redirect_uri 需使用应用可信域名"},
		"a child":          {c.AuthorizeURL("https://a.oa.example.com/cb", client.ScopeBase, "s"), wechattest.WeComPhone, "需使用应用可信域名"},
		"another port":     {c.AuthorizeURL("https://oa.example.com:9443/cb", client.ScopeBase, "s"), wechattest.WeComPhone, "需使用应用可信域名"},
		"encoded twice":    {c.AuthorizeURL(url.QueryEscape(good), client.ScopeBase, "s"), wechattest.WeComPhone, "需使用应用可信域名"},
		"another company":  {strings.Replace(c.AuthorizeURL(good, client.ScopeBase, "s"), corpID, "ww00000000000000ff", 1), wechattest.WeComPhone, "appid 参数错误"},
		"unknown app":      {strings.Replace(c.AuthorizeURL(good, wecom.ScopePrivateInfo, "s"), "agentid=1000002", "agentid=7", 1), wechattest.WeComPhone, "无效的agentid参数"},
		"unknown scope":    {c.AuthorizeURL(good, "snsapi_login", "s"), wechattest.WeComPhone, "Scope 参数错误"},
		"long state":       {c.AuthorizeURL(good, client.ScopeBase, strings.Repeat("s", 129)), wechattest.WeComPhone, "state 参数过长"},
	} {
		resp, text := open(t, wechattest.Browser(row.agent), row.page)
		assert.Equal(t, http.StatusOK, resp.StatusCode, name)
		assert.Contains(t, text, row.want, name)
	}
	for name, callback := range map[string][2]string{
		"query":       {"https://oa.example.com/cb?action=get", `^https://oa\.example\.com/cb\?action=get&code=[\w-]{43}&state=s1$`},
		"port":        {"https://oa.example.com:8443/cb", `^https://oa\.example\.com:8443/cb\?code=[\w-]{43}&state=s1$`},
		"hash router": {"https://oa.example.com/#/question", `^https://oa\.example\.com/\?code=[\w-]{43}&state=s1#/question$`},
	} {
		resp, _ := open(t, weComPhone(), c.AuthorizeURL(callback[0], client.ScopeBase, "s1"))
		assert.Equal(t, http.StatusFound, resp.StatusCode)
		assert.Regexp(t, callback[1], strings.TrimSuffix(resp.Header.Get("Location"), "#"), name)
	}
	resp, _ := open(t, weComPhone(), c.AuthorizeURL(good, client.ScopeBase, ""))
	assert.Contains(t, resp.Header.Get("Location"), "&state=")
	resp, _ = open(t, weComPhone(), strings.Replace(c.AuthorizeURL(good, client.ScopeBase, "s1"), "agentid=1000002", "agentid=7", 1))
	assert.Equal(t, http.StatusFound, resp.StatusCode, "snsapi_base works with an unknown app")
}

// A member agrees to share details once in 30 days, and the ticket lasts 30
// minutes.
func TestWeCom_PrivateInfo(t *testing.T) {
	corp := wechattest.DefaultCorps()[0]
	corp.Apps[0].Fields = []string{"mobile", "gender", "avatar"}
	sim := simulator(t, wechattest.WithCorp(corp))
	c := weComClient(t, sim, agentID, corpSecret)
	back := site(t)
	page := c.AuthorizeURL(back, wecom.ScopePrivateInfo, "s1")
	browser := weComPhone()
	asked, err := browser.Get(page)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(asked.Request.URL.String(), sim.URL), "the page that asks")
	landed, err := sim.Allow(browser, asked)
	require.NoError(t, err)
	user, err := c.UserInfo(t.Context(), query(t, landed).Get("code"))
	require.NoError(t, err)
	d, err := c.UserDetail(t.Context(), user.UserID, user.Ticket)
	require.NoError(t, err)
	assert.Equal(t, wecom.UserDetail{UserID: "XiaoMing", Gender: 1, AvatarURL: d.AvatarURL, Mobile: d.Mobile}, *d)
	assert.NotEmpty(t, d.Mobile)
	assert.True(t, strings.HasPrefix(d.AvatarURL, sim.URL))
	sim.SetQuirk(wechattest.WeComGenderNumber, true)
	d, err = c.UserDetail(t.Context(), user.UserID, user.Ticket)
	require.NoError(t, err)
	assert.Equal(t, 1, d.Gender)

	silent, err := weComPhone().Get(page)
	require.NoError(t, err)
	assert.NotEmpty(t, query(t, silent).Get("code"), "the consent is remembered")
	sim.Advance(30 * time.Minute)
	_, err = c.UserDetail(t.Context(), user.UserID, user.Ticket)
	assert.Equal(t, 84014, errcodeOf(t, err))
	_, err = c.UserDetail(t.Context(), user.UserID, client.NewSecret("unknown"))
	assert.Equal(t, 84015, errcodeOf(t, err))
	sim.Advance(30 * 24 * time.Hour)
	_, text := open(t, weComPhone(), page)
	assert.Contains(t, text, `name="ticket"`)

	for _, person := range []string{"Lin", "阿青"} {
		sim.SetPerson(person)
		_, text = open(t, weComPhone(), page)
		assert.Contains(t, text, "没有权限登录此应用")
	}
	sim.SetPerson("小明")
	page = strings.Replace(page, "&agentid=1000002", "", 1)
	resp, _ := open(t, weComPhone(), page)
	assert.Equal(t, http.StatusFound, resp.StatusCode, "without agentid, it is snsapi_base")
	sim.SetQuirk(wechattest.WeComAgentIDRequired, true)
	_, text = open(t, weComPhone(), page)
	assert.Contains(t, text, "无效的agentid参数")
}

// The web login: a QR code for the phone, in any browser and in a frame.
func TestWeCom_WebLogin(t *testing.T) {
	sim := simulator(t)
	c := weComClient(t, sim, agentID, corpSecret)
	back := site(t)
	page := c.LoginURL(back, "s1", "")
	for name, url := range map[string]string{
		"page": page, "panel": page + "&redirect_type=top&panel_size=middle&version=2.4.4",
		"older page": strings.Replace(page, "/wwlogin/sso/login?login_type=CorpApp&", "/wwopen/sso/qrConnect?", 1),
	} {
		browser := wechattest.Browser(wechattest.Chrome)
		shown, err := browser.Get(url)
		require.NoError(t, err)
		text := body(t, shown)
		assert.Contains(t, text, "企业微信登录", name)
		assert.Contains(t, text, "<svg", name)
		assert.Equal(t, name == "panel", strings.Contains(text, " data-top"), name)

		shown, err = browser.Get(url)
		require.NoError(t, err)
		landed, err := sim.Allow(browser, shown)
		require.NoError(t, err)
		user, err := c.UserInfo(t.Context(), query(t, landed).Get("code"))
		require.NoError(t, err)
		assert.Equal(t, wecom.UserInfo{UserID: "XiaoMing"}, *user, name)

		shown, err = browser.Get(url)
		require.NoError(t, err)
		denied, err := sim.Refuse(browser, shown)
		require.NoError(t, err)
		if name == "older page" {
			q := query(t, denied)
			assert.Equal(t, "s1", q.Get("state"))
			assert.False(t, q.Has("code"))
			continue
		}
		assert.Contains(t, body(t, denied), "已取消授权")
	}

	sim.SetPerson("Lin")
	browser := wechattest.Browser(wechattest.Chrome)
	shown, err := browser.Get(page)
	require.NoError(t, err)
	denied, err := sim.Allow(browser, shown)
	require.NoError(t, err)
	assert.Contains(t, body(t, denied), "没有权限登录此应用")

	for _, bad := range []string{
		strings.Replace(page, "CorpApp", "ServiceApp", 1), strings.Replace(page, "agentid=1000002", "agentid=7", 1),
		page + "&redirect_type=callback",
	} {
		_, text := open(t, browser, bad)
		assert.Contains(t, text, "该链接无法访问")
	}
	_, text := open(t, browser, c.LoginURL("https://www.example.com/cb", "s1", ""))
	assert.Contains(t, text, "需使用应用可信域名")
}

// A code is valid once, for five minutes, and for the app it was issued for.
func TestWeCom_Codes(t *testing.T) {
	corp := wechattest.DefaultCorps()[0]
	corp.Apps = append(corp.Apps, wechattest.App{AgentID: 1000003, Secret: "another-app-secret-for-tests"})
	corp.Apps[1].Domains = []string{"hr.example.com"}
	sim := simulator(t, wechattest.WithCorp(corp))
	c := weComClient(t, sim, agentID, corpSecret)
	other := weComClient(t, sim, 1000003, "another-app-secret-for-tests")
	fresh := func() string {
		return corpCode(t, sim, weComPhone(), c.AuthorizeURL(corpCallback, client.ScopeBase, "s1"))
	}
	use := func(c *wecom.Client, code string) int {
		_, err := c.UserInfo(t.Context(), code)
		if err == nil {
			return 0
		}
		return errcodeOf(t, err)
	}
	code := fresh()
	assert.Equal(t, 50001, use(other, code))
	assert.Equal(t, 0, use(c, code), "a failed exchange does not use up the code")
	assert.Equal(t, 40029, use(c, code))
	assert.Equal(t, 40029, use(c, "unknown"))
	assert.Equal(t, 40029, use(c, sim.QYLogin(corpID, "小明")), "a code of a mini program")
	sim.SetQuirk(wechattest.WeComUsedCode42022, true)
	assert.Equal(t, 42022, use(c, code))
	code = fresh()
	sim.Advance(5 * time.Minute)
	assert.Equal(t, 40029, use(c, code))
	sim.SetQuirk(wechattest.WeComExpiredCode42003, true)
	assert.Equal(t, 42003, use(c, code))
	sim.SetQuirk(wechattest.FailureBurnsCode, true)
	code = fresh()
	assert.Equal(t, 50001, use(other, code))
	assert.Equal(t, 42022, use(c, code))
}

func TestWeCom_MiniProgram(t *testing.T) {
	corp := wechattest.DefaultCorps()[0]
	corp.Apps = append(corp.Apps, wechattest.App{AgentID: 1000003, Secret: "another-app-secret-for-tests"})
	sim := simulator(t, wechattest.WithCorp(corp))
	c := weComClient(t, sim, agentID, corpSecret)
	code := sim.QYLogin(corpID, "小明")
	s, err := c.Code2Session(t.Context(), code)
	require.NoError(t, err)
	assert.Equal(t, "XiaoMing", s.UserID)
	assert.Len(t, s.SessionKey.Reveal(), 24)
	_, err = c.Code2Session(t.Context(), code)
	assert.Equal(t, 40029, errcodeOf(t, err))
	_, err = weComClient(t, sim, 1000003, "another-app-secret-for-tests").Code2Session(t.Context(), sim.QYLogin(corpID, "小明"))
	assert.Equal(t, 48002, errcodeOf(t, err))
	assert.Panics(t, func() { sim.QYLogin(corpID, "阿青") })
	assert.Panics(t, func() { sim.QYLogin("ww00000000000000ff", "小明") })
}

// weComGet calls WeCom's API as it is, without the client.
func weComGet(t *testing.T, sim *wechattest.Server, path string, params ...string) (http.Header, response) {
	t.Helper()
	resp, err := http.Get(sim.URL + "/cgi-bin/" + path + "?" + values(params).Encode())
	require.NoError(t, err)
	var r response
	require.NoError(t, json.Unmarshal([]byte(body(t, resp)), &r))
	return resp.Header, r
}

func TestWeCom_Gettoken(t *testing.T) {
	sim := simulator(t)
	first := func() string {
		_, r := weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", corpSecret)
		require.EqualValues(t, 0, r["errcode"])
		return r["access_token"].(string)
	}
	token := first()
	valid := func(token string) any {
		_, r := weComGet(t, sim, "user/get", "access_token", token, "userid", "XiaoMing")
		return r["errcode"]
	}
	sim.Advance(time.Hour)
	assert.Equal(t, token, first(), "a repetition returns the same token")
	assert.EqualValues(t, 0, valid(token))
	sim.EndCorpTokens()
	assert.EqualValues(t, 40014, valid(token))
	sim.SetQuirk(wechattest.WeComExpiredToken42001, true)
	assert.EqualValues(t, 42001, valid(token))
	sim.SetQuirk(wechattest.WeComNewToken, true)
	second, third := first(), first()
	assert.NotEqual(t, second, third)
	assert.EqualValues(t, 0, valid(second))
	sim.SetQuirk(wechattest.WeComOldTokenDies, true)
	fourth := first()
	assert.EqualValues(t, 42001, valid(third))
	assert.EqualValues(t, 0, valid(fourth))
	sim.Advance(2 * time.Hour)
	assert.EqualValues(t, 42001, valid(fourth))
	assert.EqualValues(t, 40014, valid("unknown"))
	assert.EqualValues(t, 41001, valid(""))

	for want, params := range map[int][]string{
		41004: {}, 41002: {"corpsecret", "x"}, 40013: {"corpid", "ww00000000000000ff", "corpsecret", "x"},
		40001: {"corpid", corpID, "corpsecret", "x"},
	} {
		_, r := weComGet(t, sim, "gettoken", params...)
		assert.EqualValues(t, want, r["errcode"])
	}
}

// An address that repeats a wrong secret is banned for an hour.
func TestWeCom_WrongSecrets(t *testing.T) {
	sim := simulator(t, wechattest.WithCorp(wechattest.DefaultCorps()[0], wechattest.Corp{CorpID: "ww00000000000000ff", Apps: []wechattest.App{{AgentID: 1, Secret: "secret-of-another-company"}}}))
	_, r := weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", "secret-of-another-company")
	assert.EqualValues(t, 40091, r["errcode"])
	for range 1999 {
		_, r := weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", "wrong")
		require.EqualValues(t, 40001, r["errcode"])
	}
	_, r = weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", corpSecret)
	assert.EqualValues(t, 45009, r["errcode"], "also the right one")
	sim.Advance(time.Hour)
	_, r = weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", corpSecret)
	assert.EqualValues(t, 0, r["errcode"])
}

// Errors have a hint that begins with the time, the server's address, headers
// that repeat them, and user/get's lists.
func TestWeCom_Errors(t *testing.T) {
	corp := wechattest.DefaultCorps()[0]
	corp.Apps[0].TrustedIPs = []string{"192.0.2.1"}
	sim := simulator(t, wechattest.WithCorp(corp))
	h, r := weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", corpSecret)
	assert.Equal(t, "application/json; charset=UTF-8", h.Get("Content-Type"))
	assert.Equal(t, []string{"0", "ok"}, []string{h.Get("Error-Code"), h.Get("Error-Msg")})
	h, r = weComGet(t, sim, "user/get", "access_token", r["access_token"].(string), "userid", "XiaoMing")
	assert.EqualValues(t, 60020, r["errcode"])
	assert.Equal(t, "60020", h.Get("Error-Code"))
	assert.Equal(t, r["errmsg"], h.Get("Error-Msg"))
	assert.Regexp(t, fmt.Sprintf(`^not allow to access from your ip, hint: \[%d\d{15}\], from ip: 127\.0\.0\.1, more info at https://open\.work\.weixin\.qq\.com/devtool/query\?e=60020$`, noon.Unix()), r["errmsg"])
	assert.Equal(t, []any{}, r["department"])
	_, r = weComGet(t, sim, "user/get", "access_token", "unknown")
	assert.Equal(t, "invalid access_token", r["errmsg"], "without a hint")

	_, err := weComClient(t, sim, agentID, corpSecret).UserInfo(t.Context(), "code")
	assert.ErrorIs(t, err, client.ErrIPNotAllowed)
	assert.Contains(t, err.Error(), "from ip: 127.0.0.1")

	for _, code := range []int{-1, 40001, 40003, 40029, 40056, 40058, 40063, 40078, 41008, 42003, 42013, 42022, 43004, 45009, 45033, 48002, 48005, 50001, 50002, 50003, 60011, 60030, 60111, 80001, 84014, 84015, 85004, 301002, 301007} {
		sim.Fail("cgi-bin/user/getuserinfo", wechattest.Errcode(code))
		_, r := weComGet(t, sim, "user/getuserinfo")
		assert.EqualValues(t, code, r["errcode"])
	}
}

// The older path and the quirk spell the keys in another way.
func TestWeCom_OldKeys(t *testing.T) {
	sim := simulator(t)
	c := weComClient(t, sim, agentID, corpSecret)
	_, r := weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", corpSecret)
	code := corpCode(t, sim, weComPhone(), c.AuthorizeURL(corpCallback, client.ScopeBase, "s1"))
	_, r = weComGet(t, sim, "user/getuserinfo", "access_token", r["access_token"].(string), "code", code)
	assert.Equal(t, "XiaoMing", r["UserId"])
	assert.NotEmpty(t, r["DeviceId"])
	assert.NotContains(t, r, "userid")
}

// A site of one page that admits members in the visible range logs in under each
// scenario as the scenario says.
func TestWeComScenarios(t *testing.T) {
	names := map[string]bool{}
	for _, scenario := range wechattest.WeComScenarios() {
		t.Run(scenario.Name, func(t *testing.T) {
			assert.False(t, names[scenario.Name])
			names[scenario.Name] = true
			sim := simulator(t, wechattest.WithScenario(scenario.Name))
			c := weComClient(t, sim, agentID, corpSecret)
			var reached, loggedIn atomic.Bool
			callback := serve(t, func(w http.ResponseWriter, r *http.Request) {
				reached.Store(true)
				user, err := c.UserInfo(r.Context(), r.URL.Query().Get("code"))
				if err != nil || !user.IsMember() {
					return
				}
				if _, err = c.Member(r.Context(), user.UserID); err == nil {
					loggedIn.Store(true)
				}
			})
			browser := weComPhone()
			page, err := browser.Get(c.AuthorizeURL(callback, client.ScopeBase, "s1"))
			require.NoError(t, err)
			if strings.Contains(scenario.Name, "doubled") {
				page, err = sim.Allow(browser, page)
				require.NoError(t, err)
			}
			page.Body.Close()
			assert.Equal(t, scenario.Reaches, reached.Load())
			assert.Equal(t, scenario.LogsIn, loggedIn.Load())
			sim.AssertNoLeaks(t)
		})
	}
}

// A browser that sends a secret of WeCom is reported.
func TestWeCom_Leaks(t *testing.T) {
	sim := simulator(t)
	_, r := weComGet(t, sim, "gettoken", "corpid", corpID, "corpsecret", corpSecret)
	for _, secret := range []string{corpSecret, r["access_token"].(string)} {
		open(t, weComPhone(), sim.URL+"/connect/oauth2/authorize?appid="+corpID+"&x="+secret)
	}
	assert.Len(t, sim.Leaks(), 2)
	for _, call := range sim.Journal() {
		assert.NotContains(t, fmt.Sprint(call), corpSecret)
		assert.Contains(t, []string{corpID, ""}, call.AppID)
	}
}

// The control page lists companies, apps and members, without a secret.
func TestWeCom_ControlPage(t *testing.T) {
	sim := simulator(t)
	_, text := open(t, wechattest.Browser(wechattest.Chrome), sim.URL+"/sim/?lang=en")
	for _, want := range []string{corpID, "1000002", "XiaoMing", "lin.chen", "customer", "wecom-new-token"} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, corpSecret)
}

func TestWithCorp_Errors(t *testing.T) {
	corp := func(change func(*wechattest.Corp)) wechattest.Corp {
		c := wechattest.DefaultCorps()[0]
		change(&c)
		return c
	}
	for name, c := range map[string]wechattest.Corp{
		"corp ID":        corp(func(c *wechattest.Corp) { c.CorpID = "wx00000000000000e5" }),
		"AgentId":        corp(func(c *wechattest.Corp) { c.Apps[0].AgentID = 0 }),
		"AgentId twice":  corp(func(c *wechattest.Corp) { c.Apps = append(c.Apps, wechattest.App{AgentID: agentID, Secret: "x"}) }),
		"secret":         corp(func(c *wechattest.Corp) { c.Apps[0].Secret = "" }),
		"no apps":        corp(func(c *wechattest.Corp) { c.Apps = nil }),
		"domain":         corp(func(c *wechattest.Corp) { c.Apps[0].Domains = []string{"https://oa.example.com"} }),
		"userid":         corp(func(c *wechattest.Corp) { c.Members[0].UserID = "a b" }),
		"userid by case": corp(func(c *wechattest.Corp) { c.Members[1].UserID = "xIAOmING" }),
	} {
		assert.Panics(t, func() { wechattest.NewHandler(wechattest.WithCorp(c)) }, name)
	}
	assert.Panics(t, func() {
		wechattest.NewHandler(wechattest.WithCorp(wechattest.DefaultCorps()[0], wechattest.DefaultCorps()[0]))
	})
}
