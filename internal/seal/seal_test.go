package seal

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testRing(t *testing.T, secrets ...string) *Ring {
	t.Helper()
	var keys [][]byte
	for _, secret := range secrets {
		keys = append(keys, []byte(secret))
	}
	ring, err := New("test", keys...)
	require.NoError(t, err)
	return ring
}

// No two sealed values have the same nonce.
func TestRing_Seal_nonce(t *testing.T) {
	ring := testRing(t, "a key for tests, of 32 bytes or more")
	seen := map[string]bool{}
	var last string
	changes := make([]byte, nonceSize) // the bits that differ between nonces
	for range 1000 {
		box, err := base64.RawURLEncoding.DecodeString(ring.Seal([]byte("the same every time"), "place"))
		require.NoError(t, err)
		nonce := string(box[1+keyIDSize : 1+keyIDSize+nonceSize])
		require.False(t, seen[nonce])
		seen[nonce] = true
		for i := range last {
			changes[i] |= nonce[i] ^ last[i]
		}
		last = nonce
	}
	for i, bits := range changes {
		assert.Equal(t, byte(0xff), bits, "byte %d", i)
	}
}

// The newest key seals, and every key opens.
func TestRing_rotation(t *testing.T) {
	const current, old = "the current key, of 32 bytes or more", "the previous key, of 32 bytes or more"
	rotated := testRing(t, current, old)
	box := rotated.Seal([]byte("content"), "place")

	plain, err := testRing(t, current).Open(box, "place")
	require.NoError(t, err, "an instance that has forgotten the old key")
	assert.Equal(t, "content", string(plain))
	_, err = testRing(t, old).Open(box, "place")
	assert.ErrorIs(t, err, ErrOpen)
	plain, err = rotated.Open(testRing(t, old).Seal([]byte("content"), "place"), "place")
	require.NoError(t, err)
	assert.Equal(t, "content", string(plain))
}

// Base64 ignores unused bits of its last letter, and line ends. A sealed value
// still has only one valid text, so that it cannot be rewritten.
func TestRing_Open_encoding(t *testing.T) {
	ring := testRing(t, "a key for tests, of 32 bytes or more")
	for length := range 3 {
		text := ring.Seal(make([]byte, length), "place")
		last := text[len(text)-1]
		for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=\n") {
			_, err := ring.Open(text[:len(text)-1]+string(c), "place")
			assert.Equal(t, c == last, err == nil, "%d bytes, ending in %q for %q", length, c, last)
		}
		for _, more := range []string{"=", "==", "A", "AAAA", "\x00", "%"} {
			_, err := ring.Open(text+more, "place")
			assert.ErrorIs(t, err, ErrOpen, "%q", more)
		}
		_, err := ring.Open(strings.ToLower(text), "place")
		assert.ErrorIs(t, err, ErrOpen)
	}
}

func TestRing_place(t *testing.T) {
	ring := testRing(t, "a key for tests, of 32 bytes or more")
	places := map[string][]string{
		"none": nil, "empty": {""}, "one": {"ab"}, "two": {"a", "b"}, "other order": {"b", "a"},
		"moved boundary": {"", "ab"}, "one more": {"a", "b", ""},
	}
	for sealed, place := range places {
		text := ring.Seal([]byte("content"), place...)
		for opened, other := range places {
			_, err := ring.Open(text, other...)
			assert.Equal(t, sealed == opened, err == nil, "sealed for place %q, opened for %q", sealed, opened)
		}
	}
}

func TestNew_purpose(t *testing.T) {
	secret := []byte("a key for tests, of 32 bytes or more")
	flow, err := New("flow", secret)
	require.NoError(t, err)
	relay, err := New("relay", secret)
	require.NoError(t, err)
	_, err = relay.Open(flow.Seal([]byte("content"), "place"), "place")
	assert.ErrorIs(t, err, ErrOpen)
}

// A value sealed by a derived ring needs the ring, the purpose and the key.
func TestRing_With(t *testing.T) {
	ring, other := testRing(t, "a key for tests, of 32 bytes or more"), testRing(t, "another key, of 32 bytes or more")
	text := ring.With("ticket", []byte("key")).Seal([]byte("content"), "place")
	plain, err := testRing(t, "the newest key, of 32 bytes or more", "a key for tests, of 32 bytes or more").With("ticket", []byte("key")).Open(text, "place")
	require.NoError(t, err)
	assert.Equal(t, "content", string(plain))
	for name, wrong := range map[string]*Ring{
		"the ring alone": ring, "another ring": other.With("ticket", []byte("key")),
		"another key": ring.With("ticket", []byte("yek")), "another purpose": ring.With("outcome", []byte("key")),
	} {
		_, err := wrong.Open(text, "place")
		assert.ErrorIs(t, err, ErrOpen, name)
	}
}

// Every byte is authenticated, the version and the id of the key among them.
func TestRing_Open_corrupt(t *testing.T) {
	ring := testRing(t, "a key for tests, of 32 bytes or more")
	text := ring.Seal([]byte("content"), "place")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	for i := range raw {
		raw[i] ^= 1
		_, err := ring.Open(base64.RawURLEncoding.EncodeToString(raw), "place")
		assert.ErrorIs(t, err, ErrOpen, "byte %d", i)
		raw[i] ^= 1
	}
	for n := range text {
		_, err := ring.Open(text[:n], "place")
		assert.ErrorIs(t, err, ErrOpen, "%d characters", n)
	}
}
