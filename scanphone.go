package wechatauth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// serveScanPhone is what the phone opens by scanning. The first person who does
// has the ticket; nobody else can confirm it.
func (a *Auth) serveScanPhone(w http.ResponseWriter, r *http.Request, ticket string) {
	switch {
	case !a.navigates(r):
		a.stop(w, r, Failure{Reason: ReasonNoSession, RetryURL: a.absolute(a.endpoint("login"))})
		return
	case !EnvironmentOf(r).inWeChat(): // the phone's own camera opens another browser
		a.stop(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: a.absolute(a.scanPath(ticket))})
		return
	case a.cookies.inSnapshot(r):
		a.stop(w, r, Failure{Reason: ReasonSnapshotUser, Page: true})
		return
	}
	rec, reason, err := a.findScan(r.Context(), ticket)
	if reason != "" {
		a.stopPhone(w, r, rec, reason, err)
		return
	}
	r = a.ofScan(r, rec.State)
	v, err := a.sessions.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if !a.canConfirm(v) {
		a.cookies.dropIfSent(w, r, a.cookies.loggedOutName())
		a.begin(w, r, v, login{target: a.scanPath(ticket), scope: a.scope})
		return
	}
	if err := a.consents.allow(v.ctx, v.identity); err != nil {
		a.stopPhone(w, r, rec, hookReason(err), err)
		return
	}
	setNoStore(w.Header())
	if !v.identity.grants(rec.Scope) {
		a.page(w, r, Page{
			Kind: PageUpgrade, Status: http.StatusOK,
			ActionURL: a.endpoint("upgrade"), Next: a.scanPath(ticket), FormActions: []string{a.openOrigin()},
		})
		return
	}
	if reason, err := a.bindScan(r.Context(), ticket, v.identity, true); reason != "" {
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

// serveScanAnswer is the form of that page: the number that the person has typed,
// or his refusal. Either ends the ticket, a wrong number too.
func (a *Auth) serveScanAnswer(w http.ResponseWriter, r *http.Request, ticket string) {
	values, ok := a.ownForm(w, r)
	if !ok {
		return
	}
	rec, reason, err := a.findScan(r.Context(), ticket)
	if reason != "" {
		a.stopPhone(w, r, rec, reason, err)
		return
	}
	r = a.ofScan(r, rec.State)
	v, err := a.sessions.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if !a.canConfirm(v) || !v.identity.grants(rec.Scope) {
		a.stopPhone(w, r, rec, ReasonScanForeign, nil)
		return
	}
	if err := a.consents.allow(v.ctx, v.identity); err != nil {
		a.stopPhone(w, r, rec, hookReason(err), err)
		return
	}
	if reason, err := a.bindScan(r.Context(), ticket, v.identity, false); reason != "" {
		a.stopPhone(w, r, rec, reason, err)
		return
	}
	end := scanAnswer(values, rec, v.identity, a.sessions.storeKey(v.token))
	won, err := a.endScan(r.Context(), ticket, end)
	switch {
	case err != nil:
		a.unavailable(w, r, err)
	case !won:
		a.stopPhone(w, r, rec, ReasonScanUsed, nil)
	case end.Reason != "":
		a.stopPhone(w, r, rec, end.Reason, nil)
	default:
		setNoStore(w.Header())
		a.page(w, r, Page{Kind: PageScanDone, Status: http.StatusOK})
	}
}

// confirms reports whether a login is that of a phone which goes back to confirm
// a QR code.
func (a *Auth) confirms(r *http.Request, target string) bool {
	_, ok := a.scanTicketIn(target)
	return ok && EnvironmentOf(r).inWeChat()
}

// canConfirm reports whether a visit is a person's on the official account,
// inside WeChat. A browser that was itself logged in by a scan confirms nothing.
func (a *Auth) canConfirm(v *visit) bool {
	return v.loggedIn && !v.bearer && v.identity.AppID == a.official.appID && v.identity.Channel == ChannelWeChat
}

// scanAnswer decides how the person's answer ends the ticket.
func scanAnswer(values url.Values, rec scanRecord, id Identity, session string) scanEnd {
	switch {
	case values.Has("refuse"):
		return scanEnd{Reason: ReasonRefusedByUser}
	case len(values["number"]) != 1 || values.Get("number") != rec.Number:
		return scanEnd{Reason: ReasonScanNumber}
	}
	text, err := encodeIdentity(id)
	if err != nil {
		return scanEnd{Reason: ReasonScanExpired}
	}
	return scanEnd{Identity: text, Session: session}
}

// findScan returns the record of a ticket that can still be confirmed.
func (a *Auth) findScan(ctx context.Context, ticket string) (scanRecord, Reason, error) {
	var rec scanRecord
	ctx, cancel := context.WithTimeout(ctx, a.scanLook)
	defer cancel()
	box, found, err := a.sessions.marks.Mark(ctx, scanMark(ticket))
	if err != nil {
		return rec, ReasonStoreUnavailable, err
	}
	ring, err := newKeyring("scan", []byte(ticket))
	if err != nil {
		return rec, ReasonScanExpired, err
	}
	plain, err := ring.open(string(box), a.official.appID)
	if !found || err != nil || json.Unmarshal(plain, &rec) != nil || a.scanExpired(rec.IssuedAt) {
		return rec, ReasonScanExpired, nil
	}
	_, ended, err := a.sessions.marks.Mark(ctx, scanEndMark(ticket))
	switch {
	case err != nil:
		return rec, ReasonStoreUnavailable, err
	case ended:
		return rec, ReasonScanUsed, nil
	}
	return rec, "", nil
}

// bindScan gives the ticket to the first person who opens it, if first; and
// refuses everybody else.
func (a *Auth) bindScan(ctx context.Context, ticket string, id Identity, first bool) (Reason, error) {
	ctx, cancel := context.WithTimeout(ctx, a.scanLook)
	defer cancel()
	mark := scanByMark(ticket)
	if first {
		won, err := a.sessions.marks.PutMarkNX(ctx, mark, []byte(a.keys.seal([]byte(id.OpenID), mark)), scanTTL)
		if err != nil {
			return ReasonStoreUnavailable, err
		}
		if won {
			return "", nil
		}
	}
	box, found, err := a.sessions.marks.Mark(ctx, mark)
	if err != nil {
		return ReasonStoreUnavailable, err
	}
	plain, err := a.keys.open(string(box), mark)
	if !found || err != nil || string(plain) != id.OpenID {
		return ReasonScanForeign, nil
	}
	return "", nil
}

// endScan ends a ticket, once: the first answer counts. It is sealed, so that
// whoever writes to the store can confirm nothing.
func (a *Auth) endScan(ctx context.Context, ticket string, end scanEnd) (won bool, err error) {
	plain, err := json.Marshal(end)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.scanLook)
	defer cancel()
	mark := scanEndMark(ticket)
	return a.sessions.marks.PutMarkNX(ctx, mark, []byte(a.keys.seal(plain, mark)), scanTTL+scanGrace)
}

