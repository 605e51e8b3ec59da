package flow

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
)

// A LoginCounter remembers, in the browser, how many logins were completed there in
// a row without a session that lasted. It is what ends a redirect loop: a
// login that succeeds again and again and is never seen by the next request.
// Its cookie has the attributes of the flow cookie, so where logins come back
// at all, the trail does too.
type LoginCounter struct {
	Logins int   `json:"n"`
	At     int64 `json:"t"` // of the last login, Unix milliseconds
}

const (
	// MaxLogins in a row lead to WeChat; the next one is stopped.
	MaxLogins = 3
	// TrailTTL is how soon after a login the next one counts as its repetition.
	TrailTTL = 60 * time.Second
)

func (j *Jar) LoginCounterName() string { return j.trails }
func (j *Jar) LoggedOutName() string    { return j.logouts }

// LoginCounter returns what the request tells of the logins before it; the zero
// trail when nothing does.
func (j *Jar) LoginCounter(r *http.Request) LoginCounter {
	plain, ok := j.Find(r, "trail", j.LoginCounterName())
	if !ok {
		return LoginCounter{}
	}
	var t LoginCounter
	if json.Unmarshal(plain, &t) != nil {
		return LoginCounter{}
	}
	// An instance whose clock is up to TTL ahead of the others still completes
	// logins that they began, so the counter accepts as much. No browser keeps the
	// cookie for longer.
	if !cookie.Fresh(j.Now().Add(TTL-cookie.Skew), t.At, TrailTTL+2*TTL-cookie.Skew) {
		return LoginCounter{}
	}
	return t
}

// CountLogin counts one more completed login.
func (j *Jar) CountLogin(w http.ResponseWriter, r *http.Request) {
	t := LoginCounter{Logins: j.LoginCounter(r).Logins + 1, At: j.Now().UnixMilli()}
	value, err := j.Seal(t, "trail", j.LoginCounterName())
	if err != nil {
		return // two integers always encode
	}
	j.Set(w, j.LoginCounterName(), value, TrailTTL)
}

// LoggedOutTTL is how long after a logout a page visit asks before it logs
// the visitor in again: snsapi_base needs no consent, so without this a
// logout would last no longer than the next page.
const LoggedOutTTL = 5 * time.Minute

func (j *Jar) MarkLoggedOut(w http.ResponseWriter) {
	j.Set(w, j.LoggedOutName(), "1", LoggedOutTTL)
}

func (j *Jar) RecentlyLoggedOut(r *http.Request) bool {
	_, err := r.Cookie(j.LoggedOutName())
	return err == nil
}

// CodeTTL is how long we remember having sent a visitor to the base URL's host.
// One who still seems to be on another host then is behind a proxy that
// rewrites Host.
const CodeTTL = time.Minute

func (j *Jar) HopName() string { return j.hops }

func (j *Jar) ScanName() string { return j.scans }

// ScanTTL is how long a browser holds its side of a scan.
const ScanTTL = 3 * time.Minute

// SnapshotTTL is how long a browser counts as being in snapshot mode. WeChat
// wipes the mode's cookies when the visitor leaves the page or opens it for
// real, so this is only for pages that stay open.
const SnapshotTTL = 10 * time.Minute

func (j *Jar) SnapshotName() string { return j.snapshots }

// MarkSnapshot remembers the mode in the browser, so that the next page visit
// does not lead to WeChat again, and again.
func (j *Jar) MarkSnapshot(w http.ResponseWriter) {
	j.Set(w, j.SnapshotName(), j.Ring.Seal([]byte("1"), j.Place("snapshot", j.SnapshotName())...), SnapshotTTL)
}

func (j *Jar) InSnapshot(r *http.Request) bool {
	_, ok := j.Find(r, "snapshot", j.SnapshotName())
	return ok
}
