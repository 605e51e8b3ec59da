package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
)

const (
	maxQueryBytes = 8 << 10  // of a callback, before anything is parsed
	maxFormBytes  = 16 << 10 // of our own forms, which have one field
	maxCodeBytes  = 128      // WeChat's codes have 32 characters today

	// callbackBudget bounds a callback from the claim, once it is won, to the
	// answer, whatever the browser does meanwhile.
	callbackBudget = 8 * time.Second
	// saveBudget is how long a callback tries to save a session for which a
	// code was spent.
	saveBudget = 3 * time.Second
)

// ServeHTTP serves the endpoints below the path prefix. Mount it at the
// prefix, as in mux.Handle("/wechat/", auth); not behind http.StripPrefix.
//
//	GET  login?next=…    begins a login and returns to next; with again=1 also where
//	                     somebody is logged in, for another account in the same browser
//	GET  callback        where WeChat sends the visitor back
//	GET  upgrade?next=…  the page with the button
//	POST upgrade         asks WeChat for snsapi_userinfo; field next
//	POST logout          ends the session; field next
//	POST mini/login      WithMiniProgram: {"code":…} gives {"token":…,"expires_in":…}
//	POST mini/ticket     {"target":…} gives the {"url":…} that logs a web-view in, once
//	GET  mini/enter      that URL
//	POST mini/enter      the form of PageEnter, where a GET has to ask first
//	GET  scan?next=…     LoginScan: the page with the QR code, which the phone opens and
//	                     confirms at scan/ and the ticket
//	POST scan            its form: the number that the phone shows
//	GET  scan/status     what has become of that QR code, as JSON
//
// A missing or refused next means "/".
func (a *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if content, ok := a.verifyFile(r); ok {
		a.home.serveVerifyFile(w, r, content)
		return
	}
	if g, ok := a.forRequest(w, r); ok {
		g.serve(w, r)
	}
}

// serve serves the endpoints of an account.
func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	post := r.Method == http.MethodPost
	switch name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, g.prefix), g.path); {
	case name == "login" && get:
		g.serveLogin(w, r)
	case name == "callback" && r.Method == http.MethodGet:
		g.serveCallback(w, r)
	case name == "upgrade" && get:
		g.serveUpgradePage(w, r)
	case name == "upgrade" && post:
		g.serveUpgrade(w, r)
	case name == "logout" && post:
		g.serveLogout(w, r)
	case strings.HasPrefix(name, "mini/") && g.mini.client != nil:
		g.serveMini(w, r, name)
	case (name == "scan" || strings.HasPrefix(name, "scan/")) && g.scans():
		g.serveScans(w, r, name)
	case name == "login":
		g.methodNotAllowed(w, r, "GET, HEAD")
	case name == "callback":
		g.methodNotAllowed(w, r, "GET")
	case name == "upgrade":
		g.methodNotAllowed(w, r, "GET, HEAD, POST")
	case name == "logout":
		g.methodNotAllowed(w, r, "POST")
	default:
		g.notFound(w, r)
	}
}

// notFound tells the operator where the mistake may be: a visitor who comes
// back from WeChat to a path that is not served has lost his login.
func (g *gate) notFound(w http.ResponseWriter, r *http.Request) {
	if g.strayCallback(w, r) {
		return
	}
	e := Event{Reason: ReasonNotFound}
	if !strings.HasPrefix(r.URL.Path, g.prefix) {
		e.Detail = "the endpoints are mounted elsewhere than at the path prefix " + g.prefix + ", or behind http.StripPrefix"
	}
	g.stopped(r, e)
	g.stop(w, r, Failure{Reason: ReasonNotFound, Page: g.showsPage(r)})
}

// serveMini serves the endpoints of a mini program.
func (g *gate) serveMini(w http.ResponseWriter, r *http.Request, name string) {
	switch {
	case name == "mini/login" && r.Method == http.MethodPost:
		g.serveMiniLogin(w, r)
	case name == "mini/ticket" && r.Method == http.MethodPost:
		g.serveMiniTicket(w, r)
	case name == "mini/enter" && (r.Method == http.MethodGet || r.Method == http.MethodPost):
		g.serveMiniEnter(w, r)
	case name == "mini/login" || name == "mini/ticket":
		g.methodNotAllowed(w, r, "POST")
	case name == "mini/enter":
		g.methodNotAllowed(w, r, "GET, POST")
	default:
		g.stop(w, r, Failure{Reason: ReasonNotFound, Page: g.showsPage(r)})
	}
}

