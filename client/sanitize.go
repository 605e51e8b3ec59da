package client

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wechatauth/wechatauth/client/internal/api"
)

const maxDisplayRunes = 128

// displayText makes untrusted text safe to show on one line. It removes invalid
// UTF-8, control characters and characters that reorder or hide text, replaces
// each run of white space by one space and truncates the result to 128 runes.
// Joiners and invisible letters are kept, because emoji and words are built
// with them, unless nothing else is left.
func displayText(s string) string {
	var b strings.Builder
	runes, visible, space := 0, false, false
	for _, r := range s {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if r == utf8.RuneError || unicode.IsControl(r) || isDeceptive(r) {
			continue
		}
		if space {
			if runes+2 > maxDisplayRunes {
				break
			}
			b.WriteByte(' ')
			runes, space = runes+1, false
		}
		if runes == maxDisplayRunes {
			break
		}
		b.WriteRune(r)
		runes++
		visible = visible || !isUnseen(r)
	}
	if !visible {
		return ""
	}
	return b.String()
}

// isDeceptive reports whether r is invisible or changes the order of the text
// around it: bidi controls, zero-width spaces, soft hyphens, byte order marks,
// line separators and noncharacters.
func isDeceptive(r rune) bool {
	switch {
	case r == 0x00AD, r == 0x061C, r == 0x180E, r == 0xFEFF,
		r == 0x200B, 0x200E <= r && r <= 0x200F,
		0x2028 <= r && r <= 0x202E,
		0x2060 <= r && r <= 0x206F,
		0xFFF9 <= r && r <= 0xFFFB,
		r&0xFFFE == 0xFFFE, 0xFDD0 <= r && r <= 0xFDEF:
		return true
	}
	return false
}

// isUnseen reports whether r shows nothing by itself: joiners, variation
// selectors, combining marks, the tags in flags, format characters of musical
// notation, Hangul fillers and the code points that Unicode reserves for more
// of these, the Braille and hieroglyphic blanks, and the null notehead.
func isUnseen(r rune) bool {
	switch r {
	case 0x2800, 0x13441, 0x13442, 0x1D159:
		return true
	}
	return unicode.In(r, unicode.M, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point)
}

// isIdentifier reports whether s has the form of an openid, unionid or AppID:
// [A-Za-z0-9_-]{1,64}.
func isIdentifier(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !api.IsAlphanumeric(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// isCode reports whether s may be a code. WeChat promises no length, so 1 to
// 512 printable ASCII bytes are accepted.
func isCode(s string) bool { return len(s) <= 512 && isToken(s) }

// isToken reports whether s is printable ASCII without spaces, 1 to 4,096 bytes
// long.
func isToken(s string) bool {
	if s == "" || len(s) > 4096 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
