// Package tokens stores the tokens that WeChat issued for a user, sealed with a
// key that the store never sees.
package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

const (
	// TTL is the lifetime of a refresh_token, from the login: refreshing does
	// not extend it.
	TTL = 30 * 24 * time.Hour
	// revokedTTL is longer than a refresh takes: its call to WeChat ends within a
	// minute (see [client.WithTimeout]), and calls to the store have timeouts.
	revokedTTL = 5 * time.Minute
)

// ErrRevoked means that the user was revoked while tokens were refreshed.
var ErrRevoked = errors.New("tokens: the user was revoked")

// A Store keeps the tokens of users.
type Store struct {
	Marks store.Marks
	Keys  *seal.Ring
	Now   func() time.Time
}

// Kept is what is stored for a user.
type Kept struct {
	Access, Refresh client.Secret
	Expiry          time.Time // of Access
	End             time.Time // of Refresh
}

// record is Kept as it is sealed, bound to the user.
type record struct {
	Access  string `json:"a"`
	Refresh string `json:"r"`
	Expiry  int64  `json:"e"` // Unix seconds
	End     int64  `json:"x"`
}

func mark(user string) string        { return "tokens " + user }
func revokedMark(user string) string { return "revoked " + user }

// Put stores the tokens from an exchange or a refresh until the refresh_token
// expires.
func (s Store) Put(ctx context.Context, user string, t *client.Token, end time.Time) error {
	plain, err := json.Marshal(record{t.AccessToken.Reveal(), t.RefreshToken.Reveal(), s.Now().Add(t.ExpiresIn).Unix(), end.Unix()})
	if err != nil {
		return err
	}
	return s.Marks.PutMark(ctx, mark(user), []byte(s.Keys.Seal(plain, "tokens", user)), end.Sub(s.Now()))
}

// Find returns what is stored for a user. It reports false if nothing is, or if
// the refresh_token has expired.
func (s Store) Find(ctx context.Context, user string) (kept Kept, found bool, err error) {
	sealed, found, err := s.Marks.Mark(ctx, mark(user))
	if err != nil || !found {
		return kept, false, err
	}
	plain, err := s.Keys.Open(string(sealed), "tokens", user)
	var r record
	if err != nil || json.Unmarshal(plain, &r) != nil {
		return kept, false, nil
	}
	kept = Kept{client.NewSecret(r.Access), client.NewSecret(r.Refresh), time.Unix(r.Expiry, 0), time.Unix(r.End, 0)}
	return kept, s.Now().Before(kept.End), nil // the store's clock is not ours
}

// PutRefreshed stores the tokens of a refresh, unless the user was revoked
// meanwhile. Forget puts its mark before it deletes the tokens: either it deletes
// those stored here, or its mark is found after they were stored.
func (s Store) PutRefreshed(ctx context.Context, user string, t *client.Token, end time.Time) error {
	if err := s.Put(ctx, user, t, end); err != nil {
		return err
	}
	_, revoked, err := s.Marks.Mark(ctx, revokedMark(user))
	switch {
	case err == nil && !revoked:
		return nil
	case err == nil:
		err = ErrRevoked
	}
	return errors.Join(err, s.Marks.DeleteMark(ctx, mark(user)))
}

// Forget deletes the tokens of a user.
func Forget(ctx context.Context, marks store.Marks, user string) error {
	return errors.Join(
		marks.PutMark(ctx, revokedMark(user), []byte{1}, revokedTTL),
		marks.DeleteMark(ctx, mark(user)))
}
