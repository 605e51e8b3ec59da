// Package flow holds pending logins, and what one visit leaves for the next, in
// cookies of the browser.
package flow

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/seal"
)

// Errors of [Jar.Callback] and [Jar.Get].
var (
	ErrMalformed = errors.New("flow: no query that WeChat sends")
	ErrMissing   = errors.New("flow: no pending login of this state in the browser")
	ErrMismatch  = errors.New("flow: pending login of another state")
	ErrExpired   = errors.New("flow: pending login has expired")
)

// A Flow is a pending login. It is stored only in a cookie of the browser that
// started it, sealed and named after its state: a login that is never completed
// costs no memory, tabs do not disturb each other, and any instance can complete
// what another one started.
type Flow struct {
	State    string           `json:"s"`
	Target   string           `json:"r"`           // return URL
	AppID    string           `json:"a"`           // of the account that the code is for
	Scope    client.Scope     `json:"p"`           // as requested
	Channel  identity.Channel `json:"-"`           // of the account
	IssuedAt int64            `json:"t"`           // Unix milliseconds
	Attempt  int              `json:"n,omitempty"` // automatic restarts before this one
	OpenID   string           `json:"o,omitempty"` // step-up: the user who must complete it
	UnionID  string           `json:"u,omitempty"` // the same, if the user is known by another account
	Key      []byte           `json:"k"`           // opens the login's result
}

const (
	// MaxFlows is more tabs than a user opens before the first login completes, and
	// with cookie.MaxBytes leaves room in the 8 KiB that servers allow for headers.
	MaxFlows = 5

	maxFlowsDropped = 20

	StateLength = 32 // [A-Za-z0-9]: 190 bits, a quarter of what WeChat allows
	KeySize     = 16
)

const stateAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewState returns 32 random characters of WeChat's alphabet for state,
// [A-Za-z0-9].
func NewState() string {
	out := make([]byte, 0, StateLength)
	buf := make([]byte, 2*StateLength)
	for {
		rand.Read(buf) // never fails: crypto/rand ends the program instead
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte: what is above
			// would make the first characters likelier.
			if b >= 248 {
				continue
			}
			if out = append(out, stateAlphabet[b%62]); len(out) == StateLength {
				return string(out)
			}
		}
	}
}

// ValidState reports whether s has the form of a state of [NewState].
func ValidState(s string) bool {
	if len(s) != StateLength {
		return false
	}
	return strings.Trim(s, stateAlphabet) == ""
}

// NewKey returns a random key for the result of a login.
func NewKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	return key
}

// Tag is how the names of an account's cookies end, so that accounts on one host
// do not overwrite each other's. The callback is a path. It is empty if there is
// no AppID.
func Tag(appID, callback string) string {
	if appID == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(appID + "\n" + callback))
	return "_" + base64.RawURLEncoding.EncodeToString(sum[:])[:6]
}

// CookieName names the cookie after its state, so that tabs do not
// overwrite each other. Half the state is enough to distinguish logins.
func (j *Jar) CookieName(state string) string {
	return j.Prefix() + state[:StateLength/2]
}

func (j *Jar) Prefix() string { return j.flows }

// ErrLarge is returned by [Jar.Put] if the return URL was left out.
var ErrLarge = errors.New("too large for the cookie of a login")

// Put sets the cookie of a new flow, and drops the oldest of those that the
// browser holds where there are too many. The cookie is set even if Put returns
// [ErrLarge]: the target is "/" then.
func (j *Jar) Put(w http.ResponseWriter, held []PendingCookie, f Flow) error {
	name, value, err := j.sealFlow(f)
	for _, stale := range evict(held, len(name)+len(value)) {
		j.Drop(w, stale)
	}
	j.Set(w, name, value, CookieLife)
	return err
}

func (j *Jar) sealFlow(f Flow) (name, value string, err error) {
	name = j.CookieName(f.State)
	value = j.Ring.Seal(f.json(), j.Place("flow", name)...)
	if len(name)+len(value) > cookie.MaxBytes && f.Target != "/" {
		// A target of nothing but quotes outgrows the cookie, and the browser
		// would drop it whole. The login is worth more than the target.
		f.Target, err = "/", ErrLarge
		name, value, _ = j.sealFlow(f)
	}
	return name, value, err
}

