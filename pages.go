package wechatauth

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
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
	// of WithWebsiteApp (WithEmbeddedQR).
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

// The languages that pages come in.
const (
	langChinese = "zh-CN"
	langEnglish = "en"
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
	// Reason is why the visitor sees the page; empty on PageUpgrade.
	Reason Reason
	// RetryURL is the link to start again, an http(s) URL or an absolute
	// path; empty if starting again cannot help.
	RetryURL string
	// ActionURL is where the form of PageUpgrade, PageScanConfirm or PageEnter is
	// posted to; empty on other pages.
	ActionURL string
	// Next is the return target. The form of PageUpgrade carries it as the
	// hidden field "next".
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
	// Scan is for PageScan and PageScanConfirm.
	Scan ScanDetails
}

// ScanDetails is what the two pages of a scan show.
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

//go:embed pages/page.html pages/page.css pages/texts.json pages/*.js
var pageFiles embed.FS

var (
	pageTemplate = template.Must(template.ParseFS(pageFiles, "pages/page.html"))
	pageCSS      = string(mustReadPageFile("pages/page.css"))
	pageCSSHash  = cspHash([]byte(pageCSS))
	pageScripts  = map[PageKind]pageScript{
		PageOpenInWeChat: newPageScript("pages/copy.js"),
		PageScan:         newPageScript("pages/scan.js"), PageScanConfirmed: newPageScript("pages/scan.js"),
		pageReopen: newPageScript("pages/reopen.js"),
	}
	pageTexts = mustParsePageTexts(mustReadPageFile("pages/texts.json"))
)

// pageScript is a script of ours in a page, and what allows it to run.
type pageScript struct {
	text template.JS
	hash string
}

func newPageScript(name string) pageScript {
	text := mustReadPageFile(name)
	return pageScript{text: template.JS(text), hash: cspHash(text)}
}

// pageTextFile is pages/texts.json: what the pages say.
type pageTextFile struct {
	Reasons  map[Reason]pageText `json:"reasons"`
	Upgrade  pageText            `json:"upgrade"`  // PageUpgrade
	Embedded pageText            `json:"embedded"` // PageEmbeddedQR
	Scan     pageText            `json:"scan"`     // PageScan
	Confirm  pageText            `json:"confirm"`  // PageScanConfirm
	Typed    pageText            `json:"typed"`    // PageScanConfirmed
	Number   pageText            `json:"number"`   // PageScanNumber
	Done     pageText            `json:"done"`     // PageScanDone
	Enter    pageText            `json:"enter"`    // PageEnter
	Reopen   pageText            `json:"reopen"`   // pageReopen
	Unknown  pageText            `json:"unknown"`  // a Reason that is not in the list
}

type pageText struct {
	Icon    string    `json:"icon"` // one of those that page.html draws
	Chinese pageWords `json:"zh-CN"`
	English pageWords `json:"en"`
}

type pageWords struct {
	Title  string   `json:"title"`
	Text   []string `json:"text"`             // paragraphs
	Retry  string   `json:"retry,omitempty"`  // label of the link to RetryURL
	Submit string   `json:"submit,omitempty"` // label of the button of PageUpgrade

	Labels map[string]string `json:"labels,omitempty"` // of what else the page has
}

// defaultPages is the Pages of this library.
func defaultPages(w io.Writer, p Page) error {
	text, reason := pageTextFor(p)
	lang, words, reasonLabel := langChinese, text.Chinese, "原因："
	if p.Lang == langEnglish {
		lang, words, reasonLabel = langEnglish, text.English, "Reason: "
	}
	view := pageView{
		pageWords: words, Lang: lang, Icon: text.Icon, ReasonLabel: reasonLabel, Reason: reason,
		RetryURL: p.RetryURL, ActionURL: p.ActionURL, Next: p.Next,
		CSS: template.CSS(pageCSS), Script: pageScripts[p.Kind].text,
	}
	switch p.Kind {
	case PageOpenInWeChat:
		view.OpenURL, view.QR = p.URL, p.QR
	case PageEmbeddedQR:
		view.FrameURL = p.URL
	case PageScan, PageScanConfirmed:
		view.QR, view.Waiting, view.StatusURL = p.QR, &p.Scan, p.Scan.statusURL
		view.State = map[bool]string{true: scanScanned, false: scanWaiting}[p.Scan.Scanned]
		if p.Kind == PageScanConfirmed {
			view.State = scanConfirmed
		}
	case PageScanNumber:
		view.Typing = true
	case PageScanConfirm:
		view.Asking, view.Seconds = &p.Scan, int(p.Scan.Age/time.Second)
	case pageReopen:
		view.Reopen = true
	}
	return pageTemplate.Execute(w, view)
}

