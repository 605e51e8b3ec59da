// Package seal encrypts small values that a browser or the store holds, and binds
// each to the place it was made for.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Ring seals and opens values with XChaCha20-Poly1305, under keys derived by
// HKDF-SHA256 for one purpose. The first key seals and all keys open, so that
// rotating keys ends no login. A Ring is safe for concurrent use.
//
// Every anonymous page visit seals a cookie under one key for years. Random
// nonces of 192 bits are safe for any number of them; those of 96 bits are not
// after 2^32.
type Ring struct {
	keys []sealingKey // newest first
}

type sealingKey struct {
	key  []byte
	id   [keyIDSize]byte
	aead cipher.AEAD
}

const (
	sealVersion = 2
	keyIDSize   = 4
	nonceSize   = chacha20poly1305.NonceSizeX
)

// ErrOpen is returned by [Ring.Open]. It carries no detail, which would only
// help an attacker.
var ErrOpen = errors.New("seal: cannot decrypt value")

// New returns a Ring with a key derived from each secret for this purpose, the
// newest first. The caller has checked the entropy of the secrets.
func New(purpose string, secrets ...[]byte) (*Ring, error) {
	ring := &Ring{}
	for _, secret := range secrets {
		k, err := newSealingKey(purpose, secret)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		ring.keys = append(ring.keys, k)
	}
	return ring, nil
}

// CheckKey rejects a key that was evidently typed instead of generated.
func CheckKey(key []byte) error {
	if len(key) < 32 {
		return fmt.Errorf("has %d bytes: use at least 32 random ones, as from crypto/rand", len(key))
	}
	seen := map[byte]bool{}
	for _, b := range key {
		seen[b] = true
	}
	if len(seen) < 10 {
		return errors.New("is not random: it has fewer than ten different bytes")
	}
	return nil
}

func newSealingKey(purpose string, secret []byte) (sealingKey, error) {
	var k sealingKey
	okm, err := hkdf.Key(sha256.New, secret, nil, "wechatauth v2 "+purpose, chacha20poly1305.KeySize+keyIDSize)
	if err != nil {
		return k, err
	}
	k.key = okm[:chacha20poly1305.KeySize]
	k.aead, err = chacha20poly1305.NewX(k.key)
	copy(k.id[:], okm[chacha20poly1305.KeySize:])
	return k, err
}

// With returns a Ring whose values can be sealed and opened only with both this
// ring and key.
func (ring *Ring) With(purpose string, key []byte) *Ring {
	secrets := make([][]byte, len(ring.keys))
	for i, k := range ring.keys {
		secrets[i] = append(slices.Clone(k.key), key...)
	}
	both, _ := New(purpose, secrets...) // cannot fail: the keys of ring were derived in the same way
	return both
}

// Seal encrypts plain and returns it in base64url. The value opens only with the
// same place, such as the cookie's name, the AppID and the callback URL.
func (ring *Ring) Seal(plain []byte, place ...string) string {
	k := ring.keys[0]
	size := 1 + keyIDSize + nonceSize + len(plain) + k.aead.Overhead()
	box := make([]byte, 0, size+base64.RawURLEncoding.EncodedLen(size)) // and the text behind it
	box = append(box, sealVersion)
	box = append(box, k.id[:]...)
	box = box[:1+keyIDSize+nonceSize]
	nonce := box[1+keyIDSize:]
	rand.Read(nonce) // never fails: crypto/rand ends the program instead
	box = k.aead.Seal(box, nonce, plain, additionalData(k.id, place))
	return string(base64.RawURLEncoding.AppendEncode(box, box)[size:])
}

// Open decrypts a value that [Ring.Seal] returned for the same place under any
// key of the ring. Otherwise it returns [ErrOpen].
func (ring *Ring) Open(text string, place ...string) ([]byte, error) {
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(box) < 1+keyIDSize+nonceSize || box[0] != sealVersion {
		return nil, ErrOpen
	}
	id := [keyIDSize]byte(box[1:])
	nonce, sealed := box[1+keyIDSize:1+keyIDSize+nonceSize], box[1+keyIDSize+nonceSize:]
	for _, k := range ring.keys {
		if k.id != id {
			continue
		}
		if plain, err := k.aead.Open(nil, nonce, sealed, additionalData(id, place)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrOpen
}

// additionalData prefixes each part with its length: otherwise two different
// places could run together into the same bytes.
func additionalData(id [keyIDSize]byte, place []string) []byte {
	size := 1 + keyIDSize
	for _, part := range place {
		size += 4 + len(part)
	}
	ad := append(append(make([]byte, 0, size), sealVersion), id[:]...)
	for _, part := range place {
		ad = binary.BigEndian.AppendUint32(ad, uint32(len(part)))
		ad = append(ad, part...)
	}
	return ad
}
