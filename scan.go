package wechatauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/singleflight"
)

// Scan to log in, for browsers outside WeChat (LoginScan). The browser shows a
// QR code with a ticket, and holds a sealed cookie that alone can use the ticket.
// The phone opens the code inside WeChat, is logged in there by the official
// account, shows which browser is about to be logged in, and asks the user to
// confirm. It then shows a number, which the user types into the browser. One
// try is allowed: a QR code that was forwarded, and a picture of the screen, log
// no browser in without the number on the phone that confirmed.
//
// All that the two sides share is in marks of the session store, each of one
// key, so they may talk to different instances. The marks are sealed under a key
// that the store never sees.

const (
	// scanTTL is how long a QR code can be scanned and confirmed.
	scanTTL = 2 * time.Minute
	// scanGrace is how much later the number may still be typed.
	scanGrace = flow.ScanTTL - scanTTL
	// scanSpentTTL outlives every cookie of a ticket, on skewed clocks too.
	scanSpentTTL = scanTTL + scanGrace + 2*cookie.Skew

	// scanPause is how long a look at a ticket answers for the next ones. The
	// page of the browser and that of the phone ask once a second.
	scanPause = 500 * time.Millisecond
	// scanLookBudget bounds a look at the store, and with it how long a store
	// that hangs can hold a request.
	scanLookBudget = 2 * time.Second

	scanTicketSize = 16 // bytes: 128 bits

	// scanPhonePlace is where the phone's page holds its ticket: in the URL that
	// it asks for the state.
	scanPhonePlace = "scan phone"
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
	Scope    client.Scope `json:"p"`
	OpenID   string       `json:"o,omitempty"` // step-up: who has to confirm
	Again    bool         `json:"g,omitempty"` // for another account than the session's
	IssuedAt int64        `json:"t"`           // Unix milliseconds
	Key      []byte       `json:"k"`           // opens the login's outcome, and makes the ticket
}

// scanRecord describes the browser to the phone.
type scanRecord struct {
	State    string       `json:"s"`
	Browser  string       `json:"b,omitempty"`
	Place    string       `json:"l,omitempty"`
	Scope    client.Scope `json:"p"`
	IssuedAt int64        `json:"t"`
}

// scanEnd is how the phone answered: with an identity, or for a reason.
type scanEnd struct {
	Reason   Reason `json:"x,omitempty"`
	Identity string `json:"i,omitempty"`
	Session  string `json:"s,omitempty"` // the phone's, its key in the store: what was confirmed ends with it
	Number   string `json:"n,omitempty"`
}

// The marks of a ticket. Their names go into the store as hashes.
func scanMark(ticket string) string      { return "scan " + ticket }
func scanByMark(ticket string) string    { return "scan by " + ticket }
func scanEndMark(ticket string) string   { return "scan end " + ticket }
func scanSpentMark(ticket string) string { return "scan spent " + ticket }
func scanStateMark(ticket string) string { return "scan state " + ticket }

// The states of a ticket, for the pages of both sides. They decide nothing. A
// ticket that has failed has its Reason as state.
const (
	scanWaiting   = "waiting"
	scanScanned   = "scanned"   // the phone has it open
	scanConfirmed = "confirmed" // the browser asks for the number
	scanDone      = "done"      // the browser is logged in
)

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

// newScanNumber returns one of the 10,000 numbers of four digits.
func newScanNumber() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(10_000)) // never fails, as above
	return fmt.Sprintf("%04d", n)
}

// scans reports whether anybody logs in by scanning.
func (a *Auth) scans() bool {
	return a.environments.Uses(environment.LoginScan)
}

// scanURL is the page with the QR code.
func (a *Auth) scanURL(target string, scope client.Scope) string {
	u := a.endpoint("scan") + "?next=" + url.QueryEscape(target)
	if scope == client.ScopeUserInfo && a.scope != client.ScopeUserInfo {
		u += "&profile=1"
	}
	return u
}

