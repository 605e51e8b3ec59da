package page

import (
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Brand is the site that a page belongs to. Its fields are those of
// wechatauth.Brand.
type Brand struct{ Name, Logo, Accent, HomeURL, SupportURL string }

const (
	maxName  = 40       // characters: two lines on a narrow phone
	maxLogo  = 32 << 10 // bytes: every page contains the image twice
	minRatio = 4.5      // of text, by WCAG 2, success criterion 1.4.3
	minEdge  = 3.0      // of icons and edges, by success criterion 1.4.11
)

// Check returns an error for each field that no page can show.
func (b Brand) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := utf8.RuneCountInString(b.Name); n > maxName || !utf8.ValidString(b.Name) || b.Name != strings.TrimSpace(b.Name) || strings.ContainsFunc(b.Name, hides) {
		bad("the name %q has %d characters; give at most %d, without control characters, invisible ones, and spaces around them", b.Name, n, maxName)
	}
	if _, err := logoURL(b.Logo); err != nil {
		bad("the logo %w", err)
	}
	if b.Accent != "" {
		if err := checkAccent(b.Accent); err != nil {
			bad("the accent %q %w", b.Accent, err)
		}
	}
	if u, err := url.Parse(b.HomeURL); b.HomeURL != "" && (Link(b.HomeURL) == "" || err == nil && u.User != nil) {
		bad("the home URL %q is neither an http(s) URL nor an absolute path", b.HomeURL)
	}
	if b.SupportURL != "" && supportLink(b.SupportURL) == "" {
		bad("the support URL %q is neither an http(s) URL nor an absolute path nor a mailto: URL", b.SupportURL)
	}
	return errors.Join(errs...)
}

// hides reports whether r is a control character or invisible. Those for the
// direction of text could make a name cover the host that is shown after it, and a
// name of invisible characters is none.
func hides(r rune) bool {
	const fillers = "\u034f\u115f\u1160\u3164\uffa0"
	return !unicode.IsGraphic(r) || strings.ContainsRune(fillers, r)
}

// At returns b as the pages of a site show it, with the defaults of its empty
// fields. It has passed Check.
func (b Brand) At(base *url.URL) Brand {
	if b.Name == "" {
		b.Name = base.Host
	}
	if b.HomeURL == "" {
		b.HomeURL = "/"
	}
	if strings.HasPrefix(b.HomeURL, "/") {
		b.HomeURL = base.String() + b.HomeURL
	}
	b.Logo = string(LogoURL(b.Logo))
	return b
}

// supportLink is Link that also allows mailto: URLs.
func supportLink(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil && u.Scheme == "mailto" && strings.Contains(u.Opaque, "@") {
		return rawURL
	}
	return Link(rawURL)
}

// LogoURL returns the URL of a logo for the src of an <img>, or "" if it is not
// usable. An image becomes a data: URL.
func LogoURL(logo string) template.URL {
	if strings.HasPrefix(logo, "data:image/") {
		return template.URL(logo) // in an <img>, no image runs a script
	}
	u, err := logoURL(logo)
	if err != nil {
		return ""
	}
	return template.URL(u)
}

func logoURL(logo string) (string, error) {
	image := logo
	switch {
	case logo == "":
		return "", nil
	case strings.HasPrefix(logo, "data:"):
		head, data, _ := strings.Cut(logo, ",")
		decoded, err := url.PathUnescape(data)
		if err == nil && strings.HasSuffix(head, ";base64") {
			var b []byte
			b, err = base64.StdEncoding.DecodeString(decoded)
			decoded = string(b)
		}
		if err != nil {
			return "", fmt.Errorf("is a malformed data: URL: %w", err)
		}
		image = decoded
	case strings.HasPrefix(logo, "/") && Link(logo) != "", Link(logo) != "" && cspOrigin(logo) != "":
		return logo, nil
	}
	kind := imageType(image)
	if kind == "" {
		return "", errors.New("is not an SVG, PNG, JPEG or WebP image, a data: URL of one, an http(s) URL or an absolute path")
	}
	if len(image) > maxLogo {
		return "", fmt.Errorf("has %d bytes, and every page would contain it twice; give at most %d, or a URL", len(image), maxLogo)
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString([]byte(image)), nil
}

// imageType returns the media type of an image that browsers show, or "".
func imageType(image string) string {
	switch kind := http.DetectContentType([]byte(image[:min(len(image), 512)])); kind {
	case "image/png", "image/jpeg", "image/webp":
		return kind
	}
	// The root element follows a declaration, comments and a DOCTYPE.
	rest := strings.TrimPrefix(image, "\ufeff")
	for {
		rest = strings.TrimLeft(rest, " \t\r\n")
		end := ">"
		switch {
		case strings.HasPrefix(rest, "<svg"):
			return "image/svg+xml"
		case strings.HasPrefix(rest, "<!--"):
			end = "-->"
		case !strings.HasPrefix(rest, "<?xml") && !strings.HasPrefix(rest, "<!DOCTYPE svg"):
			return ""
		}
		_, after, found := strings.Cut(rest, end)
		if !found {
			return ""
		}
		rest = after
	}
}

// logoSource returns the source expression that allows the logo, or "".
func (b Brand) logoSource() string {
	logo := string(LogoURL(b.Logo))
	switch {
	case logo == "":
		return ""
	case strings.HasPrefix(logo, "data:"):
		return "data:"
	case strings.HasPrefix(logo, "/"):
		return "'self'"
	}
	return cspOrigin(logo)
}

// A color is red, green and blue, each 0 to 255.
type color [3]float64

var (
	white = color{255, 255, 255}
	dark  = color{17, 19, 18} // text on light buttons

	lightCard = color{255, 255, 255} // --card of page.css, in each color scheme
	darkCard  = color{27, 30, 29}
)

func parseColor(text string) (c color, ok bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "#"), 16, 32)
	if err != nil || len(text) != 7 || text[0] != '#' {
		return color{}, false
	}
	return color{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}, true
}

