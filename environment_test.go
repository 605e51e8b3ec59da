package wechatauth

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// realUserAgents are what clients of WeChat, and browsers outside it, were seen
// to send, with the environment that each is.
var realUserAgents = map[string]struct {
	userAgent string
	want      Environment
}{
	"iOS":                             {wechattest.IPhone, WeChatPhone},
	"iOS, web-view of a mini program": {wechattest.IPhoneMiniProgram, MiniProgramWebView},
	"iPad":                            {"Mozilla/5.0 (iPad; CPU OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.31(0x18001f2f) NetType/WIFI Language/zh_CN", WeChatPhone},
	"Android, XWEB":                   {wechattest.Android, WeChatPhone},
	"Android, web-view":               {wechattest.AndroidMiniProgram, MiniProgramWebView},
	"Android, old TBS":                {wechattest.AndroidTBS, WeChatPhone},
	"Windows":                         {wechattest.Windows, WeChatWindows},
	"Windows, mini program":           {windowsMiniProgram, MiniProgramWebView},
	"Windows, web-view":               {windowsMiniProgram + " miniProgram/wx0123456789abcdef", MiniProgramWebView},
	"macOS, which says Windows too":   {wechattest.Mac, WeChatMac},
	"macOS, mini program":             {macMiniProgram, MiniProgramWebView},
	"macOS, web-view":                 {macMiniProgram + " miniProgram/wx0123456789abcdef", MiniProgramWebView},
	"WeCom on Android":                {wechattest.WeComAndroid, WeCom},
	"WeCom on Windows":                {"Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/107.1.12.0 Safari/537.36 Language/zh wxwork/4.1.3 (MicroMessenger/6.2) WindowsWechat  MailPlugin_Electron WeMail embeddisk", WeCom},
	"WeCom on macOS":                  {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Language/zh ColorScheme/Light DistType/publish-website wxwork/4.1.36 (MicroMessenger/6.2) WeChat/2.0.4 wwmver/3.26.36.625 Safari/605.1.15", WeCom},
	"developer tools":                 {wechattest.DevTools, DevTools},
	"developer tools, web-view":       {"Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 wechatdevtools/1.06.2301160 MicroMessenger/8.0.5 Language/zh_CN webview/18397_148 webdebugger miniprogramhtmlwebview miniProgram port/57892", DevTools},
	"HarmonyOS, the system's browser": {"Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36  ArkWeb/4.1.6.1 Mobile", PhoneBrowser},
	"HarmonyOS, WeChat perhaps":       {"Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36  ArkWeb/4.1.6.1 Mobile MicroMessenger/8.0.60", WeChatPhone},
	"Safari on a phone":               {safariPhone, PhoneBrowser},
	"Chrome on Android":               {"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Mobile Safari/537.36", PhoneBrowser},
	"Chrome on Windows":               {chromeWindows, DesktopBrowser},
	"Chrome on Linux":                 {wechattest.OrdinaryBrowser, DesktopBrowser},
	"Safari on macOS":                 {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", DesktopBrowser},
}

const (
	windowsMiniProgram = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Windows WindowsWechat/WMPF WindowsWechat(0x63090a13) UnifiedPCWindowsWechat(0xf254162e) XWEB/18163"
	macMiniProgram     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Mac MacWechat/WMPF MacWechat/3.8.7(0x13080712) UnifiedPCMacWechat(0xf2641c1d) XWEB/25300"
)

func TestTheEnvironmentIsReadFromRealUserAgents(t *testing.T) {
	for name, tt := range realUserAgents {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.want, environmentOf(tt.userAgent)) })
	}
	assert.Equal(t, DesktopBrowser, environmentOf(""), "nothing")
	assert.Equal(t, WeChatPhone, environmentOf("MICROMESSENGER/8.0 (IPHONE)"), "letter case")
}

// policyActions are all that an environment's page visits can get.
var policyActions = map[string]EnvironmentAction{
	"nothing said": 0, "official account": LoginOfficialAccount, "website": LoginWebsite, "scan": LoginScan, "open in WeChat": OpenInWeChat, "pass": PassAnonymously,
}

// Every client, with every policy that New takes for its environment, from the
// first page visit to the page that was asked for.
func TestEachEnvironmentIsDrivenToItsPageUnderEachPolicy(t *testing.T) {
	const target = "/orders?id=7"
	driven, journeys := map[Environment]bool{}, 0
	for policy, act := range policyActions {
		t.Run(policy, func(t *testing.T) {
			all := EnvironmentPolicy{}
			for _, e := range environments {
				if act != 0 && e.cannotWork(act) == "" {
					all[e] = act
				}
			}
			s := newSite(t, withWebsite(), WithEnvironment(all))
			for name, client := range realUserAgents {
				t.Run(name, func(t *testing.T) {
					does := all[client.want]
					if does == 0 {
						does = s.auth.defaultActionIn(client.want)
					}
					s.journey(t, s.browser().as(client.userAgent), does, target)
					driven[client.want] = true
					journeys++
				})
			}
		})
	}
	assert.Len(t, driven, len(environments))
	t.Logf("environments %d, user-agents %d, journeys %d", len(driven), len(realUserAgents), journeys)
}

