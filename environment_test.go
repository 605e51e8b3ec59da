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
// to send, where, and the environment that each is. "Protocol" is what the
// simulator's User-Agents come from: captures of WeChat's clients.
var realUserAgents = map[string]struct {
	userAgent string
	want      Environment
	seen      string
}{
	"iOS":                             {wechattest.IPhone, WeChatPhone, "protocol"},
	"iOS, web-view of a mini program": {wechattest.IPhoneMiniProgram, MiniProgramWebView, "protocol"},
	"iOS, web-view without an AppID":  {wechattest.IPhone + " miniProgram", MiniProgramWebView, "protocol, section 9: miniProgram in the User-Agent"},
	"iPad":                            {"Mozilla/5.0 (iPad; CPU OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.31(0x18001f2f) NetType/WIFI Language/zh_CN", WeChatPhone, "protocol"},
	"Android, XWEB":                   {wechattest.Android, WeChatPhone, "protocol"},
	"Android, web-view":               {wechattest.AndroidMiniProgram, MiniProgramWebView, "protocol"},
	"Android, web-view, no AppID":     {wechattest.Android + " miniProgram", MiniProgramWebView, "protocol, section 9"},
	"Android, a mini program itself":  {wechattest.Android + " MiniProgramEnv/android", MiniProgramWebView, "captures in public scripts"},
	"Android, old TBS":                {wechattest.AndroidTBS, WeChatPhone, "protocol"},
	"HarmonyOS 2 to 4":                {"Mozilla/5.0 (Linux; Android 10; YAL-AL10 Build/HUAWEIYAL-AL10; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/86.0.4240.99 XWEB/3185 MMWEBSDK/20220105 Mobile Safari/537.36 MMWEBID/553 MicroMessenger/8.0.19.2080(0x28001368) Process/toolsmp WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64", WeChatPhone, "faisalman/ua-parser-js, issue 565"},
	"HarmonyOS NEXT":                  {harmonyWeChat, WeChatPhone, "matomo-org/device-detector, issue 8091"},
	"HarmonyOS NEXT, web-view":        {harmonyWeChat + " miniProgram/wx0123456789abcdef", MiniProgramWebView, "the same, with what other clients append"},
	"HarmonyOS PC":                    {"Mozilla/5.0 (PC; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36  ArkWeb/4.1.6.1 MicroMessenger/8.0.9.39(0xf3100927)", WeChatWindows, "openharmony/docs, with what WeChat appends on a phone"},
	"Windows":                         {wechattest.Windows, WeChatWindows, "protocol"},
	"Windows, mini program":           {windowsMiniProgram, MiniProgramWebView, "protocol"},
	"Windows, web-view":               {windowsMiniProgram + " miniProgram/wx0123456789abcdef", MiniProgramWebView, "protocol"},
	"Linux":                           {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) WindowsWechat(0x63090a13) UnifiedPCLinuxWechat(0xf2741108)", WeChatWindows, "the command line of WeChat for Linux, in a public diagnosis"},
	"Linux, mini program":             {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Windows WindowsWechat/WMPF WindowsWechat(0x63090a13) UnifiedPCLinuxWechat(0xf2741104) XWEB/14910", MiniProgramWebView, "captures in public scripts"},
	"macOS, which says Windows too":   {wechattest.Mac, WeChatMac, "protocol"},
	"macOS, the newer client":         {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 NetType/WIFI MicroMessenger/7.0.20.1781(0x6700143B) MacWechat/3.8.7(0x13080712) UnifiedPCMacWechat(0xf26411f0) XWEB/16512 Flue", WeChatMac, "captures in public scripts"},
	"macOS, which says Windows only":  {strings.Replace(wechattest.Mac, "MacWechat/3.3(0x13030013) ", "", 1), WeChatMac, "protocol, without the name of the client"},
	"macOS, mini program":             {macMiniProgram, MiniProgramWebView, "protocol"},
	"macOS, web-view":                 {macMiniProgram + " miniProgram/wx0123456789abcdef", MiniProgramWebView, "protocol"},
	"WeCom on Android":                {wechattest.WeComAndroid, WeCom, "protocol"},
	"WeCom on Windows":                {"Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/107.1.12.0 Safari/537.36 Language/zh wxwork/4.1.3 (MicroMessenger/6.2) WindowsWechat  MailPlugin_Electron WeMail embeddisk", WeCom, "protocol"},
	"WeCom on macOS":                  {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Language/zh ColorScheme/Light DistType/publish-website wxwork/4.1.36 (MicroMessenger/6.2) WeChat/2.0.4 wwmver/3.26.36.625 Safari/605.1.15", WeCom, "protocol"},
	"developer tools":                 {wechattest.DevTools, DevTools, "protocol"},
	"developer tools, web-view":       {"Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 wechatdevtools/1.06.2301160 MicroMessenger/8.0.5 Language/zh_CN webview/18397_148 webdebugger miniprogramhtmlwebview miniProgram port/57892", DevTools, "protocol"},

	"HarmonyOS NEXT, the system's browser":   {"Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36  ArkWeb/4.1.6.1 Mobile", PhoneBrowser, "openharmony/docs, web-default-userAgent.md"},
	"HarmonyOS NEXT with its product name":   {"Mozilla/5.0 (Phone; OpenHarmony 5.0; HarmonyOS 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile", PhoneBrowser, "an article on dev.to about the User-Agent of HarmonyOS NEXT"},
	"HarmonyOS NEXT 6":                       {"Mozilla/5.0 (Phone; OpenHarmony 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 ArkWeb/6.0.0.110 Mobile", PhoneBrowser, "WICG/ua-client-hints, issue 383"},
	"HarmonyOS NEXT, Huawei Browser":         {"Mozilla/5.0 (Phone; OpenHarmony 6.0; Android 10) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36  ArkWeb/6.0.0.130 Mobile HuaweiBrowser/5.1.12.351", PhoneBrowser, "ua-parser/uap-core, issue 652"},
	"HarmonyOS NEXT, another app's web-view": {"Mozilla/5.0 (OpenHarmony 2; ALN-AL00) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile HuaweiBrowser/1.2.9.353 Nebula AlipayDefined(...) MiniProgram", PhoneBrowser, "hgoebl/mobile-detect.js, issue 114"},
	"HarmonyOS NEXT without a space":         {"Mozilla/5.0 (Phone; OpenHarmony5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile", PhoneBrowser, "whyour/qinglong, issue 2554"},
	"HarmonyOS NEXT, UC Browser":             {"Mozilla/5.0 (phone; Android 12; OpenHarmony 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0.4896.58 Safari/537.36 UCBrowser/17.1.8.1349", PhoneBrowser, "PbootCMS's tests of its device detection"},
	"HarmonyOS 2, Huawei Browser":            {"Mozilla/5.0 (Linux; Android 10; HarmonyOS; YAL-AL10; HMSCore 6.3.0.327; GMSCore 21.48.15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/92.0.4515.105 HuaweiBrowser/12.0.3.310 Mobile Safari/537.36", PhoneBrowser, "faisalman/ua-parser-js, issue 565"},
	"HarmonyOS 3 tablet":                     {"Mozilla/5.0 (Linux; Android 12; HarmonyOS; BTK-W09; HMSCore 6.16.4.352) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.5735.196 HuaweiBrowser/17.0.7.302 Safari/537.36", PhoneBrowser, "a public regression test of devices, a MatePad"},
	"HarmonyOS NEXT tablet":                  {"Mozilla/5.0 (Tablet; OpenHarmony 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36ArkWeb/6.1.0.120 MQQBrowser/4.6", PhoneBrowser, "a public regression test of devices, a MatePad"},
	"HarmonyOS NEXT tablet, desktop mode":    {"Mozilla/5.0 (Tablet; OpenHarmony 6.1; Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36ArkWeb/6.1.0.120 HuaweiBrowser/6.1.6.310", PhoneBrowser, "a public regression test of devices, a MatePad"},
	"HarmonyOS PC, the system's browser":     {"Mozilla/5.0 (PC; OpenHarmony 5.0; HarmonyOS 5.0) AppleWebKit/537.36 (KHTML,like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Browser/harmony360Browser/1.0.0", DesktopBrowser, "mimmi20/browser-detector, its tests"},
	"HarmonyOS PC, which says Windows":       {"Mozilla/5.0 (PC; OpenHarmony 6.1; Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 ArkWeb/6.1.0.115 HuaweiBrowser/6.1.7.302", DesktopBrowser, "a public guide to HarmonyOS PCs, from a device"},
	"HarmonyOS PC, an app's window":          {"Mozilla/5.0 (X11; OHOS 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36 TONGYI_DESKTOP/4.1.0.175", DesktopBrowser, "the same guide"},
	"HarmonyOS PC, an older app's window":    {"Mozilla/5.0 (OHOSHarmonyOS aarch64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36 TONGYI_DESKTOP/4.1.0.175", DesktopBrowser, "the same guide"},
	"HarmonyOS PC, UU browser":               {"Mozilla/5.0 (OHOS; OHOS x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36", DesktopBrowser, "the same guide"},
	"HarmonyOS 2in1":                         {"com.huawei.hmos.browser (2in1;OpenHarmony-6.0.2.130;HAD-W24) NetworkSDK/8.0.10.309", DesktopBrowser, "matomo-org/device-detector, issue 8277"},
	"TV: SHIELD":                             {"Mozilla/5.0 (Linux; Android 9; SHIELD Android TV Build/PPR1.180610.011; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/79.0.3945.93 Mobile Safari/537.36", DesktopBrowser, "bestiejs/platform.js, issue 176"},
	"TV: BRAVIA":                             {"Mozilla/5.0 (Linux; Android 8.0.0; BRAVIA 4K UR2 Build/OPR2.170623.027.S63; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/79.0.3945.93 Mobile Safari/537.36", DesktopBrowser, "bestiejs/platform.js, issue 176"},
	"TV: Fire TV":                            {"Mozilla/5.0 (Linux; Android 7.1.2; AFTMM Build/NS6268; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/70.0.3538.110 Mobile Safari/537.36", DesktopBrowser, "bestiejs/platform.js, issue 176"},
	"TV: Fire TV, Silk":                      {"Mozilla/5.0 (Linux; Android 9; AFT6E0FA) AppleWebKit/537.36 (KHTML, like Gecko) Silk/128.3.2 like Chrome/128.0.6613.146 Safari/537.36", DesktopBrowser, "matomo-org/device-detector, issue 7890"},
	"TV: UHD":                                {"Mozilla/5.0 (Linux; Android 10; 2020/2021 UHD Android TV Build/QTG3.201102.001; wv) AppleWebKit/537.36 (KHTML, like Gecko) version/4.0 Chrome/83.0.4103.101 Mobile Safari/537.36", DesktopBrowser, "faisalman/ua-parser-js, issue 470"},
	"TV: Google TV":                          {"Mozilla/5.0 (Linux; Android 11; Arcelik Google TV Build/RTM6.230109.257; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/118.0.0.0 Mobile Safari/537.36", DesktopBrowser, "matomo-org/device-detector, issue 7508"},
	"TV: Xiaomi":                             {"Mozilla/5.0 (Linux; Android 6.0.1; MiTV4A Build/MHC19J; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/66.0.3359.158 Mobile Safari/537.36 MITV/94", DesktopBrowser, "an article about versions of browsers on TVs"},
	"TV: Tizen":                              {"Mozilla/5.0 (SMART-TV; Linux; Tizen 2.3) AppleWebkit/538.1 (KHTML, like Gecko) SamsungBrowser/1.0 TV Safari/538.1", DesktopBrowser, "matomo-org/device-detector, issue 5383"},
	"TV: webOS":                              {"Mozilla/5.0 (WebOS; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager/", DesktopBrowser, "trakt/trakt-web, its tests"},
	"Safari on a phone":                      {safariPhone, PhoneBrowser, "protocol"},
	"Chrome on Android":                      {"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Mobile Safari/537.36", PhoneBrowser, "protocol"},
	"Chrome on an Android tablet":            {"Mozilla/5.0 (Linux; Android 13; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36", PhoneBrowser, "a public regression test of devices"},
	"Chrome on Windows":                      {chromeWindows, DesktopBrowser, "protocol"},
	"Huawei Browser on Windows":              {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.5735.196 HuaweiBrowser/17.0.6.313 Safari/537.36", DesktopBrowser, "a public regression test of devices"},
	"Chrome on Linux":                        {wechattest.OrdinaryBrowser, DesktopBrowser, "protocol"},
	"Safari on macOS":                        {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", DesktopBrowser, "protocol"},
	"Chrome on macOS, which shows a phone":   {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 Mobile Android", DesktopBrowser, "made up: a Mac is a Mac, whatever else is named"},
}

const (
	harmonyWeChat      = "Mozilla/5.0 (Phone; OpenHarmony 5.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36  ArkWeb/4.1.6.1 Mobile MicroMessenger/8.0.9.39(0xf3100927) Weixin NetType/WIFI Language/zh_CN MMWEBID/2777 MMWEBSDK/202507060011 XWEB/1140307"
	windowsMiniProgram = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Windows WindowsWechat/WMPF WindowsWechat(0x63090a13) UnifiedPCWindowsWechat(0xf254162e) XWEB/18163"
	macMiniProgram     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Mac MacWechat/WMPF MacWechat/3.8.7(0x13080712) UnifiedPCMacWechat(0xf2641c1d) XWEB/25300"
)

func TestTheEnvironmentIsReadFromRealUserAgents(t *testing.T) {
	for name, tt := range realUserAgents {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, environmentOf(tt.userAgent))
			assert.NotEmpty(t, tt.seen, "name where it was seen")
		})
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
		require.Contains(t, page.body, `class="qr"`)
		held := (&scanSite{site: s}).held(b)
		phone := s.browser()
		path := s.auth.scanPath(held.Ticket)
		require.Contains(t, phone.visit(path).body, scanButton)
		assert.Contains(t, b.enter(target, (&scanSite{site: s}).confirm(phone, path)).body, there+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
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
