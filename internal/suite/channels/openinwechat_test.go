package channels

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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/wechattest"
)

// led returns where a page visit to /a?b=c was redirected, or the page it got.
func led(s *authtest.Site, got authtest.Response) string {
	to := got.Header.Get("Location")
	switch {
	case strings.HasPrefix(to, s.Sim.URL+"/connect/oauth2/authorize?"):
		return "official account"
	case strings.HasPrefix(to, s.Sim.URL+"/connect/qrconnect?"):
		return "website"
	case got.StatusCode == http.StatusForbidden && strings.Contains(got.Text, "在微信中打开"):
		return "open in WeChat"
	case got.StatusCode == http.StatusOK && strings.HasPrefix(got.Text, "url=/a?b=c logged-in=false"):
		return "anonymous"
	}
	return to + " " + got.Text
}

func TestEnvironment_Default(t *testing.T) {
	tests := map[string]struct {
		opts []wechatauth.Option
		want map[environment.Environment]string // default "official account"
	}{
		"an official account alone": {nil, nil},
		"with a website application": {[]wechatauth.Option{authtest.WithWebsite()}, map[environment.Environment]string{
			environment.DesktopBrowser: "website", environment.TabletBrowser: "website", environment.TVBrowser: "website", environment.PhoneBrowser: "open in WeChat", environment.WeCom: "open in WeChat",
		}},
		"a policy": {[]wechatauth.Option{authtest.WithWebsite(), wechatauth.WithEnvironment(environment.Policy{
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
			s := authtest.NewSite(t, tt.opts...)
			for e, userAgent := range authtest.UserAgents {
				want := tt.want[e]
				if want == "" {
					want = "official account"
				}
				assert.Equal(t, want, led(s, s.Browser().As(userAgent).Step("/a?b=c")), e)
				script := s.Browser().As(userAgent).Fetch(http.MethodGet, "/a?b=c")
				assert.Equal(t, http.StatusUnauthorized, script.StatusCode, "a fetch gets its 401 in %s", e)
			}
		})
	}
}

func TestEnvironment_AllowAnonymous(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithEnvironment(environment.Policy{environment.WeChatPhone: environment.AllowAnonymous}))
	b := s.Browser()
	assert.Contains(t, b.Visit("/a").Text, "logged-in=false")
	assert.Contains(t, b.Visit("/profile").Text, "logged-in=false", "handlers must handle anonymous users")
	assert.Contains(t, b.Visit("/wechat/login?next=/a").Text, "logged-in=true")
	assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
}

func TestOpenInWeChat_URL(t *testing.T) {
	s := authtest.NewSite(t, authtest.WithWebsite())
	for name, target := range map[string]string{
		"a path":              "/orders",
		"a query":             "/orders?id=7&a=%22%3Cb%3E",
		"markup":              `/orders?a=<script>alert(1)</script>`,
		"a live code in it":   "/orders?code=" + strings.Repeat("a", 32) + "&state=" + strings.Repeat("b", 32) + "&x=1",
		"almost too long":     "/orders?a=" + strings.Repeat("a", 700),
		"too long to be read": "/orders?a=" + strings.Repeat("a", 1700),
	} {
		t.Run(name, func(t *testing.T) {
			b := s.Browser().As(authtest.UserAgents[environment.WeCom])
			b.Header.Set("X-Forwarded-Host", "evil.example")
			got := b.Step(target)
			require.Equal(t, http.StatusForbidden, got.StatusCode)
			shown := html.UnescapeString(regexp.MustCompile(`(?s)<p class="url" id="url">(.*?)</p>`).FindStringSubmatch(got.Text)[1])
			u := authtest.MustParse(t, shown)
			assert.Equal(t, s.Base.Host, u.Host)
			assert.Equal(t, "/orders", u.Path)
			assert.Empty(t, u.Query().Get("code"))
			assert.NotContains(t, got.Text, "evil.example")
			assert.NotContains(t, got.Text, "<script>alert")
			assert.Empty(t, got.Header["Set-Cookie"], "no login is started")

			pictures := regexp.MustCompile(`<img class="qr" src="data:image/svg\+xml;base64,([^"]+)"`).FindStringSubmatch(html.UnescapeString(got.Text))
			if len(shown) > page.MaxQRText {
				assert.Empty(t, pictures)
				assert.NotContains(t, got.Text, "扫描", "there is no QR code")
				return
			}
			require.Len(t, pictures, 2)
			svg, err := base64.StdEncoding.DecodeString(pictures[1])
			require.NoError(t, err)
			assert.Contains(t, string(svg), `fill="#fff"`)
			assert.Equal(t, string(page.QRCode(shown)), "data:image/svg+xml;base64,"+pictures[1])
		})
	}
	assert.Empty(t, s.Sim.Journal())
}

// A phone cannot scan its own screen: its page has steps, and no QR code.
func TestOpenInWeChat_Phone(t *testing.T) {
	s := authtest.NewSite(t, authtest.WithWebsite())
	for lang, scan := range map[string]string{"zh-CN": "扫", "en": "scan"} {
		b := s.Browser().As(authtest.SafariPhone)
		b.Header.Set("Accept-Language", lang)
		body := strings.ToLower(b.Step("/a?b=c").Text)
		_, body, _ = strings.Cut(body, "</style>")
		body, _, _ = strings.Cut(body, "<script>")
		assert.NotContains(t, body, "<img")
		assert.NotContains(t, body, scan)
		assert.Contains(t, body, s.Base.String()+"/a?b=c</p>")
		assert.Contains(t, body, `id="copy"`)
		assert.Equal(t, 3, strings.Count(body, "<li>"), "steps")
	}
}

func TestOpenInWeChat_CSP(t *testing.T) {
	s := authtest.NewSite(t, authtest.WithWebsite())
	got := s.Browser().As(authtest.UserAgents[environment.WeCom]).Step("/a")
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(got.Text, -1)
	require.Len(t, scripts, 1)
	assert.Equal(t, "default-src 'none'; style-src "+authtest.CSPHash(authtest.StyleOf(t))+"; script-src "+authtest.CSPHash(scripts[0][1])+
		"; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", got.Header.Get("Content-Security-Policy"))
}

func TestEmbedded_CSP(t *testing.T) {
	s := authtest.NewSite(t, authtest.WithWebsite(), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR}))
	b := s.Browser().As(wechattest.Chrome)
	page := b.Visit("/a?b=c")
	assert.Equal(t, s.Base.String()+"/wechat/login?next=%2Fa%3Fb%3Dc", page.Request.URL.String())
	assert.Equal(t, "default-src 'none'; style-src "+authtest.CSPHash(authtest.StyleOf(t))+"; frame-src "+s.Sim.URL+
		"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", page.Header.Get("Content-Security-Policy"))
	assert.NotContains(t, page.Text, "<script")
	frame := authtest.MustParse(t, html.UnescapeString(regexp.MustCompile(`<iframe src="([^"]+)"`).FindStringSubmatch(page.Text)[1]))
	assert.Equal(t, []string{"false"}, frame.Query()["self_redirect"])
	assert.Equal(t, []string{"jssdk"}, frame.Query()["login_type"])

	callback, err := s.Sim.CallbackURL(wechattest.Browser(wechattest.Chrome), frame.String())
	require.NoError(t, err)
	assert.Contains(t, b.Visit(callback).Text, "url=/a?b=c logged-in=true")
	assert.Equal(t, http.StatusSeeOther, s.Browser().Step("/a").StatusCode, "inside WeChat nothing changes")
}

