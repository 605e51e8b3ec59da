// Package keyspace defines the layout of the keys in Redis. The stores for all
// client libraries share it, so that instances of different builds can work
// together.
package keyspace

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"
)

// DefaultPrefix is the prefix of scs/redisstore, so that its sessions are
// found.
const DefaultPrefix = "scs:session:"

// Marks and indexes have separate prefixes, so that a scan over the sessions
// does not return them and an ACL can name them: ~wechat:*.
const (
	markPrefix = "wechat:mark:"
	userPrefix = "wechat:user:"
)

// tokenLength is the length of 32 bytes in base64url without padding, which
// scs's tokens and its hashed tokens have in common.
const tokenLength = 43

// ValidToken reports whether token has the form of scs's tokens. Any other
// value of a cookie never becomes part of a key.
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

// ValidTokens returns the valid tokens in tokens.
func ValidTokens(tokens []string) []string {
	return slices.DeleteFunc(slices.Clone(tokens), func(token string) bool { return !ValidToken(token) })
}

// BatchSize is the number of commands that are sent in one round trip.
const BatchSize = 100

// Mark returns the key of a mark.
func Mark(prefix, key string) string { return markPrefix + digest(prefix, key) }

// User returns the key of the index of a user's sessions.
func User(prefix, user string) string { return userPrefix + digest(prefix, user) }

// Fence returns the key of a value that is of no use but that it is replicated,
// in the same slot of a Cluster as the key of a session, which contains no
// braces.
func Fence(key string) string { return "wechat:fence:{" + key + "}" }

// digest hides the name, limits its length, and separates different session
// prefixes: two applications on one Redis must not delete each other's index.
func digest(prefix, name string) string {
	h := sha256.New()
	h.Write([]byte(prefix))
	h.Write([]byte{0})
	h.Write([]byte(name))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Millis returns a lifetime in whole milliseconds for PX and PEXPIRE, rounded
// up: a lifetime of a few microseconds must not become 0, which Redis rejects.
func Millis(life time.Duration) int64 {
	ms := life / time.Millisecond
	if life%time.Millisecond > 0 {
		ms++
	}
	return int64(ms)
}
