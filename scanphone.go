package wechatauth

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/session"
)

// serveScanPhone is what the phone opens by scanning. The first person who does
// has the ticket; nobody else can confirm it.
func (a *Auth) serveScanPhone(w http.ResponseWriter, r *http.Request, ticket string) {
	switch {
	case !a.navigates(r):
		a.stop(w, r, Failure{Reason: ReasonNoSession, RetryURL: a.absolute(a.endpoint("login"))})
		return
	case !environment.Of(r).InWeChat(): // the phone's own camera opens another browser
		a.stop(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: a.absolute(a.scanPath(ticket))})
		return
	case a.cookies.InSnapshot(r):
		a.stop(w, r, Failure{Reason: ReasonSnapshotUser, Page: true})
		return
	}
	rec, end, reason, err := a.findScan(r.Context(), ticket)
	if reason != "" {
		a.stopPhone(w, r, rec, reason, err)
		return
	}
	r = a.ofScan(r, rec.State)
	v, err := a.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if end != nil {
		a.showNumber(w, r, v, ticket, rec, *end)
		return
	}
	if !a.canConfirm(v) {
		a.cookies.DropIfSent(w, r, a.cookies.LoggedOutName())
		a.begin(w, r, v, login{target: a.scanPath(ticket), scope: a.scope})
		return
	}
	if err := a.consents.allow(v.Context(), v.Identity); err != nil {
		a.stopPhone(w, r, rec, hookReason(err), err)
		return
	}
	respond.NoStore(w.Header())
	if !v.Identity.Grants(rec.Scope) {
		a.page(w, r, Page{
			Kind: PageUpgrade, Status: http.StatusOK,
			ActionURL: a.endpoint("upgrade"), Next: a.scanPath(ticket), FormActions: []string{a.openOrigin()},
		})
		return
	}
	if reason, err := a.bindScan(r.Context(), ticket, v.Identity, true); reason != "" {
		a.stopPhone(w, r, rec, reason, err)
		return
	}
	a.page(w, r, Page{
		Kind: PageScanConfirm, Status: http.StatusOK, ActionURL: a.scanPath(ticket),
		Scan: ScanDetails{
			Browser: rec.Browser, Place: rec.Place,
			Age: max(0, a.now().Sub(time.UnixMilli(rec.IssuedAt)).Truncate(time.Second)),
		},
	})
}

// showNumber is the phone's page once it has answered: the number, for the user
// who has confirmed, until the browser has used it or lost its one try.
func (a *Auth) showNumber(w http.ResponseWriter, r *http.Request, v *session.Visit, ticket string, rec scan.Record, end scan.End) {
	state, err := a.tickets().StateAfter(r.Context(), ticket, end)
	if err != nil {
		a.stopPhone(w, r, rec, ReasonStoreUnavailable, err)
		return
	}
	id, err := identity.Decode(a.official.appID, end.Identity)
	if err != nil || !a.canConfirm(v) || v.Identity.OpenID != id.OpenID {
		a.stopPhone(w, r, rec, ReasonScanUsed, nil)
		return
	}
	respond.NoStore(w.Header())
	switch state {
	case scan.Done:
		a.page(w, r, Page{Kind: PageScanDone, Status: http.StatusOK})
	case scan.Confirmed:
		a.page(w, r, Page{
			Kind: PageScanConfirmed, Status: http.StatusOK,
			Scan: ScanDetails{
				Number: end.Number, RefreshURL: a.scanPath(ticket),
				statusURL: a.endpoint("scan/status") + "?phone=" + a.keys.Seal([]byte(ticket), scanPhonePlace, a.official.appID),
			},
		})
	default:
		a.stopPhone(w, r, rec, Reason(state), nil)
	}
}