// scanAgainURL is scanURL for the browser that has this cookie.
func (a *Auth) scanAgainURL(c scanCookie, target string) string {
	u := a.scanURL(target, c.Scope)
	if c.Again {
		u += "&again=1"
	}
	return u
}

// scanPath is what the phone opens.
func (a *Auth) scanPath(ticket string) string { return a.endpoint("scan/" + ticket) }

// isScanPage reports whether a path is that of a phone's page.
func (a *Auth) isScanPage(path string) bool {
	_, ok := a.scanTicketIn(path)
	return ok
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

// setScanCookie gives the browser its side of a ticket. The seal has when it was
// issued: set again, it is good no longer.
func (a *Auth) setScanCookie(w http.ResponseWriter, c scanCookie) error {
	value, err := a.cookies.Seal(c, "scan", a.cookies.ScanName())
	if err == nil {
		a.cookies.Set(w, a.cookies.ScanName(), value, flow.ScanTTL)
	}
	return err
}

// scanCookieOf returns the request's scan cookie, if it has one that is good. What was
// begun with it may be fetched a little longer than it can be confirmed.
func (a *Auth) scanCookieOf(r *http.Request) (scanCookie, bool) {
	var c scanCookie
	plain, ok := a.cookies.Find(r, "scan", a.cookies.ScanName())
	if !ok || json.Unmarshal(plain, &c) != nil || !c.ownsTicket() || !flow.ValidState(c.State) || len(c.Key) != flow.KeySize {
		return scanCookie{}, false
	}
	return c, cookie.Fresh(a.now(), c.IssuedAt, flow.ScanTTL)
}

// scanExpired reports whether a QR code is too old to be confirmed.
func (a *Auth) scanExpired(issuedAt int64) bool {
	return !cookie.Fresh(a.now(), issuedAt, scanTTL-time.Millisecond)
}

// serveScan is the browser's page. With "wait" it is the page's own question
// whether the phone has answered, and makes no new ticket. With "again" a browser
// that is logged in gets one too, for another account.
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
	case a.loginActionFor(r) != environment.LoginScan: // a link that was passed on to a phone
		respond.Redirect(w, a.loginURL(target, false))
		return
	}
	v, err := a.sessions.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	c, held := a.scanCookieOf(r)
	held = held && c.Scope == scope
	again := v.loggedIn && (held && c.Again || q.Has("again") && navigation.IsOwnWish(r))
	if v.loggedIn && v.identity.grants(scope) && !again {
		respond.Redirect(w, target)
		return
	}
	if held && (c.Again || !again) {
		r := a.ofScan(r, c.State)
		state, err := a.lookAtScan(r.Context(), c.Ticket)
		if a.nothingComes(c, state) {
			state = string(ReasonScanExpired)
		}
		switch {
		case err != nil:
			a.unavailable(w, r, err)
			return
		case state == scanWaiting || state == scanScanned || state == scanConfirmed:
			a.showScan(w, r, c, target, state)
			return
		case q.Has("wait"):
			a.stopScan(w, r, c, scanReason(state), a.scanAgainURL(c, target))
			return
		}
	}
	if q.Has("wait") {
		a.stopScan(w, r, c, ReasonScanExpired, a.scanURL(target, scope))
		return
	}
	a.beginScan(w, r, v, target, scope, again)
}

// scanReason is the reason of a ticket that is no longer waited for.
func scanReason(state string) Reason {
	if state == scanDone {
		return ReasonScanUsed
	}
	return Reason(state)
}

// serveScanNumber is the form of the browser's page: the number on the phone.
func (a *Auth) serveScanNumber(w http.ResponseWriter, r *http.Request) {
	values, ok := a.ownForm(w, r)
	if !ok {
		return
	}
	c, held := a.scanCookieOf(r)
	target := a.nextOf(r, values)
	if !held {
		a.stopScan(w, r, c, ReasonScanExpired, a.scanURL(target, a.scope))
		return
	}
	r = a.ofScan(r, c.State)
	end, ended, err := a.scanEnded(r.Context(), c.Ticket)
	switch {
	case err != nil:
		a.unavailable(w, r, err)
	case !ended: // the phone has not answered yet
		respond.Redirect(w, a.scanURL(target, c.Scope))
	case end.Reason != "":
		a.stopScan(w, r, c, end.Reason, a.scanAgainURL(c, target))
	default:
		typed := strings.TrimSpace(values.Get("number"))
		right := subtle.ConstantTimeCompare([]byte(typed), []byte(end.Number)) == 1
		a.finishScan(w, r, c, end, right, target)
	}
}

