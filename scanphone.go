package wechatauth

import (
	"context"
	"net/http"
	"time"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/session"
)

// endSeenBy returns the reason for a user who cannot have the number: that of the
// end for the user who denied the login, and ReasonScanUsed for all others.
func (g *gate) endSeenBy(ctx context.Context, v *session.Visit, ticket string, end scan.End) Reason {
	if end.Reason != string(ReasonRefusedByUser) || !g.mayConfirm(v) {
		return ReasonScanUsed
	}
	if reason, err := g.bindScan(ctx, ticket, v.Identity, false); reason != "" || err != nil {
		return ReasonScanUsed
	}
	return ReasonRefusedByUser
}

// servePhone serves the pages of the phone that has scanned a QR code.
func (g *gate) servePhone(w http.ResponseWriter, r *http.Request, ticket string) {
	switch r.Method {
	case http.MethodGet:
		g.serveScanPhone(w, r, ticket)
	case http.MethodPost:
		g.serveScanAnswer(w, r, ticket)
	default:
		g.rejectMethod(w, r, "GET, POST")
	}
}

// serveScanPhone responds to the URL of the QR code. Only the first user who opens
// it can confirm the login.
func (g *gate) serveScanPhone(w http.ResponseWriter, r *http.Request, ticket string) {
	switch {
	case !g.isEndpointVisit(r):
		g.reject(w, r, Failure{Reason: ReasonNoSession, RetryURL: g.absolute(g.endpoint("login"))})
		return
	case !environment.Of(r).InWeChat(): // the phone's own camera opens another browser
		g.rejectVariant(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: g.absolute(g.scanPath(ticket))}, page.ByCamera)
		return
	case g.cookies.InSnapshot(r):
		g.reject(w, r, Failure{Reason: ReasonSnapshotUser, Page: true})
		return
	}
	rec, end, reason, err := g.findScan(r.Context(), ticket)
	if reason != "" {
		g.rejectPhone(w, r, rec, reason, err)
		return
	}
	r = g.withScanFlow(r, rec.State)
	v, err := g.load(r)
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	if end != nil {
		g.showNumber(w, r, v, ticket, rec, *end)
		return
	}
	if !g.mayConfirm(v) {
		g.cookies.DropIfSent(w, r, g.cookies.LoggedOutName())
		g.begin(w, r, v, loginParams{target: g.scanPath(ticket), scope: g.scope})
		return
	}
	if err := g.checkAccess(v.Context(), v.Identity); err != nil {
		g.rejectPhone(w, r, rec, hookReason(err), err)
		return
	}
	respond.NoStore(w.Header())
	if !v.Identity.Grants(rec.Scope) {
		g.page(w, r, Page{
			Kind:      PageConsent,
			ActionURL: g.endpoint("upgrade"), Next: g.scanPath(ticket),
		})
		return
	}
	if reason, err := g.bindScan(r.Context(), ticket, v.Identity, true); reason != "" {
		g.rejectPhone(w, r, rec, reason, err)
		return
	}
	g.page(w, r, Page{
		Kind: PageScanConfirm, ActionURL: g.scanPath(ticket),
		Scan: page.Scan{
			Browser: rec.Browser,
			Age:     max(0, g.now().Sub(time.UnixMilli(rec.IssuedAt)).Truncate(time.Second)),
		},
	})
}

// showNumber shows the number to the user who has confirmed, until the browser
// has used it or spent its one try.
func (g *gate) showNumber(w http.ResponseWriter, r *http.Request, v *session.Visit, ticket string, rec scan.Record, end scan.End) {
	state, err := g.tickets().StateAfter(r.Context(), ticket, end)
	if err != nil {
		g.rejectPhone(w, r, rec, ReasonStoreUnavailable, err)
		return
	}
	id, err := identity.Decode(g.official.appID, end.Identity)
	if err != nil || !g.mayConfirm(v) || v.Identity.OpenID != id.OpenID {
		g.rejectPhone(w, r, rec, g.endSeenBy(r.Context(), v, ticket, end), nil)
		return
	}
	respond.NoStore(w.Header())
	switch state {
	case scan.Done:
		g.page(w, r, Page{Kind: PageScanDone})
	case scan.Confirmed:
		g.page(w, r, Page{
			Kind: PageScanConfirmed,
			Scan: page.Scan{
				Number: end.Number, RefreshURL: g.scanPath(ticket),
				StatusURL: g.endpoint("scan/status") + "?phone=" + g.keys.Seal([]byte(ticket), scanPhonePlace, g.official.appID),
			},
		})
	default:
		g.rejectPhone(w, r, rec, Reason(state), nil)
	}
}