func TestEmbedded_CallbackInFrame(t *testing.T) {
	s := authtest.NewSite(t, authtest.WithWebsite())
	b := s.Browser().As(wechattest.Chrome)
	callback, err := s.Sim.CallbackURL(wechattest.Browser(wechattest.Chrome), b.Step("/a").Header.Get("Location"))
	require.NoError(t, err)

	framed := s.Browser().As(wechattest.Chrome) // the frame's request has no Lax cookie
	framed.Header.Set("Sec-Fetch-Dest", "iframe")
	framed.Header.Set("Sec-Fetch-Mode", "navigate")
	framed.Header.Set("Sec-Fetch-Site", "cross-site")
	got := framed.Step(callback)
	assert.Equal(t, http.StatusOK, got.StatusCode)
	assert.Equal(t, "SAMEORIGIN", got.Header.Get("X-Frame-Options"))
	assert.Contains(t, got.Header.Get("Content-Security-Policy"), "frame-ancestors 'self'")
	assert.Contains(t, got.Text, `<a class="button" href="" target="_top">`, "without script")
	code := authtest.MustParse(t, callback).Query().Get("code")
	assert.NotContains(t, got.Text, code)
	assert.NotContains(t, s.Logs.String(), code)
	assert.Zero(t, s.Exchanges())

	assert.Contains(t, b.Visit(callback).Text, "url=/a logged-in=true", "the top window has the cookie")
	framed.Header.Set("Sec-Fetch-Dest", "document")
	assert.Equal(t, http.StatusBadRequest, framed.Step(callback).StatusCode, "it is reopened only once")
}

func TestOpenInWeChat_ErrorHandler(t *testing.T) {
	var heard wechatauth.Failure
	s := authtest.NewSite(t, authtest.WithWebsite(), wechatauth.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, f wechatauth.Failure) {
		heard = f
		w.WriteHeader(f.Status)
	}))
	s.Browser().As(authtest.SafariPhone).Step("/a?" + url.Values{"q": {"x"}}.Encode())
	assert.Equal(t, wechatauth.Failure{Reason: wechatauth.ReasonOpenInWeChat, Status: 403, Page: true, RetryURL: s.Base.String() + "/a?q=x"}, heard)
}
