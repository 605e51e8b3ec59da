package session

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/seal"
)

// RenewedTTL is how long a token that was renewed leads to the new session:
// long enough for the requests that were in flight with the old cookie.
const RenewedTTL = 20 * time.Second

// loadRenewed finds the session of a token that a login of the same user has
// just replaced. The returned session is read-only: saving it or sending its
// cookie, which could arrive after the new one, could undo the login.
func (s *Manager) loadRenewed(ctx context.Context, a *Audience, old string) (*Visit, error) {
	token, err := s.renewed(ctx, old)
	if err != nil || token == "" {
		return nil, err
	}
	v, err := s.loadToken(ctx, a, token)
	if errors.Is(err, ErrCorrupt) {
		return nil, nil
	}
	if v == nil || v.Bearer {
		return nil, err
	}
	v.Brought, v.mode, v.ctx.track.late = Session, modeUnsaved, true
	return v, err
}

// renewed returns the token that has just replaced an old one, or "" if none
// has.
func (s *Manager) renewed(ctx context.Context, old string) (string, error) {
	box, found, err := s.store.Mark(ctx, renewedKey(old))
	if err != nil || !found {
		return "", err
	}
	token, ok := openRenewed(box, old, s.now())
	if !ok {
		return "", nil
	}
	return token, nil
}

// renewedKey returns the name of the mark. If HashTokenInStore keeps tokens out
// of the store, so does the mark: the old one is hashed, and opens the new one.
func renewedKey(old string) string { return "renewed " + HashToken(old) }

// sealRenewed seals the new token with the time, because a writer of the store
// could keep the mark longer.
func sealRenewed(token, old string, now time.Time) []byte {
	plain := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	return []byte(renewedRing(old).Seal(append(plain, token...), "token"))
}

func openRenewed(box []byte, old string, now time.Time) (token string, ok bool) {
	plain, err := renewedRing(old).Open(string(box), "token")
	if err != nil || len(plain) != 8+TokenLength {
		return "", false
	}
	token = string(plain[8:])
	fresh := cookie.Fresh(now, int64(binary.BigEndian.Uint64(plain)), RenewedTTL+cookie.Skew)
	return token, fresh && ValidToken(token)
}

func renewedRing(old string) *seal.Ring {
	ring, _ := seal.New("renewed", []byte(old)) // cannot fail: HKDF gives far more bytes
	return ring
}
