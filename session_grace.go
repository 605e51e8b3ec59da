package wechatauth

import (
	"context"
	"errors"
	"time"

	"github.com/wechatauth/wechatauth/internal/seal"
)

// renewedTTL is how long a token that was renewed leads to the new session:
// long enough for the requests that were under way with the old cookie.
const renewedTTL = 20 * time.Second

// loadRenewed finds the session of a token that a login of the same user has
// just replaced. The late reader sees it; he neither writes nor gets a cookie,
// which could arrive after the new one and undo the login.
func (s *sessions) loadRenewed(ctx context.Context, old string) (*visit, error) {
	token, err := s.renewed(ctx, old)
	if err != nil || token == "" {
		return nil, err
	}
	v, err := s.loadToken(ctx, token)
	if errors.Is(err, errDamaged) {
		return nil, nil
	}
	if v == nil || v.bearer {
		return nil, err
	}
	v.sent, v.late, v.ctx.track.late = true, true, true
	return v, err
}

// renewed returns the token that took an old one's place a moment ago; "" if
// none did.
func (s *sessions) renewed(ctx context.Context, old string) (string, error) {
	box, found, err := s.marks.Mark(ctx, renewedKey(old))
	if err != nil || !found {
		return "", err
	}
	token, err := openRenewed(box, old)
	if err != nil {
		return "", nil
	}
	return token, nil
}

// renewedKey names the mark. Tokens stay out of the store where HashTokenInStore
// keeps them out: the old one is hashed, and opens the new one.
func renewedKey(old string) string { return "renewed " + hashedToken(old) }

func sealRenewed(token, old string) ([]byte, error) {
	ring, err := seal.New("renewed", []byte(old))
	if err != nil {
		return nil, err
	}
	return []byte(ring.Seal([]byte(token), "token")), nil
}

func openRenewed(box []byte, old string) (token string, err error) {
	ring, err := seal.New("renewed", []byte(old))
	if err != nil {
		return "", err
	}
	plain, err := ring.Open(string(box), "token")
	if err != nil || !validToken(string(plain)) {
		return "", seal.ErrOpen
	}
	return string(plain), nil
}