// scanEnded returns what the phone has answered, if it has.
func (a *Auth) scanEnded(ctx context.Context, ticket string) (end scanEnd, ended bool, err error) {
	mark := scanEndMark(ticket)
	plain, found, err := a.scanRead(ctx, mark)
	if err != nil || !found {
		return end, false, err
	}
	if json.Unmarshal(plain, &end) != nil || (end.Reason == "" && end.Identity == "") {
		end = scanEnd{Reason: ReasonScanExpired} // the gate has not written this
	}
	return end, true, nil
}

// scanRead opens a mark. One that does not open is there, and empty.
func (a *Auth) scanRead(ctx context.Context, mark string) (plain []byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.scanLook)
	defer cancel()
	box, found, err := a.sessions.marks.Mark(ctx, mark)
	if err != nil || !found {
		return nil, false, err
	}
	plain, _ = a.keys.Open(string(box), mark, a.official.appID)
	return plain, true, nil
}

// scanWrite seals a mark and puts it into the store; with once, only if there is
// none yet.
func (a *Auth) scanWrite(ctx context.Context, mark string, plain []byte, ttl time.Duration, once bool) (won bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.scanLook)
	defer cancel()
	box := []byte(a.keys.Seal(plain, mark, a.official.appID))
	if once {
		return a.sessions.marks.PutMarkNX(ctx, mark, box, ttl)
	}
	return true, a.sessions.marks.PutMark(ctx, mark, box, ttl)
}

// setScanState is for the pages of both sides. The first state gives way to every
// other one.
func (a *Auth) setScanState(ctx context.Context, ticket, state string) error {
	_, err := a.scanWrite(ctx, scanStateMark(ticket), []byte(state), scanTTL+scanGrace, state == scanScanned)
	return err
}

// nothingComes reports whether a ticket is too old for what it waits for.
func (a *Auth) nothingComes(c scanCookie, state string) bool {
	return (state == scanWaiting || state == scanScanned) && a.scanExpired(c.IssuedAt)
}

// lookAtScan returns the state of a ticket, at the cost of one read.
func (a *Auth) lookAtScan(ctx context.Context, ticket string) (string, error) {
	plain, found, err := a.scanRead(ctx, scanStateMark(ticket))
	switch {
	case err != nil:
		return "", err
	case !found:
		return scanWaiting, nil
	case len(plain) == 0:
		return string(ReasonScanExpired), nil // the gate has not written this
	}
	return string(plain), nil
}

// serveScanStatus responds with {"state":"waiting"}, or another of the states. The
// browser has its cookie; the phone's page names its ticket, sealed.
func (a *Auth) serveScanStatus(w http.ResponseWriter, r *http.Request) {
	c, ok := a.scanCookieOf(r)
	if sealed := r.URL.Query().Get("phone"); sealed != "" {
		plain, err := a.keys.Open(sealed, scanPhonePlace, a.official.appID)
		c, ok = scanCookie{Ticket: string(plain), IssuedAt: a.now().UnixMilli()}, err == nil
	}
	state := string(ReasonScanExpired)
	if ok {
		var err error
		if state, err = a.scanLooks.at(r.Context(), a.now(), c.Ticket, a.lookAtScan); err != nil {
			a.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Err: err})
			return
		}
		if a.nothingComes(c, state) {
			state = string(ReasonScanExpired)
		}
	}
	a.writeMini(w, map[string]any{"state": state})
}

