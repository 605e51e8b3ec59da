package channels

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
)

const logo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4"/></svg>`

// firstText returns the first text in the body of a page.
func firstText(t *testing.T, page authtest.Response) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)<body>\s*(?:<[^>]*>\s*)*([^<]*[^<\s])`).FindStringSubmatch(page.Text)
	require.NotNil(t, found, page.Text)
	return html.UnescapeString(found[1])
}

// A page names the site above all else; a login by QR code names its host too, on
// both devices.
func TestBrand(t *testing.T) {
	s := authtest.NewScanSite(t, wechatauth.WithBrand(wechatauth.Brand{Name: "青竹书店", Logo: logo, Accent: "#c8102e"}))
	says := "登录 青竹书店 · " + s.Base.Host
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	assert.Equal(t, says, firstText(t, computer.Collect("/a")))
	s.Scan(phone, path)
	confirm := phone.Visit(path)
	assert.Equal(t, says, firstText(t, confirm))
	assert.Contains(t, confirm.Text, "？ · 青竹书店</title>")
	s.Confirm(phone, path)
	assert.Equal(t, "青竹书店", firstText(t, phone.Visit(path)))

	phone.Header.Set("Accept-Language", "en")
	rejected := phone.Visit("/wechat/callback")
	assert.Equal(t, "青竹书店", firstText(t, rejected))
	assert.Contains(t, rejected.Text, `<link rel="icon" href="data:image/svg`)
	assert.Contains(t, rejected.Header.Get("Content-Security-Policy"), "; img-src data:")
}

// A function that empties the texts gets the built-in ones, with all that they
// depend on: the host of the site, and the variant of a reason.
func TestBrand_EmptiedTexts(t *testing.T) {
	s := authtest.NewScanSite(t, wechatauth.WithBrand(wechatauth.Brand{Name: "青竹书店"}), wechatauth.WithPages(func(w io.Writer, p wechatauth.Page) error {
		p.Title, p.Text, p.Labels = "", nil, nil
		return wechatauth.DefaultPages(w, p)
	}))
	computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
	path, _ := s.Show(computer, "/a")
	s.Scan(phone, path)
	assert.Equal(t, "登录 青竹书店 · "+s.Base.Host, firstText(t, phone.Visit(path)))
	s.Clock.Advance(time.Second)
	refused := phone.Post(path, url.Values{"refuse": {"1"}})
	assert.Contains(t, refused.Text, "已取消，电脑没有登录")
	assert.Contains(t, refused.Text, `id="close"`)
}

// Without a brand, pages name the host of the base URL.
func TestBrand_Default(t *testing.T) {
	s := authtest.NewScanSite(t)
	computer := s.Computer()
	s.Show(computer, "/a")
	assert.Equal(t, "登录 "+s.Base.Host, firstText(t, computer.Collect("/a")))
	rejected := computer.Visit("/wechat/callback")
	assert.Equal(t, s.Base.Host, firstText(t, rejected))
	assert.Contains(t, rejected.Text, " · "+s.Base.Host+"</title>")
	assert.NotContains(t, rejected.Text, "<img")
	assert.NotContains(t, rejected.Header.Get("Content-Security-Policy"), "img-src")
}

// Each account has its brand, or else that of WithBrand; a change takes effect with
// the next request.
func TestAccounts_Brand(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	a.Brand = wechatauth.Brand{Name: "Shop A", HomeURL: "/a/"}
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}),
		wechatauth.WithBrand(wechatauth.Brand{Name: "Mall", Accent: "#c8102e"}))
	ofA, ofB := s.Browser().Visit("/wechat/callback/"+authtest.ShopA), s.Browser().Visit("/wechat/callback/"+authtest.ShopB)
	assert.Equal(t, "Shop A", firstText(t, ofA))
	assert.NotContains(t, ofA.Text, "#c8102e", "no field of WithBrand counts")
	assert.Equal(t, "Mall", firstText(t, ofB))
	assert.Contains(t, ofB.Text, "#c8102e")
	unknown := s.Browser().Visit("/wechat/callback/wx00000000000000ff")
	assert.Equal(t, http.StatusNotFound, unknown.StatusCode)
	assert.Equal(t, "Mall", firstText(t, unknown))

	resolver := &changing{a}
	s = authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), resolver)
	resolver.account.Brand.Name = "Shop Z"
	assert.Equal(t, "Shop Z", firstText(t, s.Browser().Visit("/wechat/callback/"+authtest.ShopA)))
	resolver.account.Brand.Accent = "#777777"
	assert.Equal(t, http.StatusNotFound, s.Browser().Visit("/wechat/callback/"+authtest.ShopA).StatusCode)
	assert.Contains(t, s.Logs.String(), "WithBrand: the accent")
}
