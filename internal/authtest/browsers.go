package authtest

import (
	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/wechattest"
)

// User-Agents of browsers outside WeChat.
const (
	SafariPhone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	ChromeWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"
)

func WithWebsite() wechatauth.Option {
	return wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret)
}

// As sets the browser's User-Agent and returns the browser.
func (b *Browser) As(userAgent string) *Browser {
	b.Header.Set("User-Agent", userAgent)
	return b
}

// UserAgents has a real User-Agent of each environment.
var UserAgents = map[environment.Environment]string{
	environment.WeChatPhone: wechattest.Android, environment.WeChatWindows: wechattest.Windows, environment.WeChatMac: wechattest.Mac,
	environment.MiniProgramWebView: wechattest.AndroidMiniProgram, environment.WeCom: wechattest.WeComAndroid, environment.DevTools: wechattest.DevTools,
	environment.PhoneBrowser: SafariPhone, environment.TabletBrowser: wechattest.TabletBrowser,
	environment.TVBrowser: wechattest.TVBrowser, environment.DesktopBrowser: wechattest.Chrome,
}
