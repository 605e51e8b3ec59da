package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxDisplayRunes = 128

// displayText makes text that a stranger wrote fit to show in one line: what is
// not UTF-8, control characters and characters that reorder or hide text are
// taken out, runs of white space become one space, and at most 128 runes stay.
// Joiners and letters that look like nothing stay, because emoji and words are
// built with them, unless nothing visible is left.
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

// isDeceptive tells characters that change the order of text around them or
// that nobody sees: bidi controls, zero-width spaces, soft hyphens, byte order
// marks, line separators, noncharacters.
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

// isUnseen tells characters that show nothing by themselves: joiners, variation
// selectors, combining marks, the tags in flags, the marks of musical notation,
// the fillers of Hangul and what Unicode keeps for more of the kind, the blanks
// of Braille and of hieroglyphs, and the null note.
func isUnseen(r rune) bool {
	switch r {
	case 0x2800, 0x13441, 0x13442, 0x1D159:
		return true
	}
	return unicode.In(r, unicode.M, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point)
}
