package wechattest_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

const loopback = "http://127.0.0.1:1/cb" // nothing listens there, and nothing needs to

func TestAuthorize_ErrorPages(t *testing.T) {
	account := func(change func(*wechattest.Account)) []wechattest.Option {
		a := wechattest.DefaultAccounts()[0]
		change(&a)
		return []wechattest.Option{wechattest.WithAccount(a), wechattest.WithAccount(wechattest.DefaultAccounts()[1:]...)}
	}
	tests := map[string]struct {
		opts   []wechattest.Option
		change []string // to the query
		want   string
		code   int
	}{
		"no appid":                        {change: []string{"appid=" + appID + "&", ""}, want: "appid不能为空", code: 10012},
		"no redirect_uri":                 {change: []string{"redirect_uri=", "redirect_uri=&x"}, want: "redirect_uri不能为空", code: 10011},
		"no scope":                        {change: []string{"scope=snsapi_base", "scope="}, want: "scope不能为空", code: 10010},
		"required state missing":          {opts: []wechattest.Option{wechattest.WithQuirks(wechattest.StateRequired)}, change: []string{"&state=s1", ""}, want: "state不能为空", code: 10013},
		"state of 129 bytes":              {change: []string{"state=s1", "state=" + strings.Repeat("s", 129)}, want: "state 参数过长"},
		"unknown appid":                   {change: []string{appID, "wxffffffffffffffff"}, want: "AppID 参数错误"},
		"original id as appid":            {change: []string{appID, "gh_0123456789ab"}, want: "错误码 1", code: 1},
		"website application":             {change: []string{appID, siteID}, want: "公众号Appid", code: 10016},
		"mini program":                    {change: []string{appID, miniID}, want: "公众号Appid", code: 10016},
		"banned account":                  {opts: account(func(a *wechattest.Account) { a.Banned = true }), want: "此公众号被封禁", code: 10004},
		"scope not owned":                 {opts: account(func(a *wechattest.Account) { a.Scopes = []client.Scope{client.ScopeUserInfo} }), want: "并没有这些scope的权限", code: 10005},
		"scope of another flow":           {change: []string{"snsapi_base", "snsapi_login"}, want: "Scope 参数错误"},
		"sandbox account, not a follower": {opts: account(func(a *wechattest.Account) { a.Sandbox = true }), want: "必须关注此测试号", code: 10006},
		"platform not authorized":         {change: []string{"&state=s1", "&state=s1&component_appid=wxeeeeeeeeeeeeeeee"}, want: "公众号未授权第三方平台", code: 10015},
		"foreign callback":                {change: []string{"127.0.0.1%3A1", "shop.example"}, want: "redirect_uri域名与后台配置不一致", code: 10003},
		"throttled":                       {opts: []wechattest.Option{wechattest.WithFault(authorizePath, wechattest.Errcode(10009))}, want: "操作太频繁了", code: 10009},
		"response_type not code":          {change: []string{"response_type=code", "response_type=token"}, want: "该链接无法访问"},
		"redirect_uri not encoded":        {change: []string{"redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcb", "redirect_uri=http://127.0.0.1:1/cb?a=1&b=2"}, want: "该链接无法访问"},
		"callback without a scheme":       {change: []string{"http%3A%2F%2F127.0.0.1%3A1%2Fcb", "127.0.0.1%2Fcb"}, want: "后台配置不一致", code: 10003},
		"callback of another scheme":      {change: []string{"http%3A", "ftp%3A"}, want: "后台配置不一致", code: 10003},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, tt.opts...)
			resp, page := open(t, phone(), authorizeURL(sim, loopback, "snsapi_base", tt.change...))
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Empty(t, resp.Header.Get("Location"))
			require.Contains(t, page, tt.want)
			require.Equal(t, tt.code, sim.Journal()[0].Errcode)
		})
	}
}

