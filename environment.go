package wechatauth

import (
	"net/http"
	"strings"
)

// Environment is where a page is open, as far as the User-Agent tells. It
// decides what a visitor is shown, never what he may do: anybody can send any
// User-Agent.
type Environment string

const (
	// WeChatPhone is WeChat's browser on a phone or tablet.
	WeChatPhone Environment = "wechat_phone"
	// WeChatWindows is WeChat's browser on Windows.
	WeChatWindows Environment = "wechat_windows"
	// WeChatMac is WeChat's browser on macOS.
	WeChatMac Environment = "wechat_mac"
	// MiniProgramWebView is a web-view inside a mini program, on any device.
	MiniProgramWebView Environment = "mini_program"
	// WeCom is the browser of 企业微信, which names MicroMessenger too and cannot
	// log in to an official account.
	WeCom Environment = "wecom"
	// DevTools is WeChat's developer tools (微信开发者工具).
	DevTools Environment = "devtools"
	// PhoneBrowser is any other browser on a phone or tablet. WeChat has no
	// login for it.
	PhoneBrowser Environment = "phone_browser"
	// DesktopBrowser is everything else.
	DesktopBrowser Environment = "desktop_browser"
)

// EnvironmentOf tells where the page of a request is open.
//
// The rules, in their order, are those of User-Agents seen in the wild: WeCom
// says "wxwork" beside MicroMessenger; developer tools say "wechatdevtools";
// web-views of mini programs end in "miniProgram/" and an AppID; the desktop
// clients say "MiniProgramEnv", "MacWechat" or "WindowsWechat", and the Mac
// client says the last of these as well.
func EnvironmentOf(r *http.Request) Environment { return environmentOf(r.UserAgent()) }

func environmentOf(userAgent string) Environment {
	ua := strings.ToLower(userAgent)
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(ua, word) {
				return true
			}
		}
		return false
	}
	phone := has("iphone", "ipad", "ipod", "android", "openharmony", "harmonyos", "mobile")
	switch {
	case has("wxwork"):
		return WeCom
	case has("wechatdevtools"):
		return DevTools
	case has("micromessenger") && has("miniprogram/", "miniprogramhtmlwebview", "miniprogramenv/"):
		return MiniProgramWebView
	case has("micromessenger") && has("macwechat"):
		return WeChatMac
	case has("micromessenger") && has("windowswechat") && !phone:
		return WeChatWindows
	case has("micromessenger"):
		return WeChatPhone
	case phone:
		return PhoneBrowser
	}
	return DesktopBrowser
}

// inWeChat reports whether the official account's login opens here.
func (e Environment) inWeChat() bool {
	switch e {
	case WeChatPhone, WeChatWindows, WeChatMac, MiniProgramWebView, DevTools:
		return true
	}
	return false
}
