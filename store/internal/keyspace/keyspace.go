// Package keyspace is the layout of the keys in Redis, shared by the stores of
// every client library so that instances of different build can work together.
package keyspace

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"
)

// DefaultPrefix is scs/redisstore's: sessions written by it are found.
const DefaultPrefix = "scs:session:"

// Marks and indexes stand under prefixes of their own, so that a scan over the
// sessions never meets them and an ACL can name them: ~wechat:*.
const (
	markPrefix = "wechat:mark:"
	userPrefix = "wechat:user:"
)

// tokenLength is that of 32 bytes in base64url without padding: scs's tokens
// and its hashed tokens alike.
const tokenLength = 43

// ValidToken reports whether token has the form of scs's tokens. What comes in
// a cookie and has not is never made part of a key.
func ValidToken(token string) bool {
	if len(token) != tokenLength {
		return false
	}
	for i := range len(token) {
		c := token[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// ValidTokens returns those of the tokens that are valid.
func ValidTokens(tokens []string) []string {
	return slices.DeleteFunc(slices.Clone(tokens), func(token string) bool { return !ValidToken(token) })
}

// BatchSize is the number of commands that are sent in one round trip.
const BatchSize = 100

// Session is the key of a session record, as scs/redisstore makes it.
func Session(prefix, token string) string { return prefix + token }

// Mark is the key of a mark.
func Mark(prefix, key string) string { return markPrefix + digest(prefix, key) }

// User is the key of the index of a user's sessions.
func User(prefix, user string) string { return userPrefix + digest(prefix, user) }

// digest hides the name, bounds its length, and keeps apart what belongs to
// different session prefixes: two applications on one Redis must not end each
// other's index.
func digest(prefix, name string) string {
	h := sha256.New()
	h.Write([]byte(prefix))
	h.Write([]byte{0})
	h.Write([]byte(name))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Millis is a life in whole milliseconds for PX and PEXPIRE, rounded up: a life
// of a few microseconds must not become 0, which Redis refuses.
func Millis(life time.Duration) int64 {
	ms := life / time.Millisecond
	if life%time.Millisecond > 0 {
		ms++
	}
	return int64(ms)
}
