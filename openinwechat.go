package wechatauth

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/boombuler/barcode/qr"

	"github.com/wechatauth/wechatauth/client"
)

// maxQRText is the longest URL that is drawn: what is longer makes modules too
// small for a phone's camera to read off a screen.
const maxQRText = 800

// qrQuiet is the white border that readers need, in modules (ISO/IEC 18004).
const qrQuiet = 4

// qrCode draws a URL as the data: URL of an SVG picture, black on white with
// its border, whatever the page's colours are; empty for a URL that is too
// long to be read.
func qrCode(text string) template.URL {
	if text == "" || len(text) > maxQRText {
		return ""
	}
	code, err := qr.Encode(text, qr.L, qr.Auto)
	if err != nil {
		return ""
	}
	n := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x >= n {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var path strings.Builder
	for y := range n {
		for x := 0; x < n; x++ {
			run := x
			for dark(run, y) {
				run++
			}
			if run > x {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+qrQuiet, y+qrQuiet, run-x, run-x)
				x = run
			}
		}
	}
	side := n + 2*qrQuiet
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="%s"/></svg>`, side, side, side, side, path.String())
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)))
}

// WithEmbeddedQR shows the QR code of WithWebsiteApp in a page of this site, in
// a frame as WeChat's wxLogin.js makes one, instead of sending the browser to
// WeChat's page. The frame is WeChat's and the page runs no script; after the
// confirmation the whole window goes on (self_redirect=false). Browsers allow
// that towards this site only, so it does not go with WithRelay. Default: the
// browser goes to WeChat's page.
func WithEmbeddedQR() Option {
	return func(c *config) { c.embeddedQR = true }
}

// showEmbeddedQR is the page with WeChat's frame.
func (a *Auth) showEmbeddedQR(w http.ResponseWriter, r *http.Request, acc account, f flow) {
	lang := client.LangZhCN
	if pageLang(r) == langEnglish {
		lang = client.LangEN
	}
	frame, _, _ := strings.Cut(acc.client.QRConnectURL(a.redirectURI(), f.State, client.QRLang(lang)), "#")
	setNoStore(w.Header())
	a.page(w, r, Page{Kind: PageEmbeddedQR, Status: http.StatusOK, URL: frame + "&login_type=jssdk&self_redirect=false"})
}

// inFrame reports whether the answer is shown in a frame of another page.
func inFrame(r *http.Request) bool {
	dest := headerOf(r.Header, "Sec-Fetch-Dest")
	return dest == "iframe" || dest == "frame"
}

// reopenInTop answers a callback that came into a frame. Where WeChat's page
// sent it there, browsers keep Lax cookies back, and with them the pending
// login; the page asks for the same URL again in the whole window, where they
// are sent. The code is not spent.
func (a *Auth) reopenInTop(w http.ResponseWriter, r *http.Request) {
	setNoStore(w.Header())
	_ = writePage(w, r, nil, Page{Kind: pageReopen, Lang: pageLang(r), Status: http.StatusOK}) // ours does not fail
}