func TestErrorPages_Translated(t *testing.T) {
	sim := simulator(t, wechattest.WithAnyBrowser())
	strict := simulator(t)
	pages := map[string]struct{ url, zh, en string }{
		"numbered":   {authorizeURL(sim, loopback, "snsapi_base", "scope=snsapi_base", "scope="), "scope不能为空", "scope must not be empty"},
		"in words":   {authorizeURL(sim, loopback, "snsapi_base", "response_type=code", "response_type=token"), "该链接无法访问", "This link cannot be opened"},
		"QR page":    {qrURL(sim, loopback, siteID, "wxffffffffffffffff"), "AppID 参数错误", "Invalid AppID"},
		"not WeChat": {authorizeURL(strict, loopback, "snsapi_base"), "请在微信客户端打开链接", "Open this link in WeChat"},
	}
	for name, p := range pages {
		t.Run(name, func(t *testing.T) {
			get := func(lang string) string {
				req, err := http.NewRequest(http.MethodGet, p.url, nil)
				require.NoError(t, err)
				req.Header.Set("Accept-Language", lang)
				_, page := roundTrip(t, req)
				return page
			}
			zh, en := get("zh-CN"), get("en-GB")
			require.Contains(t, zh, p.zh)
			require.NotContains(t, zh, p.en)
			require.NotContains(t, zh, "Oops")
			require.Contains(t, en, ">"+p.en+"<")
			require.Contains(t, en, `<span lang="zh-CN">`+p.zh+"</span>")
			require.NotContains(t, en, "出错了")
		})
	}
}

func roundTrip(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	return resp, body(t, resp)
}

