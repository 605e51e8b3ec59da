package wechatauth

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/internal/siteurl"
)

// loginParams is what a pending login starts with.
type loginParams struct {
	target  string
	scope   client.Scope
	openID  string // step-up: the user who must complete it
	unionID string // the same, if the user is known by another account
	again   bool   // requested by the user, after a page that explained a failure
}

// begin starts a login and redirects to WeChat. What must be known when the
// browser returns is in the flow cookie; the store is read only by lostLogins,
// which ignores its errors.
func (g *gate) begin(w http.ResponseWriter, r *http.Request, v *session.Visit, l loginParams) {
	held, ok := g.breakLoop(w, r, v, l)
	if !ok {
		return
	}
	acc := g.official
	act := g.loginActionFor(r)
	switch {
	case g.isScanPage(l.target) && environment.Of(r).InWeChat(): // a phone that confirms a QR code: the official account's, whatever WithEnvironment says
	case act == environment.OpenInWeChat:
		g.reject(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: g.absolute(l.target)})
		return
	case act == environment.LoginScan:
		respond.Redirect(w, g.scanAgainURL(scan.Cookie{Scope: l.scope, Again: l.again && v.LoggedIn}, l.target))
		return
	default:
		acc = g.accountFor(r)
	}
	embedded := acc.channel == ChannelWebsite && act == environment.LoginEmbeddedQR
	if embedded && l.openID == "" && r.URL.Path != g.endpoint("login") {
		respond.Redirect(w, g.loginURL(l.target, false)) // which shows the page with the QR code
		return
	}
	if acc.channel == ChannelWebsite {
		l.scope = client.ScopeLogin
	}
	f, wechat := g.start(r.Context(), w, held, acc, flow.Flow{Target: l.target, AppID: acc.appID, Scope: l.scope, Channel: acc.channel, OpenID: l.openID, UnionID: l.unionID})
	switch {
	case embedded:
		g.showEmbeddedQR(w, r, acc, f)
	case l.again && v.LoggedIn && f.Scope == client.ScopeUserInfo: // another account, perhaps: WeChat shall ask
		respond.Redirect(w, acc.client.AuthorizeURL(g.redirectURI(), f.Scope, f.State, client.ForcePopup()))
	default:
		respond.Redirect(w, wechat)
	}
}

// start makes f a pending login of the browser, with a new state and a new key,
// and returns it with the URL of WeChat's page.
func (g *gate) start(ctx context.Context, w http.ResponseWriter, held []flow.PendingCookie, acc account, f flow.Flow) (started flow.Flow, wechat string) {
	f.State, f.Key, f.IssuedAt = flow.NewState(), flow.NewKey(), g.now().UnixMilli()
	wechat = g.authorizeURL(acc, f)
	if err := g.cookies.Put(w, held, f); err != nil {
		g.reportReplaced(ctx, f.AppID, f.Target, err)
	}
	g.reportLogin(ctx, f, Event{Kind: EventLoginStarted})
	return f, wechat
}

// breakLoop rejects a login that would be one more in a redirect loop.
// Otherwise it returns the pending logins of the browser.
func (g *gate) breakLoop(w http.ResponseWriter, r *http.Request, v *session.Visit, l loginParams) (held []flow.PendingCookie, ok bool) {
	// A user who is logged in, or was when the step-up began, proves that this
	// browser keeps cookies. Many logins are then no loop: several tabs may have
	// logged in at the same time.
	lasts := l.openID != "" || l.unionID != "" || v.LoggedIn
	if t := g.cookies.LoginCounter(r); t.Logins >= flow.MaxLogins && !lasts {
		g.rejectLoop(w, r, v, l.target, "")
		return nil, false
	}
	held = g.cookies.Pending(r)
	lost := g.lostLogins(r.Context(), held)
	if len(lost) == 0 || lasts {
		return held, true
	}
	if !l.again {
		g.rejectLoop(w, r, v, l.target, "logins succeed, but the browser keeps no cookie of the callback's responses; check whether a proxy or a CDN removes Set-Cookie from them ")
		return nil, false
	}
	for _, name := range lost {
		g.cookies.Drop(w, name)
	}
	return slices.DeleteFunc(held, func(h flow.PendingCookie) bool { return slices.Contains(lost, h.Name) }), true
}

