package flow

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/seal"
)

const (
	maxQueryBytes = 8 << 10 // of a callback, before anything is parsed
	maxCodeBytes  = 128     // WeChat's codes have 32 characters today

	// RelayTTL is how long a code may be on its way from a relay.
	RelayTTL = time.Minute
)

// A Callback is what WeChat's redirect carries.
type Callback struct {
	Code, State string
	Hop         string // the code, sealed by a relay, instead of the code
	Refused     bool   // no code: the user denied the login
}

// A Relay is what an application knows of the relay that its callbacks come by.
type Relay struct {
	URL      string
	Ring     *seal.Ring // of the relay's key
	Callback string     // the URL that it leads to
}

// Callback reads the callback that a request is, and finds the pending login of its
// state. With a relay, the code has to be sealed by it: one in clear has not
// passed its list of callbacks.
//
// The flow has no use but its target if the error is [ErrMalformed], which is a
// query that WeChat has not sent, or one of [Jar.Get].
func (j *Jar) Callback(r *http.Request, relay *Relay) (Callback, Flow, error) {
	q, ok := ParseCallback(r.URL.RawQuery)
	switch {
	case ok && (relay == nil || q.Refused):
		ok = q.Hop == ""
	case ok:
		q.Code, ok = OpenCode(relay.Ring, j.Now(), relay.Callback, q)
	}
	if !ok {
		return Callback{}, j.Named(r), ErrMalformed
	}
	f, err := j.Get(r, q.State)
	return q, f, err
}

// ParseCallback accepts a query that WeChat could have sent: exactly one
// well-formed state, at most one code. An empty code, or "authdeny" in its
// place, has been seen when a user denied the login.
func ParseCallback(rawQuery string) (Callback, bool) {
	if len(rawQuery) > maxQueryBytes {
		return Callback{}, false
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil || len(values["state"]) != 1 || len(values["code"]) > 1 {
		return Callback{}, false
	}
	q := Callback{Code: values.Get("code"), State: values.Get("state"), Hop: values.Get("hop")}
	if !ValidState(q.State) {
		return Callback{}, false
	}
	if q.Hop != "" && !values.Has("code") && !values.Has("error") && len(q.Hop) <= cookie.MaxBytes {
		return q, true
	}
	if values.Has("error") || q.Code == "" || q.Code == "authdeny" {
		q.Code, q.Refused = "", true
		return q, true
	}
	return q, ValidCode(q.Code)
}

// ValidCode reports whether code can be a code of WeChat. Other values are not
// sent, because WeChat counts calls.
func ValidCode(code string) bool {
	return code != "" && len(code) <= maxCodeBytes && strings.Trim(code, stateAlphabet+"-_") == ""
}

// RelayRing returns the Ring of a relay's key.
func RelayRing(key []byte) (*seal.Ring, error) { return seal.New("relay", key) }

// SealCode seals the code of a callback that a relay redirects, for this callback
// and its state.
func SealCode(ring *seal.Ring, now time.Time, callback string, q Callback) string {
	return ring.Seal([]byte(strconv.FormatInt(now.UnixMilli(), 10)+" "+q.Code), "hop", callback, q.State)
}

// OpenCode returns the code of a callback that came by a relay, within RelayTTL.
func OpenCode(ring *seal.Ring, now time.Time, callback string, q Callback) (code string, ok bool) {
	plain, err := ring.Open(q.Hop, "hop", callback, q.State)
	if err != nil {
		return "", false
	}
	stamp, code, _ := strings.Cut(string(plain), " ")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || !ValidCode(code) || !cookie.Fresh(now, at, RelayTTL+cookie.Skew) {
		return "", false
	}
	return code, true
}
