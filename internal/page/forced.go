package page

import "strings"

// Forced returns the HTML of a built-in page in one color scheme, light or dark,
// whatever the browser prefers, without scripts, and with what they would show.
func Forced(html, scheme string) string {
	media := "not all"
	if scheme == "dark" {
		media = "all"
	}
	html = strings.NewReplacer(
		"@media (prefers-color-scheme: dark)", "@media "+media,
		"color-scheme: light dark", "color-scheme: "+scheme,
		`<meta name="color-scheme" content="light dark">`, `<meta name="color-scheme" content="`+scheme+`">`,
		" hidden>", ">",
	).Replace(html)
	for _, element := range []string{"script", "noscript"} {
		for {
			before, rest, found := strings.Cut(html, "<"+element+">")
			_, after, closed := strings.Cut(rest, "</"+element+">")
			if !found || !closed {
				break
			}
			html = before + after
		}
	}
	return html
}
