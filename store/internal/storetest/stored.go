package storetest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// Stored returns a value in the form in which it is stored in Redis under the
// key.
func Stored(key, value string) string {
	sum := sha256.Sum256([]byte(key))
	return "\xc1" + string(sum[:8]) + value
}

// Member returns a token in the form in which it is stored in a user's index.
func Member(userKey, token string) string {
	sum := sha256.Sum256([]byte(userKey))
	return token + base64.RawURLEncoding.EncodeToString(sum[:6])
}

// Monitored returns text as MONITOR shows it.
func Monitored(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch i := strings.IndexByte("\n\r\t\a\b\\\"", c); {
		case i >= 0:
			b.WriteString(`\` + `nrtab\"`[i:i+1])
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
