package store

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// Encrypt wraps a store so that session records are encrypted and bound to
// their token (XChaCha20-Poly1305 with random nonces of 192 bits, under a key
// derived from the given one by HKDF-SHA256, the token as additional data).
// Who can read the store learns
// nothing from a record, and who can write to it cannot make a session, alter
// one, or put one in the place of another. He can still delete sessions or
// bring back an old record of the same token, and he sees the tokens, which are
// as good as the cookies unless SessionManager.HashTokenInStore is set.
//
// Each key is at least 32 random bytes. The first seals, all of them open, so
// that keys are rotated by putting the new one first and dropping the old one
// after a session's lifetime. For a record that no key opens, among them every
// record written before encryption was turned on, the error is [ErrDecrypt]. It
// is left where it is, also by the gate, which takes its visitor for anonymous
// and reports session_corrupt: while keys are being rotated it may well be a good
// one, sealed by an instance that has the new key already.
//
// Marks and the index are passed on as they are. A record grows by 41 bytes.
func Encrypt(inner Sessions, keys ...[]byte) (Sessions, error) {
	if len(keys) == 0 {
		return nil, errors.New("encrypt sessions: no key")
	}
	s := &sealed{Whole: Adapt(inner)}
	for i, key := range keys {
		if len(key) < 32 || uniform(key) {
			return nil, fmt.Errorf("encrypt sessions: key %d must be at least 32 random bytes", i+1)
		}
		aead, err := recordCipher(key)
		if err != nil {
			return nil, fmt.Errorf("encrypt sessions: key %d: %w", i+1, err)
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// sealedV2 is the first byte of a record. The nonce, the ciphertext and the tag
// of the construction that Encrypt describes follow.
const sealedV2 = 2

// sealed is a store whose records are encrypted. What it does not override, the
// inner store does.
type sealed struct {
	Whole
	keys []cipher.AEAD // first seals, all open
}

func (s *sealed) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	b, found, err := s.Whole.FindCtx(ctx, token)
	if err != nil || !found {
		return nil, false, err
	}
	b, err = s.open(token, b)
	return b, err == nil, err
}

func (s *sealed) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	b, ttl, found, err := s.Whole.FindTTLCtx(ctx, token)
	if err != nil || !found {
		return nil, 0, false, err
	}
	if b, err = s.open(token, b); err != nil {
		return nil, 0, false, err
	}
	return b, ttl, true, nil
}

func (s *sealed) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return s.Whole.CommitCtx(ctx, token, s.seal(token, b), expiry)
}

func (s *sealed) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	return s.Whole.UpdateCtx(ctx, token, s.seal(token, b), expiry)
}

func (s *sealed) AllCtx(ctx context.Context) (map[string][]byte, error) {
	boxes, err := s.Whole.AllCtx(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]byte, len(boxes))
	for token, box := range boxes {
		if b, err := s.open(token, box); err == nil {
			all[token] = b
		}
	}
	return all, nil
}

func (s *sealed) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s *sealed) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s *sealed) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }

func (s *sealed) seal(token string, b []byte) []byte {
	const head = 1 + chacha20poly1305.NonceSizeX
	box := make([]byte, head, head+len(b)+chacha20poly1305.Overhead)
	box[0] = sealedV2
	rand.Read(box[1:]) // never fails: crypto/rand ends the program instead
	return s.keys[0].Seal(box, box[1:], b, []byte(token))
}

// open tries all keys. There are few of them, and the tag fails for a wrong
// one.
func (s *sealed) open(token string, box []byte) ([]byte, error) {
	const head = 1 + chacha20poly1305.NonceSizeX
	if len(box) >= head && box[0] == sealedV2 {
		for _, aead := range s.keys {
			if b, err := aead.Open([]byte{}, box[1:head], box[head:], []byte(token)); err == nil {
				return b, nil
			}
		}
	}
	return nil, newError("open session", ErrDecrypt)
}

// recordCipher derives the key that records are encrypted with from a key of the
// application, which may be used elsewhere too.
func recordCipher(key []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, "wechatauth session record v2", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(derived)
}

// uniform reports whether all bytes are the same: a key that was never filled.
func uniform(key []byte) bool {
	for _, b := range key {
		if b != key[0] {
			return false
		}
	}
	return true
}
