package session

import (
	"context"
	"errors"
	"time"

	"github.com/wechatauth/wechatauth/internal/seal"
)

// renewedTTL is how long a token that was renewed leads to the new session:
// long enough for the requests that were under way with the old cookie.
const RenewedTTL = 20 * time.Second

// loadRenewed finds the session of a token that a login of the same user has
// just replaced. The late reader sees it; he neither writes nor gets a cookie,
// which could arrive after the new one and undo the login.
func (s *Manager) loadRenewed(ctx context.Context, a *Audience, old string) (*Visit, error) {
	token, err := s.renewed(ctx, old)
	if err != nil || token == "" {
		return nil, err
	}
	v, err := s.loadToken(ctx, a, token)
	if errors.Is(err, ErrDamaged) {
		return nil, nil
	}
	if v == nil || v.Bearer {
		return nil, err
	}
	v.Brought, v.mode, v.ctx.track.late = Session, modeUnsaved, true
	return v, err
}

// renewed returns the token that took an old one's place a moment ago; "" if
// none did.
func (s *Manager) renewed(ctx context.Context, old string) (string, error) {
	box, found, err := s.store.Mark(ctx, renewedKey(old))
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
func renewedKey(old string) string { return "renewed " + HashToken(old) }

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
	if err != nil || !ValidToken(string(plain)) {
		return "", seal.ErrOpen
	}
	return string(plain), nil
}
