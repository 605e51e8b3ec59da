package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/page"
)

//go:embed gallery.html
var galleryHTML string

var galleryTemplate = template.Must(template.New("gallery").Parse(galleryHTML))

// A sample is one state of a page of the library.
type sample struct {
	ID   string // in URLs
	page page.Page
}

// onlyOperator are the reasons for which trying again cannot help.
var onlyOperator = []string{"bad_config", "method_not_allowed", "not_found", "unknown_account", "user_blocked"}

// samples returns every page of the library: each kind in each of its states, and
// the message for each reason, with its second texts.
func samples() []sample {
	const here = "/gallery/" // for links and forms
	scan := page.Scan{Number: "4826", RefreshURL: here, StatusURL: here, Browser: "Chrome · Windows", Age: 8 * time.Second, Left: 112 * time.Second}
	scanned := scan
	scanned.Scanned = true
	scan.Number = ""
	qr := page.QRCode("https://shop.example.com/orders?id=7")
	open := page.Page{Kind: page.OpenInWeChat, Reason: "open_in_wechat", URL: "https://shop.example.com/orders?id=7"}
	withQR := open
	withQR.QR = qr
	number := scanned
	number.Scanned = false

	all := []sample{
		{"consent", page.Page{Kind: page.Upgrade, ActionURL: here}},
		{"logged-out", page.Page{Kind: page.LoggedOut, RetryURL: here}},
		{"open-in-wechat", withQR},
		{"embedded-qr", page.Page{Kind: page.EmbeddedQR, URL: here + "frame"}},
		{"scan", page.Page{Kind: page.ScanCode, QR: qr, RetryURL: here, Scan: scan}},
		{"scan-scanned", page.Page{Kind: page.ScanCode, QR: qr, RetryURL: here, Scan: page.Scan{Scanned: true, RefreshURL: here, StatusURL: here, Left: 95 * time.Second}}},
		{"scan-confirm", page.Page{Kind: page.ScanConfirm, ActionURL: here, Scan: scan}},
		{"scan-confirmed", page.Page{Kind: page.ScanConfirmed, Scan: number}},
		{"scan-number", page.Page{Kind: page.ScanNumber, ActionURL: here}},
		{"scan-done", page.Page{Kind: page.ScanDone}},
		{"enter", page.Page{Kind: page.Enter, ActionURL: here}},
		{"reopen", page.Page{Kind: page.Reopen}},
	}
	for _, text := range append(page.Reasons(), page.Variants()...) {
		reason, variant, _ := strings.Cut(text, " ")
		p := page.Page{Kind: page.Message, Reason: reason, Reference: "2026-11-30 20:45:12 UTC a1b2c3d4e5f6", RetryURL: here}
		if slices.Contains(onlyOperator, reason) {
			p.RetryURL = ""
		}
		p.Hints.Variant = variant
		switch reason {
		case "logged_out":
			continue // its kind is above
		case "open_in_wechat":
			if variant == "" {
				continue
			}
			p = open
			p.Hints.Variant = variant
		case "not_authorized":
			p.ActionURL = here
			if variant == "" {
				p.RetryURL = ""
			}
		case "rate_limited", "store_unavailable":
			p.Hints.Wait = 3
		}
		all = append(all, sample{strings.TrimSuffix(reason+"-"+variant, "-"), p})
	}
	return all
}

// A gallery serves every page of the library in both languages and color schemes,
// with a brand.
type gallery struct{ logo string }

// view is the data of the gallery's page.
type galleryView struct {
	Lang, Scheme string
	Brand        page.Brand
	Error        string // why a value of the brand is rejected
	Samples      []sample
	Query        template.URL // of the pages
	English      bool
}

func (v galleryView) T(zh, en string) string {
	if v.English {
		return en
	}
	return zh
}

// With returns the URL of the gallery with another language or color scheme.
func (v galleryView) With(name, value string) template.URL {
	q := v.values()
	q.Set(name, value)
	return template.URL("?" + q.Encode())
}

func (v galleryView) values() url.Values {
	q := url.Values{"lang": {v.Lang}, "scheme": {v.Scheme}}
	for name, value := range map[string]string{"name": v.Brand.Name, "accent": v.Brand.Accent, "home": v.Brand.HomeURL, "support": v.Brand.SupportURL} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// view reads lang, scheme and the brand from the query.
func (g gallery) view(r *http.Request) galleryView {
	q := r.URL.Query()
	v := galleryView{Lang: page.Language(r), Scheme: "light", Samples: samples()}
	if lang := q.Get("lang"); lang == page.Chinese || lang == page.English {
		v.Lang = lang
	}
	if q.Get("scheme") == "dark" {
		v.Scheme = "dark"
	}
	v.English = v.Lang == page.English
	v.Brand = page.Brand{
		Name: q.Get("name"), Accent: q.Get("accent"), Logo: g.logo,
		HomeURL: cmp.Or(q.Get("home"), "/gallery/"), SupportURL: q.Get("support"),
	}
	if err := v.Brand.Check(); err != nil {
		v.Error, v.Brand = err.Error(), page.Brand{Logo: g.logo, HomeURL: "/gallery/"}
	}
	v.Query = template.URL("?" + v.values().Encode())
	return v
}

func (g gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := g.view(r)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	id := strings.TrimPrefix(r.URL.Path, "/gallery/")
	if id == "" {
		var b bytes.Buffer
		if err := galleryTemplate.Execute(&b, v); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(b.Bytes()) // the client may have disconnected
		return
	}
	h.Set("Content-Security-Policy", "sandbox allow-same-origin") // nothing is sent
	if id == "frame" {
		_, _ = w.Write([]byte(`<!doctype html><title>WeChat</title><p>WeChat`))
		return
	}
	i := slices.IndexFunc(v.Samples, func(s sample) bool { return s.ID == id })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	p := v.Samples[i].page
	p.Lang, p.Hints.Host = v.Lang, "shop.example.com"
	p.Brand = v.Brand.At(&url.URL{Scheme: "https", Host: p.Hints.Host})
	if strings.HasPrefix(v.Brand.HomeURL, "/") {
		p.Brand.HomeURL = v.Brand.HomeURL
	}
	var b bytes.Buffer
	if err := page.Embedded(&b, p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write([]byte(page.Forced(b.String(), v.Scheme)))
}