func TestAuthorize_ParameterOrder(t *testing.T) {
	callback := "redirect_uri=" + url.QueryEscape(loopback)
	tests := map[string]struct {
		query string
		ok    bool
	}{
		"documented":                      {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&state=s", true},
		"without state":                   {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base", true},
		"options after state":             {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&state=s&forcePopup=true&connect_redirect=1", true},
		"parameters that the client adds": {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&state=s&uin=1&key=2&pass_ticket=3&version=4", true},
		"platform last":                   {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&state=s&connect_redirect=1&component_appid=" + platform, true},
		"state before scope":              {"appid=" + appID + "&" + callback + "&response_type=code&state=s&scope=snsapi_base", false},
		"sorted by url.Values":            {"appid=" + appID + "&connect_redirect=1&" + callback + "&response_type=code&scope=snsapi_base&state=s", false},
		"platform not last":               {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&state=s&component_appid=" + platform + "&connect_redirect=1", false},
		"unknown parameter":               {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&state=s&utm=1", false},
		"a parameter twice":               {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&state=s&state=s", false},
		"different case":                  {"appid=" + appID + "&" + callback + "&response_type=code&scope=snsapi_base&State=s", false},
		"unencoded & in the value":        {"appid=" + appID + "&redirect_uri=http://127.0.0.1/?a=1&b=2&response_type=code&scope=snsapi_base&state=s", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t)
			resp, page := open(t, phone(), sim.URL+"/connect/oauth2/authorize?"+tt.query)
			if tt.ok {
				require.Equal(t, http.StatusFound, resp.StatusCode, page)
				return
			}
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Contains(t, page, "该链接无法访问")
		})
	}
}

func TestAuthorize_LenientOrder(t *testing.T) {
	sim := simulator(t, wechattest.WithQuirks(wechattest.LenientOrder))
	resp, page := open(t, phone(), sim.URL+"/connect/oauth2/authorize?state=s&scope=snsapi_base&response_type=code&redirect_uri="+
		url.QueryEscape(loopback)+"&appid="+appID)
	require.Equal(t, http.StatusFound, resp.StatusCode, page)
}

func TestAuthorize_OnlyInWeChat(t *testing.T) {
	agents := map[string]struct {
		userAgent string
		wechat    bool
	}{
		"iPhone":                 {wechattest.IPhone, true},
		"iPhone, mini program":   {wechattest.IPhoneMiniProgram, true},
		"Android":                {wechattest.Android, true},
		"Android, mini program":  {wechattest.AndroidMiniProgram, true},
		"Android, old engine":    {wechattest.AndroidTBS, true},
		"Windows":                {wechattest.Windows, true},
		"Mac":                    {wechattest.Mac, true},
		"developer tools":        {wechattest.DevTools, true},
		"WeCom":                  {wechattest.WeComAndroid, true},
		"lower case":             {"micromessenger", true},
		"Chrome":                 {wechattest.Chrome, false},
		"a server's HTTP client": {"Go-http-client/1.1", false},
	}
	for name, tt := range agents {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t)
			resp, page := open(t, wechattest.Browser(tt.userAgent), authorizeURL(sim, loopback, "snsapi_base"))
			if tt.wechat {
				require.Equal(t, http.StatusFound, resp.StatusCode)
				return
			}
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Contains(t, page, "请在微信客户端打开链接")
		})
	}
	t.Run("WithAnyBrowser", func(t *testing.T) {
		sim := simulator(t, wechattest.WithAnyBrowser())
		resp, _ := open(t, wechattest.Browser(wechattest.Chrome), authorizeURL(sim, loopback, "snsapi_base"))
		require.Equal(t, http.StatusFound, resp.StatusCode)
	})
}

func TestAuthorize_Method(t *testing.T) {
	sim := simulator(t)
	resp, err := phone().Post(authorizeURL(sim, loopback, "snsapi_base"), "text/plain", nil)
	require.NoError(t, err)
	require.Contains(t, body(t, resp), "该链接无法访问")
}

func TestAuthorize_CallbackDomain(t *testing.T) {
	tests := map[string]struct {
		domains  []string
		callback string
		ok       bool
	}{
		"the domain, http":        {[]string{"www.example.com"}, "http://www.example.com/a?b=c", true},
		"the domain, https":       {[]string{"www.example.com"}, "https://www.example.com/", true},
		"capital letters":         {[]string{"www.example.com"}, "https://WWW.Example.com/", true},
		"the second domain":       {[]string{"a.example", "b.example"}, "https://b.example/", true},
		"a port":                  {[]string{"www.example.com"}, "https://www.example.com:443/", false},
		"a sibling":               {[]string{"www.example.com"}, "https://pay.example.com/", false},
		"the parent":              {[]string{"www.example.com"}, "https://example.com/", false},
		"a child":                 {[]string{"example.com"}, "https://www.example.com/", false},
		"a suffix":                {[]string{"example.com"}, "https://evilexample.com/", false},
		"user name before the @":  {[]string{"example.com"}, "https://example.com@evil.example/", false},
		"user name at the domain": {[]string{"example.com"}, "https://a@example.com/", false},
		"below the path":          {[]string{"example.com/mp"}, "https://example.com/mp/cb", true},
		"the path itself":         {[]string{"example.com/mp"}, "https://example.com/mp", true},
		"next to the path":        {[]string{"example.com/mp"}, "https://example.com/mpx", false},
		"above the path":          {[]string{"example.com/mp"}, "https://example.com/", false},
		"dots out of the path":    {[]string{"example.com/mp"}, "https://example.com/mp/../x", false},
		"encoded dots":            {[]string{"example.com/mp"}, "https://example.com/mp/%2e%2e/x", false},
		"encoded slashes":         {[]string{"example.com/mp"}, "https://example.com/mp/%2f..%2f..%2fx", false},
		"backslashes":             {[]string{"example.com/mp"}, `https://example.com/mp/..\x`, false},
		"dots at the end":         {[]string{"example.com/mp"}, "https://example.com/mp/..", false},
		"dots within the path":    {[]string{"example.com/mp"}, "https://example.com/mp/a/../cb", true},
		"encoded twice":           {[]string{"example.com"}, "https%3A%2F%2Fexample.com%2F", false},
		"loopback is not exempt":  {[]string{"example.com"}, "http://127.0.0.1:8080/", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, wechattest.WithAccount(wechattest.Account{AppID: appID, Secret: secret, Domains: tt.domains}))
			resp, page := open(t, phone(), authorizeURL(sim, tt.callback, "snsapi_base"))
			if tt.ok {
				require.Equal(t, http.StatusFound, resp.StatusCode, page)
				return
			}
			require.Contains(t, page, "redirect_uri域名与后台配置不一致")
		})
	}
}

func TestAuthorize_LoopbackCallback(t *testing.T) {
	for _, callback := range []string{"http://127.0.0.1:8080/cb", "http://localhost:8080/cb", "http://[::1]:8080/cb", "http://app.localhost/cb"} {
		resp, _ := open(t, phone(), authorizeURL(simulator(t), callback, "snsapi_base"))
		require.Equal(t, http.StatusFound, resp.StatusCode, callback)
		_, page := open(t, phone(), authorizeURL(simulator(t, wechattest.WithStrictDomains()), callback, "snsapi_base"))
		require.Contains(t, page, "10003", callback)
	}
}

func TestAuthorize_CallbackURL(t *testing.T) {
	tests := map[string]struct {
		opts         []wechattest.Option
		callback     string
		state        string // as sent
		before, then string // around the code
	}{
		"no query":                    {callback: "http://127.0.0.1/cb", state: "s", before: "http://127.0.0.1/cb?code=", then: "&state=s"},
		"a query":                     {callback: "http://127.0.0.1/cb?a=%20b", state: "s", before: "http://127.0.0.1/cb?a=%20b&code=", then: "&state=s"},
		"a fragment":                  {callback: "http://127.0.0.1/#/home", state: "s", before: "http://127.0.0.1/?code=", then: "&state=s#/home"},
		"no path":                     {callback: "http://127.0.0.1", state: "s", before: "http://127.0.0.1?code=", then: "&state=s"},
		"state of odd characters":     {callback: "http://127.0.0.1/", state: "%2Floading%26x%3D%C3%A9", before: "http://127.0.0.1/?code=", then: "&state=%2Floading%26x%3D%C3%A9"},
		"state of 128 bytes":          {callback: "http://127.0.0.1/", state: strings.Repeat("s", 128), before: "http://127.0.0.1/?code=", then: "&state=" + strings.Repeat("s", 128)},
		"empty state":                 {callback: "http://127.0.0.1/", state: "", before: "http://127.0.0.1/?code=", then: "&state="},
		"empty state, omitted":        {opts: []wechattest.Option{wechattest.WithQuirks(wechattest.OmitEmptyState)}, callback: "http://127.0.0.1/", state: "", before: "http://127.0.0.1/?code=", then: ""},
		"for a platform":              {callback: "http://127.0.0.1/", state: "s&component_appid=" + platform, before: "http://127.0.0.1/?code=", then: "&state=s&appid=" + appID},
		"connect_redirect is ignored": {callback: "http://127.0.0.1/", state: "s&connect_redirect=1", before: "http://127.0.0.1/?code=", then: "&state=s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp, page := open(t, phone(), authorizeURL(simulator(t, tt.opts...), tt.callback, "snsapi_base", "state=s1", "state="+tt.state))
			to := resp.Header.Get("Location")
			require.Equal(t, http.StatusFound, resp.StatusCode, page)
			rest, ok := strings.CutPrefix(to, tt.before)
			require.True(t, ok, to)
			require.Regexp(t, `^0[A-Za-z0-9]{31}$`, rest[:32])
			require.Equal(t, tt.then, rest[32:])
		})
	}
}

