package wechatauth

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

// A keyring encrypts values that a browser or the store keeps:
// XChaCha20-Poly1305 under keys derived by HKDF-SHA256, one for each purpose.
// Every anonymous page visit seals a cookie under one key for years; with
// random nonces of 192 bits there is no number of them to be reached, while 96
// bits are unsafe after 2^32. The first key seals and all keys open, so keys
// can be rotated without ending a login. A keyring is safe for concurrent use.
type keyring struct {
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

// errUnsealed says no more than that: why a box does not open helps only who
// forged it.
var errUnsealed = errors.New("not sealed by us for this place")

// newKeyring derives a ring for one purpose. Each secret has at least one
// byte of entropy that the caller has checked for.
func newKeyring(purpose string, secrets ...[]byte) (*keyring, error) {
	ring := &keyring{}
	for _, secret := range secrets {
		k, err := newSealingKey(purpose, secret)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		ring.keys = append(ring.keys, k)
	}
	return ring, nil
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

// with returns a keyring whose boxes need both this ring and key to open or to
// make.
func (ring *keyring) with(purpose string, key []byte) *keyring {
	secrets := make([][]byte, len(ring.keys))
	for i, k := range ring.keys {
		secrets[i] = append(slices.Clone(k.key), key...)
	}
	both, _ := newKeyring(purpose, secrets...) // cannot fail: the keys of ring were derived in the same way
	return both
}

// seal returns plain as text for a cookie. What stands in place (the cookie's
// name, the AppID, the callback URL) is bound to it: the box opens nowhere
// else.
func (ring *keyring) seal(plain []byte, place ...string) string {
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

// open reverses seal, with whichever key of the ring sealed the box.
func (ring *keyring) open(text string, place ...string) ([]byte, error) {
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(box) < 1+keyIDSize+nonceSize || box[0] != sealVersion {
		return nil, errUnsealed
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
	return nil, errUnsealed
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