// journey takes a browser from a page visit to the page, in the way that an
// action has; where WeChat has no login, to the page that says so.
func (s *site) journey(t *testing.T, b *browser, act EnvironmentAction, target string) {
	t.Helper()
	there := "url=" + target + " logged-in=true openid="
	inWeChat := strings.Contains(b.header.Get("User-Agent"), "MicroMessenger")
	switch act {
	case LoginOfficialAccount:
		got := b.visit(target)
		if !inWeChat {
			assert.Contains(t, got.Request.URL.String(), s.sim.URL+"/connect/oauth2/authorize?")
			assert.NotContains(t, got.body, "logged-in")
			return
		}
		assert.Contains(t, got.body, there+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	case LoginWebsite:
		toWeChat := b.step(target).Header.Get("Location")
		require.Contains(t, toWeChat, s.sim.URL+"/connect/qrconnect?appid="+wechattest.DefaultWebsiteAppID)
		if page := b.visit(toWeChat).body; inWeChat && !strings.Contains(b.header.Get("User-Agent"), "Wechat") {
			assert.Contains(t, page, "10005", "what WeChat says to its own browser on a phone, and to whoever looks like it")
			return
		}
		callback, err := s.sim.CallbackURL(wechattest.Browser(b.header.Get("User-Agent")), toWeChat)
		require.NoError(t, err)
		assert.Contains(t, b.visit(callback).body, there+wechattest.OpenID(wechattest.DefaultWebsiteAppID, person(0)))
	case LoginScan:
		page := b.visit(target)
		require.Contains(t, page.body, `class="number"`)
		held := (&scanSite{site: s}).held(b)
		phone := s.browser()
		path := s.auth.scanPath(held.Ticket)
		require.Contains(t, phone.visit(path).body, scanField)
		require.Contains(t, phone.post(path, number(held.Number)).body, "登录已确认")
		assert.Contains(t, b.collect(target).body, there+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	case OpenInWeChat:
		page := b.visit(target)
		require.Equal(t, http.StatusForbidden, page.StatusCode)
		require.Contains(t, page.body, "在微信中打开")
		for _, elsewhere := range []string{"/wechat/login?next=" + target, "/wechat/upgrade?next=" + target} {
			assert.Contains(t, b.visit(elsewhere).body, "在微信中打开")
		}
		shown := regexp.MustCompile(`id="url">([^<]+)<`).FindStringSubmatch(page.body)
		require.Len(t, shown, 2)
		phone := s.browser()
		assert.Contains(t, phone.visit(html.UnescapeString(shown[1])).body, there, "the URL that is shown, in WeChat")
	case PassAnonymously:
		assert.Contains(t, b.visit(target).body, "url="+target+" logged-in=false openid= ")
		assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, target).StatusCode, "scripts get their 401")
	}
}

func TestPoliciesThatCannotWorkAreRefused(t *testing.T) {
	website := WithWebsiteApp("wx00000000000000b2", testSecret)
	for name, tt := range map[string]struct {
		opts []Option
		want string
	}{
		"a website login without a website application": {right(WithEnvironment(EnvironmentPolicy{DesktopBrowser: LoginWebsite})), "set WithWebsiteApp"},
		"an embedded QR code without one":               {right(WithEmbeddedQR()), "set WithWebsiteApp"},
		"a website login inside WeChat on a phone":      {right(website, WithEnvironment(EnvironmentPolicy{WeChatPhone: LoginWebsite})), "10005"},
		"a website login in a web-view":                 {right(website, WithEnvironment(EnvironmentPolicy{MiniProgramWebView: LoginWebsite})), "10005"},
		"a website login in a phone browser":            {right(website, WithEnvironment(EnvironmentPolicy{PhoneBrowser: LoginWebsite})), "use OpenInWeChat"},
		"a phone that scans itself":                     {right(WithEnvironment(EnvironmentPolicy{PhoneBrowser: LoginScan})), "cannot scan its own screen"},
		"a phone in WeChat that scans itself":           {right(WithEnvironment(EnvironmentPolicy{WeChatPhone: LoginScan})), "cannot scan its own screen"},
		"a web-view that scans itself":                  {right(WithEnvironment(EnvironmentPolicy{MiniProgramWebView: LoginScan})), "cannot scan its own screen"},
		"WeChat sent to WeChat":                         {right(WithEnvironment(EnvironmentPolicy{WeChatPhone: OpenInWeChat})), "nobody could log in"},
		"an environment of one's own":                   {right(WithEnvironment(EnvironmentPolicy{"tv": PassAnonymously})), "no such environment"},
		"no action":                                     {right(WithEnvironment(EnvironmentPolicy{WeCom: 0})), "no such action"},
		"an action beyond the list":                     {right(WithEnvironment(EnvironmentPolicy{WeCom: PassAnonymously + 1})), "no such action"},
		"a website login for an account that has none": {[]Option{WithBaseURL(testBase), WithAccounts(ByHost(Account{AppID: testAppID, Secret: testSecret, BaseURL: testBase})),
			WithEnvironment(EnvironmentPolicy{DesktopBrowser: LoginWebsite})}, "set WithWebsiteApp"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tt.opts...)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}
