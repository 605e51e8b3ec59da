package page

import (
	"encoding/base64"
	"html/template"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	svgLogo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="M0 0h8v8H0z"/></svg>`
	// scriptLogo runs script if it is a document, and none in an <img>.
	scriptLogo = `<?xml version="1.0"?><!-- > --><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>`
	pngLogo    = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
)

func dataURL(kind, image string) string {
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString([]byte(image))
}

func TestBrand_Check(t *testing.T) {
	for name, c := range map[string]struct {
		brand Brand
		want  string // of the error
	}{
		"empty":                     {Brand{}, ""},
		"all fields":                {Brand{"青竹书店", svgLogo, "#07803f", "/home?a=1", "mailto:help@example.com"}, ""},
		"URLs":                      {Brand{Logo: "https://cdn.example.com/a.png?v=1", HomeURL: "https://www.example.com/", SupportURL: "http://127.0.0.1:1/"}, ""},
		"longest name":              {Brand{Name: strings.Repeat("竹", 40)}, ""},
		"long name":                 {Brand{Name: strings.Repeat("竹", 41)}, "has 41 characters; give at most 40"},
		"name of two lines":         {Brand{Name: "a\nb"}, "without control characters"},
		"name with the other order": {Brand{Name: "\u202emoc.knab"}, "without control characters"},
		"name of nothing":           {Brand{Name: "\u3164"}, "invisible"},
		"name with a hidden space":  {Brand{Name: "ban\u200bk"}, "invisible"},
		"name with another line":    {Brand{Name: "a\u2028b"}, "invisible"},
		"home with a password":      {Brand{HomeURL: "https://u:p@m.example.com/"}, "home URL"},
		"name with spaces around":   {Brand{Name: " a"}, "spaces around them"},
		"name that is not UTF-8":    {Brand{Name: "\xff"}, "the name"},
		"PNG":                       {Brand{Logo: pngLogo}, ""},
		"JPEG":                      {Brand{Logo: "\xff\xd8\xff\xe0"}, ""},
		"WebP":                      {Brand{Logo: "RIFF\x00\x00\x00\x00WEBPVP8 "}, ""},
		"SVG after a declaration":   {Brand{Logo: "\ufeff<?xml version=\"1.0\"?>\n<!-- > -->\n<!DOCTYPE svg>" + svgLogo}, ""},
		"logo as a data: URL":       {Brand{Logo: dataURL("image/png", pngLogo)}, ""},
		"logo as an escaped URL":    {Brand{Logo: "data:image/svg+xml," + url.PathEscape(svgLogo)}, ""},
		"logo as a path":            {Brand{Logo: "/static/logo.png"}, ""},
		"largest logo":              {Brand{Logo: pngLogo + strings.Repeat("x", 32<<10-len(pngLogo))}, ""},
		"large logo":                {Brand{Logo: pngLogo + strings.Repeat("x", 32<<10)}, "every page would contain it twice; give at most 32768"},
		"logo of another type":      {Brand{Logo: "GIF89a"}, "is not an SVG, PNG, JPEG or WebP image"},
		"HTML as a logo":            {Brand{Logo: "<!DOCTYPE html><svg></svg>"}, "is not an SVG"},
		"logo that does not end":    {Brand{Logo: "<!-- <svg>"}, "is not an SVG"},
		"HTML as a data: URL":       {Brand{Logo: "data:text/html,<script>alert(1)</script>"}, "is not an SVG"},
		"HTML that claims to be":    {Brand{Logo: dataURL("image/png", "<script>alert(1)</script>")}, "is not an SVG"},
		"malformed data: URL":       {Brand{Logo: "data:image/png;base64,!"}, "is a malformed data: URL"},
		"javascript: as a logo":     {Brand{Logo: "javascript:alert(1)"}, "is not an SVG"},
		"logo of no origin":         {Brand{Logo: "https://a.example; script-src */b.png"}, "is not an SVG"},
		"logo without scheme":       {Brand{Logo: "//evil.example/a.png"}, "is not an SVG"},
		"accent without #":          {Brand{Accent: "07803f"}, `is not a color of the form "#07803f"`},
		"short accent":              {Brand{Accent: "#0f0"}, "is not a color"},
		"name of a color":           {Brand{Accent: "red"}, "is not a color"},
		"accent that ends a rule":   {Brand{Accent: "#07803f}</style><script>alert(1)</script>"}, "is not a color"},
		"signed accent":             {Brand{Accent: "#+7803f"}, "is not a color"},
		"accent of middling light":  {Brand{Accent: "#777777"}, "has a contrast of 4.48:1 with white text and of 4.17:1 with dark text, where buttons need 4.5:1 with one of them; the nearest usable colors are #757575 and #7f7f7f"},
		"home as javascript:":       {Brand{HomeURL: "javascript:alert(1)"}, "the home URL"},
		"home as data:":             {Brand{HomeURL: "data:text/html,a"}, "the home URL"},
		"home as mailto:":           {Brand{HomeURL: "mailto:a@example.com"}, "the home URL"},
		"home without scheme":       {Brand{HomeURL: "//evil.example"}, "the home URL"},
		"support as javascript:":    {Brand{SupportURL: "JaVaScript:alert(1)"}, "the support URL"},
		"support without address":   {Brand{SupportURL: "mailto:?body=a"}, "the support URL"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.brand.Check()
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// Every accent that passes has readable text, also while the pointer is on the
// button, and edges and icons that stand out in both color schemes.
func TestAccentCSS(t *testing.T) {
	find := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`)
	accepted := 0
	for _, hex := range "048cf" {
		for _, digits := range []string{"%s0%s0%s0", "%sf%s0%s0", "%s0%sf%s0", "%s0%s0%sf", "%sf%sf%s0", "%s0%sf%sf", "%sf%s0%sf", "%sf%sf%sf"} {
			accent := "#" + strings.ReplaceAll(digits, "%s", string(hex))
			if checkAccent(accent) != nil {
				continue
			}
			accepted++
			light, darker, ok := strings.Cut(string(accentCSS(accent)), "@media (prefers-color-scheme: dark)")
			require.True(t, ok)
			for card, css := range map[color]string{lightCard: light, darkCard: light + darker} {
				value := map[string]color{}
				for _, m := range find.FindAllStringSubmatch(css, -1) {
					value[m[1]], ok = parseColor(m[2])
					require.True(t, ok, css)
				}
				for _, ground := range []string{"accent", "accent-down"} {
					assert.GreaterOrEqual(t, value["on-accent"].contrast(value[ground]), 4.5, "%s: text on %s", accent, ground)
				}
				assert.GreaterOrEqual(t, value["tone"].contrast(card), 3.0, "%s: edges", accent)
				assert.GreaterOrEqual(t, value["tone"].contrast(value["halo"]), 3.0, "%s: icons", accent)
			}
		}
	}
	assert.Greater(t, accepted, 30)
	assert.Empty(t, accentCSS(""))
	assert.Empty(t, accentCSS("#07803f}</style>"))
}

