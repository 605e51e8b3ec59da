package wechatauth

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/wechattest"
)

func TestTheEnvironmentIsReadFromRealUserAgents(t *testing.T) {
	tests := map[string]struct {
		userAgent string
		want      Environment
	}{
		"iOS":                             {wechattest.IPhone, WeChatPhone},
		"iOS, web-view of a mini program": {wechattest.IPhoneMiniProgram, MiniProgramWebView},
		"Android, XWEB":                   {wechattest.Android, WeChatPhone},
		"Android, web-view":               {wechattest.AndroidMiniProgram, MiniProgramWebView},
		"Android, old TBS":                {wechattest.AndroidTBS, WeChatPhone},
		"Windows":                         {wechattest.Windows, WeChatWindows},
		"Windows, mini program":           {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Windows WindowsWechat/WMPF WindowsWechat(0x63090a13) UnifiedPCWindowsWechat(0xf254162e) XWEB/18163", MiniProgramWebView},
		"macOS, which says Windows too":   {wechattest.Mac, WeChatMac},
		"macOS, mini program":             {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI MiniProgramEnv/Mac MacWechat/WMPF MacWechat/3.8.7(0x13080712) UnifiedPCMacWechat(0xf2641c1d) XWEB/25300", MiniProgramWebView},
		"WeCom on Android":                {wechattest.WeComAndroid, WeCom},
		"WeCom on Windows":                {"Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/107.1.12.0 Safari/537.36 Language/zh wxwork/4.1.3 (MicroMessenger/6.2) WindowsWechat  MailPlugin_Electron WeMail embeddisk", WeCom},
		"WeCom on macOS":                  {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Language/zh ColorScheme/Light DistType/publish-website wxwork/4.1.36 (MicroMessenger/6.2) WeChat/2.0.4 wwmver/3.26.36.625 Safari/605.1.15", WeCom},
		"developer tools":                 {wechattest.DevTools, DevTools},
		"developer tools, web-view":       {"Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 wechatdevtools/1.06.2301160 MicroMessenger/8.0.5 Language/zh_CN webview/18397_148 webdebugger miniprogramhtmlwebview miniProgram port/57892", DevTools},
		"HarmonyOS, the system's browser": {"Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36  ArkWeb/4.1.6.1 Mobile", PhoneBrowser},
		"HarmonyOS, WeChat perhaps":       {"Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36  ArkWeb/4.1.6.1 Mobile MicroMessenger/8.0.60", WeChatPhone},
		"Safari on a phone":               {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", PhoneBrowser},
		"Chrome on Android":               {"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Mobile Safari/537.36", PhoneBrowser},
		"Chrome on a desk":                {wechattest.OrdinaryBrowser, DesktopBrowser},
		"nothing":                         {"", DesktopBrowser},
		"letter case":                     {"MICROMESSENGER/8.0 (IPHONE)", WeChatPhone},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, environmentOf(tt.userAgent))
		})
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