// authorizeURL returns the URL of WeChat's page. All of it but the state is the
// same for all users.
func (g *gate) authorizeURL(acc account, f flow.Flow) string {
	if acc.channel == ChannelWebsite {
		return acc.client.QRConnectURL(g.redirectURI(), f.State)
	}
	if page, ok := g.authorizePages[f.Scope]; ok && acc == g.official {
		return page.before + f.State + page.after
	}
	return acc.client.AuthorizeURL(g.redirectURI(), f.Scope, f.State)
}

// rejectLoop ends a redirect loop and reports its cause: the detail, or what the
// visit shows.
func (g *gate) rejectLoop(w http.ResponseWriter, r *http.Request, v *session.Visit, target, detail string) {
	reason := ReasonSessionCookieNotReturned
	switch {
	case detail != "":
	case v.Brought == session.Ambiguous:
		reason, detail = ReasonLoop, "the browser sends two sessions of different users under one cookie name, and neither counts; did another host of the domain plant one? "
	case v.Brought != session.Nothing:
		reason, detail = ReasonSessionLost, "the browser sent a session cookie, but the store has no such session; is it evicting, or shared between instances? "
	default:
		detail = "the browser did not send the session cookie back after a login; "
	}
	g.reportRejected(r, Event{Reason: reason, Detail: detail + g.sessions.DescribeCookie() + ", base URL " + g.base.String() + ", request host " + redact.Clean(r.Host)})
	g.reject(w, r, Failure{Reason: reason, Page: true, RetryURL: g.loginURL(target, true)})
}

// serveLogin handles GET login: it starts a login and redirects to WeChat. With
// the parameter again it does so even if a user is logged in, unless another site
// started the request. The user's session lasts until another one is saved.
func (g *gate) serveLogin(w http.ResponseWriter, r *http.Request) {
	target := g.nextParam(r, r.URL.Query())
	if !g.isEndpointVisit(r) {
		g.reject(w, r, Failure{Reason: ReasonNoSession, RetryURL: g.absolute(g.endpoint("login"))})
		return
	}
	again := r.URL.Query().Has("again")
	if g.isOtherHost(r) {
		g.redirectToBaseURL(w, g.loginURL(target, again))
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	if again {
		g.cookies.DropIfSent(w, r, g.cookies.LoginCounterName())
		g.cookies.DropIfSent(w, r, g.cookies.SnapshotName())
		r = cookie.Without(r, g.cookies.LoginCounterName(), g.cookies.SnapshotName())
	}
	if v.LoggedIn && v.Identity.Grants(g.scope) && !(again && navigation.IsOwnWish(r)) {
		respond.Redirect(w, target)
		return
	}
	if g.cookies.InSnapshot(r) {
		g.reject(w, r, Failure{Reason: ReasonSnapshotUser, Page: true})
		return
	}
	g.cookies.DropIfSent(w, r, g.cookies.LoggedOutName())
	g.begin(w, r, v, loginParams{target: target, scope: g.scope, again: again})
}

// serveUpgradePage explains why the profile is needed, with a button: if a page
// requests the profile without a user's action, WeChat opens it in snapshot mode.
func (g *gate) serveUpgradePage(w http.ResponseWriter, r *http.Request) {
	target := g.nextParam(r, r.URL.Query())
	if g.isOtherHost(r) {
		g.redirectToBaseURL(w, g.upgradeURL(target))
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	if v.LoggedIn && v.Identity.Grants(client.ScopeUserInfo) {
		respond.Redirect(w, target)
		return
	}
	switch g.loginActionFor(r) {
	case environment.OpenInWeChat:
		g.reject(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: g.absolute(target)})
		return
	case environment.LoginScan: // the button is on the phone
		respond.Redirect(w, g.scanURL(target, client.ScopeUserInfo))
		return
	}
	respond.NoStore(w.Header())
	g.page(w, r, Page{
		Kind:      PageConsent,
		ActionURL: g.endpoint("upgrade"), Next: target,
	})
}

// serveUpgrade starts a login with consent. The openid of a logged-in user is
// sealed into the pending login, because no other user may complete it; or the
// unionid, if the user is known by another account, such as that of a mini
// program in its web-view.
func (g *gate) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	values, ok := g.readForm(w, r)
	if !ok {
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.rejectUnavailable(w, r, err)
		return
	}
	target := g.nextParam(r, values)
	if v.LoggedIn && v.Identity.Grants(client.ScopeUserInfo) {
		respond.Redirect(w, target)
		return
	}
	l := loginParams{target: target, scope: client.ScopeUserInfo}
	switch {
	case v.LoggedIn && v.Identity.AppID == g.accountFor(r).appID:
		l.openID = v.Identity.OpenID
	case v.LoggedIn:
		l.unionID = v.Identity.UnionID
	}
	g.cookies.DropIfSent(w, r, g.cookies.LoggedOutName())
	g.begin(w, r, v, l)
}