// serveScans serves the endpoints of LoginScan.
func (g *gate) serveScans(w http.ResponseWriter, r *http.Request, name string) {
	ticket, isPhone := g.scanTicketIn(r.URL.Path)
	get := r.Method == http.MethodGet
	switch {
	case name == "scan" && get:
		g.serveScan(w, r)
	case name == "scan" && r.Method == http.MethodPost:
		g.serveScanNumber(w, r)
	case name == "scan/status" && get:
		g.serveScanStatus(w, r)
	case isPhone && get:
		g.serveScanPhone(w, r, ticket)
	case isPhone && r.Method == http.MethodPost:
		g.serveScanAnswer(w, r, ticket)
	case name == "scan/status":
		g.methodNotAllowed(w, r, "GET")
	case name == "scan" || isPhone:
		g.methodNotAllowed(w, r, "GET, POST")
	default:
		g.stop(w, r, Failure{Reason: ReasonNotFound, Page: g.showsPage(r)})
	}
}

func (g *gate) methodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	g.stop(w, r, Failure{Reason: ReasonMethodNotAllowed, Page: g.showsPage(r)})
}

// nextOf reads the return target of a form or a query.
func (g *gate) nextOf(r *http.Request, values url.Values) string {
	return g.returnTo(r, values.Get("next"))
}

// returnTo returns the return URL for what a client wrote, and "/" for none.
func (g *gate) returnTo(r *http.Request, raw string) string {
	target, err := g.judge(raw)
	if err == nil {
		return target
	}
	if raw != "" {
		g.reportDropped(r, raw, err)
	}
	return "/"
}

// judge decides whether a login may end at raw: at a return URL, or at the one
// endpoint of ours where that makes sense, the phone's page of a scan.
func (g *gate) judge(raw string) (target string, err error) {
	return returnto.Site{Base: g.base, Prefix: g.prefix, Endpoints: ownEndpoints, Except: g.isScanPage}.Judge(raw)
}

// landing returns where a login ends that was begun for target. It is judged
// again: the seal proves that it was ours, not that the release that wrote it
// had no fault.
func (g *gate) landing(target string) string {
	target, err := g.judge(target)
	if err != nil {
		return "/"
	}
	return target
}

// reportDropped logs that a login ends at "/" instead of where it should.
func (g *gate) reportDropped(r *http.Request, raw string, why error) {
	g.report(r.Context(), Event{Kind: EventTrouble, AppID: g.appIDFor(r), Detail: fmt.Sprintf("return URL replaced by /: %v, %d bytes", why, len(raw))})
}

// login is what a pending login is begun with.
type login struct {
	target  string
	scope   client.Scope
	openID  string // step-up: who has to come back
	unionID string // likewise, where he is known by another account
	attempt int    // automatic restarts so far
	again   bool   // the visitor asks for it after a page that told him why there is no login
}

// begin sends a browser to WeChat. It needs no store: what has to be known
// when the visitor comes back travels in the flow cookie.
func (g *gate) begin(w http.ResponseWriter, r *http.Request, v *session.Visit, l login) {
	// Whoever is logged in, or was when he asked for a wider scope, is the proof
	// that logins last here: several tabs may have logged in at once.
	lasts := l.openID != "" || l.unionID != "" || (v != nil && v.LoggedIn)
	if t := g.cookies.Trail(r); t.Logins >= flow.MaxLogins && !lasts {
		g.stopLoop(w, r, v, l.target, "")
		return
	}
	held := g.cookies.Held(r)
	if lost := g.lostLogins(r.Context(), held); len(lost) > 0 && !lasts {
		if !l.again {
			g.stopLoop(w, r, v, l.target, "logins succeed, and the browser keeps no cookie of the callback's answers; does a proxy or a CDN take Set-Cookie out of them? ")
			return
		}
		for _, name := range lost {
			g.cookies.Drop(w, name)
		}
		held = slices.DeleteFunc(held, func(h flow.Held) bool { return slices.Contains(lost, h.Name) })
	}
	acc := g.official
	act := g.loginActionFor(r)
	switch {
	case g.confirms(r, l.target): // the official account's, whatever WithEnvironment says
	case act == environment.OpenInWeChat:
		g.stop(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: g.absolute(l.target)})
		return
	case act == environment.LoginScan:
		respond.Redirect(w, g.scanAgainURL(scan.Cookie{Scope: l.scope, Again: l.again && v != nil && v.LoggedIn}, l.target))
		return
	default:
		acc = g.accountFor(r)
	}
	embedded := acc.channel == ChannelWebsite && act == environment.LoginEmbeddedQR
	if embedded && l.openID == "" && r.URL.Path != g.endpoint("login") {
		respond.Redirect(w, g.loginURL(l.target, false)) // the page with the QR code has a URL of its own
		return
	}
	if acc.channel == ChannelWebsite {
		l.scope = client.ScopeLogin
	}
	f := flow.Flow{
		State: flow.NewState(), Target: l.target, AppID: acc.appID, Scope: l.scope, Channel: acc.channel,
		IssuedAt: g.now().UnixMilli(), Attempt: l.attempt, OpenID: l.openID, UnionID: l.unionID, Key: flow.NewKey(),
	}
	g.cookies.Put(w, held, f)
	if started := (Event{Kind: EventLoginStarted, AppID: f.AppID, Channel: f.Channel, Scope: f.Scope}); g.isHeard(started) {
		started.Flow = flowID(f.AppID, f.State)
		g.report(r.Context(), started)
	}
	if embedded {
		g.showEmbeddedQR(w, r, acc, f)
		return
	}
	if acc.channel == ChannelWebsite {
		respond.Redirect(w, acc.client.QRConnectURL(g.redirectURI(), f.State))
		return
	}
	if l.again && v.LoggedIn && f.Scope == client.ScopeUserInfo { // another account, perhaps: WeChat shall ask
		respond.Redirect(w, acc.client.AuthorizeURL(g.redirectURI(), f.Scope, f.State, client.ForcePopup()))
		return
	}
	respond.Redirect(w, g.authorizeURL(acc, f.Scope, f.State))
}

