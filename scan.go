package wechatauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// Scan to log in, for browsers outside WeChat (LoginScan). The browser shows a
// QR code with a ticket, and holds a sealed cookie that alone can use what comes
// of the ticket. The phone opens it inside WeChat, is logged in there by the
// official account, is told which browser it is about to log in, and confirms
// by typing the number that this browser shows. A QR code that somebody forwards
// to log in a stranger shows no number to that stranger, who can guess once: 1 in
// 90.
//
// All that the two sides know of each other are marks in the session store,
// each of one key, so that they may talk to different instances.

const (
	// scanTTL is how long a QR code can be scanned and confirmed.
	scanTTL = 2 * time.Minute
	// scanGrace is how much later the browser may still fetch what was
	// confirmed in the last moment.
	scanGrace = 30 * time.Second
	// scanSpentTTL outlives every cookie of a ticket, on skewed clocks too.
	scanSpentTTL = scanTTL + scanGrace + 2*clockSkew

	scanTicketSize = 16 // bytes: 128 bits
)

// WithScanPlace tells the person on the phone where the browser is that he is
// about to log in, for LoginScan: f is called with the browser's request, and
// returns a city or a company's office, say, or "" where it is not known. It
// must be quick and safe for concurrent use. Default: no place is shown.
func WithScanPlace(f func(r *http.Request) string) Option {
	return func(c *config) { c.scanPlace = f }
}

// scanCookie is the browser's side of a ticket.
type scanCookie struct {
	Ticket   string       `json:"q"`
	State    string       `json:"s"` // names the login, as in a flow
	Number   string       `json:"n"`
	Scope    client.Scope `json:"p"`
	OpenID   string       `json:"o,omitempty"` // step-up: who has to confirm
	IssuedAt int64        `json:"t"`           // Unix milliseconds
	Key      []byte       `json:"k"`           // opens the login's outcome, and makes the ticket
}

// scanRecord is what the phone's side is told of the browser.
type scanRecord struct {
	State    string       `json:"s"`
	Number   string       `json:"n"`
	Browser  string       `json:"b,omitempty"`
	Place    string       `json:"l,omitempty"`
	Scope    client.Scope `json:"p"`
	IssuedAt int64        `json:"t"`
}

// scanEnd is how a ticket ended: with an identity, or for a reason.
type scanEnd struct {
	Reason   Reason `json:"x,omitempty"`
	Identity string `json:"i,omitempty"`
	Session  string `json:"s,omitempty"` // the phone's, its key in the store: what was confirmed ends with it
}

// The marks of a ticket. Their names go into the store as hashes.
func scanMark(ticket string) string      { return "scan " + ticket }
func scanByMark(ticket string) string    { return "scan by " + ticket }
func scanEndMark(ticket string) string   { return "scan end " + ticket }
func scanSpentMark(ticket string) string { return "scan spent " + ticket }

// scanTicketOf derives the ticket from the browser's key. The ticket is shown
// to the world as a QR code; with the AppSecret it does not make a cookie that
// collects the login, because the key is in the browser alone.
func scanTicketOf(key []byte) string {
	sum := sha256.Sum256(append([]byte("wechatauth scan ticket "), key...))
	return base64.RawURLEncoding.EncodeToString(sum[:scanTicketSize])
}

// ownsTicket reports whether the cookie's key makes its ticket.
func (c scanCookie) ownsTicket() bool {
	return subtle.ConstantTimeCompare([]byte(c.Ticket), []byte(scanTicketOf(c.Key))) == 1
}

func validScanTicket(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == scanTicketSize
}

// newScanNumber returns one of the 90 numbers of two digits without a leading zero.
func newScanNumber() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(90)) // never fails, as above
	return strconv.Itoa(10 + int(n.Int64()))
}

// scans reports whether anybody logs in by scanning.
func (a *Auth) scans() bool {
	for _, act := range a.environments {
		if act == LoginScan {
			return true
		}
	}
	return false
}

