// Package environment determines from the User-Agent in which kind of browser a
// page is open, and defines the policy for unauthenticated page visits in each
// of these environments.
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

// An Environment is the kind of browser that a page is open in, according to
// the User-Agent. It determines what a user is shown, but must not determine
// what they may do: clients can send any User-Agent.
type Environment string

const (
	// WeChatPhone is WeChat's browser on a phone or tablet.
	WeChatPhone Environment = "wechat_phone"
	// WeChatWindows is WeChat's browser on Windows, on Linux (whose client
	// claims to be Windows) and on any other computer that is not a Mac.
	WeChatWindows Environment = "wechat_windows"
	// WeChatMac is WeChat's browser on macOS.
	WeChatMac Environment = "wechat_mac"
	// MiniProgramWebView is a web-view in a mini program, on any device.
	MiniProgramWebView Environment = "mini_program"
	// WeCom is the browser of WeCom (企业微信), whose User-Agent also contains
	// MicroMessenger and which cannot log in to an official account.
	WeCom Environment = "wecom"
	// DevTools is WeChat's developer tools (微信开发者工具).
	DevTools Environment = "devtools"
	// PhoneBrowser is any other browser on a phone, or on a tablet that sends a
	// phone's User-Agent, as small ones do. WeChat provides no login for it.
	PhoneBrowser Environment = "phone_browser"
	// TabletBrowser is any other browser on a tablet. A phone can scan its
	// screen, and WeChat may be installed on it. A tablet in desktop mode sends
	// a computer's User-Agent and is a DesktopBrowser; so is Safari on an iPad
	// since iPadOS 13, unless the user requests the mobile website.
	TabletBrowser Environment = "tablet_browser"
	// TVBrowser is a browser on a TV or a set-top box.
	TVBrowser Environment = "tv_browser"
	// DesktopBrowser is any other browser, such as one on a computer, including
	// those with HarmonyOS.
	DesktopBrowser Environment = "desktop_browser"
)

// Of returns the environment of a request.
//
// The rules follow the User-Agents seen in practice, in this order: WeCom sends
// "wxwork" in addition to MicroMessenger; developer tools send
// "wechatdevtools"; mini programs and their web-views send "miniProgram", with
// or without an AppID; the Mac client also sends "WindowsWechat". The form of a
// device takes precedence over the operating system, which may be named only
// for compatibility: HarmonyOS claims to be Windows on a computer and Android
// on a phone.
func Of(r *http.Request) Environment {
	return of(navigation.Header(r.Header, "User-Agent"))
}

// Patterns for a User-Agent in lower case. The first parentheses contain the
// device; TVs without Android are often named after them.
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
// Huawei Browser send "Mobile" on phones but not on tablets. HarmonyOS NEXT
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

// InWeChat reports whether the official account's login page opens in e.
func (e Environment) InWeChat() bool {
	switch e {
	case WeChatPhone, WeChatWindows, WeChatMac, MiniProgramWebView, DevTools:
		return true
	}
	return false
}

// An Action is the response to an unauthenticated page visit in an environment.
// The zero value is not an action.
type Action int

const (
	// LoginOfficialAccount starts the official account's login, which works
	// only inside WeChat; elsewhere WeChat shows an error page.
	LoginOfficialAccount Action = iota + 1
	// LoginWebsite redirects to the QR code of the website application
	// (WithWebsiteApp). It works in browsers outside WeChat whose screen a
	// phone can scan.
	LoginWebsite
	// LoginEmbeddedQR is like LoginWebsite, but shows the QR code in a page of
	// the site, in a frame like that of WeChat's wxLogin.js. The page runs no
	// script; after the confirmation, the frame redirects the whole window
	// (self_redirect=false). Browsers allow such a redirect only to the site
	// itself, so LoginEmbeddedQR cannot be used with WithRelay.
	LoginEmbeddedQR
	// LoginScan shows a QR code of the site itself, which the user scans with
	// WeChat on a phone. The phone logs in with the official account and then
	// confirms the login of the browser. It needs no website application. The
	// identity has the official account's AppID and the Channel ChannelScan.
	LoginScan
	// OpenInWeChat responds with 403 and a page that asks the user to open the
	// same URL in WeChat; it shows the steps, the URL to copy and,
	// except on phones, its QR code.
	OpenInWeChat
	// AllowAnonymous serves page visits without an identity, so handlers must
	// expect none. Other requests still get a 401 response, and an explicit
	// login (GET login) starts as without a policy.
	AllowAnonymous
)

// NeedsWebsite reports whether the action requires a website application.
func (a Action) NeedsWebsite() bool { return a == LoginWebsite || a == LoginEmbeddedQR }

// A Policy maps environments to the actions for unauthenticated page visits.
// The default action is LoginOfficialAccount. With a website application, the
// default is LoginWebsite for DesktopBrowser and OpenInWeChat for PhoneBrowser
// and WeCom, where neither login works.
//
// By default, TabletBrowser and TVBrowser have the action of DesktopBrowser: a
// phone can scan their screens, users are then logged in on the device they
// use, and an iPad, which looks like a Mac, behaves like other tablets. If your
// users have WeChat on their tablets and no phone at hand, set TabletBrowser to
// OpenInWeChat.
type Policy map[Environment]Action

// invalidReason explains why an action cannot work in an environment, or
// returns "".
func (e Environment) invalidReason(act Action) string {
	switch {
	case !slices.Contains(environments, e):
		return "unknown environment"
	case act < LoginOfficialAccount || act > AllowAnonymous:
		return "unknown action"
	case act.NeedsWebsite() && (e == WeChatPhone || e == MiniProgramWebView):
		return "WeChat rejects website applications there (10005)"
	case act.NeedsWebsite() && e == PhoneBrowser:
		return "WeChat provides no login there; use OpenInWeChat"
	case act == LoginScan && (e == WeChatPhone || e == MiniProgramWebView || e == PhoneBrowser):
		return "a phone cannot scan its own screen; use LoginOfficialAccount in WeChat and OpenInWeChat elsewhere"
	case act == OpenInWeChat && e == WeChatPhone:
		return "the page is already open in WeChat, so users could not log in"
	}
	return ""
}

var environments = []Environment{WeChatPhone, WeChatWindows, WeChatMac, MiniProgramWebView, WeCom, DevTools, PhoneBrowser, TabletBrowser, TVBrowser, DesktopBrowser}

// Validate returns an error that describes every action that cannot work in its
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

// For returns the action for an unauthenticated page visit. website reports
// whether there is a website application. If the action is the same in all
// environments, For does not read the User-Agent.
func (p Policy) For(r *http.Request, website bool) Action {
	if len(p) == 0 && !website {
		return LoginOfficialAccount
	}
	return p.in(Of(r), website)
}

// ForLogin is like For, for a request to log in: it never returns
// AllowAnonymous.
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