// authorizeURL is the address of WeChat's page. All of it but the state is the
// same for all visitors.
func (g *gate) authorizeURL(acc account, scope client.Scope, state string) string {
	if page, ok := g.authorizePages[scope]; ok && acc == g.official {
		return page.before + state + page.after
	}
	return acc.client.AuthorizeURL(g.redirectURI(), scope, state)
}

// authorizePage is the address of WeChat's page around the state.
type authorizePage struct{ before, after string }

func (g *gate) setAuthorizePages() {
	g.authorizePages = map[client.Scope]authorizePage{}
	if g.official.client == nil {
		return
	}
	for _, scope := range []client.Scope{client.ScopeBase, client.ScopeUserInfo} {
		state := flow.NewState()
		before, after, _ := strings.Cut(g.official.client.AuthorizeURL(g.redirectURI(), scope, state), state)
		g.authorizePages[scope] = authorizePage{before, after}
	}
}

// stopLoop ends a redirect loop and names its cause: the detail, or what the
// visit shows.
func (g *gate) stopLoop(w http.ResponseWriter, r *http.Request, v *session.Visit, target, detail string) {
	reason := ReasonSessionCookieNotReturned
	switch {
	case detail != "":
	case v != nil && v.Brought == session.Ambiguous:
		reason, detail = ReasonLoop, "the browser sends two sessions of different users under one cookie name, and neither counts; did another host of the domain plant one? "
	case v != nil && v.Brought != session.Nothing:
		reason, detail = ReasonSessionLost, "the browser sent a session cookie, but the store has no such session; is it evicting, or shared between instances? "
	default:
		detail = "the browser did not send the session cookie back after a login; "
	}
	g.stopped(r, Event{Reason: reason, Detail: detail + g.sessions.DescribeCookie() + ", base URL " + g.base.String() + ", request host " + redact.Clean(r.Host)})
	g.stop(w, r, Failure{Reason: reason, Page: true, RetryURL: g.loginURL(target, true)})
}

// loginActionFor returns what a request to log in gets.
func (g *gate) loginActionFor(r *http.Request) environment.Action {
	return g.environments.ForLogin(r, g.website.client != nil)
}

// accountFor picks the account by the browser. The User-Agent decides what a
// visitor is shown, never what he may do.
func (g *gate) accountFor(r *http.Request) account {
	if g.website.client != nil && g.loginActionFor(r).NeedsWebsite() {
		return g.website
	}
	return g.official
}