// scanURL is the page with the QR code.
func (a *Auth) scanURL(target string, scope client.Scope) string {
	u := a.endpoint("scan") + "?next=" + url.QueryEscape(target)
	if scope == client.ScopeUserInfo && a.scope != client.ScopeUserInfo {
		u += "&profile=1"
	}
	return u
}

// scanPath is what the phone opens.
func (a *Auth) scanPath(ticket string) string { return a.endpoint("scan/" + ticket) }

// landing is a return target, or the one endpoint of ours where a login may end:
// the phone's page of a scan. An odd target, written with the base URL in front,
// keeps it: "//orders" alone would lead away.
func (a *Auth) landing(raw string) (target string, ok bool) {
	raw, absolute := a.withoutOrigin(raw)
	if ticket, is := a.scanTicketIn(raw); is {
		return a.scanPath(ticket), true
	}
	target, odd, ok := pathTarget(raw, a.prefix)
	if !ok || odd && !absolute {
		return "", false
	}
	if odd {
		return a.site + target, true
	}
	return target, true
}

// scanTicketIn returns the ticket in the path of a phone's page.
func (a *Auth) scanTicketIn(path string) (ticket string, ok bool) {
	before, after := a.endpoint("scan/"), ""
	if a.accountPath != "" {
		before, after = a.prefix+"scan/", a.accountPath
	}
	if len(path) < len(before)+len(after) || path[:len(before)] != before || path[len(path)-len(after):] != after {
		return "", false
	}
	ticket = path[len(before) : len(path)-len(after)]
	return ticket, a.scans() && validScanTicket(ticket)
}

func (j *cookieJar) scanName() string { return j.prefix + "scan" + j.tag }

// setScan gives the browser its side of a ticket. The seal has when it was
// issued: set again, it is good no longer.
func (j *cookieJar) setScan(w http.ResponseWriter, c scanCookie) error {
	value, err := j.seal(c, "scan", j.scanName())
	if err == nil {
		j.set(w, j.scanName(), value, scanTTL+scanGrace)
	}
	return err
}

// scan returns the request's scan cookie, if it has one that is good. What was
// begun with it may be fetched a little longer than it can be confirmed.
func (j *cookieJar) scan(r *http.Request) (scanCookie, bool) {
	var c scanCookie
	plain, ok := j.find(r, "scan", j.scanName())
	if !ok || json.Unmarshal(plain, &c) != nil || !c.ownsTicket() || !validState(c.State) || len(c.Key) != flowKeySize {
		return scanCookie{}, false
	}
	return c, isFresh(j.now(), c.IssuedAt, scanTTL+scanGrace)
}

// scanExpired reports whether a QR code is too old to be confirmed.
func (a *Auth) scanExpired(issuedAt int64) bool {
	return !isFresh(a.now(), issuedAt, scanTTL-time.Millisecond)
}

// serveScan is the browser's page. With "wait" it is the page's own question
// whether the phone has answered, and makes no new ticket.
func (a *Auth) serveScan(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	target, scope := a.nextOf(r, q), a.scope
	if q.Has("profile") {
		scope = client.ScopeUserInfo
	}
	switch {
	case !a.navigates(r):
		a.stop(w, r, Failure{Reason: ReasonNoSession, RetryURL: a.absolute(a.endpoint("login"))})
		return
	case a.loginActionIn(EnvironmentOf(r)) != LoginScan: // a link that was passed on to a phone
		redirect(w, a.loginURL(target, false))
		return
	}
	v, err := a.sessions.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if v.loggedIn && v.identity.grants(scope) {
		redirect(w, target)
		return
	}
	c, held := a.cookies.scan(r)
	if held = held && c.Scope == scope; held {
		r := a.ofScan(r, c.State)
		state, end, err := a.scanState(r.Context(), c)
		switch {
		case err != nil:
			a.unavailable(w, r, err)
			return
		case state == scanConfirmed:
			a.finishScan(w, r, c, end, target)
			return
		case state != scanEnded:
			a.showScan(w, r, c, target, state)
			return
		case q.Has("wait"):
			a.stopScan(w, r, c, end.Reason, a.scanURL(target, scope))
			return
		}
	}
	if q.Has("wait") {
		a.stopScan(w, r, c, ReasonScanExpired, a.scanURL(target, scope))
		return
	}
	a.beginScan(w, r, v, target, scope)
}

