package wechatauth

import (
	"cmp"
	"html/template"
	"io"
	"net/http"
	"time"

	"github.com/wechatauth/wechatauth/internal/page"
)

// PageKind says what a page is for.
type PageKind int

const (
	// PageMessage tells why the visitor was not let through (Page.Reason) and
	// how to go on.
	PageMessage PageKind = iota
	// PageUpgrade asks the visitor to press a button, after which WeChat asks
	// him for his nickname and avatar. The button is needed because WeChat
	// shows pages that ask for these on their own in snapshot mode.
	PageUpgrade
	// PageLoggedOut confirms that the visitor is logged out.
	PageLoggedOut
	// PageOpenInWeChat asks to open Page.URL in WeChat: by scanning Page.QR, or
	// by copying it. Page.Reason is ReasonOpenInWeChat.
	PageOpenInWeChat
	// PageEmbeddedQR has a frame at Page.URL, in which WeChat shows the QR code
	// of WithWebsiteApp (environment.LoginEmbeddedQR).
	PageEmbeddedQR
	// PageScan shows the QR code Page.QR, to be scanned by a phone. It has to ask
	// Page.Scan.RefreshURL every few seconds whether the phone has answered: a page
	// of your own by <meta http-equiv="refresh">.
	PageScan
	// PageScanConfirm is on the phone: which browser is about to be logged in, and
	// a form that is posted to Page.ActionURL with the field "confirm" or "refuse".
	PageScanConfirm
	// PageScanConfirmed is on the phone that has confirmed: the number
	// Page.Scan.Number, to be typed into the browser. Page.Scan.RefreshURL is
	// whether that has happened.
	PageScanConfirmed
	// PageScanNumber is in the browser then: a form that is posted to
	// Page.ActionURL with that number as the field "number", and Page.Next as the
	// hidden field "next". A wrong number ends the login.
	PageScanNumber
	// PageScanDone is on the phone once the browser is logged in.
	PageScanDone
	// PageEnter asks whether to log in as the user of the mini program that
	// opened this page in a web-view (WithMiniProgram): another user is logged in
	// here, or the browser does not say what opened the page. Its form is posted
	// to Page.ActionURL.
	PageEnter

	pageReopen // asks for its own URL again, in the whole window
)

// Page is what a page is rendered from. Nothing in it comes from the request,
// except URLs that were checked or built by this library.
type Page struct {
	// Kind is what the page is for.
	Kind PageKind
	// Lang is the language to write in: "zh-CN" or "en".
	Lang string
	// Status is the HTTP status that the page is served with.
	Status int
	// Reason is why the page is shown. It is set for PageMessage, PageLoggedOut
	// and PageOpenInWeChat.
	Reason Reason
	// RetryURL is the link to start again, an http(s) URL or an absolute
	// path; empty if starting again cannot help.
	RetryURL string
	// ActionURL is where the form of PageUpgrade, PageScanConfirm,
	// PageScanNumber or PageEnter is posted. It is empty on other pages.
	ActionURL string
	// Next is the return URL. The forms of PageUpgrade and PageScanNumber send
	// it as the hidden field "next"; on PageEnter it is for information.
	Next string
	// FormActions are the origins, beside the site's own, that the answer to
	// the form of PageUpgrade may redirect to: browsers built on Chromium hold
	// a redirect that follows a form to the page's form-action policy. Empty
	// means WeChat's own, https://open.weixin.qq.com.
	FormActions []string
	// URL is the URL to open in WeChat (PageOpenInWeChat), the one that the QR
	// code stands for (PageScan), or the frame's (PageEmbeddedQR); empty on other
	// pages.
	URL string
	// QR is the QR code of PageOpenInWeChat: a picture of the URL to open, black
	// on white, as a data: URL; empty if the URL is too long for a phone's
	// camera. It is on PageScan too, and there the phone's page.
	QR template.URL
	// Scan is for the pages of a login by QR code.
	Scan ScanDetails
}

// ScanDetails is what the pages of a login by QR code show.
type ScanDetails struct {
	// Number is what PageScanConfirmed shows: four digits.
	Number string
	// Scanned is true on PageScan once the phone has the QR code.
	Scanned bool
	// RefreshURL is where PageScan and PageScanConfirmed go to learn what the other
	// side has done.
	RefreshURL string
	// Browser is which one is about to be logged in, such as "Chrome · Windows";
	// empty if unknown.
	Browser string
	// Place is where it is (WithScanPlace); empty if unknown.
	Place string
	// Age is how long ago the QR code was made, in whole seconds.
	Age time.Duration

	statusURL string // for the script of the embedded page
}

// Pages writes the HTML of p to w. It is called once per answer, from many
// goroutines at once. What it writes is held back until it returns: if it
// fails or panics, the visitor gets the page of this library instead.
//
// Use html/template, which keeps the URLs of p harmless. The
// Content-Security-Policy of a page allows its own <style> elements, and style
// sheets, images and fonts of the site itself, but no script and no style
// attribute. A visitor who is not logged in has to be able to load them.
type Pages func(w io.Writer, p Page) error

// writePage answers r with the page p, rendered by pages or, if that is nil or
// fails, by the embedded template. Headers that were set before (Set-Cookie,
// Retry-After) are kept. The error says why pages was not used; the visitor
// has a whole page nevertheless.
func writePage(w http.ResponseWriter, r *http.Request, pages Pages, p Page) error {
	p.RetryURL, p.ActionURL, p.URL = page.Link(p.RetryURL), page.Link(p.ActionURL), page.Link(p.URL)
	p.Scan.RefreshURL = page.Link(p.Scan.RefreshURL)
	p.Lang = cmp.Or(p.Lang, page.Language(r))
	var own page.Renderer
	if pages != nil {
		own = func(w io.Writer) error { return pages(w, p) }
	}
	return page.Write(w, r, own, page.Page{
		Kind: page.Kind(p.Kind), Lang: p.Lang, Status: p.Status, Reason: string(p.Reason),
		RetryURL: p.RetryURL, ActionURL: p.ActionURL, Next: p.Next, FormActions: p.FormActions, URL: p.URL, QR: p.QR,
		Scan: page.Scan{
			Number: p.Scan.Number, Scanned: p.Scan.Scanned, RefreshURL: p.Scan.RefreshURL, StatusURL: p.Scan.statusURL,
			Browser: p.Scan.Browser, Place: p.Scan.Place, Age: p.Scan.Age,
		},
	})
}
