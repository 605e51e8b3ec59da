package wechatauth

import (
	"cmp"
	"html/template"
	"io"
	"net/http"
	"time"

	"github.com/wechatauth/wechatauth/internal/page"
)

// A PageKind is the purpose of a page.
type PageKind int

const (
	// PageMessage explains why a request was rejected (Page.Reason) and what to
	// do.
	PageMessage PageKind = iota
	// PageConsent asks the user to press a button, after which WeChat asks for
	// nickname and avatar. WeChat opens pages that ask for these on their own
	// in snapshot mode.
	PageConsent
	// PageLoggedOut confirms that the user is logged out.
	PageLoggedOut
	// PageOpenInWeChat asks the user to open Page.URL in WeChat, by scanning
	// Page.QR or by copying it.
	PageOpenInWeChat
	// PageEmbeddedQR has a frame at Page.URL in which WeChat shows the QR code
	// of WithWebsiteApp (environment.LoginEmbeddedQR).
	PageEmbeddedQR
	// PageScan shows the QR code Page.QR, to be scanned by a phone. It must
	// request Page.Scan.RefreshURL every few seconds to learn whether the phone
	// has confirmed, for example with <meta http-equiv="refresh">.
	PageScan
	// PageScanConfirm is shown on the phone: which browser is about to be
	// logged in, and a form that posts the field "confirm" or "refuse" to
	// Page.ActionURL.
	PageScanConfirm
	// PageScanConfirmed is shown on the phone after the confirmation: the
	// number Page.Scan.Number, to be typed into the browser, and
	// Page.Scan.RefreshURL, to learn whether that has happened.
	PageScanConfirmed
	// PageScanNumber is then shown in the browser: a form that posts the number
	// as the field "number", and Page.Next as the hidden field "next", to
	// Page.ActionURL. A wrong number ends the login.
	PageScanNumber
	// PageScanDone is shown on the phone once the browser is logged in.
	PageScanDone
	// PageEnter asks whether to log in as the user of the mini program that
	// opened this page in a web-view (WithMiniProgram): another user is logged
	// in, or the browser does not report what opened the page. Its form is
	// posted to Page.ActionURL.
	PageEnter

	pageReopen // asks for its own URL again, in the whole window
)

// A Page is what a page is rendered from. It contains nothing of the request
// but URLs that were checked or built by this package.
type Page struct {
	// Kind is the purpose of the page.
	Kind PageKind
	// Lang is the language of the page: "zh-CN" or "en".
	Lang string
	// Reason is why the page is shown. It is set for PageMessage, PageLoggedOut
	// and PageOpenInWeChat.
	Reason Reason
	// Reference is what the user can send to the operator, who finds it in the
	// log: the time and, if the page is about a login, its flow, such as
	// "2026-11-30 20:45:12 UTC a1b2c3d4e5f6".
	Reference string
	// Title is the title of the built-in page in Lang. The function of WithPages
	// may change it, Text and Labels, and call [DefaultPages]; what it empties gets
	// the built-in text again. The other fields must stay as they are: Kind and
	// Lang go with the texts, the policy and the forms.
	Title string
	// Text is the paragraphs of the built-in page.
	Text []string
	// Labels are its links, buttons and fields, such as "retry" and "submit".
	Labels map[string]string
	// RetryURL is the link to try again: an http(s) URL or an absolute path. On
	// PageScan it leads to a new QR code. It is empty if trying again cannot help.
	RetryURL string
	// ActionURL is where the form of PageConsent, PageScanConfirm,
	// PageScanNumber or PageEnter is posted. On a PageMessage with
	// ReasonNotAuthorized it is that of the form with which the user logs out. It is
	// empty on other pages.
	ActionURL string
	// Next is the return URL. The forms of PageConsent, PageScanNumber and
	// PageMessage send it as the hidden field "next"; on PageEnter it is for
	// information.
	Next string
	// URL is the URL to open in WeChat (PageOpenInWeChat), that of the QR code
	// (PageScan), or that of the frame (PageEmbeddedQR). It is empty on other
	// pages.
	URL string
	// QR is a QR code, black on white, as a data: URL: of the URL to open on
	// PageOpenInWeChat, of the phone's page on PageScan. It is empty if the URL
	// is too long for a phone's camera, and in a phone's browser, which cannot scan
	// its own screen.
	QR template.URL
	// Scan is for the pages of a login by QR code.
	Scan struct {
		// Number is the four digits of PageScanConfirmed.
		Number string
		// Scanned reports on PageScan whether a phone has scanned the QR code.
		Scanned bool
		// RefreshURL is what PageScan and PageScanConfirmed request to learn what
		// the other side has done.
		RefreshURL string
		// StatusURL is what Page.Script requests.
		StatusURL string
		// Browser describes the browser being logged in, such as "Chrome ·
		// Windows". It is empty if unknown.
		Browser string
		// Age is how old the QR code is, in whole seconds.
		Age time.Duration
		// Left is how much longer the QR code of PageScan is valid, in whole seconds.
		Left time.Duration
	}
	// Brand is the site that the page belongs to: that of WithBrand or of the
	// account, with the defaults of its empty fields.
	Brand Brand

	hints page.Hints // on which the built-in texts depend too
}

