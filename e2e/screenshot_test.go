package e2e

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// look is a screen, a colour scheme and a language that pages are seen in.
type look struct {
	device, scheme, lang string
	width, height        int64
	scale                float64
	options              []chromedp.EmulateViewportOption
}

func (l look) String() string { return l.device + "-" + l.scheme + "-" + l.lang }

func looks() (all []look) {
	for _, scheme := range []string{"light", "dark"} {
		for _, lang := range []string{"zh-CN", "en"} {
			all = append(all,
				look{device: "phone", scheme: scheme, lang: lang, width: 390, height: 844, scale: 2,
					options: []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait}},
				look{device: "desktop", scheme: scheme, lang: lang, width: 1280, height: 800, scale: 1})
		}
	}
	return all
}

// put makes the tab look so. The phone is in WeChat.
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
			agent := emulation.SetUserAgentOverrideParams{UserAgent: eval[string](tb, "navigator.userAgent"), AcceptLanguage: l.lang}
			if l.device == "phone" {
				agent.UserAgent = wechattest.IPhone
			}
			_, err = cdp.Call(ctx, t, emulation.SetUserAgentOverride, agent)
			return err
		}))
}

func TestEveryPageIsReadableOnEveryScreenInEveryLanguage(t *testing.T) {
	t.Parallel()
	site := startQuickstart(t)
	require.NoError(t, os.MkdirAll("screenshots", 0o755))
	for _, l := range looks() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			tb := openBrowser(t).tab()
			require.NoError(t, l.put(tb))
			see := func(name string) {
				t.Helper()
				picture, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join("screenshots", fmt.Sprintf("%s-%s.png", name, l)), picture, 0o644))
				assert.Equal(t, l.lang, eval[string](tb, "document.documentElement.lang"), name)
				faults := eval[[]string](tb, faultsJS)
				if strings.HasPrefix(eval[string](tb, "location.href"), site.sim) {
					// The colours of the simulator's buttons are WeChat's.
					faults = slices.DeleteFunc(faults, func(f string) bool { return strings.Contains(f, "contrast") })
				}
				assert.Empty(t, faults, name)
			}

			tb.open(site.url + "/public")
			see("1-public")
			tb.open(site.url + "/")
			see("2-home")
			tb.open(site.url + "/profile")
			see("3-upgrade")
			tb.click(upgradeButton)
			see("4-consent")
			tb.click(refuseButton)
			see("5-refused")
			tb.open(site.url + "/profile")
			tb.click(upgradeButton)
			tb.click(allowButton)
			see("6-profile")
			tb.open(site.url + "/public")
			see("7-public-logged-in")
			tb.click(logoutButton)
			tb.open(site.url + "/")
			tb.forgive("status of 401")
			see("8-logged-out")
			tb.open(site.url + "/wechat/callback?code=unasked&state=" + strings.Repeat("x", 32))
			tb.forgive("status of 400")
			see("9-callback-unasked")
			tb.open(site.sim + "/connect/oauth2/authorize?appid=wx0")
			see("10-wechat-error")
		})
	}
}
