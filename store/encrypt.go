package store

import (
	"bytes"
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

// Encrypt returns a store that encrypts session records and binds them to their
// token. It uses XChaCha20-Poly1305 with random nonces of 192 bits, a key that
// is derived from the given one by HKDF-SHA256, and the token as additional
// data. An attacker with read access to the store learns nothing from a record;
// one with write access cannot create a session, alter one, or put one in the
// place of another. They can still delete sessions, restore an old record of
// the same token, and read the tokens, which are as good as the cookies unless
// SessionManager.HashTokenInStore is set.
//
// Each key must be at least 32 random bytes. The first one encrypts, and all of
// them decrypt. To rotate keys, put the new one first and remove the old one
// after a session's lifetime. If no key decrypts a record, which includes every
// record written before encryption was enabled, the error is [ErrDecrypt]. The
// record is not deleted, not even by the middleware, which treats the user as
// anonymous and reports session_corrupt: during a key rotation, the record may
// be valid and encrypted by an instance that already has the new key.
//
// Marks and the index are passed through unchanged. A record grows by 41 bytes.
func Encrypt(inner Sessions, keys ...[]byte) (Sessions, error) {
	if len(keys) == 0 {
		return nil, errors.New("encrypt sessions: no key")
	}
	s := &sealed{Whole: Adapt(inner)}
	for i, key := range keys {
		if len(key) < 32 || bytes.Count(key, key[:1]) == len(key) { // which was never filled
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

// sealedV2 is the first byte of a record. It is followed by the nonce, the
// ciphertext and the tag of the construction that Encrypt describes.
const sealedV2 = 2

// sealed is a store whose records are encrypted. Methods that it does not
// override are those of the inner store.
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

// open tries all keys. There are only a few, and the tag does not verify with a
// wrong one.
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

// recordCipher derives the key for encrypting records from a key of the
// application, which may also be used for other purposes.
func recordCipher(key []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, "wechatauth session record v2", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(derived)
}