// showEmbeddedQR responds with the page that has WeChat's QR code in a frame.
func (g *gate) showEmbeddedQR(w http.ResponseWriter, r *http.Request, acc account, f flow.Flow) {
	lang := client.LangZhCN
	if page.Language(r) == page.English {
		lang = client.LangEN
	}
	frame, _, _ := strings.Cut(acc.client.QRConnectURL(g.redirectURI(), f.State, client.QRLang(lang)), "#")
	respond.NoStore(w.Header())
	g.page(w, r, Page{Kind: PageEmbeddedQR, URL: frame + "&login_type=jssdk&self_redirect=false"})
}

// lostLogins returns the names of the flow cookies that a browser still has
// although their logins succeeded within the last minute: it has kept no cookie
// of the callbacks' responses. flow.MaxLogins of them are a loop, or as many as
// fit into the browser if return URLs are long; fewer prove nothing. The store
// is read only if the browser has that many. If the store fails, lostLogins
// returns nil.
func (g *gate) lostLogins(ctx context.Context, held []flow.PendingCookie) []string {
	held = slices.DeleteFunc(slices.Clone(held), func(h flow.PendingCookie) bool { return !cookie.Fresh(g.now(), h.Flow.IssuedAt, flow.LoginCounterTTL) })
	size := 0
	for _, h := range held {
		size += h.Size
	}
	enough := flow.MaxLogins
	if size > cookie.MaxBytes/2 { // the next one of that kind pushes one out
		enough = min(flow.MaxLogins, len(held))
	}
	if len(held) < enough {
		return nil
	}
	var lost []string
	for _, h := range held {
		o, found, err := g.logins.Find(ctx, singleflight.Key(h.Flow.AppID, h.Flow.State), h.Flow.Key)
		if err != nil {
			return nil
		}
		if found && o.Token != "" {
			lost = append(lost, h.Name)
		}
	}
	if len(lost) < enough {
		return nil
	}
	return lost
}

// isOtherHost reports whether the browser came to another host than the base
// URL's: its cookies would be missing when WeChat redirects back. The Host
// header decides nothing else. A proxy that rewrites Host looks the same, until
// the browser sends the cookie that redirectToBaseURL sets.
func (g *gate) isOtherHost(r *http.Request) bool {
	if siteurl.Reached(g.base, r) {
		return false
	}
	_, err := r.Cookie(g.cookies.OtherHostName())
	return err != nil
}

// redirectToBaseURL redirects to the base URL's host.
func (g *gate) redirectToBaseURL(w http.ResponseWriter, target string) {
	g.cookies.Set(w, g.cookies.OtherHostName(), "1", flow.OtherHostTTL)
	respond.Redirect(w, g.absolute(target))
}
