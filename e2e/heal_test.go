package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A lateClock is ahead of the time by what a test advances it.
type lateClock struct{ ahead atomic.Int64 }

func (c *lateClock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *lateClock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// onEachPage runs a script in each page before those of the page.
func (tb *tab) onEachPage(script string) {
	tb.t.Helper()
	require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})))
}

// lookOf returns the first look of a device in a language.
func lookOf(device, lang string) look {
	for _, l := range looks() {
		if l.device == device && l.lang == lang {
			return l
		}
	}
	panic("no look of " + device + " in " + lang)
}

// A page that Redis cannot serve requests itself again, and shows the
// application once Redis is back.
func TestHeal_Retry(t *testing.T) {
	t.Parallel()
	site := startScanSite(t)
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	phone := openBrowser(t).tab()
	l := lookOf("phone", "en")
	require.NoError(t, l.put(phone))
	phone.open(site.url + "/orders?id=7")
	require.Equal(t, openIDOf(person), phone.text("#openid"))

	site.redis.Stop()
	assert.EqualValues(t, 503, phone.open(site.url+"/orders?id=7").status)
	assert.Contains(t, phone.text("#wait"), "Retrying in ")
	l.see(phone, "25-retry")
	phone.until("JSON.parse(sessionStorage.getItem('wechatauth-retry') || '{}').tries === 1 && document.querySelector('#wait') !== null")
	site.redis.Restart()
	phone.until("document.querySelector('#openid') !== null || document.querySelector('a.button') === null")
	phone.complaints() // one for each 503
	assert.Equal(t, site.url+"/orders?id=7", eval[string](phone, "location.href"))
}

// The tab counts: after five automatic requests only the button tries again. A
// browser that keeps no count makes none.
func TestHeal_RetryBound(t *testing.T) {
	t.Parallel()
	site := startScanSite(t)
	phone := openBrowser(t).tab()
	require.NoError(t, lookOf("phone", "zh-CN").put(phone))
	phone.open(site.url + "/")
	site.redis.Stop()
	down := func() { phone.open(site.url + "/"); phone.forgive("status of 503") }
	count := func(tries int, at string) {
		eval[bool](phone, fmt.Sprintf("sessionStorage.setItem('wechatauth-retry', JSON.stringify({ tries: %d, at: %s })) || true", tries, at))
	}

	down()
	assert.False(t, eval[bool](phone, "document.querySelector('#wait').hidden"))
	count(2, "Date.now()")
	down()
	assert.GreaterOrEqual(t, eval[int](phone, "parseInt(document.querySelector('#wait').textContent, 10)"), 11, "3 s, twice doubled")
	count(5, "Date.now()")
	down()
	assert.True(t, eval[bool](phone, "document.querySelector('#wait').hidden"))
	assert.Equal(t, "再试一次", phone.text("a.button"))
	count(5, "Date.now() - 301000")
	down()
	assert.False(t, eval[bool](phone, "document.querySelector('#wait').hidden"), "a later outage starts again")
	phone.onEachPage("Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('blocked'); } });")
	down()
	assert.True(t, eval[bool](phone, "document.querySelector('#wait').hidden"))
}

// The rest of the two minutes is shown, and not announced. An expired QR
// code is replaced by one tap, which leaves no page to go back to.
func TestHeal_Renew(t *testing.T) {
	t.Parallel()
	var clock lateClock
	site := startScanSite(t, withScan(), wechatauth.WithClock(clock.now))
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	for _, l := range looks() {
		if l.device != "desktop" || (l.scheme == "dark") != (l.lang == "en") {
			continue
		}
		t.Run(l.String(), func(t *testing.T) {
			computer, phone := b.window(t), b.window(t)
			require.NoError(t, l.put(computer))
			require.NoError(t, lookOf("phone", l.lang).put(phone))
			computer.open(site.url + "/orders?id=7")
			first := computer.readQR()
			left := "parseInt(document.querySelector('#left').textContent.match(/\\d+/)[0], 10)"
			shown := eval[int](computer, left)
			assert.InDelta(t, 120, shown, 10)
			computer.until(fmt.Sprintf("%s < %d", left, shown))
			assert.Equal(t, "timer", eval[string](computer, "document.querySelector('#left').getAttribute('role')"), "which is not a live region")
			assert.False(t, eval[bool](computer, "document.querySelector('#left').closest('[role=status], [aria-live]') !== null"))

			clock.advance(2 * time.Minute)
			computer.until("document.querySelector('main').dataset.state === 'expired'")
			l.see(computer, "26-scan-expired")
			before := eval[int](computer, "history.length")
			computer.click("#renew")
			second := computer.readQR()
			assert.NotEqual(t, first, second)
			assert.Equal(t, before, eval[int](computer, "history.length"))
			phone.open(first)
			phone.forgive("status of 400")
			assert.Equal(t, "scan_expired", phone.reason())
			phone.open(second)
			phone.click(confirmButton)
			computer.until("document.querySelector('#number') !== null")
			computer.put("#number", phone.text(".number strong"))
			computer.click("form button")
			assert.Equal(t, site.url+"/orders?id=7", eval[string](computer, "location.href"))
			assert.NotEmpty(t, computer.text("#openid"))
		})
	}
}