// The contrast is that of WCAG 2; other calculators return the same for these.
func TestContrast(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{{"#000000", "#ffffff", 21}, {"#777777", "#ffffff", 4.48}, {"#1677ff", "#ffffff", 4.10}, {"#07c160", "#ffffff", 2.38}, {"#ffffff", "#ffffff", 1}} {
		a, _ := parseColor(c.a)
		b, _ := parseColor(c.b)
		assert.InDelta(t, c.want, a.contrast(b), 0.006, "%s on %s", c.a, c.b)
		assert.InDelta(t, c.want, b.contrast(a), 0.006, "%s on %s", c.b, c.a)
	}
}

// The cards of page.css are those with which the tones of an accent are computed.
func TestAccentCSS_cards(t *testing.T) {
	cards := regexp.MustCompile(`--card: (#[0-9a-f]{6});`).FindAllStringSubmatch(css, -1)
	require.Len(t, cards, 2)
	assert.Equal(t, lightCard.String(), cards[0][1])
	assert.Equal(t, darkCard.String(), cards[1][1])
}

func TestBrand_At(t *testing.T) {
	base := &url.URL{Scheme: "https", Host: "m.example.com"}
	assert.Equal(t, Brand{Name: "m.example.com", HomeURL: "https://m.example.com/"}, Brand{}.At(base))
	given := Brand{"Bamboo Books", dataURL("image/svg+xml", svgLogo), "#07803f", "https://www.example.com/", "/help"}
	assert.Equal(t, given, given.At(base))
	given.Logo, given.HomeURL = svgLogo, "/shop"
	assert.Equal(t, Brand{"Bamboo Books", dataURL("image/svg+xml", svgLogo), "#07803f", "https://m.example.com/shop", "/help"}, given.At(base))
	assert.Equal(t, dataURL("image/svg+xml", svgLogo), string(LogoURL("data:image/svg+xml;base64,"+base64.StdEncoding.EncodeToString([]byte(svgLogo)))))
}

// allKinds are the pages that have a template.
func allKinds() (kinds []Kind) {
	for kind := Message; kind <= Reopen; kind++ {
		kinds = append(kinds, kind)
	}
	return kinds
}

