package page

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Sample is a page as users may see it.
type Sample struct {
	Name string // such as "scan" or "message state_expired"
	Page Page
}

const sampleLogo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="#c8102e"/></svg>`

// Samples returns every page, in each of its states that the server knows: all
// kinds, reasons and variants. Their server is at base: scripts poll its /status,
// and a frame shows its /frame.
func Samples(base string) (all []Sample, err error) {
	add := func(name string, p Page) {
		p.Reference, p.Hints.Host = "2026-11-30 20:45:12 UTC a1b2c3d4e5f6", "m.example.com"
		if p.Brand == (Brand{}) {
			p.Brand = Brand{Name: "青竹书店", Logo: sampleLogo, Accent: "#c8102e", HomeURL: "/", SupportURL: "mailto:help@example.com"}
		}
		all = append(all, Sample{name, p})
	}
	for kind := range kinds {
		if kind == Message {
			addMessages(add)
		} else if !addKind(add, kind, base) {
			return nil, fmt.Errorf("no sample of the pages of kind %d", kind)
		}
	}
	return all, nil
}

// addKind adds the pages of a kind other than Message, and reports whether
// there are any.
func addKind(add func(string, Page), kind Kind, base string) bool {
	qr := QRCode("https://m.example.com/wechat/scan/3Jk9")
	scan := Scan{Number: "4817", RefreshURL: "/refresh", StatusURL: base + "/status", Browser: "Chrome · Windows", Age: 8 * time.Second, Left: 112 * time.Second}
	waiting, scanned, unknown := scan, scan, Scan{Age: time.Second}
	waiting.Number, scanned.Number, scanned.Scanned = "", "", true
	switch kind {
	case Upgrade:
		add("upgrade", Page{Kind: kind, ActionURL: "/wechat/upgrade", Next: "/profile"})
	case LoggedOut:
		add("logged out", Page{Kind: kind, Reason: "logged_out", RetryURL: "/wechat/login"})
	case OpenInWeChat:
		long := "https://m.example.com/orders?id=" + strings.Repeat("1234567890", 30)
		add("open", Page{Kind: kind, Reason: "open_in_wechat", URL: "https://m.example.com/orders?id=7", QR: qr})
		add("open long", Page{Kind: kind, Reason: "open_in_wechat", URL: long})
		add("open camera", Page{Kind: kind, Reason: "open_in_wechat", URL: long, Hints: Hints{Variant: ByCamera}})
	case EmbeddedQR:
		add("embedded", Page{Kind: kind, URL: base + "/frame"})
	case ScanCode:
		add("scan", Page{Kind: kind, QR: qr, RetryURL: "/wechat/login", Scan: waiting})
		add("scan unbranded", Page{Kind: kind, QR: qr, RetryURL: "/wechat/login", Scan: waiting, Brand: Brand{Name: "m.example.com"}})
		add("scan scanned", Page{Kind: kind, QR: qr, RetryURL: "/wechat/login", Scan: scanned})
	case ScanConfirm:
		add("confirm", Page{Kind: kind, ActionURL: "/wechat/scan", Scan: scan})
		add("confirm unknown", Page{Kind: kind, ActionURL: "/wechat/scan", Scan: unknown})
	case ScanConfirmed:
		add("confirmed", Page{Kind: kind, Scan: scan})
	case ScanNumber:
		add("number", Page{Kind: kind, ActionURL: "/wechat/scan", Next: "/"})
	case ScanDone:
		add("done", Page{Kind: kind})
	case Enter:
		add("enter", Page{Kind: kind, ActionURL: "/wechat/enter", Next: "/"})
	case Reopen:
		add("reopen", Page{Kind: kind})
	default:
		return false
	}
	return true
}

// addMessages adds a Message for each reason and variant.
func addMessages(add func(string, Page)) {
	message := Page{Kind: Message, Status: 200, RetryURL: "/wechat/login"}
	for _, reason := range slices.Sorted(maps.Keys(texts.Reasons)) {
		message.Reason = reason
		add("message "+reason, message)
	}
	for _, key := range slices.Sorted(maps.Keys(texts.Variants)) {
		p := message
		p.Reason, p.Hints.Variant, _ = strings.Cut(key, " ")
		if p.Reason == "open_in_wechat" { // another kind
			continue
		}
		switch p.Hints.Variant {
		case OtherAccount:
			p.ActionURL = "/wechat/logout"
		case OnPhone:
			p.RetryURL = ""
		}
		add("message "+key, p)
	}
	message.Reason, message.Hints.Wait = "store_unavailable", 60
	add("message retry", message)
	message.Hints = Hints{Sandbox: true}
	add("message sandbox", message)
	message.Reason, message.Hints, message.RetryURL = "unlisted", Hints{}, ""
	message.Brand.Name = "m.example.com" // as without WithBrand
	add("message unlisted", message)
}
