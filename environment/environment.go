// Package environment tells where a page is open, by its User-Agent, and holds
// the policy of what an anonymous page visit gets there.
package environment

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/internal/navigation"
)

// Environment is where a page is open, as far as the User-Agent tells. It
// decides what a visitor is shown, never what he may do: anybody can send any
// User-Agent.
type Environment string

const (
	// WeChatPhone is WeChat's browser on a phone or tablet.
	WeChatPhone Environment = "wechat_phone"
	// WeChatWindows is WeChat's browser on Windows, on Linux, whose client names
	// Windows, and on any other computer that is no Mac.
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
	// DesktopBrowser is everything else: a computer, also one with HarmonyOS, and a
	// TV, whose screen a phone can scan. Safari on an iPad names a Mac and cannot
	// be distinguished from one.
	DesktopBrowser Environment = "desktop_browser"
)

// Of tells where the page of a request is open.
//
// The rules, in their order, are those of User-Agents seen in the wild: WeCom
// says "wxwork" beside MicroMessenger; developer tools say "wechatdevtools";
// mini programs and their web-views say "miniProgram", with or without an AppID;
// the Mac client says "WindowsWechat" as well. A device is what its form says,
// whatever operating system it names for the sake of old sites: HarmonyOS on a
// computer names Windows, on a phone Android.
func Of(r *http.Request) Environment {
	return of(navigation.Header(r.Header, "User-Agent"))
}

// bigScreen matches the device of a User-Agent, in lower case, that is no phone
// and no tablet: a computer, as the system's browsers of HarmonyOS and of macOS
// say it, or a TV with Android.
var bigScreen = regexp.MustCompile(`^[^(]*\((pc;|2in1;|ohosharmonyos|macintosh|[^)]*(\btv\b|smarttv|googletv|mitv|mibox|bravia|; aft[a-z0-9]))`)

func of(userAgent string) Environment {
	ua := strings.ToLower(userAgent)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(ua, word) })
	}
	weChat := has("micromessenger")
	phone := has("iphone", "ipad", "ipod", "android", "openharmony", "harmonyos", "mobile") && !bigScreen.MatchString(ua)
	switch {
	case has("wxwork"):
		return WeCom
	case has("wechatdevtools"):
		return DevTools
	case weChat && has("miniprogram"):
		return MiniProgramWebView
	case weChat && has("macwechat", "(macintosh"):
		return WeChatMac
	case weChat && !phone && (has("windowswechat") || bigScreen.MatchString(ua)):
		return WeChatWindows
	case weChat:
		return WeChatPhone
	case phone:
		return PhoneBrowser
	}
	return DesktopBrowser
}

// InWeChat reports whether the official account's login opens in e.
func (e Environment) InWeChat() bool {
	switch e {
	case WeChatPhone, WeChatWindows, WeChatMac, MiniProgramWebView, DevTools:
		return true
	}
	return false
}

// Action is what an anonymous page visit gets in an environment.
// The zero value is none of them.
type Action int

const (
	// LoginOfficialAccount sends the visitor to the official account's login,
	// which works inside WeChat only; elsewhere WeChat shows a page that says so.
	LoginOfficialAccount Action = iota + 1
	// LoginWebsite sends him to the QR code of the website application
	// (WithWebsiteApp), which works in desktop browsers outside WeChat.
	LoginWebsite
	// LoginScan shows a QR code of our own, which he scans with WeChat on his
	// phone: the phone is logged in by the official account, and confirms the
	// login of the browser beside it. It needs no website application. The
	// identity has the official account's AppID and Channel ChannelScan.
	LoginScan
	// OpenInWeChat answers 403 with a page that asks to open the same URL in
	// WeChat: with its QR code, and to copy.
	OpenInWeChat
	// AllowAnonymous lets page visits through without an identity, so that
	// handlers have to expect none. Scripts get their 401 as everywhere, and a
	// login that is asked for (GET login) begins as without a policy.
	AllowAnonymous
)

// Policy is what anonymous page visits get, by environment. What it
// does not name is as without it: the official account's login everywhere; with
// WithWebsiteApp, LoginWebsite for DesktopBrowser, and OpenInWeChat for
// PhoneBrowser and WeCom, where neither login works.
type Policy map[Environment]Action

// invalidReason returns why an action is of no use in an environment, or "".
func (e Environment) invalidReason(act Action) string {
	switch {
	case !slices.Contains(environments, e):
		return "there is no such environment"
	case act < LoginOfficialAccount || act > AllowAnonymous:
		return "there is no such action"
	case act == LoginWebsite && (e == WeChatPhone || e == MiniProgramWebView):
		return "WeChat refuses a website application there (10005)"
	case act == LoginWebsite && e == PhoneBrowser:
		return "WeChat has no login for it; use OpenInWeChat"
	case act == LoginScan && (e == WeChatPhone || e == MiniProgramWebView || e == PhoneBrowser):
		return "a phone cannot scan its own screen; use LoginOfficialAccount in WeChat and OpenInWeChat elsewhere"
	case act == OpenInWeChat && e == WeChatPhone:
		return "the page is open in WeChat, and nobody could log in"
	}
	return ""
}

var environments = []Environment{WeChatPhone, WeChatWindows, WeChatMac, MiniProgramWebView, WeCom, DevTools, PhoneBrowser, DesktopBrowser}

// Validate returns an error that names every action that cannot work in its
// environment.
func (p Policy) Validate() error {
	var wrong []string
	for e, act := range p {
		if reason := e.invalidReason(act); reason != "" {
			wrong = append(wrong, fmt.Sprintf("%q, action %d: %s", e, act, reason))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return errors.New(strings.Join(wrong, "; "))
}

// Uses reports whether the policy has the action in any environment.
func (p Policy) Uses(act Action) bool {
	return slices.Contains(slices.Collect(maps.Values(p)), act)
}

// For returns what an anonymous page visit gets. website reports whether there
// is a website application. Where the action is the same in all environments,
// the User-Agent is not read.
func (p Policy) For(r *http.Request, website bool) Action {
	if len(p) == 0 && !website {
		return LoginOfficialAccount
	}
	e := Of(r)
	if act, ok := p[e]; ok {
		return act
	}
	return e.defaultAction(website)
}

// ForLogin is For for a request to log in: it never returns AllowAnonymous.
func (p Policy) ForLogin(r *http.Request, website bool) Action {
	if act := p.For(r, website); act != AllowAnonymous {
		return act
	}
	return Of(r).defaultAction(website)
}

func (e Environment) defaultAction(website bool) Action {
	switch {
	case !website || e.InWeChat():
		return LoginOfficialAccount
	case e == DesktopBrowser:
		return LoginWebsite
	}
	return OpenInWeChat
}