// serveScanAnswer is the form of that page: the user confirms or refuses. Either
// ends the ticket for every other answer.
func (a *Auth) serveScanAnswer(w http.ResponseWriter, r *http.Request, ticket string) {
	values, ok := a.ownForm(w, r)
	if !ok {
		return
	}
	rec, end, reason, err := a.findScan(r.Context(), ticket)
	if reason != "" {
		a.stopPhone(w, r, rec, reason, err)
		return
	}
	r = a.ofScan(r, rec.State)
	v, err := a.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if !a.canConfirm(v) || !v.Identity.Grants(rec.Scope) {
		a.stopPhone(w, r, rec, ReasonScanForeign, nil)
		return
	}
	if err := a.consents.allow(v.Context(), v.Identity); err != nil {
		a.stopPhone(w, r, rec, hookReason(err), err)
		return
	}
	if reason, err := a.bindScan(r.Context(), ticket, v.Identity, false); reason != "" {
		a.stopPhone(w, r, rec, reason, err)
		return
	}
	if end == nil && (values.Has("confirm") || values.Has("refuse")) {
		if err := a.endScan(r.Context(), ticket, values.Has("refuse"), v); err != nil {
			a.unavailable(w, r, err)
			return
		}
		if values.Has("refuse") {
			a.stopPhone(w, r, rec, ReasonRefusedByUser, nil)
			return
		}
	}
	respond.Redirect(w, a.scanPath(ticket)) // a reload shows the number again
}

// confirms reports whether a login is that of a phone which goes back to confirm
// a QR code.
func (a *Auth) confirms(r *http.Request, target string) bool {
	return a.isScanPage(target) && environment.Of(r).InWeChat()
}

// canConfirm reports whether a visit is a person's on the official account,
// inside WeChat. A browser that was itself logged in by a scan confirms nothing.
func (a *Auth) canConfirm(v *session.Visit) bool {
	return v.LoggedIn && !v.Bearer && v.Identity.AppID == a.official.appID && v.Identity.Channel == ChannelWeChat
}

// findScan returns the record of a ticket that can be confirmed, or the phone's
// answer to it.
func (a *Auth) findScan(ctx context.Context, ticket string) (rec scan.Record, end *scan.End, reason Reason, err error) {
	rec, found, err := a.tickets().Record(ctx, ticket)
	if err != nil {
		return rec, nil, ReasonStoreUnavailable, err
	}
	if !found {
		return rec, nil, ReasonScanExpired, nil
	}
	answer, ended, err := a.scanEnded(ctx, ticket)
	switch {
	case err != nil:
		return rec, nil, ReasonStoreUnavailable, err
	case ended:
		return rec, &answer, "", nil
	case scan.Expired(a.now(), rec.IssuedAt):
		return rec, nil, ReasonScanExpired, nil
	}
	return rec, nil, "", nil
}

// bindScan gives the ticket to the first person who opens it, if first; and
// refuses everybody else.
func (a *Auth) bindScan(ctx context.Context, ticket string, id identity.Identity, first bool) (Reason, error) {
	own, err := a.tickets().Bind(ctx, ticket, id.OpenID, first)
	switch {
	case err != nil:
		return ReasonStoreUnavailable, err
	case !own:
		return ReasonScanForeign, nil
	}
	return "", nil
}

// endScan ends a ticket, once: the first answer counts.
func (a *Auth) endScan(ctx context.Context, ticket string, refused bool, v *session.Visit) error {
	end := scan.End{Reason: string(ReasonRefusedByUser)}
	if !refused {
		end = scan.End{Identity: identity.Encode(v.Identity), Session: a.sessions.StoreKey(v.Token), Number: scan.NewNumber()}
	}
	return a.tickets().Finish(ctx, ticket, end)
}

// stopPhone tells the person on the phone why nothing is confirmed. The way on
// is at the computer, where there is a new QR code.
func (a *Auth) stopPhone(w http.ResponseWriter, r *http.Request, rec scan.Record, reason Reason, err error) {
	if reason == ReasonStoreUnavailable {
		a.unavailable(w, r, err)
		return
	}
	a.scanFailed(r.Context(), flow.Flow{State: rec.State, Scope: rec.Scope, IssuedAt: rec.IssuedAt}, reason, err)
	a.stop(w, r, Failure{Reason: reason, Page: true, Err: err})
}

// plainText keeps what can be printed, up to so many characters.
func plainText(s string, most int) string {
	var kept []rune
	for _, c := range strings.ToValidUTF8(s, "") {
		if len(kept) == most {
			break
		}
		if unicode.IsPrint(c) {
			kept = append(kept, c)
		}
	}
	return string(kept)
}