// serveLogin begins a login for whoever was told to: a link, or a script that
// got a 401. With again it asks WeChat even where somebody is logged in; his
// session stays until another one is saved.
func (g *gate) serveLogin(w http.ResponseWriter, r *http.Request) {
	target := g.nextOf(r, r.URL.Query())
	if !g.navigates(r) {
		g.stop(w, r, Failure{Reason: ReasonNoSession, RetryURL: g.absolute(g.endpoint("login"))})
		return
	}
	again := r.URL.Query().Has("again")
	if g.onOtherHost(r) {
		g.hop(w, g.loginURL(target, again))
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.unavailable(w, r, err)
		return
	}
	if again {
		g.cookies.DropIfSent(w, r, g.cookies.TrailName())
		g.cookies.DropIfSent(w, r, g.cookies.SnapshotName())
		r = cookie.Without(r, g.cookies.TrailName(), g.cookies.SnapshotName())
	}
	if v.LoggedIn && v.Identity.Grants(g.scope) && !(again && navigation.IsOwnWish(r)) {
		respond.Redirect(w, target)
		return
	}
	if g.cookies.InSnapshot(r) {
		g.stop(w, r, Failure{Reason: ReasonSnapshotUser, Page: true})
		return
	}
	g.cookies.DropIfSent(w, r, g.cookies.LoggedOutName())
	g.begin(w, r, v, login{target: target, scope: g.scope, again: again})
}

// navigates is the page-visit rule for our own endpoints. They are nothing
// but pages, so a client too old or too simple to say what it asks for is
// believed, unless something shows that it is no person's visit.
func (g *gate) navigates(r *http.Request) bool {
	return g.isPage(r) || navigation.MayBePage(r)
}

func (g *gate) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	g.stopped(r, Event{Reason: ReasonStoreUnavailable, Err: err})
	g.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Page: true, Err: err})
}

func (g *gate) upgradeURL(target string) string {
	return g.endpoint("upgrade") + "?next=" + url.QueryEscape(target)
}

// serveUpgradePage shows why the profile is asked for, and a button: WeChat
// puts pages that ask without a user's action into snapshot mode.
func (g *gate) serveUpgradePage(w http.ResponseWriter, r *http.Request) {
	target := g.nextOf(r, r.URL.Query())
	if g.onOtherHost(r) {
		g.hop(w, g.upgradeURL(target))
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.unavailable(w, r, err)
		return
	}
	if v.LoggedIn && v.Identity.Grants(client.ScopeUserInfo) {
		respond.Redirect(w, target)
		return
	}
	switch g.loginActionFor(r) {
	case environment.OpenInWeChat:
		g.stop(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: g.absolute(target)})
		return
	case environment.LoginScan: // the button is on the phone
		respond.Redirect(w, g.scanURL(target, client.ScopeUserInfo))
		return
	}
	respond.NoStore(w.Header())
	g.page(w, r, Page{
		Kind: PageUpgrade, Status: http.StatusOK,
		ActionURL: g.endpoint("upgrade"), Next: target, FormActions: g.formActions(),
	})
}

// formActions are the origins that the button's form leads over: WeChat's, and
// the relay's on the way back where consent was given before.
func (g *gate) formActions() []string {
	if g.relay == nil {
		return []string{g.openOrigin()}
	}
	return []string{g.openOrigin(), g.relay.url}
}

// openOrigin is where WeChat's authorize page is: the form's redirect has to
// be allowed to go there.
func (g *gate) openOrigin() string {
	u, err := url.Parse(g.official.client.AuthorizeURL(g.redirectURI(), client.ScopeBase, "x"))
	if err != nil {
		return client.DefaultOpen
	}
	return u.Scheme + "://" + u.Host
}

// serveUpgrade asks WeChat for the profile. The openid of a visitor who is
// logged in travels along: nobody else may come back. Of one who is known by
// another account, as a mini program's in its web-view, the unionid does.
func (g *gate) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	values, ok := g.ownForm(w, r)
	if !ok {
		return
	}
	v, err := g.load(r)
	if err != nil {
		g.unavailable(w, r, err)
		return
	}
	target := g.nextOf(r, values)
	if v.LoggedIn && v.Identity.Grants(client.ScopeUserInfo) {
		respond.Redirect(w, target)
		return
	}
	l := login{target: target, scope: client.ScopeUserInfo}
	switch {
	case v.LoggedIn && v.Identity.AppID == g.accountFor(r).appID:
		l.openID = v.Identity.OpenID
	case v.LoggedIn:
		l.unionID = v.Identity.UnionID
	}
	g.cookies.DropIfSent(w, r, g.cookies.LoggedOutName())
	g.begin(w, r, v, l)
}

// ownForm reads a form that was posted from our own pages, and answers one
// that was not.
func (g *gate) ownForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	err := g.origin.Check(r)
	if err == nil && g.base.Scheme == "https" && strings.HasPrefix(strings.ToLower(navigation.Header(r.Header, "Origin")), "http://") {
		// net/http compares hosts only, and anyone on the network makes such a page.
		err = errors.New("form of a page that came by plain http")
	}
	if err != nil {
		g.stopped(r, Event{Reason: ReasonCrossOrigin, Err: err})
		g.stop(w, r, Failure{Reason: ReasonCrossOrigin, Page: g.showsPage(r), Err: err})
		return nil, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		g.stop(w, r, Failure{Reason: ReasonCallbackMalformed, Page: g.showsPage(r), Err: err})
		return nil, false
	}
	return r.Form, true
}

