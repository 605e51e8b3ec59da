package keyspace

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// A reply that is out of step, because something between the store and Redis
// sent an earlier one twice, is the value of another key: another user's
// session. So every value names its key, by the first bytes of its SHA-256:
//
//	value  = bound sum bytes      bound = 0xc1
//	member = token sum            of a user's index; sum in base64url
//
// This detects accidents. It does not stop an attacker who can write to Redis;
// store.Encrypt does.

// bound is the first byte of a value of this form. No record of scs starts with
// it: the first byte of encoding/gob is below 0x80 or above 0xf7, and that of
// text or MessagePack is never 0xc1.
const bound = 0xc1

const (
	sumSize   = 8
	boundSize = 1 + sumSize

	memberSum = 6 // bytes of the sum in a member: 8 characters
)

func sum(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }

// Bind returns the value in the form in which it is stored under the key.
func Bind(key string, value []byte) []byte {
	s := sum(key)
	b := make([]byte, 0, boundSize+len(value))
	b = append(append(b, bound), s[:sumSize]...)
	return append(b, value...)
}

// Unbind returns the value that was passed to Bind. It reports false for a
// value that was stored under another key.
//
// A session that names no key was written by scs/redisstore or another store
// with its layout, and is returned unchanged. A mark always names its key.
func Unbind(key string, stored []byte) (value []byte, ok bool) {
	if len(stored) < boundSize || stored[0] != bound {
		return stored, !strings.HasPrefix(key, markPrefix) && !isStatus(stored)
	}
	s := sum(key)
	return stored[boundSize:], string(stored[1:boundSize]) == string(s[:sumSize])
}

// isStatus reports whether b is the reply to a command that reads nothing,
// which a client library may not distinguish from a value.
func isStatus(b []byte) bool {
	switch string(b) {
	case "OK", "PONG", "QUEUED":
		return true
	}
	return false
}

// Member returns the token in the form in which it is stored in the index of a
// user.
func Member(userKey, token string) string {
	s := sum(userKey)
	return token + base64.RawURLEncoding.EncodeToString(s[:memberSum])
}

// TokenOf returns the token of a member. It reports false for a member of
// another user's index.
func TokenOf(userKey, member string) (token string, ok bool) {
	if len(member) < tokenLength {
		return "", false
	}
	token = member[:tokenLength]
	return token, member == Member(userKey, token)
}
