package client

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestDisplayText(t *testing.T) {
	for name, row := range map[string]struct{ in, want string }{
		"plain":                          {"张三", "张三"},
		"empty":                          {"", ""},
		"white space is one space":       {" \t a \r\n\u3000 b\u00a0", "a b"},
		"control characters":             {"a\x00\x07\x14\x7f\u0085b", "a b"}, // U+0085 is a line break
		"C1 control characters":          {"a\u0090b", "ab"},
		"bidi embeddings and overrides":  {"\u202aa\u202eb\u202c", "ab"},
		"bidi isolates":                  {"\u2066a\u2067b\u2068c\u2069", "abc"},
		"bidi marks":                     {"a\u200e\u200f\u061cb", "ab"},
		"line and paragraph separators":  {"a\u2028b\u2029c", "a b c"},
		"zero width space":               {"a\u200bb", "ab"},
		"byte order mark":                {"\ufeffa", "a"},
		"soft hyphen":                    {"a\u00adb", "ab"},
		"noncharacters":                  {"a\uffff\ufdd0\U0001fffeb", "ab"},
		"invalid UTF-8":                  {"a\xff\xc3b", "ab"},
		"a family of emoji":              {"👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"},
		"a heart with its variation":     {"❤\ufe0f", "❤\ufe0f"},
		"the flag of Scotland":           {"🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"},
		"joiners only":                   {"\u200d\u200c\ufe0f", ""},
		"fillers of Hangul only":         {"\u3164\u115f\u1160\uffa0", ""},
		"a filler in a word is kept":     {"\u3164a", "\u3164a"},
		"blanks of Braille only":         {"\u2800 \u2800", ""},
		"Braille":                        {"\u2801\u2800\u2801", "\u2801\u2800\u2801"},
		"marks of music only":            {"\U0001d159\U0001d173\U0001d17a", ""},
		"an unassigned default blank":    {"\U000e0fff", ""},
		"unassigned specials only":       {"\ufff0\ufff4\ufff8", ""},
		"an unassigned format character": {"\u2065", ""},
		"blanks of hieroglyphs only":     {"\U00013441\U00013442", ""},
		"hieroglyphs":                    {"\U00013000\U00013441", "\U00013000\U00013441"},
		"combining marks only":           {"\u0301\u0302", ""},
		"private use, as old emoji were": {"\ue001", "\ue001"},
		"Arabic":                         {"محمد", "محمد"},
		"128 runes are kept":             {strings.Repeat("长", 128), strings.Repeat("长", 128)},
		"the 129th is cut":               {strings.Repeat("长", 129), strings.Repeat("长", 128)},
		"no space at the end of the cut": {strings.Repeat("a", 127) + " b", strings.Repeat("a", 127)},
		"a word fits after the space":    {strings.Repeat("a", 126) + " b", strings.Repeat("a", 126) + " b"},
		"markup is not escaped":          {`<b>"&'</b>`, `<b>"&'</b>`},
	} {
		t.Run(name, func(t *testing.T) {
			got := displayText(row.in)
			assert.Equal(t, row.want, got)
			assert.True(t, utf8.ValidString(got))
			assert.Equal(t, got, displayText(got), "displayText is idempotent")
		})
	}
}
