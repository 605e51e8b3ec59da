package e2e

import (
	"context"
	"fmt"
	"html"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// startScanSite runs two instances of a site on one Redis: phones use one,
// computers the other.
func startScanSite(t *testing.T, opts ...wechatauth.Option) *quickstart {
	t.Helper()
	return startScanSiteOn(t, wechattest.NewServer(), opts...)
}

func startScanSiteOn(t *testing.T, sim *wechattest.Server, opts ...wechatauth.Option) *quickstart {
	t.Helper()
	redis := redistest.Start(t)
	t.Cleanup(sim.Close)
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	instance := func() http.Handler {
		auth, err := wechatauth.New(append([]wechatauth.Option{
			wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
			wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret),
			wechatauth.WithBaseURL(base), wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithRedisURL(redis.URL()),
		}, opts...)...)
		require.NoError(t, err)
		return auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := wechatauth.IdentityFromContext(r.Context())
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<!doctype html><title>in</title><p id="openid">%s</p><p id="channel">%s</p>`, html.EscapeString(id.OpenID), id.Channel)
		}))
	}
	computers, phones := instance(), instance()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.UserAgent(), "MicroMessenger") {
			phones.ServeHTTP(w, r)
			return
		}
		computers.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return &quickstart{url: base, sim: sim.URL, server: server, redis: redis}
}

func withScan() wechatauth.Option {
	return wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})
}

// until waits until a condition holds in the page. By then the page may be
// another one, and in the background, where nothing is drawn.
func (tb *tab) until(condition string) {
	tb.t.Helper()
	for {
		ok, err := chromedp.Run(tb.ctx, chromedp.Poll[bool](condition, chromedp.WithPollingInterval(20*time.Millisecond)))
		if err == nil && ok {
			return
		}
		require.NoError(tb.t, tb.ctx.Err(), "waiting for %s: %v", condition, err)
	}
}

// pretend makes the tab another browser.
func (tb *tab) pretend(userAgent, lang string) error {
	return chromedp.Do(tb.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: userAgent, AcceptLanguage: lang})
		return err
	}))
}

const confirmButton = "form.confirm button[name=confirm]"

// put types into a field.
func (tb *tab) put(selector, text string) {
	tb.t.Helper()
	_, err := chromedp.Run(tb.ctx, chromedp.SendKeys(chromedp.CSS(selector), text))
	require.NoError(tb.t, err)
}

func TestScan(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan())
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	for _, phoneLook := range looks() {
		if phoneLook.device != "phone" {
			continue
		}
		deskLook := phoneLook
		for _, l := range looks() {
			if l.device == "desktop" && l.scheme == phoneLook.scheme && l.lang == phoneLook.lang {
				deskLook = l
			}
		}
		t.Run(phoneLook.scheme+"-"+phoneLook.lang, func(t *testing.T) {
			computer, phone := b.window(t), b.window(t)
			require.NoError(t, deskLook.put(computer))
			require.NoError(t, phoneLook.put(phone))

			computer.open(site.url + "/orders?id=7")
			deskLook.see(computer, "11-scan")
			phone.open(computer.readQR())
			phoneLook.see(phone, "12-scan-confirm")
			computer.until("document.querySelector('main').dataset.state === 'scanned'")
			deskLook.see(computer, "13-scanned")
			assert.EqualValues(t, 200, phone.click(confirmButton).status)
			phoneLook.see(phone, "14-scan-confirmed")
			computer.until("document.querySelector('#number') !== null")
			deskLook.see(computer, "14-scan-number")
			computer.put("#number", phone.text(".number strong"))
			computer.click("form button")

			assert.Equal(t, site.url+"/orders?id=7", eval[string](computer, "location.href"))
			assert.Equal(t, openIDOf(person), computer.text("#openid"))
			assert.Equal(t, "scan", computer.text("#channel"))
			phone.until("document.querySelector('svg.done') !== null")
			phoneLook.see(phone, "14-scan-done")
		})
	}
}

// A page of the application's follows the scan with the script of the built-in
// one.
func TestScan_OwnPage(t *testing.T) {
	t.Parallel()
	own := template.Must(template.New("scan").Parse(`<!doctype html><html lang="{{.Lang}}"><title>{{.Title}}</title>
<main data-state="waiting" data-refresh="{{.Scan.RefreshURL}}" data-status="{{.Scan.StatusURL}}">
<h1>Our shop</h1><img class="qr" src="{{.QR}}" alt="{{.Labels.qr}}" width="240" height="240">
</main><script>{{.Script}}</script></html>`))
	site := startScanSite(t, withScan(), wechatauth.WithPages(func(w io.Writer, p wechatauth.Page) error {
		if p.Kind != wechatauth.PageScan {
			return wechatauth.DefaultPages(w, p)
		}
		return own.Execute(w, p)
	}))
	computer, phone := openBrowser(t).tab(), openBrowser(t).tab()
	require.NoError(t, phone.pretend(wechattest.IPhone, "en"))
	computer.open(site.url + "/")
	assert.Equal(t, "Our shop", computer.text("h1"))
	phone.open(computer.readQR())
	phone.click(confirmButton)
	computer.until("document.querySelector('#number') !== null")
	computer.put("#number", phone.text(".number strong"))
	computer.click("form button")
	assert.NotEmpty(t, computer.text("#openid"))
}

func TestScan_WrongNumber(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan())
	computer, phone := openBrowser(t).tab(), openBrowser(t).tab()
	for _, l := range looks() {
		if l.device == "phone" && l.lang == "en" {
			require.NoError(t, l.put(phone))
		}
	}
	computer.open(site.url + "/")
	phone.open(computer.readQR())
	phone.click(confirmButton)
	wrong := "0000"
	if phone.text(".number strong") == wrong {
		wrong = "0001"
	}
	computer.until("document.querySelector('#number') !== null")
	computer.put("#number", wrong)
	assert.EqualValues(t, 403, computer.click("form button").status)
	computer.forgive("status of 403")
	assert.Equal(t, "scan_wrong_number", computer.reason())
	phone.until("document.querySelector('footer')?.dataset.reason === 'scan_wrong_number'")
	phone.forgive("status of 403")
	computer.click("a.button")
	assert.NotEmpty(t, computer.readQR(), "there is a new code")
}

func TestOpenInWeChat(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, wechatauth.WithEnvironment(environment.Policy{environment.WeChatWindows: environment.OpenInWeChat}))
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	for _, l := range looks() {
		t.Run(l.String(), func(t *testing.T) {
			tb := b.window(t)
			require.NoError(t, l.put(tb))
			agent := wechattest.Windows
			if l.device == "phone" {
				agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
			}
			require.NoError(t, tb.pretend(agent, l.lang))
			tb.open(site.url + "/orders?id=7")
			tb.forgive("status of 403")
			l.see(tb, "15-open-in-wechat")
			if l.device == "desktop" {
				assert.Equal(t, site.url+"/orders?id=7", tb.readQR())
			}
			assert.Equal(t, site.url+"/orders?id=7", tb.text("#url"))
			_, err := chromedp.Run(tb.ctx, chromedp.Click(chromedp.CSS("#copy")))
			require.NoError(t, err)
			tb.until("document.querySelector('#copy').innerText === document.querySelector('#copy').dataset.done")
		})
	}
}

func TestEmbedded_Page(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR}))
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	for _, l := range looks() {
		t.Run(l.String(), func(t *testing.T) {
			tb := b.window(t)
			require.NoError(t, l.put(tb))
			require.NoError(t, tb.pretend(wechattest.Chrome, l.lang)) // in a narrow window, too
			tb.open(site.url + "/orders?id=7")
			l.see(tb, "16-embedded")
		})
	}
}

// startEmbeddingSite runs a site that browsers consider another site than
// WeChat's: localhost, while the simulator is on 127.0.0.1. callbacks returns
// the destinations of callback requests: document or iframe.
func startEmbeddingSite(t *testing.T) (base string, callbacks func() []string) {
	t.Helper()
	sim := wechattest.NewServer()
	t.Cleanup(sim.Close)
	server := httptest.NewUnstartedServer(nil)
	base = strings.Replace("http://"+server.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret),
		wechatauth.WithBaseURL(base), wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR}))
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/own", func(w http.ResponseWriter, r *http.Request) { // a page of the application's, with wxLogin.js
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>own</title><iframe src="%s" width="300" height="400"></iframe>`, html.EscapeString(r.FormValue("frame")))
	})
	mux.Handle("/", auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>in</title><p id="openid">%s</p>`, html.EscapeString(id.OpenID))
	})))
	var mu sync.Mutex
	var places []string
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wechat/callback" {
			mu.Lock()
			places = append(places, r.Header.Get("Sec-Fetch-Dest"))
			mu.Unlock()
		}
		mux.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return base, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(places)
	}
}

// openWideDesktop opens a computer's window with room for the whole frame.
func openWideDesktop(t *testing.T) *tab {
	t.Helper()
	computer := openBrowser(t).tab()
	for _, l := range looks() {
		if l.String() == "desktop-light-en" {
			require.NoError(t, l.put(computer))
		}
	}
	return computer
}

// confirmEmbedded scans the code in the frame of a page, and confirms it.
func confirmEmbedded(t *testing.T, computer *tab) {
	t.Helper()
	phone := openBrowser(t).tab()
	require.NoError(t, phone.pretend(wechattest.IPhone, "zh-CN"))
	phone.open(computer.readFramedQR())
	phone.click(allowButton)
}

func TestEmbedded_Login(t *testing.T) {
	t.Parallel()
	base, callbacks := startEmbeddingSite(t)
	computer := openWideDesktop(t)
	computer.open(base + "/orders?id=7")
	require.True(t, computer.has("iframe"))
	confirmEmbedded(t, computer)
	computer.until("document.querySelector('#openid') !== null")
	assert.Equal(t, wechattest.OpenID(wechattest.DefaultWebsiteAppID, person), computer.text("#openid"))
	assert.Equal(t, base+"/orders?id=7", eval[string](computer, "location.href"))
	assert.Equal(t, []string{"document"}, callbacks())
}

// An application's own page with wxLogin.js may keep self_redirect true. The
// callback is then requested in the frame, where browsers do not send Lax
// cookies.
func TestEmbedded_CallbackInFrame(t *testing.T) {
	t.Parallel()
	base, callbacks := startEmbeddingSite(t)
	computer := openWideDesktop(t)
	computer.open(base + "/orders?id=7")
	frame := eval[string](computer, "document.querySelector('iframe').src")
	require.Contains(t, frame, "self_redirect=false")
	computer.open(base + "/own?frame=" + url.QueryEscape(strings.Replace(frame, "self_redirect=false", "self_redirect=true", 1)))
	confirmEmbedded(t, computer)
	computer.until("document.querySelector('#openid') !== null")
	assert.Equal(t, wechattest.OpenID(wechattest.DefaultWebsiteAppID, person), computer.text("#openid"))
	assert.Equal(t, base+"/orders?id=7", eval[string](computer, "location.href"))
	assert.Equal(t, []string{"iframe", "document"}, callbacks())
}

// The pages for users who cannot log in, or have denied consent, at the width
// of a phone and of a computer.
func TestRejectedPages(t *testing.T) {
	t.Parallel()
	guests := wechattest.NewServer()
	guests.SetEnvironment(wechattest.Snapshot)
	guest := startScanSiteOn(t, guests, wechatauth.WithScope(client.ScopeUserInfo))
	refusing := wechattest.NewServer(wechattest.WithQuirks(wechattest.RefusalCallback))
	refused := startScanSiteOn(t, refusing)
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	for _, l := range looks() {
		t.Run(l.String(), func(t *testing.T) {
			tb := b.window(t)
			require.NoError(t, l.put(tb))
			agent := wechattest.Windows
			if l.device == "phone" {
				agent = wechattest.IPhone
			}
			require.NoError(t, tb.pretend(agent, l.lang))

			tb.open(guest.url + "/orders?id=7")
			tb.forgive("status of 403")
			l.see(tb, "17-guest")
			assert.Equal(t, guest.url+"/orders?id=7", eval[string](tb, "location.href"), "the URL that the button opens")

			tb.open(refused.url + "/wechat/upgrade?next=/")
			l.see(tb, "18-upgrade")
			tb.click(upgradeButton)
			tb.click(refuseButton)
			tb.forgive("status of 403")
			l.see(tb, "19-refused")
			assert.Equal(t, "refused_by_user", tb.reason())
		})
	}
}

func TestScan_Expired(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan())
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	for _, l := range looks() {
		t.Run(l.String(), func(t *testing.T) {
			computer, phone := b.window(t), b.window(t)
			for tb, agent := range map[*tab]string{computer: wechattest.Chrome, phone: wechattest.IPhone} {
				require.NoError(t, l.put(tb))
				require.NoError(t, tb.pretend(agent, l.lang))
			}
			computer.open(site.url + "/")
			l.see(computer, "20-scan")
			scanned := computer.readQR()
			phone.open(scanned)
			l.see(phone, "21-scan-confirm")
			phone.click("button[name=refuse]")
			phone.forgive("status of 403")
			l.see(phone, "22-scan-refused")
			phone.open(scanned)
			phone.forgive("status of 403")
			assert.Equal(t, "refused_by_user", phone.reason(), "a reload says the same")

			computer.until("document.querySelector('footer')?.dataset.reason === 'refused_by_user'")
			computer.forgive("status of 403")
			l.see(computer, "24-scan-ended")
			computer.click("a.button")
			assert.NotEmpty(t, computer.readQR(), "there is a new code")
		})
	}
}
