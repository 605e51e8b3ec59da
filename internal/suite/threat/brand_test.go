package threat

import (
	"context"
	"encoding/base64"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
)

// Two threats of brands, which a tenant may write into the application's database:
//
//   - T103, a brand as a way for markup, style or script into a page. Names are
//     escaped and hold no control character, an accent is six hex digits, and an
//     SVG logo stands only in the src of an <img> and of the icon, where browsers run
//     none of its scripts; no policy allows any.
//   - T104, a brand as a link that runs script, or as a source from which a page
//     loads: links are http(s) URLs, paths and mailto: of the support page; a logo's
//     origin is allowed for images only, and the phone names the host after the name.

// branded resolves every request to an account with a brand that can change.
type branded struct {
	account wechatauth.Account
}

func (b *branded) ResolveAppID(*http.Request) (string, error) { return b.account.AppID, nil }

func (b *branded) Account(_ context.Context, appID string) (wechatauth.Account, error) {
	if appID != b.account.AppID {
		return wechatauth.Account{}, errors.New("another account")
	}
	return b.account, nil
}

func TestBrand(t *testing.T) {
	sim, a, _ := authtest.NewShops(t)
	resolver := &branded{account: a}
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), resolver)
	page := func(b wechatauth.Brand) authtest.Response {
		resolver.account.Brand = b
		return s.Browser().Visit("/wechat/callback/" + authtest.ShopA)
	}
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script><foreignObject><iframe src="javascript:alert(3)"/></foreignObject></svg>`
	elements := func(got authtest.Response) []string {
		return regexp.MustCompile(`<[^>]*>`).FindAllString(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(got.Text, "="), -1)
	}
	harmless := elements(page(wechatauth.Brand{Name: "Shop", Logo: "/logo.png", SupportURL: "/help"}))
	require.NotEmpty(t, harmless)

	t.Run("T103 markup in a name", func(t *testing.T) {
		for _, name := range []string{`<script>alert(1)</script>`, `"><img src=x>`, `</title><script>`, `</style>`, `{{.Secret}}`, `' onload='alert(1)`} {
			got := page(wechatauth.Brand{Name: name, Logo: "/logo.png", SupportURL: "/help"})
			require.Equal(t, http.StatusBadRequest, got.StatusCode, name)
			assert.Equal(t, harmless, elements(got), name)
			assert.Contains(t, html.UnescapeString(got.Text), name)
		}
	})
	t.Run("T103 script in an SVG", func(t *testing.T) {
		for _, logo := range []string{svg, "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg))} {
			got := page(wechatauth.Brand{Name: "Shop", Logo: logo, SupportURL: "/help"})
			assert.Equal(t, harmless, elements(got), "it stands in attributes only")
			assert.Len(t, regexp.MustCompile(`<(?:img src|link rel="icon" href)="data:image/svg&#43;xml;base64,[A-Za-z0-9/=]|<(?:img src|link rel="icon" href)="data:image/svg\+xml;base64,`).FindAllString(got.Text, -1), 2)
			assert.NotContains(t, got.Text, "alert(")
			policy := got.Header.Get("Content-Security-Policy")
			assert.Contains(t, policy, "default-src 'none'; ")
			assert.Contains(t, policy, "; img-src data:;")
			assert.NotContains(t, policy, "unsafe")
			assert.NotContains(t, policy, "script-src")
		}
	})
	t.Run("T103 rejected values", func(t *testing.T) {
		for name, b := range map[string]wechatauth.Brand{
			"style in the accent": {Accent: "#07803f}</style><script>alert(1)</script>"},
			"rule in the accent":  {Accent: "#07803f;background:url(//evil.example)"},
			"HTML as a logo":      {Logo: "<html><script>alert(1)</script></html>"},
			"HTML as a data: URL": {Logo: "data:text/html,<script>alert(1)</script>"},
			"direction of text":   {Name: "\u202emoc.elpmaxe.m"},
			"two lines":           {Name: "Shop\r\nSet-Cookie: a=b"},
		} {
			assert.Equal(t, http.StatusNotFound, page(b).StatusCode, name)
		}
	})
	t.Run("T104 schemes", func(t *testing.T) {
		for _, u := range []string{"javascript:alert(1)", "JAVASCRIPT:alert(1)", "\tjavascript:alert(1)", "data:text/html,a", "vbscript:a", "file:///etc/passwd", "//evil.example", `/\evil.example`, "https:evil"} {
			for name, b := range map[string]wechatauth.Brand{"home": {HomeURL: u}, "support": {SupportURL: u}, "logo": {Logo: u}} {
				got := page(b)
				assert.Equal(t, http.StatusNotFound, got.StatusCode, "%s %q", name, u)
				assert.NotContains(t, strings.ToLower(got.Text), "script:alert")
			}
		}
		got := page(wechatauth.Brand{HomeURL: "https://www.example.com/?a=\"><script>", SupportURL: "mailto:help@example.com?subject=\"><script>"})
		assert.Equal(t, http.StatusBadRequest, got.StatusCode)
		assert.NotContains(t, got.Text, "<script>")
	})
	t.Run("T104 a logo allows images of its origin", func(t *testing.T) {
		policy := page(wechatauth.Brand{Logo: "https://cdn.example.com/a.svg"}).Header.Get("Content-Security-Policy")
		assert.Contains(t, policy, "; img-src https://cdn.example.com;")
		assert.Equal(t, 1, strings.Count(policy, "cdn.example.com"))
		for _, logo := range []string{"https://*/a.png", "https://a.example;script-src */a.png", "https://a.example 'unsafe-inline'/a.png"} {
			assert.Equal(t, http.StatusNotFound, page(wechatauth.Brand{Logo: logo}).StatusCode, logo)
		}
	})
}
