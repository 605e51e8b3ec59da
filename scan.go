package wechatauth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/session"
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

// scanPhonePlace is where the phone's page holds its ticket: in the URL that it
// asks for the state.
const scanPhonePlace = "scan phone"

// tickets are those of the account.
func (a *Auth) tickets() scan.Tickets {
	return scan.Tickets{Marks: a.sessions.Marks(), Keys: a.keys, AppID: a.official.appID, Budget: a.scanLook}
}

// WithScanPlace tells the person on the phone where the browser is that he is
// about to log in, for LoginScan: f is called with the browser's request, and
// returns a city or a company's office, say, or "" where it is not known. It
// must be quick and safe for concurrent use. Default: no place is shown.
func WithScanPlace(f func(r *http.Request) string) Option {
	return func(c *config) { c.scanPlace = f }
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
func (a *Auth) scanAgainURL(c scan.Cookie, target string) string {
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
	return ticket, a.scans() && scan.ValidTicket(ticket)
}

// setScanCookie gives the browser its side of a ticket. The seal has when it was
// issued: set again, it is good no longer.
func (a *Auth) setScanCookie(w http.ResponseWriter, c scan.Cookie) error {
	value, err := a.cookies.Seal(c, "scan", a.cookies.ScanName())
	if err == nil {
		a.cookies.Set(w, a.cookies.ScanName(), value, flow.ScanTTL)
	}
	return err
}

// scanCookieOf returns the request's scan cookie, if it has one that is good. What was
// begun with it may be fetched a little longer than it can be confirmed.
func (a *Auth) scanCookieOf(r *http.Request) (scan.Cookie, bool) {
	var c scan.Cookie
	plain, ok := a.cookies.Find(r, "scan", a.cookies.ScanName())
	if !ok || json.Unmarshal(plain, &c) != nil || !c.Valid() {
		return scan.Cookie{}, false
	}
	return c, cookie.Fresh(a.now(), c.IssuedAt, flow.ScanTTL)
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
	v, err := a.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	c, held := a.scanCookieOf(r)
	held = held && c.Scope == scope
	again := v.LoggedIn && (held && c.Again || q.Has("again") && navigation.IsOwnWish(r))
	if v.LoggedIn && v.Identity.Grants(scope) && !again {
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
		case state == scan.Waiting || state == scan.Scanned || state == scan.Confirmed:
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
	if state == scan.Done {
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
		a.stopScan(w, r, c, Reason(end.Reason), a.scanAgainURL(c, target))
	default:
		typed := strings.TrimSpace(values.Get("number"))
		right := subtle.ConstantTimeCompare([]byte(typed), []byte(end.Number)) == 1
		a.finishScan(w, r, c, end, right, target)
	}
}

// scanEnded returns what the phone has answered, if it has.
func (a *Auth) scanEnded(ctx context.Context, ticket string) (end scan.End, ended bool, err error) {
	end, ended, err = a.tickets().Ended(ctx, ticket)
	if ended && end.Reason == "" && end.Identity == "" {
		end.Reason = string(ReasonScanExpired) // the gate has not written this
	}
	return end, ended, err
}

// nothingComes reports whether a ticket is too old for what it waits for.
func (a *Auth) nothingComes(c scan.Cookie, state string) bool {
	return (state == scan.Waiting || state == scan.Scanned) && scan.Expired(a.now(), c.IssuedAt)
}

// lookAtScan returns the state of a ticket, at the cost of one read.
func (a *Auth) lookAtScan(ctx context.Context, ticket string) (string, error) {
	state, err := a.tickets().State(ctx, ticket)
	if err == nil && state == "" {
		state = string(ReasonScanExpired) // the gate has not written this
	}
	return state, err
}

// serveScanStatus responds with {"state":"waiting"}, or another of the states. The
// browser has its cookie; the phone's page names its ticket, sealed.
func (a *Auth) serveScanStatus(w http.ResponseWriter, r *http.Request) {
	c, ok := a.scanCookieOf(r)
	if sealed := r.URL.Query().Get("phone"); sealed != "" {
		plain, err := a.keys.Open(sealed, scanPhonePlace, a.official.appID)
		c, ok = scan.Cookie{Ticket: string(plain), IssuedAt: a.now().UnixMilli()}, err == nil
	}
	state := string(ReasonScanExpired)
	if ok {
		var err error
		if state, err = a.scanLooks.At(r.Context(), a.now(), c.Ticket, a.lookAtScan); err != nil {
			a.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Err: err})
			return
		}
		if a.nothingComes(c, state) {
			state = string(ReasonScanExpired)
		}
	}
	a.writeMini(w, map[string]any{"state": state})
}

