package e2e

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

//go:embed faults.js
var faultsJS string

// look is a screen, a color scheme and a language in which pages are viewed.
type look struct {
	device, scheme, lang string
	agent                string // User-Agent; the browser's own if empty
	width, height        int64
	scale                float64
	options              []chromedp.EmulateViewportOption
}

func (l look) String() string { return l.device + "-" + l.scheme + "-" + l.lang }

func looks() (all []look) {
	for _, scheme := range []string{"light", "dark"} {
		for _, lang := range []string{"zh-CN", "en"} {
			all = append(all,
				look{device: "phone", scheme: scheme, lang: lang, agent: wechattest.IPhone, width: 390, height: 844, scale: 2,
					options: []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait}},
				look{device: "desktop", scheme: scheme, lang: lang, width: 1280, height: 800, scale: 1})
		}
	}
	return all
}

// put gives the tab this look. The phone is in WeChat.
func (l look) put(tb *tab) error {
	return chromedp.Do(tb.ctx,
		chromedp.EmulateViewport(l.width, l.height, append(l.options, chromedp.EmulateScale(l.scale))...),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
			})
			if err != nil {
				return err
			}
			agent := emulation.SetUserAgentOverrideParams{UserAgent: l.agent, AcceptLanguage: l.lang}
			if l.agent == "" {
				agent.UserAgent = eval[string](tb, "navigator.userAgent")
			}
			_, err = cdp.Call(ctx, t, emulation.SetUserAgentOverride, agent)
			return err
		}))
}

// see saves a picture of the current page, and fails the test for anything that
// would hinder a user.
func (l look) see(tb *tab, name string) {
	tb.t.Helper()
	picture := tb.screenshot()
	require.NoError(tb.t, os.WriteFile(filepath.Join("screenshots", fmt.Sprintf("%s-%s.png", name, l)), picture, 0o644))

	assert.Equal(tb.t, l.lang, eval[string](tb, "document.documentElement.lang"), name)
	assert.Empty(tb.t, eval[[]string](tb, faultsJS), name)
	assert.Empty(tb.t, tb.violations(allRules), name)
}

func TestPages(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	b := openBrowserForLooks(t)
	b.tab()
	for _, l := range looks() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			tb := b.window(t)
			require.NoError(t, l.put(tb))

			tb.open(site.url + "/public")
			l.see(tb, "1-public")
			tb.open(site.url + "/")
			l.see(tb, "2-home")
			tb.open(site.url + "/profile")
			l.see(tb, "3-upgrade")
			tb.click(upgradeButton)
			l.see(tb, "4-consent")
			tb.click(refuseButton)
			l.see(tb, "5-refused")
			tb.open(site.url + "/profile")
			tb.click(upgradeButton)
			tb.click(allowButton)
			l.see(tb, "6-profile")
			tb.open(site.url + "/public")
			l.see(tb, "7-public-logged-in")
			tb.click(logoutButton)
			tb.open(site.url + "/")
			tb.forgive("status of 401")
			l.see(tb, "8-logged-out")
			tb.open(site.url + "/wechat/callback?code=unasked&state=" + strings.Repeat("x", 32))
			tb.forgive("status of 400")
			l.see(tb, "9-callback-unasked")
			tb.open(site.sim + "/connect/oauth2/authorize?appid=wx0")
			l.see(tb, "10-wechat-error")
		})
	}
}