// pageView is what page.html shows.
type pageView struct {
	pageWords
	Lang, Icon, RetryURL, ActionURL, Next, ReasonLabel string

	Reason            Reason
	CSS               template.CSS
	Script            template.JS
	OpenURL, FrameURL string
	QR                template.URL
	Reopen            bool

	Waiting, Asking  *ScanDetails // for the other side; the phone's user
	State, StatusURL string
	Typing           bool
	Seconds          int
}

// pageTextFor picks the text of p, and the reason to name on the page: none
// where nothing went wrong, and none that is not in the closed list.
func pageTextFor(p Page) (pageText, Reason) {
	switch p.Kind {
	case PageUpgrade:
		return pageTexts.Upgrade, ""
	case PageLoggedOut:
		return pageTexts.Reasons[ReasonLoggedOut], ""
	case PageOpenInWeChat:
		return pageTexts.Reasons[ReasonOpenInWeChat], ""
	case PageEmbeddedQR:
		return pageTexts.Embedded, ""
	case PageScan:
		return pageTexts.Scan, ""
	case PageScanConfirm:
		return pageTexts.Confirm, ""
	case PageScanConfirmed:
		return pageTexts.Typed, ""
	case PageScanNumber:
		return pageTexts.Number, ""
	case PageScanDone:
		return pageTexts.Done, ""
	case PageEnter:
		return pageTexts.Enter, ""
	case pageReopen:
		return pageTexts.Reopen, ""
	}
	text, ok := pageTexts.Reasons[p.Reason]
	if !ok {
		return pageTexts.Unknown, ""
	}
	return text, p.Reason
}

// writePage answers r with the page p, rendered by pages or, if that is nil or
// fails, by defaultPages. Headers that were set before (Set-Cookie,
// Retry-After) are kept. The error says why pages was not used; the visitor
// has a whole page nevertheless.
func writePage(w http.ResponseWriter, r *http.Request, pages Pages, p Page) error {
	p.RetryURL, p.ActionURL, p.URL = pageLink(p.RetryURL), pageLink(p.ActionURL), pageLink(p.URL)
	p.Scan.RefreshURL = pageLink(p.Scan.RefreshURL)

	body, policy, err := renderPage(pages, p)

	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", pageReferrerPolicy(p.Kind))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if p.Kind == pageReopen {
		h.Set("X-Frame-Options", "SAMEORIGIN")
	}
	h.Set("Content-Security-Policy", policy)
	h.Set("Vary", pageVary(h.Values("Vary")))
	// A middleware that compresses on the fly names its encoding first.
	if h.Get("Content-Encoding") == "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}

	w.WriteHeader(pageStatus(p))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the visitor has gone: nobody is left to tell
	}
	return err
}

// renderPage returns the HTML of p and its Content-Security-Policy.
func renderPage(pages Pages, p Page) (body []byte, policy string, err error) {
	if pages != nil {
		if body, err = runPages(pages, p); err == nil {
			return body, replacedPagePolicy(p, body), nil
		}
	}
	body, defaultErr := runPages(defaultPages, p)
	return body, defaultPagePolicy(p), errors.Join(err, defaultErr)
}

// runPages collects what pages writes and turns a panic into an error.
func runPages(pages Pages, p Page) (body []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			body, err = nil, fmt.Errorf("render page: panic: %v", v)
		}
	}()
	var buf bytes.Buffer
	if err := pages(&buf, p); err != nil {
		return nil, fmt.Errorf("render page: %w", err)
	}
	if buf.Len() == 0 {
		return nil, errors.New("render page: nothing was written")
	}
	return buf.Bytes(), nil
}