// stopPhone tells the person on the phone why nothing is confirmed. The way on
// is at the computer, where there is a new QR code.
func (a *Auth) stopPhone(w http.ResponseWriter, r *http.Request, rec scanRecord, reason Reason, err error) {
	if reason == ReasonStoreUnavailable {
		a.unavailable(w, r, err)
		return
	}
	a.scanFailed(r.Context(), flow{State: rec.State, Scope: rec.Scope, IssuedAt: rec.IssuedAt}, reason, err)
	a.stop(w, r, Failure{Reason: reason, Page: true, Err: err})
}

// browserName names a browser to the person who is about to log it in, such as
// "Chrome · Windows"; empty where it is not a known one.
func browserName(userAgent string) string {
	name := firstIn(userAgent, "Edg", "Edge", "OPR/", "Opera", "QQBrowser", "QQ", "Firefox", "Firefox", "MicroMessenger", "WeChat", "wxwork", "WeCom", "Chrome", "Chrome", "Safari", "Safari")
	system := firstIn(userAgent, "Windows", "Windows", "Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Mac OS X", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
	if name == "" || system == "" {
		return name + system
	}
	return name + " · " + system
}

// firstIn takes pairs of a word to look for and what it stands for.
func firstIn(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if strings.Contains(text, pairs[i]) {
			return pairs[i+1]
		}
	}
	return ""
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