func TestAuthorize_ConnectRedirect(t *testing.T) {
	sim := simulator(t, wechattest.WithQuirks(wechattest.ConnectRedirect))
	resp, _ := open(t, phone(), authorizeURL(sim, loopback, "snsapi_base"))
	require.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
	require.True(t, strings.HasSuffix(resp.Header.Get("Location"), "&state=s1&connect_redirect=1"))
	require.NotEmpty(t, code(t, sim, "snsapi_base"))
}

func TestAuthorize_Consent(t *testing.T) {
	tests := map[string]struct {
		env      wechattest.Environment
		person   string
		scope    string
		extra    string
		wantPage bool
	}{
		"base is silent":                         {wechattest.Normal, "小明", "snsapi_base", "", false},
		"base is silent under forcePopup":        {wechattest.Normal, "小明", "snsapi_base", "&forcePopup=true", false},
		"userinfo asks the user":                 {wechattest.Normal, "小明", "snsapi_userinfo", "", true},
		"userinfo asks a follower from a link":   {wechattest.Normal, "阿青", "snsapi_userinfo", "", true},
		"silent for a follower from the menu":    {wechattest.FromMenu, "阿青", "snsapi_userinfo", "", false},
		"also with forcePopup":                   {wechattest.FromMenu, "阿青", "snsapi_userinfo", "&forcePopup=true", false},
		"userinfo asks others from the menu":     {wechattest.FromMenu, "小明", "snsapi_userinfo", "", true},
		"silent on a snapshot page":              {wechattest.Snapshot, "小明", "snsapi_userinfo", "", false},
		"forceSnapShot does the same":            {wechattest.Normal, "小明", "snsapi_userinfo", "&forceSnapShot=true", false},
		"forceSnapShot=false does nothing":       {wechattest.Normal, "小明", "snsapi_userinfo", "&forceSnapShot=false", true},
		"no forceSnapShot for a silent follower": {wechattest.FromMenu, "阿青", "snsapi_userinfo", "&forceSnapShot=true", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sim := simulator(t, wechattest.WithEnvironment(tt.env))
			sim.SetPerson(tt.person)
			resp, page := open(t, phone(), authorizeURL(sim, loopback, tt.scope, "&state=s1", "&state=s1"+tt.extra))
			if tt.wantPage {
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Contains(t, page, "允许")
				require.Contains(t, page, "拒绝")
				return
			}
			require.Equal(t, http.StatusFound, resp.StatusCode, page)
		})
	}
}

