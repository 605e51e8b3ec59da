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

// namedSecret finds secrets by their name, where one is written that was not
// part of this call.
var namedSecret = regexp.MustCompile(`(?i)\b(?:\w*secret|\w*token|\w*code|session_key|signature|openid|unionid)=[^\s&"']*`)

// URLs in the errors of transports: a proxy's password, and everything after a
// question mark.
var (
	urlUser  = regexp.MustCompile(`//[^/\s"@]*@`)
	urlQuery = regexp.MustCompile(`\?[^\s"]*`)
)

// public are the parameters whose values may stand in an error text.
var public = []string{"appid", "component_appid", "grant_type", "lang", "sig_method", "force_refresh"}

// sensitive returns the values of this request that no error text may repeat.
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

// redact returns text that a peer or a library wrote as one line without the
// values: neither as they are nor escaped, in hex or in base64.
func redact(text string, values []string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || isDeceptive(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool {
		return len(v) > len(text) // cannot be in it, and its seven spellings cost memory
	})
	for _, form := range forms(values) {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return namedSecret.ReplaceAllString(text, redacted)
}

// redactURLs is redact for texts that may hold whole URLs.
func redactURLs(text string, values []string) string {
	text = redact(text, values)
	text = urlUser.ReplaceAllString(text, "//"+redacted+"@")
	return urlQuery.ReplaceAllString(text, "?"+redacted)
}

// shorten cuts text to at most 300 bytes. It comes after redact, which would
// not know the first half of a secret.
func shorten(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	return strings.ToValidUTF8(text[:maxErrorText-3], "") + "..."
}

// forms lists the spellings of the values, longest first. Values below six
// bytes hide nothing and would tear ordinary words apart.
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
