package wechatauth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
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
// try is allowed. A forwarded QR code or a picture of the screen is therefore not
// enough: the number is shown only on the phone that confirmed.
//
// All that the browser and the phone share is in marks of the session store, so
// their requests may reach different instances. Each mark has one key. The marks
// are sealed under a key that the store never sees.

// scanPhonePlace is the place for which a ticket is sealed that the phone's page
// sends to learn the state.
const scanPhonePlace = "scan phone"

// tickets returns the store of the account's tickets.
func (g *gate) tickets() scan.Tickets {
	return scan.Tickets{Marks: g.sessions.Marks(), Keys: g.keys, AppID: g.official.appID, Budget: g.scanLook}
}

// setScanCookie sets the cookie with the browser's side of a ticket. The sealed
// value has the time of issue, so setting the cookie again does not extend it.
func (g *gate) setScanCookie(w http.ResponseWriter, c scan.Cookie) error {
	value, err := g.cookies.Seal(c, "scan", g.cookies.ScanName())
	if err == nil {
		g.cookies.Set(w, g.cookies.ScanName(), value, flow.ScanTTL)
	}
	return err
}

// scanCookieOf returns the request's scan cookie, if it is valid. It outlives
// the time in which the QR code can be confirmed.
func (g *gate) scanCookieOf(r *http.Request) (scan.Cookie, bool) {
	var c scan.Cookie
	plain, ok := g.cookies.Find(r, "scan", g.cookies.ScanName())
	if !ok || json.Unmarshal(plain, &c) != nil || !c.Valid() {
		return scan.Cookie{}, false
	}
	return c, cookie.Fresh(g.now(), c.IssuedAt, flow.ScanTTL)
}