func pageStatus(p Page) int {
	if p.Status >= 200 && p.Status <= 599 {
		return p.Status
	}
	if p.Kind == PageMessage {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// pageReferrerPolicy keeps the URL of a page, which may hold a code, away from
// everybody. Pages with a form are the exception, towards our own origin only:
// under "no-referrer" a browser posts the form with "Origin: null", and one without
// Sec-Fetch-Site could then not be told from a foreign site.
func pageReferrerPolicy(kind PageKind) string {
	if kind == PageUpgrade || kind == PageScanConfirm || kind == PageScanNumber || kind == PageEnter {
		return "same-origin"
	}
	return "no-referrer"
}

func defaultPagePolicy(p Page) string {
	policy := "default-src 'none'; style-src " + pageCSSHash
	if script, ok := pageScripts[p.Kind]; ok {
		policy += "; script-src " + script.hash
	}
	if p.Kind == PageScan || p.Kind == PageScanConfirmed {
		policy += "; connect-src 'self'"
	}
	if p.QR != "" {
		policy += "; img-src data:"
	}
	return policy + pageFramePolicy(p) + pageFormPolicy(p)
}

// pageFramePolicy allows the one frame of PageEmbeddedQR.
func pageFramePolicy(p Page) string {
	if o := cspOrigin(p.URL); p.Kind == PageEmbeddedQR && o != "" {
		return "; frame-src " + o
	}
	return ""
}

func replacedPagePolicy(p Page, body []byte) string {
	styles := "'self'"
	for _, element := range styleElements.FindAllSubmatch(body, -1) {
		styles += " " + cspHash(element[1])
	}
	return "default-src 'none'; style-src " + styles +
		"; img-src 'self' data:; font-src 'self'" + pageFramePolicy(p) + pageFormPolicy(p)
}

func pageFormPolicy(p Page) string {
	actions := "'self'"
	if p.Kind == PageUpgrade {
		origins := p.FormActions
		if len(origins) == 0 {
			origins = []string{"https://open.weixin.qq.com"}
		}
		for _, origin := range origins {
			if o := cspOrigin(origin); o != "" {
				actions += " " + o
			}
		}
	}
	ancestors := "'none'"
	if p.Kind == pageReopen { // is in a frame, of a page of ours
		ancestors = "'self'"
	}
	return "; form-action " + actions + "; base-uri 'none'; frame-ancestors " + ancestors
}

var (
	styleElements = regexp.MustCompile(`(?is)<style(?:\s[^>]*)?>(.*?)</style\s*>`)
	originPattern = regexp.MustCompile(`^https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?$`)
)

// cspHash is the source expression that allows an inline style or script. A browser
// turns line ends into \n before it hashes.
func cspHash(text []byte) string {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// cspOrigin cuts a URL down to its origin, or to nothing if that could not
// stand in a policy.
func cspOrigin(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	origin := u.Scheme + "://" + u.Host
	if !originPattern.MatchString(origin) {
		return ""
	}
	return origin
}

// pageLink returns rawURL if it is an http(s) URL or an absolute path, and
// nothing otherwise, so that no page shows a link that leads nowhere good.
func pageLink(rawURL string) string {
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

// pageVary joins what answers vary on already with what pages vary on, each
// field once.
func pageVary(present []string) string {
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

// maxAcceptLanguage is how many bytes of Accept-Language are read. Browsers
// send less than a tenth of it.
const maxAcceptLanguage = 1024

// pageLang returns the language to write to r's visitor in, by RFC 9110,
// section 12.5.4: the better liked of Chinese (of any kind) and English, and
// of two liked alike the first. Who asks for neither reads English; who asks
// for nothing comes from WeChat and reads Chinese.
func pageLang(r *http.Request) string {
	header := strings.Join(r.Header.Values("Accept-Language"), ",")
	if len(header) > maxAcceptLanguage {
		header = header[:maxAcceptLanguage]
		header = header[:strings.LastIndexByte(header, ',')+1]
	}

	lang, best := "", 0.0
	elsewhere := false // another language is asked for, or Chinese is refused
	for item := range strings.SplitSeq(header, ",") {
		language, q, ok := parseLanguageElement(item)
		if !ok {
			continue
		}
		candidate := ""
		switch language {
		case "zh":
			candidate = langChinese
			elsewhere = elsewhere || q == 0
		case "en":
			candidate = langEnglish
		case "*": // any language: says nothing
		default:
			elsewhere = elsewhere || q > 0
		}
		if candidate != "" && q > best {
			lang, best = candidate, q
		}
	}

	switch {
	case lang != "":
		return lang
	case elsewhere:
		return langEnglish
	}
	return langChinese
}

// languageElement is one element of Accept-Language, such as "zh-TW;q=0.8":
// its primary language and its quality. It takes "zh_TW" too, which some
// webviews send.
var languageElement = regexp.MustCompile(`(?i)^\s*([a-z]{1,8}|\*)(?:[-_][a-z0-9]{1,8})*\s*(?:;\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?$`)

// parseLanguageElement returns the primary language of item in lower case and
// how well it is liked, 0 to 1. An item that breaks the grammar says nothing.
func parseLanguageElement(item string) (language string, q float64, ok bool) {
	match := languageElement.FindStringSubmatch(item)
	if match == nil {
		return "", 0, false
	}
	q = 1
	if match[2] != "" {
		q, _ = strconv.ParseFloat(match[2], 64) // the pattern lets only numbers pass
	}
	return strings.ToLower(match[1]), q, true
}

func mustReadPageFile(name string) []byte {
	data, err := pageFiles.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return data
}

func mustParsePageTexts(data []byte) pageTextFile {
	var texts pageTextFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&texts); err != nil {
		panic(fmt.Errorf("pages/texts.json: %w", err))
	}
	return texts
}
