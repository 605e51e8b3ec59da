package wechatauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
)

// reject responds to a rejected request.
func (g *gate) reject(w http.ResponseWriter, r *http.Request, f Failure) {
	g.rejectVariant(w, r, f, "")
}

// rejectVariant is reject with a variant of the page's text.
func (g *gate) rejectVariant(w http.ResponseWriter, r *http.Request, f Failure, variant string) {
	if f.Status == 0 {
		f.Status = f.Reason.status()
	}
	f.Err = redact.Tokens(f.Err)
	respond.NoStore(w.Header())
	if f.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter()))
	}
	denied := f.Reason == ReasonNotAuthorized && f.RetryURL == "" // a user who is logged in; a login that fails has a RetryURL
	if f.Page && f.RetryURL == "" {
		f.RetryURL = g.wayOn(r, f)
	}
	if f.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	switch {
	case f.Page && g.errorHandler == nil:
		p, hints := Page{Kind: PageMessage, Reason: f.Reason, RetryURL: f.RetryURL}, page.Hints{Variant: variant}
		switch {
		case f.Reason == ReasonLoggedOut:
			p.Kind = PageLoggedOut
		case f.Reason == ReasonOpenInWeChat:
			p.Kind, p.RetryURL, p.URL = PageOpenInWeChat, "", f.RetryURL
			if environment.Of(r) != environment.PhoneBrowser { // which cannot scan its own screen
				p.QR = page.QRCode(f.RetryURL)
			}
		case denied:
			p.ActionURL, p.Next = g.endpoint("logout"), g.requestURL(r)
		}
		if f.Reason == ReasonNotAuthorized && p.RetryURL != "" && g.loginActionFor(r) != environment.LoginOfficialAccount {
			hints.Variant = page.OtherAccount
		}
		if wait := f.retryAfter(); f.Status == http.StatusServiceUnavailable && navigation.IsRead(r) && p.RetryURL != "" && wait <= retryAfterMinuteSeconds {
			hints.Wait = wait
		}
		g.pageWith(w, r, p, f.Status, hints)
	case g.errorHandler != nil:
		g.errorHandler(w, g.sessions.WithEmpty(r), f)
	default:
		respond.JSON(w, f.Status, respond.Text("error", jsonError(f)), respond.Text("reason", string(f.Reason)), respond.Text("login_url", f.RetryURL))
	}
}

// challenge is the WWW-Authenticate that RFC 9110 requires of a 401. No browser
// knows the scheme, so none shows a dialog.
const challenge = "WeChat"

// wayOn returns the RetryURL of a page whose rejection has none: the page again if
// the cause may pass, or a login as another user. Inside WeChat that would be the
// same user.
func (g *gate) wayOn(r *http.Request, f Failure) string {
	_, endpoint := g.endpointIn(r.URL.Path)
	switch {
	case f.Status == http.StatusServiceUnavailable && endpoint && navigation.IsRead(r) && r.URL.Path != g.endpoint("callback"):
		return r.URL.RequestURI()
	case f.Status == http.StatusServiceUnavailable:
		return g.requestURL(r)
	case f.Reason == ReasonNotAuthorized && g.loginActionFor(r) != environment.LoginOfficialAccount:
		return g.loginURL(g.requestURL(r), true)
	}
	return ""
}

// page writes a page.
func (g *gate) page(w http.ResponseWriter, r *http.Request, p Page) {
	g.pageWith(w, r, p, http.StatusOK, page.Hints{})
}

func (g *gate) pageWith(w http.ResponseWriter, r *http.Request, p Page, status int, hints page.Hints) {
	p.Brand, hints.Host, hints.Sandbox = g.brand, g.base.Host, g.sandbox != ""
	p.Reference = strings.TrimSpace(g.now().UTC().Format("2006-01-02 15:04:05 UTC ") + flowOf(r.Context()))
	if p.Kind == PageConsent {
		hints.FormActions = g.formActions()
	}
	if err := writePage(w, r, *g.pages.Load(), p, status, hints); err != nil {
		g.report(r.Context(), Event{Kind: EventDegraded, Reason: p.Reason, Err: err, Detail: "the built-in page was shown instead"})
	}
}

// rejectAnonymous rejects a request for a reason that decide found, with the
// RetryURL that fits the reason.
func (g *gate) rejectAnonymous(w http.ResponseWriter, r *http.Request, reason Reason) {
	f := Failure{Reason: reason, Page: g.showsPage(r)}
	switch {
	case reason == ReasonSnapshotUser: // starting again does not help
	case reason == ReasonOpenInWeChat:
		f.RetryURL = g.absolute(g.requestURL(r))
	case f.Page && reason == ReasonScopeRequired:
		f.RetryURL = g.upgradeURL(g.requestURL(r))
	case f.Page:
		f.RetryURL = g.loginURL(g.requestURL(r), true)
	case reason == ReasonScopeRequired:
		f.RetryURL = g.absolute(g.endpoint("upgrade"))
	default:
		f.RetryURL = g.absolute(g.endpoint("login"))
	}
	g.reject(w, r, f)
}

// rejectReported rejects a request and reports why.
func (g *gate) rejectReported(w http.ResponseWriter, r *http.Request, e Event, page bool) {
	g.reportRejected(r, e)
	g.reject(w, r, Failure{Reason: e.Reason, Page: page, Err: e.Err})
}

func (g *gate) rejectUnavailable(w http.ResponseWriter, r *http.Request, err error) {
	g.rejectReported(w, r, Event{Reason: ReasonStoreUnavailable, Err: err}, true)
}