// serveScanAnswer serves the form of PageScanConfirm, with which the user confirms
// or denies the login. The first choice ends the ticket.
func (g *gate) serveScanAnswer(w http.ResponseWriter, r *http.Request, ticket string) {
	values, ok := g.readForm(w, r)
	if !ok {
		return
	}
	rec, end, reason, err := g.findScan(r.Context(), ticket)
	if reason != "" {
		g.rejectPhone(w, r, rec, reason, err)
		return
	}
	r = g.withScanFlow(r, rec.State)
	v, err := g.load(r)
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	if !g.mayConfirm(v) || !v.Identity.Grants(rec.Scope) {
		g.rejectPhone(w, r, rec, ReasonScanOtherUser, nil)
		return
	}
	if err := g.checkAccess(v.Context(), v.Identity); err != nil {
		g.rejectPhone(w, r, rec, hookReason(err), err)
		return
	}
	if reason, err := g.bindScan(r.Context(), ticket, v.Identity, false); reason != "" {
		g.rejectPhone(w, r, rec, reason, err)
		return
	}
	if end == nil && (values.Has("confirm") || values.Has("refuse")) {
		if err := g.endTicket(r.Context(), ticket, values.Has("refuse"), v); err != nil {
			g.rejectUnavailable(w, r, err)
			return
		}
		if values.Has("refuse") {
			g.rejectPhone(w, r, rec, ReasonRefusedByUser, nil)
			return
		}
	}
	respond.Redirect(w, g.scanPath(ticket)) // a reload shows the number again
}

// mayConfirm reports whether a visit is that of a user of the official account,
// inside WeChat. A browser that was itself logged in by a scan confirms
// nothing.
func (g *gate) mayConfirm(v *session.Visit) bool {
	return v.LoggedIn && !v.Bearer && v.Identity.AppID == g.official.appID && v.Identity.Channel == ChannelWeChat
}

// findScan returns the record of a ticket that can be confirmed, or how the ticket
// has ended.
func (g *gate) findScan(ctx context.Context, ticket string) (rec scan.Record, end *scan.End, reason Reason, err error) {
	rec, found, err := g.tickets().Record(ctx, ticket)
	if err != nil {
		return rec, nil, ReasonStoreUnavailable, err
	}
	if !found {
		return rec, nil, ReasonScanExpired, nil
	}
	result, ended, err := g.scanResult(ctx, ticket)
	switch {
	case err != nil:
		return rec, nil, ReasonStoreUnavailable, err
	case ended:
		return rec, &result, "", nil
	case scan.Expired(g.now(), rec.IssuedAt):
		return rec, nil, ReasonScanExpired, nil
	}
	return rec, nil, "", nil
}

// bindScan binds the ticket to the first user who opens it, if first, and rejects
// all others.
func (g *gate) bindScan(ctx context.Context, ticket string, id identity.Identity, first bool) (Reason, error) {
	own, err := g.tickets().Bind(ctx, ticket, id.OpenID, first)
	switch {
	case err != nil:
		return ReasonStoreUnavailable, err
	case !own:
		return ReasonScanOtherUser, nil
	}
	return "", nil
}

// endTicket ends a ticket, confirmed or denied. Only the first call has an effect.
func (g *gate) endTicket(ctx context.Context, ticket string, refused bool, v *session.Visit) error {
	end := scan.End{Reason: string(ReasonRefusedByUser)}
	if !refused {
		end = scan.End{Identity: identity.Encode(v.Identity), Session: g.sessions.StoreKey(v.Token), Number: scan.NewNumber()}
	}
	return g.tickets().Finish(ctx, ticket, end)
}

// rejectPhone explains on the phone why the login was not confirmed. There is no
// RetryURL, because only the browser can start again, with a new QR code.
func (g *gate) rejectPhone(w http.ResponseWriter, r *http.Request, rec scan.Record, reason Reason, err error) {
	if reason == ReasonStoreUnavailable {
		g.rejectUnavailable(w, r, err)
		return
	}
	g.scanFailed(r.Context(), flow.Flow{State: rec.State, Scope: rec.Scope, IssuedAt: rec.IssuedAt}, reason, err)
	g.rejectVariant(w, r, Failure{Reason: reason, Page: true, Err: err}, page.OnPhone)
}