// beginScan makes a ticket.
func (a *Auth) beginScan(w http.ResponseWriter, r *http.Request, v *visit, target string, scope client.Scope) {
	c := scanCookie{State: newState(), Scope: scope, IssuedAt: a.now().UnixMilli(), Key: newFlowKey()}
	c.Ticket = scanTicketOf(c.Key)
	c.Number = newScanNumber()
	rec := scanRecord{State: c.State, Number: c.Number, Browser: browserName(r.UserAgent()), Scope: scope, IssuedAt: c.IssuedAt}
	if v.loggedIn && v.identity.AppID == a.official.appID {
		c.OpenID = v.identity.OpenID
	}
	if a.scanPlace != nil {
		rec.Place = plainText(a.scanPlace(r), 60)
	}
	err := a.putScan(r.Context(), c.Ticket, rec)
	if err == nil {
		err = a.cookies.setScan(w, c)
	}
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	a.report(r.Context(), Event{Kind: EventLoginStarted, Flow: flowID(a.official.appID, c.State), AppID: a.official.appID, Channel: ChannelScan, Scope: scope})
	a.showScan(w, r, c, target, scanWaiting)
}

// putScan keeps the record sealed under the ticket itself: whoever reads the
// store learns neither ticket nor number.
func (a *Auth) putScan(ctx context.Context, ticket string, rec scanRecord) error {
	plain, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	ring, err := newKeyring("scan", []byte(ticket))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.scanLook)
	defer cancel()
	return a.sessions.marks.PutMark(ctx, scanMark(ticket), []byte(ring.seal(plain, a.official.appID)), scanTTL)
}

// showScan is the page with the QR code.
func (a *Auth) showScan(w http.ResponseWriter, r *http.Request, c scanCookie, target, state string) {
	setNoStore(w.Header())
	phone := a.absolute(a.scanPath(c.Ticket))
	a.page(w, r, Page{
		Kind: PageScan, Status: http.StatusOK, URL: phone, QR: qrCode(phone),
		Scan: ScanDetails{
			Number: c.Number, Scanned: state == scanScanned, RefreshURL: a.scanURL(target, c.Scope) + "&wait=1",
			eventsURL: a.endpoint("scan/events"), statusURL: a.endpoint("scan/status"),
		},
	})
}

// stopScan tells the browser why there is no login, with a way to begin again.
func (a *Auth) stopScan(w http.ResponseWriter, r *http.Request, c scanCookie, reason Reason, again string) {
	a.scanFailed(r.Context(), flow{State: c.State, Scope: c.Scope, IssuedAt: c.IssuedAt}, reason, nil)
	a.cookies.dropIfSent(w, r, a.cookies.scanName())
	a.stop(w, r, Failure{Reason: reason, Page: true, RetryURL: again})
}

// ofScan is the request of one side of a scan: what is told of it, and of the calls
// that it needs, has the scan's flow.
func (a *Auth) ofScan(r *http.Request, state string) *http.Request {
	return r.WithContext(withFlow(r.Context(), flow{AppID: a.official.appID, State: state}))
}

// scanFailed reports the end of a scan; of an unknown one f has nothing.
func (a *Auth) scanFailed(ctx context.Context, f flow, reason Reason, err error) {
	e := Event{
		Kind: EventLoginFailed, Reason: reason, AppID: a.official.appID, Channel: ChannelScan, Scope: f.Scope,
		Duration: a.age(f), Err: err,
	}
	if f.State != "" {
		e.Flow = flowID(a.official.appID, f.State)
	}
	a.report(ctx, e)
}

