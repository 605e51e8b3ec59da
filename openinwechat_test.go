package wechatauth

import (
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/wechattest"
)

// User-Agents of browsers outside WeChat.
const (
	safariPhone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	chromeWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"
)

func withWebsite() Option {
	return WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret)
}

// as is the browser with another User-Agent.
func (b *browser) as(userAgent string) *browser {
	b.header.Set("User-Agent", userAgent)
	return b
}

// userAgents has a real User-Agent of each environment.
var userAgents = map[environment.Environment]string{
	environment.WeChatPhone: wechattest.Android, environment.WeChatWindows: wechattest.Windows, environment.WeChatMac: wechattest.Mac,
	environment.MiniProgramWebView: wechattest.AndroidMiniProgram, environment.WeCom: wechattest.WeComAndroid, environment.DevTools: wechattest.DevTools,
	environment.PhoneBrowser: safariPhone, environment.TabletBrowser: wechattest.TabletBrowser,
	environment.TVBrowser: wechattest.TVBrowser, environment.DesktopBrowser: wechattest.OrdinaryBrowser,
}

// led tells what a page visit to /a?b=c led to.
func led(s *site, got answer) string {
	to := got.Header.Get("Location")
	switch {
	case strings.HasPrefix(to, s.sim.URL+"/connect/oauth2/authorize?"):
		return "official account"
	case strings.HasPrefix(to, s.sim.URL+"/connect/qrconnect?"):
		return "website"
	case got.StatusCode == http.StatusForbidden && strings.Contains(got.body, "在微信中打开"):
		return "open in WeChat"
	case got.StatusCode == http.StatusOK && strings.HasPrefix(got.body, "url=/a?b=c logged-in=false"):
		return "anonymous"
	}
	return to + " " + got.body
}

func TestEachEnvironmentGetsItsLogin(t *testing.T) {
	tests := map[string]struct {
		opts []Option
		want map[environment.Environment]string // default "official account"
	}{
		"an official account alone": {nil, nil},
		"with a website application": {[]Option{withWebsite()}, map[environment.Environment]string{
			environment.DesktopBrowser: "website", environment.TabletBrowser: "website", environment.TVBrowser: "website", environment.PhoneBrowser: "open in WeChat", environment.WeCom: "open in WeChat",
		}},
		"a policy": {[]Option{withWebsite(), WithEnvironment(environment.Policy{
			environment.DesktopBrowser: environment.AllowAnonymous, environment.PhoneBrowser: environment.LoginOfficialAccount, environment.WeCom: environment.LoginWebsite,
			environment.WeChatWindows: environment.OpenInWeChat, environment.WeChatMac: environment.LoginWebsite, environment.DevTools: environment.AllowAnonymous,
			environment.TabletBrowser: environment.OpenInWeChat,
		})}, map[environment.Environment]string{
			environment.DesktopBrowser: "anonymous", environment.TVBrowser: "anonymous", environment.TabletBrowser: "open in WeChat", environment.DevTools: "anonymous", environment.WeCom: "website",
			environment.WeChatWindows: "open in WeChat", environment.WeChatMac: "website",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.opts...)
			for e, userAgent := range userAgents {
				want := tt.want[e]
				if want == "" {
					want = "official account"
				}
				assert.Equal(t, want, led(s, s.browser().as(userAgent).step("/a?b=c")), e)
				script := s.browser().as(userAgent).fetch(http.MethodGet, "/a?b=c")
				assert.Equal(t, http.StatusUnauthorized, script.StatusCode, "scripts get their 401 in %s", e)
			}
		})
	}
}

func TestAPolicyOfPassingLetsWhoWantsToLogInDoSo(t *testing.T) {
	s := newSite(t, WithEnvironment(environment.Policy{environment.WeChatPhone: environment.AllowAnonymous}))
	b := s.browser()
	assert.Contains(t, b.visit("/a").body, "logged-in=false")
	assert.Contains(t, b.visit("/profile").body, "logged-in=false", "handlers have to expect nobody")
	assert.Contains(t, b.visit("/wechat/login?next=/a").body, "logged-in=true")
	assert.Contains(t, b.visit("/a").body, "logged-in=true")
}