func (g *gate) serveLogout(w http.ResponseWriter, r *http.Request) {
	values, ok := g.ownForm(w, r)
	if !ok {
		return
	}
	if err := g.logout(w, r); err != nil {
		g.stopped(r, Event{Reason: ReasonStoreUnavailable, Err: err, Detail: "a visitor could not be logged out"})
		g.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Page: g.showsPage(r), Err: err})
		return
	}
	if _, sent := session.Bearer(r); sent && g.audience.Bearer {
		respond.NoStore(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return
	}
	respond.Redirect(w, g.nextOf(r, values))
}

// Logout ends the visitor's session: the record is deleted from the store and
// the cookie from the browser. For five minutes page visits then show a page
// with a "log in" link instead of logging the visitor in again silently. On an
// error the session may still be alive, and nothing was written to w. Call it
// before the answer begins; it does not check where the request comes from, as
// the endpoint does.
func (a *Auth) Logout(w http.ResponseWriter, r *http.Request) error {
	g, err := a.of(r)
	if err != nil {
		return err
	}
	return g.logout(w, r)
}

func (g *gate) logout(w http.ResponseWriter, r *http.Request) error {
	e := g.loggedOut(r)
	ended, err := g.sessions.LogOut(w, r, &g.audience)
	if err != nil {
		return redact.Tokens(err)
	}
	if _, sent := session.Bearer(r); !sent || !g.audience.Bearer {
		g.cookies.MarkLoggedOut(w)
		g.cookies.DropIfSent(w, r, g.cookies.TrailName())
		g.cookies.DropIfSent(w, r, g.cookies.ScanName()) // it may be confirmed, and would log the next person in
	}
	if ended {
		g.report(r.Context(), e)
	}
	return nil
}

// loggedOut is the event of a logout. Whose the session is, is known where a gate
// has let its owner in; the endpoint deletes it unread.
func (g *gate) loggedOut(r *http.Request) Event {
	e := Event{Kind: EventLoggedOut}
	held := session.FromContext(r.Context())
	_, sent := session.Bearer(r)
	switch {
	case held != nil && held.In():
		e.AppID, e.Channel, e.OpenID = held.Identity.AppID, held.Identity.Channel, redact.OpenID(held.Identity.OpenID)
	case sent && g.mini.client != nil:
		e.AppID, e.Channel = g.mini.appID, ChannelMiniProgram
	case g.mini.client == nil && g.website.client == nil:
		e.AppID = g.official.appID
	}
	return e
}

// RevokeUser ends every session of a user, in all browsers, and returns the
// number of sessions that were alive. It also deletes the user's stored tokens
// (see [WithTokens]) and session_key (see [Auth.MiniProgram]), even if this
// Auth has no option that stores them. A request in flight cannot restore them,
// nor a session, unless an scs manager loaded the session with a context that is
// never canceled. The user can log in
// again unless [WithAuthorize] rejects them. It needs a store with
// store.Index, as those of package store are. It ends with ctx. On an error some
// sessions may still be alive: call it again.
func (a *Auth) RevokeUser(ctx context.Context, appID, openID string) (sessions int, err error) {
	sessions, err = a.sessions.Revoke(ctx, appID, openID)
	if err == nil {
		err = a.forget(ctx, appID, openID)
	}
	e := Event{Kind: EventRevoked, AppID: appID, OpenID: redact.OpenID(openID)}
	if err != nil {
		e.Kind, e.Reason, e.Err = EventTrouble, ReasonStoreUnavailable, err
	}
	a.report(ctx, e)
	return sessions, redact.Tokens(err)
}

// detached is the request's context without its end: what was begun for a
// visitor is finished even when he closes the page.
func detached(r *http.Request, budget time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), budget)
}

// join claims a login for a request, or waits for the one that has the claim.
// The wait has a budget of its own: what it takes is not missing afterwards. It
// ends with the request; a claim that is won is worked on to its end all the same.
func (g *gate) join(r *http.Request, f flow.Flow, key string) (*singleflight.Call, error) {
	ctx, cancel := context.WithTimeout(r.Context(), singleflight.JoinTimeout)
	defer cancel()
	return g.claims.Join(withFlow(ctx, f), key)
}
