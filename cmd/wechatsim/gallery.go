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

// samples returns every page of the library in each of its states. Their links and
// forms lead to the gallery.
func samples() ([]sample, error) {
	const here = "/gallery/"
	pages, err := page.Samples("/gallery")
	if err != nil {
		return nil, err
	}
	var all []sample
	for _, s := range pages {
		p := s.Page
		if p.Hints.Sandbox || strings.Contains(s.Name, "unbranded") {
			continue // differ from another in what the gallery does not show
		}
		p.Scan.RefreshURL = here
		if p.RetryURL != "" {
			p.RetryURL = here
		}
		if p.ActionURL != "" {
			p.ActionURL = here
		}
		all = append(all, sample{strings.ReplaceAll(s.Name, " ", "-"), p})
	}
	return all, nil
}

// A gallery serves every page of the library in both languages and color schemes,
// with a brand.
type gallery struct {
	logo    string
	samples []sample
}

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
	v := galleryView{Lang: page.Language(r), Scheme: "light", Samples: g.samples}
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
	p.Lang = v.Lang
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
