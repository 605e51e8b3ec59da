package page

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// The languages that pages come in.
const (
	Chinese = "zh-CN"
	English = "en"
)

// maxAcceptLanguage is how many bytes of Accept-Language are read. Browsers
// send less than a tenth of it.
const maxAcceptLanguage = 1024

// Language returns the language of the page for r, by RFC 9110,
// section 12.5.4: the better liked of Chinese (of any kind) and English, and
// of two liked alike the first. A client that accepts only other languages gets
// English. One that names no language comes from WeChat and gets Chinese.
func Language(r *http.Request) string {
	header := strings.Join(r.Header.Values("Accept-Language"), ",")
	if len(header) > maxAcceptLanguage {
		header = header[:maxAcceptLanguage]
		header = header[:strings.LastIndexByte(header, ',')+1]
	}

	lang, best := "", 0.0
	elsewhere := false // another language is preferred, or Chinese has quality 0
	for item := range strings.SplitSeq(header, ",") {
		language, q, ok := parseLanguageElement(item)
		if !ok {
			continue
		}
		candidate := ""
		switch language {
		case "zh":
			candidate = Chinese
			elsewhere = elsewhere || q == 0
		case "en":
			candidate = English
		case "*": // any language: no preference
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
		return English
	}
	return Chinese
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
