package main

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/page"
)

func TestGallery(t *testing.T) {
	logo := filepath.Join(t.TempDir(), "logo.svg")
	require.NoError(t, os.WriteFile(logo, []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), 0o600))
	base, stop := start(t, "-gallery", "-logo", logo)
	brand := url.Values{"name": {"Bamboo Books"}, "accent": {"#1a56db"}, "support": {"mailto:help@example.com"}}
	titles := map[string]bool{}
	all, err := samples()
	require.NoError(t, err)
	for _, lang := range []string{page.Chinese, page.English} {
		for _, scheme := range []string{"light", "dark"} {
			brand.Set("lang", lang)
			brand.Set("scheme", scheme)
			index := get(t, base+"/gallery/?"+brand.Encode())
			require.Contains(t, index, `<html lang="`+lang+`">`)
			for _, s := range all {
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
	require.Equal(t, 4*len(all), len(titles), "every page differs")
	require.Contains(t, get(t, base+"/gallery/?lang=en&accent=bogus"), `class="error"`)
	require.NoError(t, stop())

	base, stop = start(t)
	require.NotContains(t, get(t, base+"/gallery/"), "Gallery", "only with -gallery")
	require.NoError(t, stop())
}
