// Package mini implements what a mini program's login stores, without HTTP:
// tickets that log in its web-views, and the session_key of each user. All of
// it is sealed under a key that the store never sees.
package mini

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

const (
	// TTL is how long a web-view ticket is valid.
	TTL = time.Minute
	// usedTTL is how long the mark that a ticket was used is kept. It is longer
	// than any ticket is valid, by whichever clock.
	usedTTL = TTL + 2*cookie.Skew
)

// A Store keeps the tickets and session_keys of one mini program.
type Store struct {
	Marks store.Marks
	Keys  *seal.Ring
	AppID string
	Now   func() time.Time
}

// A Ticket is the content of a web-view ticket.
type Ticket struct {
	Identity identity.Identity
	Target   string
	Session  string // key of the mini program's session in the store, with which the ticket ends
}

// record is a Ticket as it is sealed.
type record struct {
	Identity string `json:"i"`
	Target   string `json:"r"`
	Session  string `json:"s"`
	IssuedAt int64  `json:"t"` // Unix milliseconds
}

// Mark returns the name of a mark of a ticket: "enter" has its content,
// "entered" means that it was used. The ticket itself is not in the store.
func Mark(kind, ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return kind + " " + base64.RawURLEncoding.EncodeToString(sum[:])
}

// Put stores the content of a ticket, sealed with the ticket, which a
// reader of the store lacks, and with the gate's key, which a writer lacks.
func (s Store) Put(ctx context.Context, ticket string, content Ticket) error {
	plain, err := json.Marshal(record{identity.Encode(content.Identity), content.Target, content.Session, s.Now().UnixMilli()})
	if err != nil {
		return err
	}
	box := s.Keys.With("enter", []byte(ticket)).Seal(plain, s.AppID)
	return s.Marks.PutMark(ctx, Mark("enter", ticket), []byte(box), TTL)
}

// Find returns the content of a ticket. It reports false if the ticket is unknown
// or too old; the content of one that is too old has its Target.
func (s Store) Find(ctx context.Context, ticket string) (content Ticket, found bool, err error) {
	box, found, err := s.Marks.Mark(ctx, Mark("enter", ticket))
	if err != nil || !found {
		return Ticket{}, false, err
	}
	plain, err := s.Keys.With("enter", []byte(ticket)).Open(string(box), s.AppID)
	if err != nil {
		return Ticket{}, false, nil
	}
	var r record
	if json.Unmarshal(plain, &r) != nil || !cookie.Fresh(s.Now(), r.IssuedAt, TTL+cookie.Skew) {
		return Ticket{Target: r.Target}, false, nil
	}
	id, err := identity.Decode(s.AppID, r.Identity)
	return Ticket{Identity: id, Target: r.Target, Session: r.Session}, err == nil, nil
}

// Use marks a ticket as used, once, and reports whether it did. If the store
// fails, or an observer of it panics, the store may have set the mark all the
// same; Use deletes it then, so that the ticket is as it was.
func (s Store) Use(ctx context.Context, ticket string) (won bool, err error) {
	mark, holder, replied := Mark("entered", ticket), flow.NewKey(), false
	defer func() {
		if replied {
			return
		}
		if value, found, failed := s.Marks.Mark(ctx, mark); failed == nil && found && bytes.Equal(value, holder) {
			_ = s.Release(ctx, ticket) // the mark ends by itself
		}
	}()
	won, err = s.Marks.PutMarkNX(ctx, mark, holder, usedTTL)
	replied = err == nil
	return won, err
}

// Release makes a ticket that was used good for one more use.
func (s Store) Release(ctx context.Context, ticket string) error {
	return s.Marks.DeleteMark(ctx, Mark("entered", ticket))
}

// SessionKeyMark returns the name of the mark that has a user's session_key.
func SessionKeyMark(user string) string { return "session_key " + user }

// PutSessionKey stores the newest session_key of a user.
func (s Store) PutSessionKey(ctx context.Context, user, key string, ttl time.Duration) error {
	return s.Marks.PutMark(ctx, SessionKeyMark(user), []byte(s.Keys.Seal([]byte(key), "session_key", user)), ttl)
}

// SessionKey returns the newest session_key of a user, and reports whether there
// is one that opens.
func (s Store) SessionKey(ctx context.Context, user string) (key string, found bool, err error) {
	sealed, found, err := s.Marks.Mark(ctx, SessionKeyMark(user))
	if err != nil || !found {
		return "", false, err
	}
	plain, err := s.Keys.Open(string(sealed), "session_key", user)
	return string(plain), err == nil, nil
}

// IsCiphertext reports whether data and iv have the form of AES-CBC, in
// standard base64.
func IsCiphertext(data, iv string) bool {
	d, errData := base64.StdEncoding.DecodeString(data)
	v, errIV := base64.StdEncoding.DecodeString(iv)
	return errData == nil && errIV == nil && len(d) > 0 && len(d)%aes.BlockSize == 0 && len(v) == aes.BlockSize
}
