package store_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

const secret = "an openid that must stay secret"

// Sealed records do not contain the plain text, and two of the same text
// differ.
func TestEncrypt_ciphertext(t *testing.T) {
	inner, token := store.NewMemory(), storetest.Token()
	s := encrypted(t, inner, 1)
	require.NoError(t, s.Commit(token, []byte(secret), inAnHour()))
	first, _, err := inner.Find(token)
	require.NoError(t, err)
	_, err = s.UpdateCtx(context.Background(), token, []byte(secret), inAnHour())
	require.NoError(t, err)
	second, _, err := inner.Find(token)
	require.NoError(t, err)

	assert.NotContains(t, string(first), "openid")
	assert.NotEqual(t, first, second)
	assert.Len(t, first, len(secret)+41)
}

// An altered record does not open: not with one bit flipped, truncated,
// extended or in plain text.
func TestEncrypt_alteredRecord(t *testing.T) {
	inner, token := store.NewMemory(), storetest.Token()
	s := encrypted(t, inner, 1)
	require.NoError(t, s.Commit(token, []byte(secret), inAnHour()))
	good, _, err := inner.Find(token)
	require.NoError(t, err)

	refused := func(name string, box []byte) {
		t.Helper()
		require.NoError(t, inner.Commit(token, box, inAnHour()))
		b, found, err := s.Find(token)
		require.ErrorIs(t, err, store.ErrDecrypt, name)
		require.False(t, found, name)
		require.Nil(t, b, name)
		_, _, found, err = s.FindTTLCtx(context.Background(), token)
		require.ErrorIs(t, err, store.ErrDecrypt, name)
		require.False(t, found, name)
		all, err := s.All()
		require.NoError(t, err, name)
		require.Empty(t, all, name)
	}
	for i := range len(good) * 8 {
		flipped := bytes.Clone(good)
		flipped[i/8] ^= 1 << (i % 8)
		refused("bit flipped", flipped)
	}
	for n := range good {
		refused("truncated", good[:n])
	}
	refused("grown", append(bytes.Clone(good), 0))
	refused("plain", []byte(secret))

	require.NoError(t, inner.Commit(token, good, inAnHour()))
	_, found, err := s.Find(token)
	require.NoError(t, err)
	assert.True(t, found, "the unaltered record does not open")
}

// A record copied to another token does not open.
func TestEncrypt_anotherToken(t *testing.T) {
	inner, mine, yours := store.NewMemory(), storetest.Token(), storetest.Token()
	s := encrypted(t, inner, 1)
	require.NoError(t, s.Commit(yours, []byte(secret), inAnHour()))
	box, _, err := inner.Find(yours)
	require.NoError(t, err)
	require.NoError(t, inner.Commit(mine, box, inAnHour()))
	_, found, err := s.Find(mine)
	require.ErrorIs(t, err, store.ErrDecrypt)
	assert.False(t, found)
}

// While both keys are configured, no session is lost.
func TestEncrypt_keyRotation(t *testing.T) {
	inner, early, late := store.NewMemory(), storetest.Token(), storetest.Token()
	require.NoError(t, encrypted(t, inner, 1).Commit(early, []byte(secret), inAnHour()))
	both := encrypted(t, inner, 2, 1)
	require.NoError(t, both.Commit(late, []byte(secret), inAnHour()))

	finds := func(s store.Sessions, token string) bool {
		b, found, err := s.Find(token)
		if found {
			assert.Equal(t, secret, string(b))
			return true
		}
		require.ErrorIs(t, err, store.ErrDecrypt)
		return false
	}
	assert.True(t, finds(both, early))
	assert.True(t, finds(both, late))
	assert.True(t, finds(encrypted(t, inner, 2), late), "the first key does not seal")
	assert.False(t, finds(encrypted(t, inner, 2), early))
	assert.False(t, finds(encrypted(t, inner, 1), late))
}

func TestEncrypt_invalidKeys(t *testing.T) {
	good := append(bytes.Repeat([]byte{1}, 31), 2)
	for name, keys := range map[string][][]byte{
		"no key":        nil,
		"empty":         {{}},
		"31 bytes":      {good[1:]},
		"zeroes":        {make([]byte, 32)},
		"one byte":      {bytes.Repeat([]byte("a"), 64)},
		"second is bad": {good, good[:16]},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Encrypt(store.NewMemory(), keys...)
			require.Error(t, err)
			assert.Nil(t, s)
		})
	}
}

// Errors of the inner store keep their class.
func TestEncrypt_innerErrors(t *testing.T) {
	s := encrypted(t, store.NewMemory(), 1)
	ctx, cancel := context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	_, _, err := s.FindCtx(ctx, storetest.Token())
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	_, _, _, err = s.FindTTLCtx(ctx, storetest.Token())
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	_, err = s.AllCtx(ctx)
	assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
	err = s.Commit("no token", []byte(secret), inAnHour())
	assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
}