func TestAuthorize_RecentConsent(t *testing.T) {
	sim := simulator(t, wechattest.WithQuirks(wechattest.RecentConsent))
	code(t, sim, "snsapi_userinfo")
	resp, _ := open(t, phone(), authorizeURL(sim, loopback, "snsapi_userinfo"))
	require.Equal(t, http.StatusFound, resp.StatusCode)
	resp, page := open(t, phone(), authorizeURL(sim, loopback, "snsapi_userinfo", "&state=s1", "&state=s1&forcePopup=true"))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, page, "允许")
}

func TestServer_Refuse(t *testing.T) {
	sim := simulator(t)
	browser := phone()
	page, err := browser.Get(authorizeURL(sim, loopback, "snsapi_userinfo"))
	require.NoError(t, err)
	resp, err := sim.Refuse(browser, page) // a request to the callback would fail
	require.NoError(t, err)
	require.Contains(t, body(t, resp), "已取消授权")
}

func TestServer_Refuse_RefusalCallback(t *testing.T) {
	sim := simulator(t, wechattest.WithQuirks(wechattest.RefusalCallback))
	browser := phone()
	page, err := browser.Get(authorizeURL(sim, site(t), "snsapi_userinfo"))
	require.NoError(t, err)
	resp, err := sim.Refuse(browser, page)
	require.NoError(t, err)
	require.Equal(t, url.Values{"state": {"s1"}}, query(t, resp))
}

func TestConsentPage_SingleUse(t *testing.T) {
	sim := simulator(t)
	browser := phone()
	_, page := open(t, browser, authorizeURL(sim, loopback, "snsapi_userinfo"))
	_, rest, _ := strings.Cut(page, `name="ticket" value="`)
	form := url.Values{"ticket": {rest[:24]}, "answer": {"allow"}, "person": {"Lin"}}
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	first, err := browser.PostForm(sim.URL+"/connect/oauth2/authorize_reply", form)
	require.NoError(t, err)
	require.Equal(t, http.StatusFound, first.StatusCode)
	first.Body.Close()
	again, err := browser.PostForm(sim.URL+"/connect/oauth2/authorize_reply", form)
	require.NoError(t, err)
	require.Contains(t, body(t, again), "该链接无法访问")
}