// serveScan responds with the browser's page. With the parameter "wait", the page
// itself makes the request, and gets no new ticket. With "again", a browser that is
// logged in gets a ticket too, to switch users.
func (g *gate) serveScan(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	target, scope := g.nextParam(r, q), g.scope
	if q.Has("profile") {
		scope = client.ScopeUserInfo
	}
	switch {
	case !g.isEndpointVisit(r):
		g.reject(w, r, Failure{Reason: ReasonNoSession, RetryURL: g.absolute(g.endpoint("login"))})
		return
	case g.loginActionFor(r) != environment.LoginScan: // a link that was passed on to a phone
		respond.Redirect(w, g.loginURL(target, false))
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	c, held := g.scanCookieOf(r)
	held = held && c.Scope == scope
	again := v.LoggedIn && (held && c.Again || q.Has("again") && navigation.IsOwnWish(r))
	if v.LoggedIn && v.Identity.Grants(scope) && !again {
		respond.Redirect(w, target)
		return
	}
	if held && (c.Again || !again) {
		r := g.withScanFlow(r, c.State)
		state, err := g.scanState(r.Context(), c.Ticket)
		if g.nothingComes(c, state) {
			state = string(ReasonScanExpired)
		}
		switch {
		case err != nil:
			g.rejectUnavailable(w, r, err)
			return
		case state == scan.Waiting || state == scan.Scanned || state == scan.Confirmed:
			g.showScan(w, r, c, target, state)
			return
		case q.Has("wait"):
			g.rejectScan(w, r, c, scanReason(state), g.scanAgainURL(c, target))
			return
		}
	}
	if q.Has("wait") {
		g.rejectScan(w, r, c, ReasonScanExpired, g.scanURL(target, scope))
		return
	}
	g.beginScan(w, r, v, target, scope, again)
}

// scanReason returns the reason of a ticket that has ended.
func scanReason(state string) Reason {
	if state == scan.Done {
		return ReasonScanUsed
	}
	return Reason(state)
}

// serveScanNumber handles the form with the number that the phone shows.
func (g *gate) serveScanNumber(w http.ResponseWriter, r *http.Request) {
	values, ok := g.readForm(w, r)
	if !ok {
		return
	}
	c, held := g.scanCookieOf(r)
	target := g.nextParam(r, values)
	if !held {
		g.rejectScan(w, r, c, ReasonScanExpired, g.scanURL(target, g.scope))
		return
	}
	r = g.withScanFlow(r, c.State)
	end, ended, err := g.scanResult(r.Context(), c.Ticket)
	switch {
	case err != nil:
		g.rejectUnavailable(w, r, err)
	case !ended: // not confirmed yet
		respond.Redirect(w, g.scanURL(target, c.Scope))
	case end.Reason != "":
		g.rejectScan(w, r, c, Reason(end.Reason), g.scanAgainURL(c, target))
	default:
		typed := strings.TrimSpace(values.Get("number"))
		right := subtle.ConstantTimeCompare([]byte(typed), []byte(end.Number)) == 1
		g.finishScan(w, r, c, end, right, target)
	}
}

// scanResult returns whether the phone has confirmed or denied, and its result.
func (g *gate) scanResult(ctx context.Context, ticket string) (end scan.End, ended bool, err error) {
	end, ended, err = g.tickets().Ended(ctx, ticket)
	if ended && end.Reason == "" && end.Identity == "" {
		end.Reason = string(ReasonScanExpired) // the gate has not written this
	}
	return end, ended, err
}

// nothingComes reports whether a ticket that was neither confirmed nor denied has
// become too old for that.
func (g *gate) nothingComes(c scan.Cookie, state string) bool {
	return (state == scan.Waiting || state == scan.Scanned) && scan.Expired(g.now(), c.IssuedAt)
}

// scanState returns the state of a ticket, with one read.
func (g *gate) scanState(ctx context.Context, ticket string) (string, error) {
	state, err := g.tickets().State(ctx, ticket)
	if err == nil && state == "" {
		state = string(ReasonScanExpired) // the gate has not written this
	}
	return state, err
}

// serveScanStatus responds with {"state":"waiting"}, or another state. The ticket is
// that of the browser's cookie, or the sealed one that the phone's page sends.
func (g *gate) serveScanStatus(w http.ResponseWriter, r *http.Request) {
	c, ok := g.scanCookieOf(r)
	if sealed := r.URL.Query().Get("phone"); sealed != "" {
		plain, err := g.keys.Open(sealed, scanPhonePlace, g.official.appID)
		c, ok = scan.Cookie{Ticket: string(plain), IssuedAt: g.now().UnixMilli()}, err == nil
	}
	state := string(ReasonScanExpired)
	if ok {
		var err error
		if state, err = g.looks.At(r.Context(), g.now(), c.Ticket, g.scanState); err != nil {
			if g.looks.Complains(g.now()) {
				g.reportRejected(r, Event{Reason: ReasonStoreUnavailable, Err: err})
			}
			g.reject(w, r, Failure{Reason: ReasonStoreUnavailable, Err: err})
			return
		}
		if g.nothingComes(c, state) {
			state = string(ReasonScanExpired)
		}
	}
	respond.NoStore(w.Header())
	respond.JSON(w, http.StatusOK, respond.Text("state", state))
}

// beginScan creates a ticket and shows its QR code.
func (g *gate) beginScan(w http.ResponseWriter, r *http.Request, v *session.Visit, target string, scope client.Scope, again bool) {
	c := scan.Cookie{State: flow.NewState(), Scope: scope, Again: again, IssuedAt: g.now().UnixMilli(), Key: flow.NewKey()}
	c.Ticket = scan.TicketOf(c.Key)
	rec := scan.Record{State: c.State, Browser: scan.BrowserName(navigation.Header(r.Header, "User-Agent")), Scope: scope, IssuedAt: c.IssuedAt}
	if v.LoggedIn && v.Identity.AppID == g.official.appID && !again {
		c.OpenID = v.Identity.OpenID
	}
	err := g.tickets().Put(r.Context(), c.Ticket, rec)
	if err == nil {
		err = g.setScanCookie(w, c)
	}
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	g.reportLogin(r.Context(), flow.Flow{State: c.State, AppID: g.official.appID, Channel: ChannelScan, Scope: scope}, Event{Kind: EventLoginStarted})
	g.showScan(w, r, c, target, scan.Waiting)
}

// showScan responds with the QR code or, once the phone has confirmed, with the
// form for the number.
func (g *gate) showScan(w http.ResponseWriter, r *http.Request, c scan.Cookie, target, state string) {
	respond.NoStore(w.Header())
	if state == scan.Confirmed {
		g.page(w, r, Page{Kind: PageScanNumber, ActionURL: g.endpoint("scan"), Next: target})
		return
	}
	phone := g.absolute(g.scanPath(c.Ticket))
	g.page(w, r, Page{
		Kind: PageScan, URL: phone, QR: page.QRCode(phone),
		RetryURL: g.scanAgainURL(c, target),
		Scan: page.Scan{
			Scanned: state == scan.Scanned, RefreshURL: g.scanURL(target, c.Scope) + "&wait=1", StatusURL: g.endpoint("scan/status"),
			Left: max(0, scan.TTL-g.now().Sub(time.UnixMilli(c.IssuedAt))).Round(time.Second),
		},
	})
}

// rejectScan explains why there is no login, with a link to start again.
func (g *gate) rejectScan(w http.ResponseWriter, r *http.Request, c scan.Cookie, reason Reason, again string) {
	g.scanFailed(r.Context(), flow.Flow{State: c.State, Scope: c.Scope, IssuedAt: c.IssuedAt}, reason, nil)
	g.cookies.DropIfSent(w, r, g.cookies.ScanName())
	g.rejectVariant(w, r, Failure{Reason: reason, Page: true, RetryURL: again}, page.OnComputer)
}

// withScanFlow returns r with the flow of a scan, for its events and calls.
func (g *gate) withScanFlow(r *http.Request, state string) *http.Request {
	return r.WithContext(withFlow(r.Context(), flow.Flow{AppID: g.official.appID, State: state}))
}

// scanFailed reports the end of a scan.
func (g *gate) scanFailed(ctx context.Context, f flow.Flow, reason Reason, err error) {
	f.AppID, f.Channel = g.official.appID, ChannelScan
	g.reportLogin(ctx, f, Event{Kind: EventLoginFailed, Reason: reason, Err: err})
}

// finishScan logs the browser in, once. Tabs that post the number at the same
// moment get the same session.
func (g *gate) finishScan(w http.ResponseWriter, r *http.Request, sc scan.Cookie, end scan.End, right bool, target string) {
	f := flow.Flow{
		State: sc.State, Target: target, AppID: g.official.appID, Scope: sc.Scope, Channel: ChannelScan,
		IssuedAt: sc.IssuedAt, OpenID: sc.OpenID, Key: sc.Key,
	}
	again, spent := g.scanAgainURL(sc, target), false
	g.settle(w, r, proof{
		flow: f, key: singleflight.Key(f.AppID, "scan "+f.State), keep: resultTTL, source: end.Session, session: g.load,
		verify: func(ctx context.Context) (id identity.Identity, reason Reason, err error) {
			id, reason, err = g.spendScan(ctx, sc, end, right)
			spent = reason == ""
			return id, reason, err
		},
		ended: func(ctx context.Context, reason Reason) { g.setPhoneState(ctx, sc.Ticket, reason) },
	}, func(w http.ResponseWriter, r *http.Request, res result) {
		switch {
		case res.unopened:
			g.rejectScan(w, r, sc, ReasonScanUsed, again)
		case res.err != nil || res.Reason == ReasonStoreUnavailable && !res.shared:
			if spent { // and so is the QR code
				g.cookies.Drop(w, g.cookies.ScanName())
			}
			g.failCallback(w, r, f, res.Reason, res.err)
		case res.Reason != "":
			g.rejectScan(w, r, sc, res.Reason, again)
		case !right:
			g.rejectScan(w, r, sc, ReasonScanWrongNumber, again)
		default:
			g.cookies.Drop(w, g.cookies.ScanName())
			res.Target = target // a tab's own
			g.enterSession(w, r, f, res)
		}
	})
}

// setPhoneState sets the state that the phone's page shows once the browser's login
// has ended.
func (g *gate) setPhoneState(ctx context.Context, ticket string, reason Reason) {
	state := scan.Done
	switch reason {
	case "":
	case ReasonStoreUnavailable: // which it sees for itself
		return
	default:
		state = string(reason)
	}
	if err := g.tickets().SetState(ctx, ticket, state); err != nil {
		g.report(ctx, Event{Kind: EventDegraded, Reason: ReasonStoreUnavailable, Err: err, Detail: "the phone was not informed of how the login ended"})
	}
}

// spendScan spends a confirmed ticket, which works once, and returns the identity
// of the user who confirmed it. A wrong number spends the ticket too.
func (g *gate) spendScan(ctx context.Context, sc scan.Cookie, end scan.End, right bool) (identity.Identity, Reason, error) {
	if reason, err := g.checkSource(ctx, end.Session); reason != "" {
		return identity.Identity{}, reason, err
	}
	won, err := g.tickets().Spend(ctx, sc.Ticket)
	if err != nil {
		return identity.Identity{}, ReasonStoreUnavailable, err
	}
	if !won {
		return identity.Identity{}, ReasonScanUsed, nil
	}
	if !right {
		return identity.Identity{}, ReasonScanWrongNumber, nil
	}
	id, err := identity.Decode(g.official.appID, end.Identity)
	if err != nil {
		return identity.Identity{}, ReasonScanExpired, nil
	}
	id.Channel, id.LoginAt = ChannelScan, time.Unix(g.now().Unix(), 0)
	return id, "", nil
}
