package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/wechattest"
)

// An oldTab is a tab of Chromium 78, which lacks what chromedp.Click needs.
type oldTab struct{ *tab }

// openOldBrowser starts Chromium 78, one of the engines of WeChat on Android. It
// has one process, and its windows share their cookies.
func openOldBrowser(t *testing.T) oldTab {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "bin", "chromium78"))
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, runSetup)
	b := openBrowserFor(t, patience, chromedp.ExecPath(path), chromedp.Flag("headless", true),
		chromedp.Flag("single-process", true), chromedp.Flag("no-zygote", true))
	b.old = true
	tb := b.tab()
	require.Contains(t, eval[string](tb, "navigator.userAgent"), "Chrome/78.")
	return oldTab{tb}
}

// press clicks with the mouse in the middle of an element.
func (tb oldTab) press(selector string) chromedp.Action[chromedp.Void] {
	tb.t.Helper()
	at := eval[[]float64](tb.tab, fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		e.scrollIntoView({ block: "center" });
		const box = e.getBoundingClientRect();
		return [box.left + box.width / 2, box.top + box.height / 2];
	})()`, selector))
	return chromedp.MouseClickXY(at[0], at[1])
}

func (tb oldTab) click(selector string) shown { tb.t.Helper(); return tb.after(tb.press(selector)) }

func (tb oldTab) tapAt(selector string) {
	tb.t.Helper()
	require.NoError(tb.t, chromedp.Do(tb.ctx, tb.press(selector)))
}

// looksRight fails the test for what a user would notice on the current page.
func (tb oldTab) looksRight(name string) {
	tb.t.Helper()
	assert.Empty(tb.t, eval[[]string](tb.tab, faultsJS), name)
	for _, width := range []int64{320, 390, 1440} {
		tb.width(width)
		assert.Empty(tb.t, eval[[]string](tb.tab, layoutJS), "%s, %d pixels wide", name, width)
	}
	tb.width(390)
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		require.NoError(tb.t, os.MkdirAll(dir, 0o755))
		require.NoError(tb.t, os.WriteFile(filepath.Join(dir, "chromium78-"+strings.ReplaceAll(name, " ", "-")+".png"), tb.screenshot(), 0o644))
	}
}

func TestOldEngine_Gallery(t *testing.T) {
	t.Parallel()
	tb := openOldBrowser(t)
	tb.onEachPage("window.WeixinJSBridge = { call() {} };")
	views := startGallery(t)
	tb.width(390)
	for _, lang := range []string{page.Chinese, page.English} {
		for _, v := range views {
			tb.open(v.url + "?lang=" + lang)
			eval[string](tb.tab, v.state)
			tb.looksRight(v.name + " " + lang)
			if strings.HasPrefix(v.name, "embedded") {
				tb.forgive("Unrecognized feature: 'local-network-access'")
			}
			if tb.has("#copy") && v.state == asIs {
				tb.tapAt("#copy")
				tb.until("document.querySelector('#copy').textContent === document.querySelector('#copy').dataset.done")
			}
		}
	}
}

func TestOldEngine_Quickstart(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	tb := openOldBrowser(t)
	tb.width(390)
	assert.Equal(t, shown{200, site.url + "/?from=menu"}, tb.open(site.url+"/?from=menu"))
	tb.looksRight("quickstart home")
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
	tb.click("a.button[href='/profile']")
	tb.looksRight("quickstart upgrade")
	tb.click(upgradeButton)
	tb.looksRight("simulator consent")
	assert.Equal(t, shown{200, site.url + "/profile"}, tb.click(allowButton))
	tb.looksRight("quickstart profile")
	assert.Equal(t, person, tb.text("#nickname"))
	assert.Equal(t, shown{200, site.url + "/public"}, tb.click(logoutButton))
	tb.looksRight("quickstart public")
	tb.open(site.url + "/")
	tb.forgive("status of 401")
	assert.Equal(t, "You are logged out", tb.text("h1"))
	assert.Equal(t, shown{200, site.url + "/"}, tb.click(loginLink))
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
}

// The phone scans with Chromium 78, and the computer is one.
func TestOldEngine_Scan(t *testing.T) {
	t.Parallel()
	site := startScanSite(t, withScan())
	computer, phone := openOldBrowser(t), openOldBrowser(t)
	require.NoError(t, computer.pretend(wechattest.Chrome, "zh-CN"))
	require.NoError(t, phone.pretend(wechattest.Android, "zh-CN"))
	computer.width(1440)
	computer.open(site.url + "/orders?id=7")
	phone.open(computer.readQR())
	computer.until("document.querySelector('main').dataset.state === 'scanned'")
	phone.click(confirmButton)
	computer.until("document.querySelector('#number') !== null")
	computer.tapAt("#number")
	require.NoError(t, chromedp.Do(computer.ctx, chromedp.KeyEvent(phone.text(".number strong"))))
	computer.click("form button")
	assert.Equal(t, site.url+"/orders?id=7", eval[string](computer.tab, "location.href"))
	assert.Equal(t, openIDOf(person), computer.text("#openid"))
	phone.until("document.querySelector('svg.done') !== null")
}

func TestOldEngine_Retry(t *testing.T) {
	t.Parallel()
	site := startScanSite(t)
	tb := openOldBrowser(t)
	require.NoError(t, tb.pretend(wechattest.Android, "zh-CN"))
	tb.open(site.url + "/orders?id=7")
	site.redis.Stop()
	tb.open(site.url + "/orders?id=7")
	assert.False(t, eval[bool](tb.tab, "document.querySelector('#wait').hidden"))
	site.redis.Restart()
	tb.until("document.querySelector('#openid') !== null")
	tb.complaints() // one for each 503
}

func TestOldEngine_SPA(t *testing.T) {
	t.Parallel()
	site := startSPA(t)
	tb := openOldBrowser(t)
	tb.width(390)
	tb.open(site + "/?from=menu#/")
	tb.until(onHome)
	tb.looksRight("spa home")
	tb.tapAt("#to-me")
	tb.until(onAccount)
	tb.forgive("401")
	tb.looksRight("spa account")
	tb.tapAt("#logout")
	tb.until(onHome)
}

func TestOldEngine_Simulator(t *testing.T) {
	t.Parallel()
	sim := startWechatsim(t)
	site := startSite(t, sim, wechatauth.WithScope(client.ScopeUserInfo))
	tb := openOldBrowser(t)
	tb.width(390)
	tb.open(sim.url + "/")
	tb.looksRight("simulator control")
	tb.tapAt("input[name=person][value=Lin]")
	tb.until("document.querySelector('input[name=person][value=Lin]').checked")
	require.NoError(t, tb.pretend(wechattest.Android, "en"))
	tb.open(site.url + "/")
	tb.until("document.querySelector('input[value=Lin]').checked")
	tb.click(allowButton)
	assert.Equal(t, openIDOf("Lin"), tb.text("#openid"))
}
