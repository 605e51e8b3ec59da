package page

import (
	"bytes"
	"regexp"
)

var bodyTag = regexp.MustCompile(`(?i)<body(\s[^>]*)?>`)

// withBanner puts the banner of a sandbox at the top of a page. A page of the
// application may have no <body>; it gets the banner at its end.
func withBanner(html []byte, lang string) []byte {
	text := texts.Common.Chinese["sandbox"]
	if lang == English {
		text = texts.Common.English["sandbox"]
	}
	at := len(html)
	if tag := bodyTag.FindIndex(html); tag != nil {
		at = tag[1]
	}
	banner := []byte("\n<p class=\"sandbox\" role=\"note\">" + text + "</p>")
	return bytes.Join([][]byte{html[:at], banner, html[at:]}, nil)
}
