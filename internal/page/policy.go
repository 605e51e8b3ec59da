package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client"
)

func defaultPolicy(p Page) string {
	policy := "default-src 'none'; style-src " + cssHash
	if accent := accentCSS(p.Brand.Accent); accent != "" {
		policy += " " + cspHash([]byte(accent))
	}
	policy += scriptPolicy(p)
	images, logo := []string{}, p.Brand.logoSource()
	if p.QR != "" {
		images = append(images, "data:")
	}
	if logo != "" && !slices.Contains(images, logo) {
		images = append(images, logo)
	}
	if len(images) > 0 {
		policy += "; img-src " + strings.Join(images, " ")
	}
	return policy + framePolicy(p) + formPolicy(p)
}

// scriptPolicy allows the script of the built-in page, and no other.
func scriptPolicy(p Page) (policy string) {
	if script := scriptFor(p); script.text != "" {
		policy = "; script-src " + script.hash
	}
	if p.Kind == ScanCode || p.Kind == ScanConfirmed {
		policy += "; connect-src 'self'"
	}
	return policy
}

// framePolicy allows the one frame of EmbeddedQR.
func framePolicy(p Page) string {
	if o := cspOrigin(p.URL); p.Kind == EmbeddedQR && o != "" {
		return "; frame-src " + o
	}
	return ""
}

func replacedPolicy(p Page, body []byte) string {
	styles := "'self'"
	for _, element := range styleElements.FindAllSubmatch(body, -1) {
		styles += " " + cspHash(element[1])
	}
	images := "'self' data:"
	if logo := p.Brand.logoSource(); logo != "" && !strings.Contains(images, logo) {
		images += " " + logo
	}
	return "default-src 'none'; style-src " + styles +
		"; img-src " + images + "; font-src 'self'" + scriptPolicy(p) + framePolicy(p) + formPolicy(p)
}

func formPolicy(p Page) string {
	actions := "'self'"
	if p.Kind == Upgrade {
		origins := p.Hints.FormActions
		if len(origins) == 0 {
			origins = []string{client.DefaultOpen}
		}
		for _, origin := range origins {
			if o := cspOrigin(origin); o != "" {
				actions += " " + o
			}
		}
	}
	ancestors := "'none'"
	if p.Kind == Reopen { // is in a frame, of a page of ours
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