// Script returns the script of the built-in page, or "": on PageOpenInWeChat it
// copies the URL, on PageScan and PageScanConfirmed it follows the scan, on a
// PageMessage with the label "wait" it requests RetryURL after that time, and with
// the label "close", as on PageScanDone, it closes WeChat's browser. The
// Content-Security-Policy allows it in a <script> element, and no other. The first
// number in the labels "left" and "wait" is the seconds that it counts down;
// without one, there is no countdown.
func (p Page) Script() template.JS { return page.Script(inner(p)) }

// A Brand is the site that pages belong to, for [WithBrand].
type Brand struct {
	// Name is the name of the site, of at most 40 characters. The default is the
	// host of the base URL.
	Name string
	// Logo is an image, or where it is: an SVG, PNG, JPEG or WebP image of at most
	// 32 KB, as go:embed reads it into a string; a data: URL of one; an absolute
	// path; or an http(s) URL, whose origin the Content-Security-Policy of the pages
	// then allows. It is also the icon in the browser's tab. Users who are not logged
	// in must be able to load it. By default, there is none.
	Logo string
	// Accent is the color of buttons, such as "#07803f", in light and dark mode
	// alike. White text, or else dark text, must have a contrast of 4.5:1 on it.
	// The default is green.
	Accent string
	// HomeURL is where users start again: an http(s) URL or an absolute path. The
	// default is "/".
	HomeURL string
	// SupportURL is where users get help: an http(s) or mailto: URL or an absolute
	// path. By default, no page has a link to it.
	SupportURL string
}

// LogoURL returns Logo as the src of an <img> in a template, or "". In a Page, Logo
// is a URL too, but html/template accepts no data: URL in a string.
func (b Brand) LogoURL() template.URL { return page.LogoURL(b.Logo) }

// A pageFunc is a function of WithPages.
type pageFunc = func(w io.Writer, p Page) error

// DefaultPages writes the built-in page of p, with the texts of p. Call it in the
// function of [WithPages] for the pages that it does not replace.
func DefaultPages(w io.Writer, p Page) error { return page.Embedded(w, inner(p)) }

// inner returns p as the type of package page.
func inner(p Page) page.Page {
	return page.Page{
		Kind: page.Kind(p.Kind), Lang: p.Lang, Reason: string(p.Reason), Reference: p.Reference,
		Words:    page.Words{Title: p.Title, Text: p.Text, Labels: p.Labels},
		RetryURL: p.RetryURL, ActionURL: p.ActionURL, Next: p.Next, URL: p.URL, QR: p.QR,
		Scan: p.Scan, Brand: page.Brand(p.Brand), Hints: p.hints,
	}
}

// writePage responds with p, rendered by pages or, if that is nil or fails, by
// the built-in template. Headers that were set before (Set-Cookie, Retry-After)
// are kept. The response to the form of a PageConsent may redirect to the origins of
// hints.FormActions: Chromium applies the page's form-action policy to redirects.
// The error says why pages was not used.
func writePage(w http.ResponseWriter, r *http.Request, pages pageFunc, p Page, status int, hints page.Hints) error {
	p.RetryURL, p.ActionURL, p.URL = page.Link(p.RetryURL), page.Link(p.ActionURL), page.Link(p.URL)
	p.Scan.RefreshURL = page.Link(p.Scan.RefreshURL)
	p.Lang = cmp.Or(p.Lang, page.Language(r))
	p.hints = hints
	ours := inner(p)
	ours.Status = status
	var own page.Renderer
	if pages != nil {
		worded := page.Worded(ours)
		p.Title, p.Text, p.Labels = worded.Title, worded.Text, worded.Labels
		own = func(w io.Writer) error { return pages(w, p) }
	}
	return page.Write(w, r, own, ours)
}
