package flow

import (
	"net/http"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
)

// A Jar sets and reads the cookies that logins of one account leave in the
// browser.
type Jar struct {
	*cookie.Jar

	// Names that every anonymous request is searched for.
	flows, counters, snapshots, logouts, otherHosts, scans string
}

// NewJar returns the cookies of an account. Their names begin with prefix, and
// those that are not a flow's end in tag.
func NewJar(j *cookie.Jar, prefix, tag string) *Jar {
	return &Jar{
		Jar: j,
		// A proxy that passes cookies on by a prefix passes the login counter with the
		// flow cookies, so a login that completes is counted. After that prefix a
		// flow cookie's name has 16 letters, the counter's 5 or 12.
		flows: prefix + "flow_", counters: prefix + "flow_trail" + tag,
		snapshots: prefix + "snapshot" + tag, logouts: prefix + "out" + tag, otherHosts: prefix + "hop" + tag, scans: prefix + "scan" + tag,
	}
}

// Prefix is how the names of the cookies begin. It is __Host- where browsers
// allow that: no neighbouring domain and no plain-http page can then plant one.
func Prefix(secure bool) string {
	if secure {
		return "__Host-wechat_"
	}
	return "wechat_"
}

// A Cookie describes a cookie that the middleware sets.
type Cookie struct {
	Name   string // of a pending login: what its name begins with
	Life   time.Duration
	Sealed bool
}

// Cookies returns every cookie that the middleware sets, except the session
// cookie, whose name and life New sets (setSessions in new.go of the root) and
// whose attributes are in internal/session/manager.go. A pending login can be
// completed for LoginTTL; its cookie is kept longer, for its return URL.
func (j *Jar) Cookies() []Cookie {
	return []Cookie{
		{j.flows, CookieLife, true},
		{j.counters, LoginCounterTTL, true},
		{j.snapshots, SnapshotTTL, true},
		{j.scans, ScanTTL, true},
		{j.logouts, LoggedOutTTL, false},
		{j.otherHosts, OtherHostTTL, false},
	}
}

// Lifetimes of the cookies.
const (
	// LoginTTL is how long a pending login can be completed: twice the life of a
	// code, and time to read a consent page. The limit is inside the seal, because
	// only honest browsers respect Max-Age.
	LoginTTL = 10 * time.Minute
	// CookieLife is how long the browser keeps the cookie. After LoginTTL the login
	// cannot be completed, but its return URL is still known.
	CookieLife = 24 * time.Hour

	// LoginCounterTTL is the time after a login within which the next one counts as
	// its repetition.
	LoginCounterTTL = 60 * time.Second
	// LoggedOutTTL is how long after a logout a page visit gets a page with a
	// login link. snsapi_base needs no consent, so without it a logout would last
	// no longer than the next page.
	LoggedOutTTL = 5 * time.Minute
	// OtherHostTTL is how long the browser remembers a redirect to the base URL's
	// host. A request that still seems to have another host then came through a
	// proxy that rewrites Host.
	OtherHostTTL = time.Minute
	// ScanTTL is how long a browser keeps its side of a login by scan code.
	ScanTTL = 3 * time.Minute
	// SnapshotTTL is how long a browser counts as being in snapshot mode. WeChat
	// deletes the mode's cookies when the user leaves the page or opens it in full,
	// so this is only for pages that stay open.
	SnapshotTTL = 10 * time.Minute
)

func (j *Jar) LoginCounterName() string { return j.counters }
func (j *Jar) LoggedOutName() string    { return j.logouts }
func (j *Jar) OtherHostName() string    { return j.otherHosts }
func (j *Jar) ScanName() string         { return j.scans }
func (j *Jar) SnapshotName() string     { return j.snapshots }

// MarkLoggedOut sets the cookie that RecentlyLoggedOut looks for.
func (j *Jar) MarkLoggedOut(w http.ResponseWriter) {
	j.Set(w, j.LoggedOutName(), "1", LoggedOutTTL)
}

// RecentlyLoggedOut reports whether the user of this browser has just logged out.
func (j *Jar) RecentlyLoggedOut(r *http.Request) bool {
	_, err := r.Cookie(j.LoggedOutName())
	return err == nil
}

// MarkSnapshot remembers snapshot mode in the browser, so that the next page visit
// does not redirect to WeChat again.
func (j *Jar) MarkSnapshot(w http.ResponseWriter) {
	j.Set(w, j.SnapshotName(), j.Ring.Seal([]byte("1"), j.Place("snapshot", j.SnapshotName())...), SnapshotTTL)
}

// InSnapshot reports whether the browser is in snapshot mode.
func (j *Jar) InSnapshot(r *http.Request) bool {
	_, ok := j.Find(r, "snapshot", j.SnapshotName())
	return ok
}