// finishScan logs the browser in, once. Its tabs that ask at the same moment
// get the same session.
func (a *Auth) finishScan(w http.ResponseWriter, r *http.Request, sc scanCookie, end scanEnd, target string) {
	f := flow{
		State: sc.State, Target: target, AppID: a.official.appID, Scope: sc.Scope, Channel: ChannelScan,
		IssuedAt: sc.IssuedAt, OpenID: sc.OpenID, Key: sc.Key,
	}
	again := a.scanURL(target, sc.Scope)
	c, err := a.join(r, f, claimKey(f.AppID, "scan "+f.State))
	ctx, cancel := detached(r, callbackBudget)
	defer cancel()
	ctx = withFlow(ctx, f)
	r = r.WithContext(ctx)
	if err != nil {
		a.failCallback(w, r, f, ReasonStoreUnavailable, err)
		return
	}
	if c.outcome != nil {
		a.followScan(w, r, sc, f, c.outcome, again)
		return
	}
	defer a.endClaim(ctx, f, c)
	v, err := a.sessions.load(r)
	if err != nil {
		a.release(ctx, f, c)
		a.failCallback(w, r, f, ReasonStoreUnavailable, err)
		return
	}
	c.spent = true
	id, reason, err := a.spendScan(ctx, sc, end)
	if reason == "" {
		reason, err = a.admit(v, id)
	}
	if reason != "" {
		a.settleFailure(ctx, f, c, reason)
		if err != nil {
			a.failCallback(w, r, f, reason, err)
			return
		}
		a.stopScan(w, r, sc, reason, again)
		return
	}
	a.cookies.drop(w, a.cookies.scanName())
	if err := a.complete(w, r, v, f, c, id); err != nil {
		a.settleFailure(ctx, f, c, ReasonStoreUnavailable)
		a.failCallback(w, r, f, ReasonStoreUnavailable, err) // the QR code is spent
	}
}

// followScan answers a tab that asked while another one finished: with that
// one's session, and its own target.
func (a *Auth) followScan(w http.ResponseWriter, r *http.Request, sc scanCookie, f flow, left []byte, again string) {
	o, err := a.openOutcome(left, f)
	switch {
	case err != nil:
		a.stopScan(w, r, sc, ReasonScanUsed, again)
	case o.Reason != "":
		a.stopScan(w, r, sc, o.Reason, again)
	default:
		if err := a.sessions.writeCookie(w, o); err != nil {
			a.failCallback(w, r, f, ReasonStoreUnavailable, err)
			return
		}
		a.cookies.drop(w, a.cookies.scanName())
		a.leave(w, r, f, a.checkedTarget(f))
	}
}

// spendScan takes the identity of a confirmed ticket, once for all time.
func (a *Auth) spendScan(ctx context.Context, sc scanCookie, end scanEnd) (Identity, Reason, error) {
	lives, err := a.sessions.lives(ctx, end.Session)
	switch {
	case err != nil:
		return Identity{}, ReasonStoreUnavailable, err
	case !lives:
		return Identity{}, ReasonSessionUnknown, nil
	}
	won, err := a.sessions.marks.PutMarkNX(ctx, scanSpentMark(sc.Ticket), newFlowKey(), scanSpentTTL)
	if err != nil {
		return Identity{}, ReasonStoreUnavailable, err
	}
	if !won {
		return Identity{}, ReasonScanUsed, nil
	}
	id, err := decodeIdentity(a.official.appID, end.Identity)
	if err != nil {
		return Identity{}, ReasonScanExpired, nil
	}
	if sc.OpenID != "" && sc.OpenID != id.OpenID {
		return Identity{}, ReasonIdentityMismatch, nil
	}
	id.Channel, id.LoginAt = ChannelScan, time.Unix(a.now().Unix(), 0)
	return id, "", nil
}
