package client

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const maxErrorText = 300

// namedSecret matches secrets by name, including those that were not part of
// the call.
var namedSecret = regexp.MustCompile(`(?i)\b(?:\w*secret|\w*token|\w*code|\w*ticket|session_key|signature|openid|unionid|\w*userid)=[^\s&"']*`)

// The parts of URLs in transport errors that may be secret: a proxy's password,
// and everything after a question mark.
var (
	urlUser  = regexp.MustCompile(`//[^/\s"@]*@`)
	urlQuery = regexp.MustCompile(`\?[^\s"]*`)
)

// public lists the parameters whose values may appear in an error text.
var public = []string{"appid", "component_appid", "corpid", "grant_type", "lang", "sig_method", "force_refresh"}

// sensitive returns the values of the request that must not appear in an error
// text.
func (req request) sensitive() []string {
	var values []string
	for name, list := range req.query {
		if !slices.Contains(public, name) {
			values = append(values, list...)
		}
	}
	for name, value := range req.json {
		if s, ok := value.(string); ok && !slices.Contains(public, name) {
			values = append(values, s)
		}
	}
	return values
}

// redact returns text from a peer or a library on one line and without the
// values, whether plain, escaped, in hexadecimal or in base64.
func redact(text string, values []string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || isDeceptive(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool {
		return len(v) > len(text) // cannot occur in text, and its seven spellings cost memory
	})
	for _, form := range forms(values) {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return namedSecret.ReplaceAllString(text, redacted)
}

// redactURLs is like redact, for text that may contain whole URLs.
func redactURLs(text string, values []string) string {
	text = redact(text, values)
	text = urlUser.ReplaceAllString(text, "//"+redacted+"@")
	return urlQuery.ReplaceAllString(text, "?"+redacted)
}

// shorten truncates text to 300 bytes. Call it after redact, which would not
// recognize half a secret.
func shorten(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	return strings.ToValidUTF8(text[:maxErrorText-3], "") + "..."
}

// forms returns all spellings of the values, longest first. It skips values
// shorter than six bytes: they protect nothing, and replacing them would garble
// ordinary words.
func forms(values []string) []string {
	var all []string
	for _, v := range values {
		if len(v) < 6 {
			continue
		}
		all = append(all, v, url.QueryEscape(v), url.PathEscape(v),
			hex.EncodeToString([]byte(v)), strings.ToUpper(hex.EncodeToString([]byte(v))),
			base64.RawStdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v)))
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return slices.Compact(all)
}
