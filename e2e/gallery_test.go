package e2e

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/page"
)

//go:embed layout.js
var layoutJS string

//go:embed forced.js
var forcedJS string

// Scripts that put a page into a state, and that make WeChat's bridge, with
// which pages close WeChat's browser.
const (
	expire    = `document.querySelector("main").dataset.state = "expired"`
	goAway    = `document.querySelector("main").classList.add("away"), "away"`
	copied    = `document.getElementById("copy").textContent = document.getElementById("copy").dataset.done`
	asIs      = `"as it is"`
	twiceSize = `document.querySelectorAll("*").forEach((e, i) => { e.size = 2 * parseFloat(getComputedStyle(e).fontSize); }) ||
		document.querySelectorAll("*").forEach((e) => { e.style.fontSize = e.size + "px"; }) || "twice"`
)

// A view is a page of the library in a state, of the server or of its script.
type view struct {
	name, url, state string
}

// startGallery serves every page of the library, in each of its states. No scan
// on them gets any further.
func startGallery(t *testing.T) (views []view) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	samples, err := page.Samples(server.URL)
	require.NoError(t, err)
	mux.HandleFunc("/status", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/frame", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="zh-CN"><title>WeChat</title>`)
	})
	for i, s := range samples {
		path := fmt.Sprintf("/%d", i)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s.Page.Lang = r.URL.Query().Get("lang")
			assert.NoError(t, page.Write(w, r, nil, s.Page))
		})
		views = append(views, view{s.Name, server.URL + path, asIs})
		switch {
		case s.Page.Kind == page.ScanCode && !s.Page.Scan.Scanned:
			views = append(views, view{s.Name + " expired", server.URL + path, expire}, view{s.Name + " away", server.URL + path, goAway})
		case s.Page.Kind == page.OpenInWeChat && s.Page.Hints.Variant == "":
			views = append(views, view{s.Name + " copied", server.URL + path, copied})
		}
	}
	return views
}

// media emulates features of the media queries of CSS.
func (tb *tab) media(features ...*emulation.MediaFeature) {
	tb.t.Helper()
	require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	})))
}

func (tb *tab) width(pixels int64) {
	tb.t.Helper()
	require.NoError(tb.t, chromedp.Do(tb.ctx, chromedp.EmulateViewport(pixels, 844)))
}

var (
	light  = &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "light"}
	dark   = &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"}
	forced = &emulation.MediaFeature{Name: "forced-colors", Value: "active"}
)

// TestGallery looks at every page, in each state and language, with axe and with
// the tests of this package: in both color schemes and with forced colors, on
// narrow and wide screens and with text of twice the size. With SCREENSHOTS, it
// writes what it sees to that folder.
func TestGallery(t *testing.T) {
	t.Parallel()
	views := startGallery(t)
	pictures := os.Getenv("SCREENSHOTS")
	if pictures != "" {
		require.NoError(t, os.MkdirAll(pictures, 0o755))
	}
	b := openBrowserForLooks(t)
	b.tab()
	for _, lang := range []string{page.Chinese, page.English} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			tb := b.window(t)
			tb.onEachPage("window.WeixinJSBridge = { call() {} };")
			for _, v := range views {
				tb.width(390)
				tb.media(light)
				tb.open(v.url + "?lang=" + lang)
				eval[string](tb, v.state)
				name := v.name + " " + lang
				assert.Equal(t, lang, eval[string](tb, "document.documentElement.lang"), name)
				tb.inspect(name)
				if pictures != "" {
					tb.portray(filepath.Join(pictures, strings.ReplaceAll(name, " ", "-")))
				}
			}
			t.Logf("pages %d", len(views))
		})
	}
}

// inspect fails the test for anything that would hinder a user of the current
// page, which is 390 pixels wide and light.
func (tb *tab) inspect(name string) {
	tb.t.Helper()
	assert.Empty(tb.t, tb.violations(allRules), name)
	tb.media(dark)
	assert.Empty(tb.t, tb.violations(colorRules), "%s, dark", name)
	assert.Empty(tb.t, eval[[]string](tb, faultsJS), "%s, dark", name)
	tb.media(forced)
	assert.Empty(tb.t, eval[[]string](tb, forcedJS), "%s, forced colors", name)
	tb.media(light)
	assert.Empty(tb.t, eval[[]string](tb, faultsJS), name)
	for _, width := range []int64{320, 390, 1440} {
		tb.width(width)
		assert.Empty(tb.t, eval[[]string](tb, layoutJS), "%s, %d pixels wide", name, width)
	}
	tb.width(320)
	eval[string](tb, twiceSize)
	assert.Empty(tb.t, eval[[]string](tb, layoutJS), "%s, text of twice the size", name)
	eval[bool](tb, `document.querySelectorAll("*").forEach((e) => { e.style.fontSize = ""; }) || true`)
}

// portray writes pictures of the current page.
func (tb *tab) portray(name string) {
	tb.t.Helper()
	for _, scheme := range []*emulation.MediaFeature{light, dark} {
		tb.media(scheme)
		for _, width := range []int64{320, 390, 1440} {
			tb.width(width)
			require.NoError(tb.t, os.WriteFile(fmt.Sprintf("%s-%s-%d.png", name, scheme.Value, width), tb.screenshot(), 0o644))
		}
	}
}