// The brand is on every page: above its text, in its title and as its icon.
func TestPage_brand(t *testing.T) {
	brand := Brand{Name: "青竹书店", Logo: "/logo.png", Accent: "#c8102e"}
	for _, kind := range allKinds() {
		resp, body := servePage(t, nil, Page{Kind: kind, Lang: English, URL: "https://open.example/", Brand: brand, Hints: Hints{Host: "m.example.com"}})
		assert.Contains(t, body, " · 青竹书店</title>")
		assert.Contains(t, body, `<link rel="icon" href="/logo.png">`)
		said := "青竹书店"
		if kind == ScanCode || kind == ScanConfirm {
			said = "Log in to 青竹书店 · m.example.com"
		}
		assert.Contains(t, body, "<body>\n"+`<header><img src="/logo.png" alt=""><span>`+said+"</span></header>\n<main", "kind %d", kind)
		policy := resp.Header.Get("Content-Security-Policy")
		assert.Contains(t, policy, "; img-src 'self'")
		styles := styleElements.FindAllStringSubmatch(body, -1)
		require.Len(t, styles, 2)
		assert.Contains(t, styles[1][1], "--accent: #c8102e;")
		assert.Contains(t, policy, "style-src "+cssHash+" "+cspHash([]byte(styles[1][1]))+";")
	}
	plain := rendered(t, Page{Kind: ScanConfirm, Lang: Chinese, Brand: Brand{Name: "m.example.com"}, Hints: Hints{Host: "m.example.com"}})
	assert.Contains(t, plain, "<header><span>登录 m.example.com</span></header>", "the host is said once")
	assert.NotContains(t, plain, `rel="icon"`)
}

// A page loads its logo from where it is, and from nowhere else.
func TestPage_logoPolicy(t *testing.T) {
	for logo, c := range map[string]struct{ builtIn, custom string }{
		"":                                     {"", "; img-src 'self' data:;"},
		"/a.png":                               {"; img-src 'self';", "; img-src 'self' data:;"},
		svgLogo:                                {"; img-src data:;", "; img-src 'self' data:;"},
		"https://cdn.example.com:8443/a.png?b": {"; img-src https://cdn.example.com:8443;", "; img-src 'self' data: https://cdn.example.com:8443;"},
		"https://a.example; script-src *":      {"", "; img-src 'self' data:;"},
		"https://a.example/;%20script-src%20*": {"; img-src https://a.example;", "; img-src 'self' data: https://a.example;"},
		"javascript:alert(1)":                  {"", "; img-src 'self' data:;"},
		"https://*.example/a.png":              {"", "; img-src 'self' data:;"},
		"https://a.example\r\nX-Injected: 1/a": {"", "; img-src 'self' data:;"},
	} {
		p := Page{Lang: English, Reason: "loop", Brand: Brand{Logo: logo}}
		resp, _ := servePage(t, nil, p)
		policy := resp.Header.Get("Content-Security-Policy")
		if c.builtIn == "" {
			assert.NotContains(t, policy, "img-src", logo)
		} else {
			assert.Contains(t, policy, c.builtIn, logo)
		}
		resp, _ = servePage(t, func(w io.Writer) error { _, err := io.WriteString(w, "ours"); return err }, p)
		assert.Contains(t, resp.Header.Get("Content-Security-Policy"), c.custom, logo)
	}
	resp, _ := servePage(t, nil, Page{Kind: ScanCode, QR: template.URL("data:,"), Brand: Brand{Logo: "/a.png"}})
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "; img-src data: 'self';")
	resp, _ = servePage(t, nil, Page{Kind: ScanCode, QR: template.URL("data:,"), Brand: Brand{Logo: svgLogo}})
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "; img-src data:;")
}

// A brand whose fields are hostile changes nothing of a page but texts and the
// src of an image, even if it has not been through Check.
func TestPage_brandEscaping(t *testing.T) {
	shape := func(page string) []string {
		return regexp.MustCompile(`<[^>]*>`).FindAllString(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(page, "="), -1)
	}
	harmless := Brand{"a", "/a.png", "", "/", "/"}
	for _, kind := range allKinds() {
		want := shape(rendered(t, Page{Kind: kind, Lang: English, Brand: harmless}))
		for _, evil := range []string{
			`"><script>alert(1)</script>`, `' onerror='alert(1)`, `" onload="alert(1)`, `</title><script>alert(1)</script>`,
			`</style><script>alert(1)</script>`, `#07803f}</style><img src=x onerror=alert(1)>`, `javascript:alert(1)//`, `data:text/html,<script>alert(1)</script>`,
			"data:image/png,\"><script>alert(1)</script>", scriptLogo, dataURL("image/svg+xml", scriptLogo), "https://a.example/\"><script>alert(1)</script>",
		} {
			page := rendered(t, Page{Kind: kind, Lang: English, Brand: Brand{Name: evil, Logo: harmless.Logo, Accent: evil, HomeURL: evil, SupportURL: evil}})
			assert.Equal(t, want, shape(page), "kind %d, %q", kind, evil)
			page = rendered(t, Page{Kind: kind, Lang: English, Brand: Brand{Name: "a", Logo: evil, HomeURL: "/", SupportURL: "/"}})
			if LogoURL(evil) == "" {
				assert.NotContains(t, page, "<header><img")
				continue
			}
			assert.Equal(t, want, shape(page), "kind %d, %q", kind, evil)
			assert.Regexp(t, `<img src="(data:image/|https://a\.example/)[^"<>]*" alt="">`, page)
			assert.NotContains(t, page, "<script>alert")
			assert.NotContains(t, page, "onload=")
		}
	}
}
