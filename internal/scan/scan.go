// Package scan implements the protocol of a login by QR code, without HTTP: the
// browser shows a ticket, a phone confirms it, and a number that the phone
// shows is typed into the browser. All shared state is in marks of the session
// store, each of one key, sealed under a key that the store never sees.
package scan

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

const (
	// TTL is how long a QR code can be scanned and confirmed.
	TTL = 2 * time.Minute
	// Grace is how much longer the number may still be typed.
	Grace = flow.ScanTTL - TTL
	// spentTTL is longer than every cookie of a ticket is valid, even if clocks
	// differ.
	spentTTL = TTL + Grace + 2*cookie.Skew

	// Pause is how long a read of a ticket is reused. The page of the browser
	// and that of the phone poll once a second.
	Pause = 500 * time.Millisecond
	// Budget bounds a look at the store, and with it how long a store
	// that hangs can hold a request.
	Budget = 2 * time.Second

	ticketSize = 16 // bytes: 128 bits
)

// Cookie is the browser's side of a ticket.
type Cookie struct {
	Ticket   string       `json:"q"`
	State    string       `json:"s"` // names the login, as in a flow
	Scope    client.Scope `json:"p"`
	OpenID   string       `json:"o,omitempty"` // step-up: the user who must confirm
	Again    bool         `json:"g,omitempty"` // for another account than the session's
	IssuedAt int64        `json:"t"`           // Unix milliseconds
	Key      []byte       `json:"k"`           // opens the login's result, and derives the ticket
}

// Record describes the browser to the phone.
type Record struct {
	State    string       `json:"s"`
	Browser  string       `json:"b,omitempty"`
	Scope    client.Scope `json:"p"`
	IssuedAt int64        `json:"t"`
}

// End is how the phone ended the ticket: with an identity, or a reason. One
// with neither was not written by this package.
type End struct {
	Reason   string `json:"x,omitempty"`
	Identity string `json:"i,omitempty"`
	Session  string `json:"s,omitempty"` // the phone's, its key in the store: what was confirmed ends with it
	Number   string `json:"n,omitempty"`
}

// Mark returns the name of a mark of a ticket: "record", "by", "end", "spent" or
// "state". The ticket itself is not in the store, nor in an error of one that
// names its keys.
func Mark(kind, ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return "scan " + kind + " " + base64.RawURLEncoding.EncodeToString(sum[:])
}

// The states of a ticket, for the pages on both devices. They do not affect
// what is allowed. A ticket that has failed has its reason as state.
const (
	Waiting   = "waiting"
	Scanned   = "scanned"   // the phone has it open
	Confirmed = "confirmed" // the browser prompts for the number
	Done      = "done"      // the browser is logged in
)

// TicketOf derives the ticket from the browser's key. The ticket is public, as
// a QR code; even with the AppSecret it does not yield a cookie that receives
// the login, because only the browser has the key.
func TicketOf(key []byte) string {
	sum := sha256.Sum256(append([]byte("wechatauth scan ticket "), key...))
	return base64.RawURLEncoding.EncodeToString(sum[:ticketSize])
}

// Valid reports whether the cookie's key makes its ticket, and whether it has
// all that names a login.
func (c Cookie) Valid() bool {
	own := subtle.ConstantTimeCompare([]byte(c.Ticket), []byte(TicketOf(c.Key))) == 1
	return own && flow.ValidState(c.State) && len(c.Key) == flow.KeySize
}

// ValidTicket reports whether s has the form of a ticket.
func ValidTicket(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == ticketSize
}

// Expired reports whether a QR code is too old to be confirmed.
func Expired(now time.Time, issuedAt int64) bool {
	return !cookie.Fresh(now, issuedAt, TTL-time.Millisecond)
}

// NewNumber returns one of the 10,000 numbers of four digits.
func NewNumber() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(10_000)) // never fails
	return fmt.Sprintf("%04d", n)
}

// Tickets manages the tickets of one account.
type Tickets struct {
	Marks  store.Marks
	Keys   *seal.Ring
	AppID  string
	Budget time.Duration
}

// Put stores the description of a browser that shows a new ticket.
func (t Tickets) Put(ctx context.Context, ticket string, rec Record) error {
	plain, err := json.Marshal(rec)
	if err == nil {
		_, err = t.write(ctx, Mark("record", ticket), plain, TTL+Grace, false)
	}
	return err
}