// scanLooks bounds what requests about tickets cost: however many come, one ticket
// is looked at twice a second. The zero value is ready; it is safe for concurrent
// use.
type scanLooks struct {
	mu    sync.Mutex
	looks map[string]*scanLook
	kept  int // looks that were still needed when the old ones were dropped last
}

type scanLook struct {
	at    time.Time
	done  chan struct{}
	state string
	err   error
}

// maxScanLooks is how many looks are remembered before the old ones are dropped.
// If more are needed at the same time, it is twice their number: dropping goes
// through all of them.
const maxScanLooks = 1024

func (s *scanLooks) at(ctx context.Context, now time.Time, ticket string, look func(context.Context, string) (string, error)) (string, error) {
	s.mu.Lock()
	l, ok := s.looks[ticket]
	if fresh := ok && now.Sub(l.at).Abs() < scanPause; !fresh {
		if len(s.looks) >= max(maxScanLooks, 2*s.kept) || s.looks == nil {
			kept := map[string]*scanLook{}
			for ticket, l := range s.looks {
				if now.Sub(l.at).Abs() < scanPause {
					kept[ticket] = l
				}
			}
			s.looks, s.kept = kept, len(kept)
		}
		l = &scanLook{at: now, done: make(chan struct{})}
		s.looks[ticket] = l
		go func() { // its caller may go, and others wait for it; it ends with scanLook's budget
			defer close(l.done)
			l.state, l.err = look(context.WithoutCancel(ctx), ticket)
		}()
	}
	s.mu.Unlock()
	select {
	case <-l.done:
		return l.state, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// beginScan makes a ticket.
func (a *Auth) beginScan(w http.ResponseWriter, r *http.Request, v *visit, target string, scope client.Scope, again bool) {
	c := scanCookie{State: flow.NewState(), Scope: scope, Again: again, IssuedAt: a.now().UnixMilli(), Key: flow.NewKey()}
	c.Ticket = scanTicketOf(c.Key)
	rec := scanRecord{State: c.State, Browser: browserName(r.UserAgent()), Scope: scope, IssuedAt: c.IssuedAt}
	if v.loggedIn && v.identity.AppID == a.official.appID && !again {
		c.OpenID = v.identity.OpenID
	}
	if a.scanPlace != nil {
		rec.Place = plainText(a.scanPlace(r), 60)
	}
	err := a.putScan(r.Context(), c.Ticket, rec)
	if err == nil {
		err = a.setScanCookie(w, c)
	}
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	a.report(r.Context(), Event{Kind: EventLoginStarted, Flow: flowID(a.official.appID, c.State), AppID: a.official.appID, Channel: ChannelScan, Scope: scope})
	a.showScan(w, r, c, target, scanWaiting)
}

func (a *Auth) putScan(ctx context.Context, ticket string, rec scanRecord) error {
	plain, err := json.Marshal(rec)
	if err == nil {
		_, err = a.scanWrite(ctx, scanMark(ticket), plain, scanTTL+scanGrace, false)
	}
	return err
}

// showScan is the page with the QR code, or, once the phone has confirmed, the
// page that asks for the number.
func (a *Auth) showScan(w http.ResponseWriter, r *http.Request, c scanCookie, target, state string) {
	respond.NoStore(w.Header())
	if state == scanConfirmed {
		a.page(w, r, Page{Kind: PageScanNumber, Status: http.StatusOK, ActionURL: a.endpoint("scan"), Next: target})
		return
	}
	phone := a.absolute(a.scanPath(c.Ticket))
	a.page(w, r, Page{
		Kind: PageScan, Status: http.StatusOK, URL: phone, QR: page.QRCode(phone),
		Scan: ScanDetails{Scanned: state == scanScanned, RefreshURL: a.scanURL(target, c.Scope) + "&wait=1", statusURL: a.endpoint("scan/status")},
	})
}

// stopScan tells the browser why there is no login, with a way to begin again.
func (a *Auth) stopScan(w http.ResponseWriter, r *http.Request, c scanCookie, reason Reason, again string) {
	a.scanFailed(r.Context(), flow.Flow{State: c.State, Scope: c.Scope, IssuedAt: c.IssuedAt}, reason, nil)
	a.cookies.DropIfSent(w, r, a.cookies.ScanName())
	a.stop(w, r, Failure{Reason: reason, Page: true, RetryURL: again})
}

// ofScan is the request of one side of a scan: what is told of it, and of the calls
// that it needs, has the scan's flow.
func (a *Auth) ofScan(r *http.Request, state string) *http.Request {
	return r.WithContext(withFlow(r.Context(), flow.Flow{AppID: a.official.appID, State: state}))
}

// scanFailed reports the end of a scan; of an unknown one f has nothing.
func (a *Auth) scanFailed(ctx context.Context, f flow.Flow, reason Reason, err error) {
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
func (a *Auth) finishScan(w http.ResponseWriter, r *http.Request, sc scanCookie, end scanEnd, right bool, target string) {
	f := flow.Flow{
		State: sc.State, Target: target, AppID: a.official.appID, Scope: sc.Scope, Channel: ChannelScan,
		IssuedAt: sc.IssuedAt, OpenID: sc.OpenID, Key: sc.Key,
	}
	again, spent := a.scanAgainURL(sc, target), false
	a.settle(w, r, proof{
		flow: f, key: singleflight.Key(f.AppID, "scan "+f.State), keep: outcomeTTL, session: a.sessions.load,
		verify: func(ctx context.Context) (id Identity, reason Reason, err error) {
			id, reason, err = a.spendScan(ctx, sc, end, right)
			spent = reason == ""
			return id, reason, err
		},
		ended: func(ctx context.Context, reason Reason) { a.tellPhone(ctx, sc.Ticket, reason) },
	}, func(w http.ResponseWriter, r *http.Request, res result) {
		switch {
		case res.unopened:
			a.stopScan(w, r, sc, ReasonScanUsed, again)
		case res.err != nil || res.Reason == ReasonStoreUnavailable && !res.shared:
			if spent { // and so is the QR code
				a.cookies.Drop(w, a.cookies.ScanName())
			}
			a.failCallback(w, r, f, res.Reason, res.err)
		case res.Reason != "":
			a.stopScan(w, r, sc, res.Reason, again)
		case !right:
			a.stopScan(w, r, sc, ReasonScanNumber, again)
		default:
			a.cookies.Drop(w, a.cookies.ScanName())
			res.Target = target // a tab's own
			a.enterSession(w, r, f, res)
		}
	})
}

// tellPhone lets the phone's page know how the login of the browser ended.
func (a *Auth) tellPhone(ctx context.Context, ticket string, reason Reason) {
	state := scanDone
	switch reason {
	case "":
	case ReasonStoreUnavailable: // which it sees for itself
		return
	default:
		state = string(reason)
	}
	if err := a.setScanState(ctx, ticket, state); err != nil {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Err: err, Detail: "the phone was not informed of how the login ended"})
	}
}

// spendScan takes the identity of a confirmed ticket, once for all time.
func (a *Auth) spendScan(ctx context.Context, sc scanCookie, end scanEnd, right bool) (Identity, Reason, error) {
	lives, err := a.sessions.lives(ctx, end.Session)
	switch {
	case err != nil:
		return Identity{}, ReasonStoreUnavailable, err
	case !lives:
		return Identity{}, ReasonSessionUnknown, nil
	}
	won, err := a.sessions.marks.PutMarkNX(ctx, scanSpentMark(sc.Ticket), flow.NewKey(), scanSpentTTL)
	if err != nil {
		return Identity{}, ReasonStoreUnavailable, err
	}
	if !won {
		return Identity{}, ReasonScanUsed, nil
	}
	if !right {
		return Identity{}, ReasonScanNumber, nil
	}
	id, err := decodeIdentity(a.official.appID, end.Identity)
	if err != nil {
		return Identity{}, ReasonScanExpired, nil
	}
	id.Channel, id.LoginAt = ChannelScan, time.Unix(a.now().Unix(), 0)
	return id, "", nil
}