// beginScan makes a ticket.
func (a *Auth) beginScan(w http.ResponseWriter, r *http.Request, v *session.Visit, target string, scope client.Scope, again bool) {
	c := scan.Cookie{State: flow.NewState(), Scope: scope, Again: again, IssuedAt: a.now().UnixMilli(), Key: flow.NewKey()}
	c.Ticket = scan.TicketOf(c.Key)
	rec := scan.Record{State: c.State, Browser: scan.BrowserName(r.UserAgent()), Scope: scope, IssuedAt: c.IssuedAt}
	if v.LoggedIn && v.Identity.AppID == a.official.appID && !again {
		c.OpenID = v.Identity.OpenID
	}
	if a.scanPlace != nil {
		rec.Place = plainText(a.scanPlace(r), 60)
	}
	err := a.tickets().Put(r.Context(), c.Ticket, rec)
	if err == nil {
		err = a.setScanCookie(w, c)
	}
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	a.report(r.Context(), Event{Kind: EventLoginStarted, Flow: flowID(a.official.appID, c.State), AppID: a.official.appID, Channel: ChannelScan, Scope: scope})
	a.showScan(w, r, c, target, scan.Waiting)
}

// showScan is the page with the QR code, or, once the phone has confirmed, the
// page that asks for the number.
func (a *Auth) showScan(w http.ResponseWriter, r *http.Request, c scan.Cookie, target, state string) {
	respond.NoStore(w.Header())
	if state == scan.Confirmed {
		a.page(w, r, Page{Kind: PageScanNumber, Status: http.StatusOK, ActionURL: a.endpoint("scan"), Next: target})
		return
	}
	phone := a.absolute(a.scanPath(c.Ticket))
	a.page(w, r, Page{
		Kind: PageScan, Status: http.StatusOK, URL: phone, QR: page.QRCode(phone),
		Scan: ScanDetails{Scanned: state == scan.Scanned, RefreshURL: a.scanURL(target, c.Scope) + "&wait=1", statusURL: a.endpoint("scan/status")},
	})
}

// stopScan tells the browser why there is no login, with a way to begin again.
func (a *Auth) stopScan(w http.ResponseWriter, r *http.Request, c scan.Cookie, reason Reason, again string) {
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
func (a *Auth) finishScan(w http.ResponseWriter, r *http.Request, sc scan.Cookie, end scan.End, right bool, target string) {
	f := flow.Flow{
		State: sc.State, Target: target, AppID: a.official.appID, Scope: sc.Scope, Channel: ChannelScan,
		IssuedAt: sc.IssuedAt, OpenID: sc.OpenID, Key: sc.Key,
	}
	again, spent := a.scanAgainURL(sc, target), false
	a.settle(w, r, proof{
		flow: f, key: singleflight.Key(f.AppID, "scan "+f.State), keep: outcomeTTL, source: end.Session, session: a.load,
		verify: func(ctx context.Context) (id identity.Identity, reason Reason, err error) {
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
	state := scan.Done
	switch reason {
	case "":
	case ReasonStoreUnavailable: // which it sees for itself
		return
	default:
		state = string(reason)
	}
	if err := a.tickets().SetState(ctx, ticket, state); err != nil {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Err: err, Detail: "the phone was not informed of how the login ended"})
	}
}

// spendScan takes the identity of a confirmed ticket, once for all time.
func (a *Auth) spendScan(ctx context.Context, sc scan.Cookie, end scan.End, right bool) (identity.Identity, Reason, error) {
	if reason, err := a.checkSource(ctx, end.Session); reason != "" {
		return identity.Identity{}, reason, err
	}
	won, err := a.tickets().Spend(ctx, sc.Ticket)
	if err != nil {
		return identity.Identity{}, ReasonStoreUnavailable, err
	}
	if !won {
		return identity.Identity{}, ReasonScanUsed, nil
	}
	if !right {
		return identity.Identity{}, ReasonScanNumber, nil
	}
	id, err := identity.Decode(a.official.appID, end.Identity)
	if err != nil {
		return identity.Identity{}, ReasonScanExpired, nil
	}
	id.Channel, id.LoginAt = ChannelScan, time.Unix(a.now().Unix(), 0)
	return id, "", nil
}
