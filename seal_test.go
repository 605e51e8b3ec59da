package wechatauth

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testRing(t *testing.T, secrets ...string) *keyring {
	t.Helper()
	var keys [][]byte
	for _, secret := range secrets {
		keys = append(keys, []byte(secret))
	}
	ring, err := newKeyring("test", keys...)
	require.NoError(t, err)
	return ring
}

// Two boxes of one nonce under one key give both contents away, and the key
// that authenticates them.
func TestNoTwoBoxesHaveTheSameNonce(t *testing.T) {
	ring := testRing(t, "a key for tests, of 32 bytes or more")
	seen := map[string]bool{}
	for range 1000 {
		box, err := base64.RawURLEncoding.DecodeString(ring.seal([]byte("the same every time"), "place"))
		require.NoError(t, err)
		nonce := string(box[1+keyIDSize : 1+keyIDSize+nonceSize])
		require.False(t, seen[nonce])
		seen[nonce] = true
	}
}

func TestTheNewestKeySealsAndEveryKeyOpens(t *testing.T) {
	const current, old = "the current key, of 32 bytes or more", "the previous key, of 32 bytes or more"
	rotated := testRing(t, current, old)
	box := rotated.seal([]byte("content"), "place")

	plain, err := testRing(t, current).open(box, "place")
	require.NoError(t, err, "an instance that has forgotten the old key")
	assert.Equal(t, "content", string(plain))
	_, err = testRing(t, old).open(box, "place")
	assert.ErrorIs(t, err, errUnsealed)
	plain, err = rotated.open(testRing(t, old).seal([]byte("content"), "place"), "place")
	require.NoError(t, err)
	assert.Equal(t, "content", string(plain))
}

// Base64 leaves bits of its last letter unused, and line ends aside: a box has
// one text all the same, so that nobody can write it anew.
func TestABoxHasOneText(t *testing.T) {
	ring := testRing(t, "a key for tests, of 32 bytes or more")
	for length := range 3 {
		text := ring.seal(make([]byte, length), "place")
		last := text[len(text)-1]
		for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=\n") {
			_, err := ring.open(text[:len(text)-1]+string(c), "place")
			assert.Equal(t, c == last, err == nil, "%d bytes, ending in %q for %q", length, c, last)
		}
		for _, more := range []string{"=", "==", "A", "AAAA", "\x00", "%"} {
			_, err := ring.open(text+more, "place")
			assert.ErrorIs(t, err, errUnsealed, "%q", more)
		}
		_, err := ring.open(strings.ToLower(text), "place")
		assert.ErrorIs(t, err, errUnsealed)
	}
}