// json encodes a flow as encoding/json does. It is written by hand, because every
// anonymous page visit makes one.
func (f Flow) json() []byte {
	b := make([]byte, 0, 256+len(f.Target))
	b = appendText(append(b, `{"s":`...), f.State)
	b = appendText(append(b, `,"r":`...), f.Target)
	b = appendText(append(b, `,"a":`...), f.AppID)
	b = appendText(append(b, `,"p":`...), string(f.Scope))
	b = strconv.AppendInt(append(b, `,"t":`...), f.IssuedAt, 10)
	if f.Attempt != 0 {
		b = strconv.AppendInt(append(b, `,"n":`...), int64(f.Attempt), 10)
	}
	if f.OpenID != "" {
		b = appendText(append(b, `,"o":`...), f.OpenID)
	}
	if f.UnionID != "" {
		b = appendText(append(b, `,"u":`...), f.UnionID)
	}
	b = base64.StdEncoding.AppendEncode(append(b, `,"k":"`...), f.Key)
	return append(b, `"}`...)
}

// appendText appends a string as JSON. The escapes for HTML are left out: they
// would make six bytes of each "&" in a return URL.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			var quoted bytes.Buffer
			e := json.NewEncoder(&quoted)
			e.SetEscapeHTML(false)
			_ = e.Encode(s) // a string always encodes
			return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// A PendingCookie is a flow cookie that a request brought.
type PendingCookie struct {
	Name string
	Size int
	Flow Flow // the zero flow if it cannot be opened, or was not tried
}

// Pending returns the flow cookies of a request, the newest first: browsers send
// the oldest first, and many tabs may begin within a second. What does not open
// comes last; it is another account's, perhaps, on the same host.
func (j *Jar) Pending(r *http.Request) []PendingCookie {
	if !slices.ContainsFunc(r.Header["Cookie"], func(line string) bool { return strings.Contains(line, j.Prefix()) }) {
		return nil
	}
	var all []PendingCookie
	opened := 0
	for _, c := range slices.Backward(r.Cookies()) {
		if len(c.Name) != len(j.Prefix())+StateLength/2 || !strings.HasPrefix(c.Name, j.Prefix()) {
			continue
		}
		h := PendingCookie{Name: c.Name, Size: len(c.Name) + len(c.Value)}
		if opened < cookie.MaxOpened {
			opened++
			h.Flow, _ = j.OpenFlow(c) // the zero flow on an error
		}
		all = append(all, h)
	}
	slices.SortStableFunc(all, func(a, b PendingCookie) int { return cmp.Compare(b.Flow.IssuedAt, a.Flow.IssuedAt) })
	return all
}

// evict returns the names of the flow cookies to delete before one of size bytes is
// added: the last of those held, for which there is no room. It returns at most
// maxFlowsDropped, because the response must pass the proxies in front; the next
// response deletes more.
func evict(held []PendingCookie, size int) []string {
	var drop []string
	kept := 1
	for _, h := range held {
		if size += h.Size; kept >= MaxFlows || size > cookie.MaxBytes {
			size -= h.Size
			if len(drop) < maxFlowsDropped {
				drop = append(drop, h.Name)
			}
			continue
		}
		kept++
	}
	return drop
}

// Get returns the pending login of a state from the request's cookies. If it
// returns [ErrMissing], [ErrMismatch] or [ErrExpired], the flow is good for its
// return URL only.
func (j *Jar) Get(r *http.Request, state string) (Flow, error) {
	name := j.CookieName(state)
	tried, other := 0, Flow{}
	for _, c := range r.CookiesNamed(name) {
		if tried++; tried > cookie.MaxOpened {
			break
		}
		// Another application on the same host can set a cookie of this name too: the
		// first one that opens is ours.
		f, err := j.OpenFlow(c)
		if err != nil {
			continue
		}
		if subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1 {
			other = f
			continue
		}
		if j.expired(f) {
			return f, ErrExpired
		}
		return f, nil
	}
	if tried == 0 {
		return Flow{}, ErrMissing
	}
	return other, ErrMismatch
}

// Named returns the newest pending login whose cookie's name occurs in the
// query: text that was added to the state does not hide it. It is for the
// return URL of a callback that is no login; the state is not compared.
func (j *Jar) Named(r *http.Request) Flow {
	for _, h := range j.Pending(r) {
		if h.Flow.State != "" && strings.Contains(r.URL.RawQuery, strings.TrimPrefix(h.Name, j.Prefix())) {
			return h.Flow
		}
	}
	return Flow{}
}

// OpenFlow opens the cookie of a pending login. Its age is not checked.
func (j *Jar) OpenFlow(c *http.Cookie) (Flow, error) {
	var f Flow
	plain, err := j.Jar.Open(c.Name, c.Value, "flow")
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(plain, &f); err != nil || !ValidState(f.State) || len(f.Key) != KeySize {
		return Flow{}, seal.ErrOpen
	}
	return f, nil
}

// expired reports whether the login can no longer be completed. cookie.Fresh
// forgives clocks that differ only for a login that seems to be in the future.
func (j *Jar) expired(f Flow) bool { return !cookie.Fresh(j.Now(), f.IssuedAt, LoginTTL) }