func (c color) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(c[0]), int(c[1]), int(c[2]))
}

// mix returns c with a part of other, 0 to 1.
func (c color) mix(other color, part float64) color {
	for i := range c {
		c[i] = math.Round(c[i] + (other[i]-c[i])*part)
	}
	return c
}

// luminance is the relative luminance of WCAG 2.
func (c color) luminance() float64 {
	var linear color
	for i := range c {
		if s := c[i] / 255; s <= 0.04045 {
			linear[i] = s / 12.92
		} else {
			linear[i] = math.Pow((s+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear[0] + 0.7152*linear[1] + 0.0722*linear[2]
}

// contrast is the contrast ratio of WCAG 2, 1 to 21.
func (c color) contrast(other color) float64 {
	a, b := c.luminance(), other.luminance()
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// toward returns c, mixed with other until its contrast with all of the others is
// at least ratio.
func (c color) toward(other color, ratio float64, grounds ...color) color {
	for part := 0.0; part < 1; part += 0.02 {
		mixed, least := c.mix(other, part), math.Inf(1)
		for _, ground := range grounds {
			least = min(least, mixed.contrast(ground))
		}
		if least >= ratio {
			return mixed
		}
	}
	return other
}

// textOn returns the color of the text on a button of color c: white, unless only
// dark text has enough contrast.
func textOn(c color) color {
	if c.contrast(white) < minRatio && c.contrast(dark) > c.contrast(white) {
		return dark
	}
	return white
}

// checkAccent returns an error if the text on a button of this color is hard to
// read. What else has the color gets a tone with enough contrast: see accentCSS.
func checkAccent(text string) error {
	c, ok := parseColor(text)
	if !ok {
		return errors.New(`is not a color of the form "#07803f"`)
	}
	if c.contrast(textOn(c)) >= minRatio {
		return nil
	}
	return fmt.Errorf("has a contrast of %.2f:1 with white text and of %.2f:1 with dark text, where buttons need %v:1 with one of them; the nearest usable colors are %v and %v",
		c.contrast(white), c.contrast(dark), minRatio, c.toward(color{}, minRatio+0.05, white), c.toward(white, minRatio+0.05, dark))
}

// accentCSS returns the style that gives a page its accent, or "". The button has
// the same color in both color schemes; its edge, outlines and icons are darker in
// the light one and lighter in the dark one if they need it.
func accentCSS(text string) template.CSS {
	c, ok := parseColor(text)
	if !ok {
		return ""
	}
	onAccent := textOn(c)
	away := color{} // from the text, so that its contrast grows
	if onAccent == dark {
		away = white
	}
	scheme := func(card, ink color) string {
		halo := card.mix(c, 0.12)
		return fmt.Sprintf("--tone: %v; --halo: %v", c.toward(ink, minEdge, card, halo), halo)
	}
	return template.CSS(fmt.Sprintf(":root { --accent: %v; --accent-down: %v; --on-accent: %v; %s }\n@media (prefers-color-scheme: dark) { :root { %s } }",
		c, c.mix(away, 0.12), onAccent, scheme(lightCard, color{}), scheme(darkCard, white)))
}
