package page

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed page.html page.css texts.json *.js
var files embed.FS

var (
	pageTemplate = template.Must(template.ParseFS(files, "page.html"))
	css          = string(mustReadFile("page.css"))
	cssHash      = cspHash([]byte(css))
	scripts      = map[Kind]script{
		OpenInWeChat: newScript("copy.js"),
		ScanCode:     newScript("scan.js"), ScanConfirmed: newScript("scan.js"),
		ScanDone: newScript("close.js"),
		Reopen:   newScript("reopen.js"),
	}
	retryScript = newScript("retry.js")
	texts       = mustParseTexts(mustReadFile("texts.json"))
)

// script is a script of ours in a page, and what allows it to run.
type script struct {
	text template.JS
	hash string
}

func newScript(name string) script {
	text := mustReadFile(name)
	return script{text: template.JS(text), hash: cspHash(text)}
}

// scriptFor returns the script of the built-in page p, or none: that of what its
// labels name.
func scriptFor(p Page) script {
	switch {
	case p.Kind == OpenInWeChat && p.Labels["copy"] == "":
		return script{}
	case p.Kind == Message && p.Labels["wait"] != "":
		return retryScript
	case p.Kind == Message && p.Labels["close"] != "":
		return scripts[ScanDone]
	}
	return scripts[p.Kind]
}

// textFile is texts.json: what the pages say.
type textFile struct {
	Reasons  map[string]textSet `json:"reasons"`
	Variants map[string]textSet `json:"variants"` // by reason and variant
	Common   struct {
		Chinese map[string]string `json:"zh-CN"`
		English map[string]string `json:"en"`
	} `json:"common"` // labels
	Upgrade  textSet `json:"upgrade"`  // Upgrade
	Embedded textSet `json:"embedded"` // EmbeddedQR
	Scan     textSet `json:"scan"`     // ScanCode
	Confirm  textSet `json:"confirm"`  // ScanConfirm
	Typed    textSet `json:"typed"`    // ScanConfirmed
	Number   textSet `json:"number"`   // ScanNumber
	Done     textSet `json:"done"`     // ScanDone
	Enter    textSet `json:"enter"`    // Enter
	Reopen   textSet `json:"reopen"`   // Reopen
	Unknown  textSet `json:"unknown"`  // a Reason that is not in the list
}

type textSet struct {
	Icon    string `json:"icon"` // one of those that page.html draws
	Chinese Words  `json:"zh-CN"`
	English Words  `json:"en"`
}

// Embedded writes the page of this library.
func Embedded(w io.Writer, p Page) error {
	p = Worded(p)
	text, reason := textFor(p)
	lang := Chinese
	if p.Lang == English {
		lang = English
	}
	view := view{
		Words: p.Words, Lang: lang, Icon: text.Icon, Reason: reason,
		RetryURL: p.RetryURL, ActionURL: p.ActionURL, Next: p.Next,
		Script:    Script(p),
		brandView: brandView{p.Brand, LogoURL(p.Brand.Logo), template.CSS(css), accentCSS(p.Brand.Accent)},
	}
	switch p.Kind {
	case Message:
		view.Reference = p.Reference
	case Upgrade: // one way on
		view.RetryURL = ""
	case OpenInWeChat:
		view.OpenURL, view.QR = p.URL, p.QR
	case EmbeddedQR:
		view.FrameURL = p.URL
	case ScanCode, ScanConfirmed:
		view.QR, view.Waiting, view.State = p.QR, &p.Scan, scanState(p)
	case ScanNumber:
		view.Typing = true
	case ScanConfirm:
		view.Asking, view.Seconds = &p.Scan, int(p.Scan.Age/time.Second)
	case Reopen:
		view.Reopen = true
	}
	return pageTemplate.Execute(w, view)
}

// view is what page.html shows.
type view struct {
	Words
	Lang, Icon, RetryURL, ActionURL, Next string

	Reason, Reference string // the reason is for tests; users see the reference
	Script            template.JS
	OpenURL, FrameURL string
	QR                template.URL
	Reopen            bool

	brandView
	scanView
}

// brandView is what all pages of a site show.
type brandView struct {
	Brand          Brand
	Logo           template.URL
	CSS, AccentCSS template.CSS
}

// scanView is what the pages of a login by scan code show.
type scanView struct {
	Waiting, Asking *Scan // for the other device; the phone's user
	State           string
	Typing          bool
	Seconds         int
}

// scanState is how far the scan is, in the words of scan.js.
func scanState(p Page) string {
	switch {
	case p.Kind == ScanConfirmed:
		return "confirmed"
	case p.Scan.Scanned:
		return "scanned"
	}
	return "waiting"
}

// textFor picks the text of p, and the reason to name on the page: none
// where nothing went wrong, and none that is not in the closed list.
func textFor(p Page) (textSet, string) {
	switch p.Kind {
	case Upgrade:
		return texts.Upgrade, ""
	case LoggedOut:
		return texts.Reasons["logged_out"], ""
	case OpenInWeChat:
		return openTextFor(p), ""
	case EmbeddedQR:
		return texts.Embedded, ""
	case ScanCode:
		return texts.Scan, ""
	case ScanConfirm:
		return texts.Confirm, ""
	case ScanConfirmed:
		return texts.Typed, ""
	case ScanNumber:
		return texts.Number, ""
	case ScanDone:
		return texts.Done, ""
	case Enter:
		return texts.Enter, ""
	case Reopen:
		return texts.Reopen, ""
	}
	text, ok := texts.Reasons[p.Reason]
	if !ok {
		return texts.Unknown, ""
	}
	if variant, ok := texts.Variants[p.Reason+" "+p.Hints.Variant]; ok {
		text = variant
	}
	return text, p.Reason
}

// openTextFor returns the text of OpenInWeChat, which names a QR code only if
// there is one.
func openTextFor(p Page) textSet {
	switch {
	case p.Hints.Variant == ByCamera:
		return texts.Variants["open_in_wechat "+ByCamera]
	case p.QR == "":
		return texts.Variants["open_in_wechat "+linkOnly]
	}
	return texts.Reasons["open_in_wechat"]
}

// render returns the HTML of p and its Content-Security-Policy.
func render(own Renderer, p Page) (body []byte, policy string, err error) {
	if p.Hints.Sandbox {
		defer func() { body = withBanner(body, p.Lang) }()
	}
	if own != nil {
		if body, err = run(own); err == nil {
			return body, replacedPolicy(p, body), nil
		}
	}
	body, embeddedErr := run(func(w io.Writer) error { return Embedded(w, p) })
	return body, defaultPolicy(p), errors.Join(err, embeddedErr)
}

// run collects what a Renderer writes and turns a panic into an error.
func run(write Renderer) (body []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			body, err = nil, fmt.Errorf("render page: panic: %v", v)
		}
	}()
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		return nil, fmt.Errorf("render page: %w", err)
	}
	if buf.Len() == 0 {
		return nil, errors.New("render page: nothing was written")
	}
	return buf.Bytes(), nil
}

func mustReadFile(name string) []byte {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return data
}

func mustParseTexts(data []byte) textFile {
	var texts textFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&texts); err != nil {
		panic(fmt.Errorf("texts.json: %w", err))
	}
	return texts
}
