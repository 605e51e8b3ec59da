// Package page writes the pages that users see: a closed set, in Chinese and
// English, each with a Content-Security-Policy that allows what it holds and
// nothing else.
package page

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is the purpose of a page.
type Kind int

const (
	Message       Kind = iota // why a request was rejected
	Upgrade                   // a button that leads to WeChat's consent
	LoggedOut                 // the user is logged out
	OpenInWeChat              // the URL to open in WeChat, and its QR code
	EmbeddedQR                // WeChat's frame with its QR code
	ScanCode                  // a QR code for a phone
	ScanConfirm               // on the phone: log that browser in?
	ScanConfirmed             // on the phone: the number to type
	ScanNumber                // in the browser: the field for that number
	ScanDone                  // on the phone: the browser is logged in
	Enter                     // log in as the mini program's user?
	Reopen                    // requests its own URL again, in the whole window

	kinds // how many there are
)

// Page is what a page is rendered from. Its links have been through Link.
type Page struct {
	Words
	Kind      Kind
	Lang      string // Chinese or English
	Status    int
	Reason    string // key of the text of a Message
	Reference string // shown with it, for the operator
	RetryURL  string
	ActionURL string // of the form
	Next      string // in the form
	Hints     Hints
	URL       string // to be opened in WeChat, or the frame's
	QR        template.URL
	Scan      Scan
	Brand     Brand
}

// Words are the texts of a page.
type Words struct {
	Title string   `json:"title"`
	Text  []string `json:"text"` // paragraphs

	Labels map[string]string `json:"labels"` // of links, buttons and fields
}

// Hints are what the texts, the script and the policy of a page also depend on.
// They are not known to a function of WithPages, which gets the texts.
type Hints struct {
	Variant     string   // of the text for Reason: one of the constants below
	Host        string   // of the site
	Sandbox     bool     // the page says that it is for trials only
	Wait        int      // seconds until the page requests RetryURL by itself; 0: never
	FormActions []string // origins that the response to the form of Upgrade may redirect to
}

// Variants of texts.
const (
	OnPhone      = "phone"    // the phone that has scanned a QR code
	OnComputer   = "computer" // the browser that has shown it
	ByCamera     = "camera"   // a QR code was scanned by the phone's own camera
	OtherAccount = "other"    // RetryURL leads to a login as another user
	linkOnly     = "link"     // there is no QR code
)

// Worded returns p with the texts that it has none of.
func Worded(p Page) Page {
	set, _ := textFor(p)
	own, common := set.Chinese, texts.Common.Chinese
	if p.Lang == English {
		own, common = set.English, texts.Common.English
	}
	p.Title = cmp.Or(p.Title, own.Title)
	if p.Text == nil {
		p.Text = slices.Clone(own.Text)
	}
	if p.Labels != nil {
		return p
	}
	p.Labels = map[string]string{} // which a function of WithPages may write to
	maps.Copy(p.Labels, own.Labels)
	if p.Kind == ScanCode || p.Kind == ScanConfirm {
		p.Labels["site"] = fmt.Sprintf(common["site"], site(p))
	}
	if p.Kind == Message || p.Kind == LoggedOut || p.Kind == OpenInWeChat {
		p.Labels["home"], p.Labels["support"] = common["home"], common["support"]
	}
	switch {
	case p.Kind == ScanCode:
		p.Labels["left"] = fmt.Sprintf(own.Labels["left"], p.Scan.Left/time.Second)
	case p.Kind == Message && p.Hints.Wait > 0:
		p.Labels["wait"] = fmt.Sprintf(common["wait"], p.Hints.Wait)
	case p.Kind == Message && p.Hints.Variant == OnPhone:
		p.Labels["close"] = common["close"]
	}
	return p
}

// site returns the name and the host of the site. A name alone can be that of
// another site.
func site(p Page) string {
	if p.Brand.Name == "" || p.Brand.Name == p.Hints.Host {
		return p.Hints.Host
	}
	return p.Brand.Name + " · " + p.Hints.Host
}

// Script returns the script of the built-in page p, or "". On a Message, that is
// one for what its labels name.
func Script(p Page) template.JS { return scriptFor(Worded(p)).text }

// Scan is what the pages of a scan login show.
type Scan struct {
	Number     string
	Scanned    bool // the phone has the QR code
	RefreshURL string
	StatusURL  string // polled by scan.js
	Browser    string
	Age        time.Duration
	Left       time.Duration
}

// A Renderer writes the HTML of one page.
type Renderer func(w io.Writer) error

// Write responds to r with the page p, rendered by own or, if that is nil or
// fails, by the embedded template. Headers that are already set (Set-Cookie,
// Retry-After) are kept. The error says why own was not used; the response is a
// whole page in any case.
func Write(w http.ResponseWriter, r *http.Request, own Renderer, p Page) error {
	p = Worded(p)
	body, policy, err := render(own, p)

	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", referrerPolicy(p))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if p.Kind == Reopen {
		h.Set("X-Frame-Options", "SAMEORIGIN")
	}
	h.Set("Content-Security-Policy", policy)
	h.Set("Vary", vary(h.Values("Vary")))
	// A middleware that compresses on the fly names its encoding first.
	if h.Get("Content-Encoding") == "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}

	w.WriteHeader(status(p))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may have disconnected
	}
	return err
}

func status(p Page) int {
	if p.Status >= 200 && p.Status <= 599 {
		return p.Status
	}
	if p.Kind == Message {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// referrerPolicy keeps the URL of a page, which may contain a code, out of every
// Referer. Pages with a form send it to our own origin only: under "no-referrer" a
// browser posts the form with "Origin: null", and without Sec-Fetch-Site that is
// indistinguishable from another site.
func referrerPolicy(p Page) string {
	if p.Kind == Upgrade || p.Kind == ScanConfirm || p.Kind == ScanNumber || p.Kind == Enter || p.Kind == Message && p.ActionURL != "" {
		return "same-origin"
	}
	return "no-referrer"
}

// Link returns rawURL if it is an http(s) URL or an absolute path, and
// "" otherwise, so that no page shows an unsafe link.
func Link(rawURL string) string {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return ""
	case (u.Scheme == "https" || u.Scheme == "http") && u.Host != "":
		return rawURL
	case strings.HasPrefix(rawURL, "/") && !strings.HasPrefix(rawURL, "//") && !strings.HasPrefix(rawURL, `/\`):
		return rawURL
	}
	return ""
}

// vary joins the fields of Vary that are already set with those of pages, each
// once.
func vary(present []string) string {
	var fields []string
	seen := map[string]bool{}
	for _, line := range append(present, "Cookie", "Accept-Language") {
		for field := range strings.SplitSeq(line, ",") {
			field = strings.TrimSpace(field)
			if key := strings.ToLower(field); field != "" && !seen[key] {
				seen[key] = true
				fields = append(fields, field)
			}
		}
	}
	return strings.Join(fields, ", ")
}
