package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/page"
)

// The samples have every kind of page, and every text for a reason.
func TestSamples(t *testing.T) {
	kinds, texts := map[page.Kind]bool{}, map[string]bool{}
	ids := map[string]bool{}
	for _, s := range samples() {
		require.False(t, ids[s.ID], s.ID)
		ids[s.ID], kinds[s.page.Kind] = true, true
		switch {
		case s.page.Kind == page.OpenInWeChat && s.page.QR != "":
			texts["open_in_wechat"] = true
		case s.page.Kind == page.LoggedOut:
			texts["logged_out"] = true
		default:
			texts[strings.TrimSpace(s.page.Reason+" "+s.page.Hints.Variant)] = true
		}
	}
	for kind := page.Message; kind <= page.Reopen; kind++ {
		require.True(t, kinds[kind], "no sample of kind %d", kind)
	}
	for _, text := range append(page.Reasons(), page.Variants()...) {
		require.True(t, texts[text], "no sample of %s", text)
	}
}

func TestGallery(t *testing.T) {
	logo := filepath.Join(t.TempDir(), "logo.svg")
	require.NoError(t, os.WriteFile(logo, []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), 0o600))
	base, stop := start(t, "-gallery", "-logo", logo)
	brand := url.Values{"name": {"Bamboo Books"}, "accent": {"#1a56db"}, "support": {"mailto:help@example.com"}}
	titles := map[string]bool{}
	for _, lang := range []string{page.Chinese, page.English} {
		for _, scheme := range []string{"light", "dark"} {
			brand.Set("lang", lang)
			brand.Set("scheme", scheme)
			index := get(t, base+"/gallery/?"+brand.Encode())
			require.Contains(t, index, `<html lang="`+lang+`">`)
			for _, s := range samples() {
				require.Contains(t, index, `src="`+s.ID+`?`)
				shown := get(t, base+"/gallery/"+s.ID+"?"+brand.Encode())
				require.Contains(t, shown, `<html lang="`+lang+`">`, s.ID)
				require.Contains(t, shown, "Bamboo Books", s.ID)
				require.Contains(t, shown, `src="data:image/svg`, s.ID)
				require.Contains(t, shown, "color-scheme: "+scheme+";", s.ID)
				require.Contains(t, shown, map[string]string{"light": "@media not all {", "dark": "@media all {"}[scheme], s.ID)
				require.NotContains(t, shown, "prefers-color-scheme", s.ID)
				require.NotContains(t, shown, "<script", s.ID)
				require.NotContains(t, shown, "<noscript", s.ID)
				titles[shown] = true
			}
		}
	}
	require.Len(t, titles, 4*len(samples()), "every page differs")
	require.Contains(t, get(t, base+"/gallery/?lang=en&accent=bogus"), `class="error"`)
	require.NoError(t, stop())

	base, stop = start(t)
	require.NotContains(t, get(t, base+"/gallery/"), "Gallery", "only with -gallery")
	require.NoError(t, stop())
}
