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
	// PhoneBrowser is any other browser on a phone, and on a tablet that sends a
	// phone's User-Agent, as small ones do. WeChat has no login for it.
	PhoneBrowser Environment = "phone_browser"
	// TabletBrowser is any other browser on a tablet. A phone can scan its screen,
	// and WeChat may be installed on it. A tablet in desktop mode sends a
	// computer's User-Agent and is a DesktopBrowser; so is Safari on an iPad since
	// iPadOS 13, unless the user has asked for the mobile website.
	TabletBrowser Environment = "tablet_browser"
	// TVBrowser is a browser on a TV or a set-top box.
	TVBrowser Environment = "tv_browser"
	// DesktopBrowser is everything else: a computer, also one with HarmonyOS.
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

// Patterns of a User-Agent in lower case. What is in the first parentheses is
// the device; TVs without Android often name themselves behind it.
var (
	computer = regexp.MustCompile(`^[^(]*\((pc;|2in1;|ohosharmonyos|macintosh)`)
	tv       = regexp.MustCompile(`^[^(]*\((tv;|[^)]*(\btv\b|tvbox|mitv|mi ?box|chromecast|nexus player|bravia|\batv |\bdtv|nettv|; aft[a-z0-9]|; (osca|hege)-[0-9]))|smart-?tv|googletv|hbbtv|vidaa/|netcast|crkey/`)
)

func of(userAgent string) Environment {
	ua := strings.ToLower(userAgent)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(ua, word) })
	}
	weChat, device := has("micromessenger"), deviceOf(ua, has)
	switch {
	case has("wxwork"):
		return WeCom
	case has("wechatdevtools"):
		return DevTools
	case weChat && has("miniprogram"):
		return MiniProgramWebView
	case weChat && has("macwechat", "(macintosh"):
		return WeChatMac
	case weChat && (device == TVBrowser || device == DesktopBrowser && (has("windowswechat") || computer.MatchString(ua))):
		return WeChatWindows
	case weChat:
		return WeChatPhone
	}
	return device
}

// deviceOf returns the environment of a browser outside WeChat. Chrome and
// Huawei Browser say "Mobile" on a phone and not on a tablet; HarmonyOS NEXT
// names the form first, and apps add "Mobile" on its tablets, too.
func deviceOf(ua string, has func(words ...string) bool) Environment {
	switch {
	case computer.MatchString(ua):
		return DesktopBrowser
	case tv.MatchString(ua):
		return TVBrowser
	case has("ipad", "(tablet;", "; tablet;"),
		has("android", "harmonyos", "; kf") && !has("mobile", "(phone;", "opera mini"):
		return TabletBrowser
	case has("iphone", "ipod", "android", "openharmony", "harmonyos", "mobile"):
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
	// (WithWebsiteApp), which works in browsers outside WeChat whose screen a phone can scan.
	LoginWebsite
	// LoginEmbeddedQR is LoginWebsite with the QR code in a page of the site, in a
	// frame as WeChat's wxLogin.js makes one. The page runs no script; after the
	// confirmation the frame redirects the whole window (self_redirect=false).
	// Browsers allow that towards the site only, so it is not for WithRelay.
	LoginEmbeddedQR
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

// NeedsWebsite reports whether the action needs a website application.
func (a Action) NeedsWebsite() bool { return a == LoginWebsite || a == LoginEmbeddedQR }

// Policy is what anonymous page visits get, by environment. An environment that
// it does not name gets the official account's login; with a website application,
// DesktopBrowser gets LoginWebsite, and PhoneBrowser and WeCom, where neither
// login works, OpenInWeChat.
//
// TabletBrowser and TVBrowser get what DesktopBrowser gets, unless the policy
// names them: a phone can scan their screens, the user is then logged in on the
// device in front of them, and an iPad, which is taken for a Mac, behaves like
// every other tablet. Where users have WeChat on their tablets and no phone at
// hand, set TabletBrowser to OpenInWeChat.
type Policy map[Environment]Action

// invalidReason returns why an action is of no use in an environment, or "".
func (e Environment) invalidReason(act Action) string {
	switch {
	case !slices.Contains(environments, e):
		return "there is no such environment"
	case act < LoginOfficialAccount || act > AllowAnonymous:
		return "there is no such action"
	case act.NeedsWebsite() && (e == WeChatPhone || e == MiniProgramWebView):
		return "WeChat refuses a website application there (10005)"
	case act.NeedsWebsite() && e == PhoneBrowser:
		return "WeChat has no login for it; use OpenInWeChat"
	case act == LoginScan && (e == WeChatPhone || e == MiniProgramWebView || e == PhoneBrowser):
		return "a phone cannot scan its own screen; use LoginOfficialAccount in WeChat and OpenInWeChat elsewhere"
	case act == OpenInWeChat && e == WeChatPhone:
		return "the page is open in WeChat, and nobody could log in"
	}
	return ""
}

var environments = []Environment{WeChatPhone, WeChatWindows, WeChatMac, MiniProgramWebView, WeCom, DevTools, PhoneBrowser, TabletBrowser, TVBrowser, DesktopBrowser}

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
	return p.in(Of(r), website)
}

// ForLogin is For for a request to log in: it never returns AllowAnonymous.
func (p Policy) ForLogin(r *http.Request, website bool) Action {
	if act := p.For(r, website); act != AllowAnonymous {
		return act
	}
	return Policy(nil).in(Of(r), website)
}

func (p Policy) in(e Environment, website bool) Action {
	act, named := p[e]
	switch {
	case named:
		return act
	case e == TabletBrowser || e == TVBrowser:
		return p.in(DesktopBrowser, website)
	case !website || e.InWeChat():
		return LoginOfficialAccount
	case e == DesktopBrowser:
		return LoginWebsite
	}
	return OpenInWeChat
}