// Record returns the description of the browser that shows a ticket. It
// reports whether there is one.
func (t Tickets) Record(ctx context.Context, ticket string) (rec Record, found bool, err error) {
	plain, _, err := t.read(ctx, Mark("record", ticket))
	if err != nil || json.Unmarshal(plain, &rec) != nil {
		return Record{}, false, err
	}
	return rec, true, nil
}

// Bind reports whether the ticket belongs to this user. With first, it gives a
// ticket that no user has opened yet to this one.
func (t Tickets) Bind(ctx context.Context, ticket, openID string, first bool) (own bool, err error) {
	if first {
		won, err := t.write(ctx, Mark("by", ticket), []byte(openID), TTL, true)
		if err == nil && won {
			err = t.SetState(ctx, ticket, Scanned)
		}
		if err != nil || won {
			return won, err
		}
	}
	plain, _, err := t.read(ctx, Mark("by", ticket))
	return err == nil && string(plain) == openID, err
}

// state returns the state of a ticket that has ended with e.
func (e End) state() string {
	if e.Reason != "" {
		return e.Reason
	}
	return Confirmed
}

// Finish ends a ticket. Only the first call has an effect.
func (t Tickets) Finish(ctx context.Context, ticket string, end End) error {
	plain, err := json.Marshal(end)
	if err != nil {
		return err
	}
	won, err := t.write(ctx, Mark("end", ticket), plain, TTL+Grace, true)
	if err == nil && won {
		err = t.SetState(ctx, ticket, end.state())
	}
	return err
}

// Ended returns how the phone has ended the ticket, if it has.
func (t Tickets) Ended(ctx context.Context, ticket string) (end End, ended bool, err error) {
	plain, found, err := t.read(ctx, Mark("end", ticket))
	if err != nil || !found {
		return End{}, false, err
	}
	if json.Unmarshal(plain, &end) != nil {
		end = End{}
	}
	return end, true, nil
}

// Spend uses a ticket, at most once ever, and reports whether it did.
func (t Tickets) Spend(ctx context.Context, ticket string) (won bool, err error) {
	return t.Marks.PutMarkNX(ctx, Mark("spent", ticket), flow.NewKey(), spentTTL)
}

// SetState sets the state that the pages on both devices show. Scanned, the
// first state, never replaces another one.
func (t Tickets) SetState(ctx context.Context, ticket, state string) error {
	_, err := t.write(ctx, Mark("state", ticket), []byte(state), TTL+Grace, state == Scanned)
	return err
}

// State returns the state of a ticket, at the cost of one read. It is empty if
// this package did not write what the store has.
func (t Tickets) State(ctx context.Context, ticket string) (string, error) {
	plain, found, err := t.read(ctx, Mark("state", ticket))
	switch {
	case err != nil:
		return "", err
	case !found:
		return Waiting, nil
	}
	return string(plain), nil
}

// StateAfter returns the state of a ticket that has ended. If Finish was
// interrupted before it set the state, or this package did not write the state,
// StateAfter sets it.
func (t Tickets) StateAfter(ctx context.Context, ticket string, end End) (string, error) {
	state, err := t.State(ctx, ticket)
	if err == nil && (state == Waiting || state == Scanned || state == "") {
		state = end.state()
		err = t.SetState(ctx, ticket, state)
	}
	return state, err
}

// read opens a mark. A mark that cannot be opened is found, and empty.
func (t Tickets) read(ctx context.Context, mark string) (plain []byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Budget)
	defer cancel()
	box, found, err := t.Marks.Mark(ctx, mark)
	if err != nil || !found {
		return nil, false, err
	}
	plain, _ = t.Keys.Open(string(box), mark, t.AppID)
	return plain, true, nil
}

// write seals a mark and puts it into the store; with once, only if there is
// none yet.
func (t Tickets) write(ctx context.Context, mark string, plain []byte, ttl time.Duration, once bool) (won bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Budget)
	defer cancel()
	box := []byte(t.Keys.Seal(plain, mark, t.AppID))
	if once {
		return t.Marks.PutMarkNX(ctx, mark, box, ttl)
	}
	return true, t.Marks.PutMark(ctx, mark, box, ttl)
}
