package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Encrypt wraps a store so that session records are encrypted and bound to
// their token (AES-256-GCM under a key of each record's own, derived from the
// given key and the token by HKDF-SHA256). Who can read the store learns
// nothing from a record, and who can write to it cannot make a session, alter
// one, or put one in the place of another. He can still delete sessions or
// bring back an old record of the same token, and he sees the tokens, which are
// as good as the cookies unless SessionManager.HashTokenInStore is set.
//
// Each key is at least 32 random bytes. The first seals, all of them open, so
// that keys are rotated by putting the new one first and dropping the old one
// after a session's lifetime. For a record that no key opens, among them every
// record written before encryption was turned on, the error is [ErrUnopened]. It
// is left where it is, also by the gate, which takes its visitor for anonymous
// and reports session_corrupt: while keys are being rotated it may well be a good
// one, sealed by an instance that has the new key already.
//
// Marks and the index are passed on as they are. A record grows by 29 bytes.
func Encrypt(inner Sessions, keys ...[]byte) (Sessions, error) {
	if len(keys) == 0 {
		return nil, errors.New("encrypt sessions: no key")
	}
	s := &sealed{Sessions: inner}
	for i, key := range keys {
		if len(key) < 32 || uniform(key) {
			return nil, fmt.Errorf("encrypt sessions: key %d must be at least 32 random bytes", i+1)
		}
		prk, err := hkdf.Extract(sha256.New, key, nil)
		if err != nil {
			return nil, fmt.Errorf("encrypt sessions: key %d: %w", i+1, err)
		}
		s.keys = append(s.keys, prk)
	}
	return s, nil
}

// sealedV1 is the first byte of a record: what follows is nonce, ciphertext and
// tag of the construction that Encrypt describes.
const sealedV1 = 1

// sealed is a store whose records are encrypted. What it does not override, the
// inner store does.
type sealed struct {
	Sessions
	keys [][]byte // first seals, all open
}

func (s *sealed) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	b, found, err := s.Sessions.FindCtx(ctx, token)
	if err != nil || !found {
		return nil, false, err
	}
	b, err = s.open(token, b)
	return b, err == nil, err
}

func (s *sealed) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	b, ttl, found, err := s.Sessions.FindTTLCtx(ctx, token)
	if err != nil || !found {
		return nil, 0, false, err
	}
	if b, err = s.open(token, b); err != nil {
		return nil, 0, false, err
	}
	return b, ttl, true, nil
}

func (s *sealed) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	box, err := s.seal(token, b)
	if err != nil {
		return newError("seal session", err)
	}
	return s.Sessions.CommitCtx(ctx, token, box, expiry)
}

func (s *sealed) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	box, err := s.seal(token, b)
	if err != nil {
		return false, newError("seal session", err)
	}
	return s.Sessions.UpdateCtx(ctx, token, box, expiry)
}

func (s *sealed) AllCtx(ctx context.Context) (map[string][]byte, error) {
	boxes, err := s.Sessions.AllCtx(ctx)
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

func (s *sealed) seal(token string, b []byte) ([]byte, error) {
	aead, err := recordCipher(s.keys[0], token)
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte{sealedV1}, nil, b, nil), nil
}

// open tries all keys. There are few of them, and a wrong one is told by the
// tag.
func (s *sealed) open(token string, box []byte) ([]byte, error) {
	const op = "open session"
	if len(box) == 0 || box[0] != sealedV1 {
		return nil, newError(op, ErrUnopened)
	}
	for _, key := range s.keys {
		aead, err := recordCipher(key, token)
		if err != nil {
			return nil, newError(op, err)
		}
		if b, err := aead.Open([]byte{}, nil, box[1:], nil); err == nil {
			return b, nil
		}
	}
	return nil, newError(op, ErrUnopened)
}

// recordCipher derives the key of one record. A key of its own binds the record
// to its token, and keeps random nonces safe however many sessions there are:
// they need to differ among the records of one token only.
func recordCipher(prk []byte, token string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, prk, "wechatauth session record v1 "+token, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
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