func TestThePageToOpenInWeChatShowsTheURLOfTheBaseURLAsTextAndQRCode(t *testing.T) {
	s := newSite(t, withWebsite())
	for name, target := range map[string]string{
		"a path":              "/orders",
		"a query":             "/orders?id=7&a=%22%3Cb%3E",
		"markup":              `/orders?a=<script>alert(1)</script>`,
		"a live code in it":   "/orders?code=" + strings.Repeat("a", 32) + "&state=" + strings.Repeat("b", 32) + "&x=1",
		"almost too long":     "/orders?a=" + strings.Repeat("a", 700),
		"too long to be read": "/orders?a=" + strings.Repeat("a", 1700),
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser().as(safariPhone)
			b.header.Set("X-Forwarded-Host", "evil.example")
			got := b.step(target)
			require.Equal(t, http.StatusForbidden, got.StatusCode)
			shown := html.UnescapeString(regexp.MustCompile(`(?s)<p class="url" id="url">(.*?)</p>`).FindStringSubmatch(got.body)[1])
			u := mustParse(t, shown)
			assert.Equal(t, s.auth.base.Host, u.Host)
			assert.Equal(t, "/orders", u.Path)
			assert.Empty(t, u.Query().Get("code"))
			assert.NotContains(t, got.body, "evil.example")
			assert.NotContains(t, got.body, "<script>alert")
			assert.Empty(t, got.Header["Set-Cookie"], "nothing is begun")

			pictures := regexp.MustCompile(`<img class="qr" src="data:image/svg\+xml;base64,([^"]+)"`).FindStringSubmatch(html.UnescapeString(got.body))
			if len(shown) > page.MaxQRText {
				assert.Empty(t, pictures)
				return
			}
			require.Len(t, pictures, 2)
			svg, err := base64.StdEncoding.DecodeString(pictures[1])
			require.NoError(t, err)
			assert.Contains(t, string(svg), `fill="#fff"`)
			assert.Equal(t, string(page.QRCode(shown)), "data:image/svg+xml;base64,"+pictures[1])
		})
	}
	assert.Empty(t, s.sim.Journal())
}

func TestThePageToOpenInWeChatAllowsItsOwnScriptAndNothingElse(t *testing.T) {
	s := newSite(t, withWebsite())
	got := s.browser().as(safariPhone).step("/a")
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(got.body, -1)
	require.Len(t, scripts, 1)
	assert.Equal(t, "default-src 'none'; style-src "+cspHash(styleOf(t))+"; script-src "+cspHash(scripts[0][1])+
		"; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", got.Header.Get("Content-Security-Policy"))
}

func TestTheEmbeddedQRCodeIsWeChatsFrameInAPageOfOurs(t *testing.T) {
	s := newSite(t, withWebsite(), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR}))
	b := s.browser().as(wechattest.OrdinaryBrowser)
	page := b.visit("/a?b=c")
	assert.Equal(t, s.auth.base.String()+"/wechat/login?next=%2Fa%3Fb%3Dc", page.Request.URL.String())
	assert.Equal(t, "default-src 'none'; style-src "+cspHash(styleOf(t))+"; frame-src "+s.sim.URL+
		"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", page.Header.Get("Content-Security-Policy"))
	assert.NotContains(t, page.body, "<script")
	frame := mustParse(t, html.UnescapeString(regexp.MustCompile(`<iframe src="([^"]+)"`).FindStringSubmatch(page.body)[1]))
	assert.Equal(t, []string{"false"}, frame.Query()["self_redirect"])
	assert.Equal(t, []string{"jssdk"}, frame.Query()["login_type"])

	callback, err := s.sim.CallbackURL(wechattest.Browser(wechattest.OrdinaryBrowser), frame.String())
	require.NoError(t, err)
	assert.Contains(t, b.visit(callback).body, "url=/a?b=c logged-in=true")
	assert.Equal(t, http.StatusSeeOther, s.browser().step("/a").StatusCode, "inside WeChat nothing changes")
}

func TestACallbackInAFrameIsOpenedAgainInTheWholeWindowWithItsCodeUnspent(t *testing.T) {
	s := newSite(t, withWebsite())
	b := s.browser().as(wechattest.OrdinaryBrowser)
	callback, err := s.sim.CallbackURL(wechattest.Browser(wechattest.OrdinaryBrowser), b.step("/a").Header.Get("Location"))
	require.NoError(t, err)

	framed := s.browser().as(wechattest.OrdinaryBrowser) // the frame's request has no Lax cookie
	framed.header.Set("Sec-Fetch-Dest", "iframe")
	framed.header.Set("Sec-Fetch-Mode", "navigate")
	framed.header.Set("Sec-Fetch-Site", "cross-site")
	got := framed.step(callback)
	assert.Equal(t, http.StatusOK, got.StatusCode)
	assert.Equal(t, "SAMEORIGIN", got.Header.Get("X-Frame-Options"))
	assert.Contains(t, got.Header.Get("Content-Security-Policy"), "frame-ancestors 'self'")
	assert.Contains(t, got.body, `<a class="button" href="" target="_top">`, "without script")
	code := mustParse(t, callback).Query().Get("code")
	assert.NotContains(t, got.body, code)
	assert.NotContains(t, s.logs.String(), code)
	assert.Zero(t, s.exchanges())

	assert.Contains(t, b.visit(callback).body, "url=/a logged-in=true", "the top window has the cookie")
	framed.header.Set("Sec-Fetch-Dest", "document")
	assert.Equal(t, http.StatusBadRequest, framed.step(callback).StatusCode, "not opened again for ever")
}

func TestErrorHandlersHearOfPagesToOpenInWeChat(t *testing.T) {
	var heard Failure
	s := newSite(t, withWebsite(), WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f Failure) {
		heard = f
		w.WriteHeader(f.Status)
	}))
	s.browser().as(safariPhone).step("/a?" + url.Values{"q": {"x"}}.Encode())
	assert.Equal(t, Failure{Reason: ReasonOpenInWeChat, Status: 403, Page: true, RetryURL: s.auth.base.String() + "/a?q=x"}, heard)
}