// While Redis is down, the scan page says so. Once Redis is back, the same QR
// code works.
func TestHeal_ScanAway(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan())
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	computer, phone := openBrowser(t).tab(), openBrowser(t).tab()
	l := lookOf("desktop", "zh-CN")
	require.NoError(t, l.put(computer))
	require.NoError(t, lookOf("phone", "zh-CN").put(phone))
	computer.open(site.url + "/")
	code := computer.readQR()
	site.redis.Freeze()
	computer.until("document.querySelector('main').classList.contains('away')")
	assert.Equal(t, "暂时无法连接，正在重试", computer.text(".status .away"))
	l.see(computer, "27-scan-away")
	site.redis.Thaw()
	computer.until("!document.querySelector('main').classList.contains('away')")
	computer.complaints() // one for each 503
	phone.open(code)
	computer.until("document.querySelector('main').dataset.state === 'scanned'")
	assert.True(t, eval[bool](computer, "document.querySelector('svg.done').checkVisibility()"), "a check mark")
	phone.click(confirmButton)
	computer.until("document.querySelector('#number') !== null")
}

// An application's labels without a number stop no script: the login continues.
func TestHeal_OwnLabels(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan(), wechatauth.WithPages(func(w io.Writer, p wechatauth.Page) error {
		if p.Kind == wechatauth.PageScan {
			p.Labels["left"] = "Valid for two minutes"
		}
		return wechatauth.DefaultPages(w, p)
	}))
	computer, phone := openBrowser(t).tab(), openBrowser(t).tab()
	require.NoError(t, lookOf("desktop", "en").put(computer))
	require.NoError(t, lookOf("phone", "en").put(phone))
	computer.open(site.url + "/")
	phone.open(computer.readQR())
	computer.until("document.querySelector('main').dataset.state === 'scanned'")
	assert.Equal(t, "Valid for two minutes", computer.text("#left"))
	phone.click(confirmButton)
	computer.until("document.querySelector('#number') !== null")
}

const bridge = `window.WeixinJSBridge = { call(name) { document.title = name; } };`

// The phone's last page closes WeChat's browser, where that has a bridge.
func TestHeal_Close(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan())
	computer, phone := openBrowser(t).tab(), openBrowser(t).tab()
	require.NoError(t, lookOf("desktop", "en").put(computer))
	l := lookOf("phone", "en")
	require.NoError(t, l.put(phone))
	require.NoError(t, os.MkdirAll("screenshots", 0o755))

	computer.open(site.url + "/")
	phone.open(computer.readQR())
	phone.click("button[name=refuse]")
	phone.forgive("status of 403")
	assert.Equal(t, "Canceled. The computer is not logged in", phone.text("h1"))
	assert.True(t, eval[bool](phone, "document.querySelector('#close').hidden"), "there is no bridge")
	eval[bool](phone, strings.TrimSuffix(bridge, ";")+", document.dispatchEvent(new Event('WeixinJSBridgeReady'))")
	assert.False(t, eval[bool](phone, "document.querySelector('#close').hidden"))
	l.see(phone, "28-canceled")
	computer.until("document.querySelector('footer') !== null")
	computer.forgive("status of 403")
	assert.Equal(t, "Login canceled on the phone", computer.text("h1"))

	phone.onEachPage(bridge)
	computer.click("a.button")
	phone.open(computer.readQR())
	phone.click(confirmButton)
	computer.until("document.querySelector('#number') !== null")
	computer.put("#number", phone.text(".number strong"))
	computer.click("form button")
	phone.until("document.querySelector('svg.done') !== null")
	l.see(phone, "29-done")
	_, err := chromedp.Run(phone.ctx, chromedp.Click(chromedp.CSS("#close")))
	require.NoError(t, err)
	assert.Equal(t, "closeWindow", eval[string](phone, "document.title"))
}

// A user without access logs out with the page's own form.
func TestHeal_NotAuthorized(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan(), wechatauth.WithAccessCheck(func(_ context.Context, id wechatauth.Identity) error {
		if id.Channel == wechatauth.ChannelWeChat {
			return wechatauth.ErrForbidden
		}
		return nil
	}, 0))
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	for _, lang := range []string{"zh-CN", "en"} {
		t.Run(lang, func(t *testing.T) {
			phone := b.window(t)
			l := lookOf("phone", lang)
			require.NoError(t, l.put(phone))
			assert.EqualValues(t, 403, phone.open(site.url+"/orders?id=7").status)
			phone.forgive("status of 403")
			l.see(phone, "30-not-authorized")
			assert.Equal(t, shown{401, site.url + "/orders?id=7"}, phone.click("form button"))
			phone.forgive("status of 401")
			assert.True(t, phone.has("a.button"), "the user can log in again")
		})
	}
}

// A long address is cut after three lines, and copied whole. The camera of a
// phone that scanned a login's QR code leads to steps without an address.
func TestHeal_OpenInWeChat(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan())
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	const safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	for _, lang := range []string{"zh-CN", "en"} {
		t.Run(lang, func(t *testing.T) {
			phone, computer := b.window(t), b.window(t)
			l := lookOf("phone", lang)
			require.NoError(t, l.put(phone))
			require.NoError(t, phone.pretend(safari, lang))
			long := site.url + "/orders?id=" + strings.Repeat("1234567890", 40)
			phone.open(long)
			phone.forgive("status of 403")
			l.see(phone, "31-open-long")
			assert.Equal(t, long, eval[string](phone, "document.querySelector('#url').textContent"))
			assert.InDelta(t, 12+3*21+12, eval[float64](phone, "document.querySelector('#url').offsetHeight"), 2)
			assert.False(t, phone.has("img"))

			require.NoError(t, computer.pretend(wechattest.Chrome, lang))
			computer.open(site.url + "/")
			phone.open(computer.readQR())
			phone.forgive("status of 403")
			l.see(phone, "32-camera")
			assert.False(t, phone.has("#url, img"))
			assert.Equal(t, 3, eval[int](phone, "document.querySelectorAll('li').length"))
		})
	}
}