func TestSandboxAccount_FollowersOnly(t *testing.T) {
	sandbox := wechattest.Account{AppID: appID, Secret: secret, Sandbox: true}
	sim := simulator(t, wechattest.WithAccount(sandbox))
	sim.SetPerson("阿青")
	browser := phone()
	resp, page := open(t, browser, authorizeURL(sim, loopback, "snsapi_base"))
	require.Equal(t, http.StatusFound, resp.StatusCode, page)
	_, page = open(t, browser, authorizeURL(sim, loopback, "snsapi_userinfo"))
	_, rest, _ := strings.Cut(page, `name="ticket" value="`)
	resp, err := browser.PostForm(sim.URL+"/connect/oauth2/authorize_reply", url.Values{"ticket": {rest[:24]}, "answer": {"allow"}, "person": {"Lin"}})
	require.NoError(t, err)
	require.Contains(t, body(t, resp), "必须关注此测试号", "also if the person is chosen on the consent page")
}

func TestConsentPage_TwoBrowsers(t *testing.T) {
	sim, callback := simulator(t), site(t)
	openID := func(browser *http.Client) string {
		resp, err := browser.Get(authorizeURL(sim, callback, "snsapi_base"))
		require.NoError(t, err)
		return exchange(t, sim, query(t, resp).Get("code")).text("openid")
	}
	lin := phone()
	_, page := open(t, lin, authorizeURL(sim, callback, "snsapi_userinfo"))
	_, rest, _ := strings.Cut(page, `name="ticket" value="`)
	resp, err := lin.PostForm(sim.URL+"/connect/oauth2/authorize_reply", url.Values{"ticket": {rest[:24]}, "answer": {"allow"}, "person": {"Lin"}})
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, wechattest.OpenID(appID, "Lin"), openID(lin))
	require.Equal(t, wechattest.OpenID(appID, "小明"), openID(phone()))
}

func TestDuplicateCallback(t *testing.T) {
	for sw, apart := range map[wechattest.Quirk]string{wechattest.DuplicateCallbackAtOnce: "0", wechattest.DuplicateCallbackLater: "1000"} {
		t.Run(string(sw), func(t *testing.T) {
			sim := simulator(t, wechattest.WithQuirks(sw))
			arrived := make(chan string, 4)
			app := serve(t, func(w http.ResponseWriter, r *http.Request) { arrived <- r.URL.RawQuery })
			browser := phone()
			page, err := browser.Get(authorizeURL(sim, app, "snsapi_userinfo"))
			require.NoError(t, err)
			resp, err := sim.Allow(browser, page)
			require.NoError(t, err)
			resp.Body.Close()
			first, second := <-arrived, <-arrived
			require.Equal(t, first, second)
			require.Contains(t, first, "code=0")

			_, doubled := open(t, browser, authorizeURL(sim, app, "snsapi_base"))
			require.Contains(t, doubled, `data-apart="`+apart+`"`, "milliseconds, for the page's script")
			callback, err := sim.CallbackURL(browser, authorizeURL(sim, app, "snsapi_base"))
			require.NoError(t, err)
			require.Contains(t, callback, app+"?code=0")
			require.Empty(t, arrived)
		})
	}
}

func TestDuplicateCallbackLater(t *testing.T) {
	sim := simulator(t, wechattest.WithScenario("doubled-later"))
	var mu sync.Mutex
	var seen []string
	app := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := r.Cookie("session"); err == nil {
			seen = append(seen, "logged in")
			return
		}
		seen = append(seen, "anonymous")
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
	})
	for name, scope := range map[string]string{"with consent": "snsapi_userinfo", "silent": "snsapi_base"} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			browser := phone()
			page, err := browser.Get(authorizeURL(sim, app, scope))
			require.NoError(t, err)
			resp, err := sim.Allow(browser, page)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, []string{"anonymous", "logged in"}, seen, "the duplicate carries the cookie set by the first")
		})
	}
}

func TestDeliverTwice(t *testing.T) {
	sim := simulator(t)
	both := make(chan struct{}, 2)
	release := make(chan struct{})
	app := serve(t, func(w http.ResponseWriter, r *http.Request) {
		both <- struct{}{}
		<-release
	})
	callback, err := sim.CallbackURL(phone(), authorizeURL(sim, app, "snsapi_base"))
	require.NoError(t, err)
	go func() {
		<-both
		<-both
		close(release)
	}()
	first, second, err := wechattest.DeliverTwice(phone(), callback)
	require.NoError(t, err)
	first.Body.Close()
	second.Body.Close()
}