// rejectUnsaved responds instead of a handler whose session could not be
// saved.
func (g *gate) rejectUnsaved(w http.ResponseWriter, r *http.Request, err error) {
	g.rejectReported(w, r, Event{Reason: ReasonStoreUnavailable, Err: err, Detail: "the session could not be saved"}, g.showsPage(r))
}

func (g *gate) rejectMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	g.reject(w, r, Failure{Reason: ReasonMethodNotAllowed, Page: g.showsPage(r)})
}

// readForm returns the values of a form that was posted from our own pages, and
// rejects any other.
func (g *gate) readForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	err := g.origin.Check(navigation.Origin(r))
	if err == nil && g.base.Scheme == "https" && strings.HasPrefix(strings.ToLower(navigation.Header(r.Header, "Origin")), "http://") {
		// net/http compares hosts only, and anyone on the network path can forge a
		// page that comes by plain http.
		err = errors.New("form of a page that came by plain http")
	}
	reason := ReasonCrossOrigin
	if err == nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
		reason, err = ReasonCallbackMalformed, r.ParseForm()
	}
	if err != nil {
		g.rejectReported(w, r, Event{Reason: reason, Err: err}, g.showsPage(r))
		return nil, false
	}
	return r.Form, true
}

// maxFormBytes is the size limit of our own forms, which have one field.
const maxFormBytes = 16 << 10

// nextParam returns the return URL of a form or a query.
func (g *gate) nextParam(r *http.Request, values url.Values) string {
	return g.readReturnURL(r, values.Get("next"))
}

// readReturnURL returns the return URL that a client sent, or "/" if it sent none
// or an invalid one.
func (g *gate) readReturnURL(r *http.Request, raw string) string {
	target, err := g.checkReturnURL(raw)
	if err == nil {
		return target
	}
	if raw != "" {
		g.reportReplaced(r.Context(), g.appIDFor(r), raw, err)
	}
	return "/"
}

// requestURL returns the return URL of a login that r starts: its own URL, or for
// a form, whose URL may not allow GET, that of the page with the form. It returns
// "/" if that is not a valid return URL.
func (g *gate) requestURL(r *http.Request) string {
	if !navigation.IsRead(r) {
		return g.readReturnURL(r, navigation.Header(r.Header, "Referer"))
	}
	return g.readReturnURL(r, g.site+returnto.RequestURL(r))
}

// reportReplaced reports that a login ends at "/" instead of at raw.
func (g *gate) reportReplaced(ctx context.Context, appID, raw string, why error) {
	g.report(ctx, Event{Kind: EventDegraded, AppID: appID, Detail: fmt.Sprintf("return URL replaced by /: %v, %d bytes", why, len(raw))})
}

// report logs the event and passes it to the observer.
func (a *Auth) report(ctx context.Context, e Event) {
	e.Err = redact.Tokens(e.Err)
	if e.Detail == "" {
		e.Detail = reasons[e.Reason].remedy
	}
	e.Flow = cmp.Or(e.Flow, flowOf(ctx))
	if a.observer != nil {
		a.observer.Observe(ctx, e)
	}
	level := e.level()
	if !a.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text("event", string(e.Kind))
	text("reason", string(e.Reason))
	text("flow", e.Flow)
	text("appid", e.AppID)
	text("channel", string(e.Channel))
	text("scope", string(e.Scope))
	text("openid", e.OpenID)
	if e.Duration > 0 {
		attrs = append(attrs, slog.Duration("duration", e.Duration))
	}
	text("detail", e.Detail)
	var we *client.Error
	if errors.As(e.Err, &we) {
		if we.Code != 0 {
			attrs = append(attrs, slog.Int("errcode", we.Code))
		}
		text("rid", we.RID)
		text("endpoint", we.Endpoint)
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	a.logger.LogAttrs(ctx, level, "wechatauth: "+string(e.Kind), attrs...)
}

// reportLogin reports an event of a login. Without an observer and a logger it
// does no work, so that an anonymous page visit costs nothing.
func (g *gate) reportLogin(ctx context.Context, f flow.Flow, e Event) {
	if g.observer == nil && !g.logger.Enabled(ctx, e.level()) {
		return
	}
	e.AppID, e.Channel, e.Scope = f.AppID, f.Channel, f.Scope
	if f.IssuedAt != 0 && e.Kind != EventLoginStarted { // the clocks of two instances may differ
		e.Duration = max(0, g.now().Sub(time.UnixMilli(f.IssuedAt)).Truncate(time.Millisecond))
	}
	g.report(withFlow(ctx, f), e)
}

// reportRejected reports that a request was rejected, with the account if the event
// has none.
func (g *gate) reportRejected(r *http.Request, e Event) {
	e.Kind = EventRejected
	if e.AppID == "" {
		e.AppID = g.appIDFor(r)
	}
	g.report(r.Context(), e)
}

// appIDFor returns the account that a request logs in to.
func (g *gate) appIDFor(r *http.Request) string {
	if _, sent := session.Bearer(r); sent && g.mini.client != nil {
		return g.mini.appID
	}
	return g.accountFor(r).appID
}

// flowKey is a pointer, so that no other package can collide with it.
var flowKey = &struct{ name string }{"wechatauth flow"}

// withFlow returns a context with the flow ID of f, for the events, calls and pages
// of that login.
func withFlow(ctx context.Context, f flow.Flow) context.Context {
	if f.State == "" {
		return ctx
	}
	return context.WithValue(ctx, flowKey, flowID(f.AppID, f.State))
}

// flowOf returns the id of the login that a context is for, or "".
func flowOf(ctx context.Context) string {
	id, _ := ctx.Value(flowKey).(string)
	return id
}

// flowID returns the id of a login for logs: enough to follow the login, and
// useless for completing it.
func flowID(appID, state string) string { return singleflight.Key(appID, state)[:12] }
