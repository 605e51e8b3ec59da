package authtest

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A ScanSite is a site of two instances on one Redis: desktop browsers use the
// first one, phones the second.
type ScanSite struct {
	*Site
	Redis *redistest.Server
}

func NewScanSite(t *testing.T, opts ...wechatauth.Option) *ScanSite {
	t.Helper()
	return NewScanSiteWith(t, wechatauth.WithRedis, opts...)
}

// NewScanSiteWith makes each instance store its sessions in Redis in this way.
func NewScanSiteWith(t *testing.T, sessions func(*redis.Pool) wechatauth.Option, opts ...wechatauth.Option) *ScanSite {
	t.Helper()
	server := redistest.Start(t)
	opts = append([]wechatauth.Option{sessions(server.Pool()), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}, opts...)
	s := &ScanSite{Site: NewSite(t, opts...), Redis: server}
	first := s.Server.Config.Handler
	second := *s.Site
	second.Auth = nil
	auth, err := wechatauth.New(append([]wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()),
		wechatauth.WithEndpoints(s.Sim.Endpoints()), wechatauth.WithClock(s.Clock.Now), wechatauth.WithLogger(s.Log),
	}, append(opts, sessions(server.Pool()))...)...)
	require.NoError(t, err)
	second.Auth = auth
	routes := second.Routes()
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if environment.Of(r).InWeChat() {
			routes.ServeHTTP(w, r)
			return
		}
		first.ServeHTTP(w, r)
	})
	return s
}

// Marks returns the site's marks in Redis.
func (s *ScanSite) Marks() store.Marks { return store.New(s.Redis.Pool()) }

func (s *ScanSite) Computer() *Browser { return s.Browser().As(ChromeWindows) }

// PhoneOf returns the phone of a person of the simulator.
func (s *ScanSite) PhoneOf(person string) *Browser {
	b := s.Browser()
	b.SetCookie("wechatsim_person", url.QueryEscape(person))
	return b
}

// Held returns the content of a browser's scan cookie.
func (s *ScanSite) Held(b *Browser) scan.Cookie {
	s.T.Helper()
	c := b.Cookie(s.Cookies.ScanName())
	require.NotNil(s.T, c, "the browser has no scan cookie")
	held, ok := s.ScanCookieOf(c)
	require.True(s.T, ok)
	return held
}

// ScanCookieOf opens a scan cookie of the site.
func (s *Site) ScanCookieOf(c *http.Cookie) (held scan.Cookie, ok bool) {
	plain, err := s.Cookies.Open(c.Name, c.Value, "scan")
	return held, err == nil && json.Unmarshal(plain, &held) == nil
}

// SealScanCookie returns a scan cookie of the site.
func (s *Site) SealScanCookie(c scan.Cookie) *http.Cookie {
	s.T.Helper()
	value, err := s.Cookies.Seal(c, "scan", s.Cookies.ScanName())
	require.NoError(s.T, err)
	return &http.Cookie{Name: s.Cookies.ScanName(), Value: value}
}

// Show opens a page in a desktop browser and returns the content of the QR code
// there.
func (s *ScanSite) Show(computer *Browser, target string) (path string, c scan.Cookie) {
	s.T.Helper()
	shown := computer.Visit(target)
	require.Equal(s.T, http.StatusOK, shown.StatusCode, shown.Text)
	c = s.Held(computer)
	path = "/wechat/scan/" + c.Ticket
	body := html.UnescapeString(shown.Text)
	require.Contains(s.T, body, string(page.QRCode(s.Base.String()+path)), "the QR code has the URL of the phone's page")
	require.NotContains(s.T, strings.ReplaceAll(body, string(page.QRCode(s.Base.String()+path)), ""), c.Ticket)
	return path, c
}

const ScanButton = `<button type="submit" name="confirm" value="1">`

// Scan opens the QR code on a phone, which shows whether to log in on the
// computer.
func (s *ScanSite) Scan(phone *Browser, path string) {
	s.T.Helper()
	page := phone.Visit(path)
	require.Equal(s.T, http.StatusOK, page.StatusCode, page.Text)
	require.Contains(s.T, page.Text, ScanButton)
}

var (
	Confirmed   = url.Values{"confirm": {"1"}}
	ShownNumber = regexp.MustCompile(`<p class="number"><strong>([0-9]{4})</strong></p>`)
)

// Confirm presses the button on a phone, which then shows the number.
func (s *ScanSite) Confirm(phone *Browser, path string) (number string) {
	s.T.Helper()
	page := phone.Post(path, Confirmed)
	shown := ShownNumber.FindStringSubmatch(page.Text)
	require.NotNil(s.T, shown, page.Text)
	return shown[1]
}

// Enter submits a number in the page of the browser, which has a return URL.
func (b *Browser) Enter(target, number string) Response {
	return b.Post("/wechat/scan", url.Values{"next": {target}, "number": {number}})
}

// WrongNumber returns a number other than the right one.
func WrongNumber(right string) string {
	if right == "0000" {
		return "0001"
	}
	return "0000"
}

// StatusOf polls as the page's script does, after the cached state has expired.
func (s *ScanSite) StatusOf(b *Browser) string {
	s.T.Helper()
	s.Clock.Advance(scan.Pause)
	return strings.TrimSpace(b.Fetch(http.MethodGet, "/wechat/scan/status").Text)
}

// Collect reloads the page of the QR code, as its script does.
func (b *Browser) Collect(target string) Response {
	return b.Visit("/wechat/scan?next=" + url.QueryEscape(target) + "&wait=1")
}

// RefusedFor reports whether a response rejects a request for a reason.
func RefusedFor(got Response, reason wechatauth.Reason) bool {
	return got.StatusCode >= 400 && strings.Contains(got.Text, `data-reason="`+string(reason)+`"`)
}
