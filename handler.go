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
		a.serveVerifyFile(w, r, content)
		return
	}
	a, ok := a.forRequest(w, r)
	if !ok {
		return
	}
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	post := r.Method == http.MethodPost
	switch name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, a.prefix), a.accountPath); {
	case name == "login" && get:
		a.serveLogin(w, r)
	case name == "callback" && r.Method == http.MethodGet:
		a.serveCallback(w, r)
	case name == "upgrade" && get:
		a.serveUpgradePage(w, r)
	case name == "upgrade" && post:
		a.serveUpgrade(w, r)
	case name == "logout" && post:
		a.serveLogout(w, r)
	case strings.HasPrefix(name, "mini/") && a.mini.client != nil:
		a.serveMini(w, r, name)
	case (name == "scan" || strings.HasPrefix(name, "scan/")) && a.scans():
		a.serveScans(w, r, name)
	case name == "login":
		a.methodNotAllowed(w, r, "GET, HEAD")
	case name == "callback":
		a.methodNotAllowed(w, r, "GET")
	case name == "upgrade":
		a.methodNotAllowed(w, r, "GET, HEAD, POST")
	case name == "logout":
		a.methodNotAllowed(w, r, "POST")
	default:
		a.notFound(w, r)
	}
}

// notFound tells the operator where the mistake may be: a visitor who comes
// back from WeChat to a path that is not served has lost his login.
func (a *Auth) notFound(w http.ResponseWriter, r *http.Request) {
	if a.strayCallback(w, r) {
		return
	}
	e := Event{Reason: ReasonNotFound}
	if !strings.HasPrefix(r.URL.Path, a.prefix) {
		e.Detail = "the endpoints are mounted elsewhere than at the path prefix " + a.prefix + ", or behind http.StripPrefix"
	}
	a.stopped(r, e)
	a.stop(w, r, Failure{Reason: ReasonNotFound, Page: a.showsPage(r)})
}

// serveMini serves the endpoints of a mini program.
func (a *Auth) serveMini(w http.ResponseWriter, r *http.Request, name string) {
	switch {
	case name == "mini/login" && r.Method == http.MethodPost:
		a.serveMiniLogin(w, r)
	case name == "mini/ticket" && r.Method == http.MethodPost:
		a.serveMiniTicket(w, r)
	case name == "mini/enter" && (r.Method == http.MethodGet || r.Method == http.MethodPost):
		a.serveMiniEnter(w, r)
	case name == "mini/login" || name == "mini/ticket":
		a.methodNotAllowed(w, r, "POST")
	case name == "mini/enter":
		a.methodNotAllowed(w, r, "GET, POST")
	default:
		a.stop(w, r, Failure{Reason: ReasonNotFound, Page: a.showsPage(r)})
	}
}

// serveScans serves the endpoints of LoginScan.
func (a *Auth) serveScans(w http.ResponseWriter, r *http.Request, name string) {
	ticket, isPhone := a.scanTicketIn(r.URL.Path)
	get := r.Method == http.MethodGet
	switch {
	case name == "scan" && get:
		a.serveScan(w, r)
	case name == "scan" && r.Method == http.MethodPost:
		a.serveScanNumber(w, r)
	case name == "scan/status" && get:
		a.serveScanStatus(w, r)
	case isPhone && get:
		a.serveScanPhone(w, r, ticket)
	case isPhone && r.Method == http.MethodPost:
		a.serveScanAnswer(w, r, ticket)
	case name == "scan/status":
		a.methodNotAllowed(w, r, "GET")
	case name == "scan" || isPhone:
		a.methodNotAllowed(w, r, "GET, POST")
	default:
		a.stop(w, r, Failure{Reason: ReasonNotFound, Page: a.showsPage(r)})
	}
}

func (a *Auth) methodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	a.stop(w, r, Failure{Reason: ReasonMethodNotAllowed, Page: a.showsPage(r)})
}

// nextOf reads the return target of a form or a query.
func (a *Auth) nextOf(r *http.Request, values url.Values) string {
	return a.returnTo(r, values.Get("next"))
}

// returnTo returns the return URL for what a client wrote, and "/" for none.
func (a *Auth) returnTo(r *http.Request, raw string) string {
	target, err := a.judge(raw)
	if err == nil {
		return target
	}
	if raw != "" {
		a.reportDropped(r, raw, err)
	}
	return "/"
}

// judge decides whether a login may end at raw: at a return URL, or at the one
// endpoint of ours where that makes sense, the phone's page of a scan.
func (a *Auth) judge(raw string) (target string, err error) {
	return returnto.Site{Base: a.base, Prefix: a.prefix, Endpoints: ownEndpoints, Except: a.isScanPage}.Judge(raw)
}

// landing returns where a login ends that was begun for target. It is judged
// again: the seal proves that it was ours, not that the release that wrote it
// had no fault.
func (a *Auth) landing(target string) string {
	target, err := a.judge(target)
	if err != nil {
		return "/"
	}
	return target
}

// reportDropped logs that a login ends at "/" instead of where it should.
func (a *Auth) reportDropped(r *http.Request, raw string, why error) {
	a.report(r.Context(), Event{Kind: EventTrouble, AppID: a.appIDFor(r), Detail: fmt.Sprintf("return URL replaced by /: %v, %d bytes", why, len(raw))})
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
func (a *Auth) begin(w http.ResponseWriter, r *http.Request, v *session.Visit, l login) {
	// Whoever is logged in, or was when he asked for a wider scope, is the proof
	// that logins last here: several tabs may have logged in at once.
	lasts := l.openID != "" || l.unionID != "" || (v != nil && v.LoggedIn)
	if t := a.cookies.Trail(r); t.Logins >= flow.MaxLogins && !lasts {
		a.stopLoop(w, r, v, l.target, "")
		return
	}
	held := a.cookies.Held(r)
	if lost := a.lostLogins(r.Context(), held); len(lost) > 0 && !lasts {
		if !l.again {
			a.stopLoop(w, r, v, l.target, "logins succeed, and the browser keeps no cookie of the callback's answers; does a proxy or a CDN take Set-Cookie out of them? ")
			return
		}
		for _, name := range lost {
			a.cookies.Drop(w, name)
		}
		held = slices.DeleteFunc(held, func(h flow.Held) bool { return slices.Contains(lost, h.Name) })
	}
	acc := a.official
	act := a.loginActionFor(r)
	switch {
	case a.confirms(r, l.target): // the official account's, whatever WithEnvironment says
	case act == environment.OpenInWeChat:
		a.stop(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: a.absolute(l.target)})
		return
	case act == environment.LoginScan:
		respond.Redirect(w, a.scanAgainURL(scan.Cookie{Scope: l.scope, Again: l.again && v != nil && v.LoggedIn}, l.target))
		return
	default:
		acc = a.accountFor(r)
	}
	embedded := acc.channel == ChannelWebsite && act == environment.LoginEmbeddedQR
	if embedded && l.openID == "" && r.URL.Path != a.endpoint("login") {
		respond.Redirect(w, a.loginURL(l.target, false)) // the page with the QR code has a URL of its own
		return
	}
	if acc.channel == ChannelWebsite {
		l.scope = client.ScopeLogin
	}
	f := flow.Flow{
		State: flow.NewState(), Target: l.target, AppID: acc.appID, Scope: l.scope, Channel: acc.channel,
		IssuedAt: a.now().UnixMilli(), Attempt: l.attempt, OpenID: l.openID, UnionID: l.unionID, Key: flow.NewKey(),
	}
	a.cookies.Put(w, held, f)
	if started := (Event{Kind: EventLoginStarted, AppID: f.AppID, Channel: f.Channel, Scope: f.Scope}); a.isHeard(started) {
		started.Flow = flowID(f.AppID, f.State)
		a.report(r.Context(), started)
	}
	if embedded {
		a.showEmbeddedQR(w, r, acc, f)
		return
	}
	if acc.channel == ChannelWebsite {
		respond.Redirect(w, acc.client.QRConnectURL(a.redirectURI(), f.State))
		return
	}
	if l.again && v.LoggedIn && f.Scope == client.ScopeUserInfo { // another account, perhaps: WeChat shall ask
		respond.Redirect(w, acc.client.AuthorizeURL(a.redirectURI(), f.Scope, f.State, client.ForcePopup()))
		return
	}
	respond.Redirect(w, a.authorizeURL(acc, f.Scope, f.State))
}

// authorizeURL is the address of WeChat's page. All of it but the state is the
// same for all visitors.
func (a *Auth) authorizeURL(acc account, scope client.Scope, state string) string {
	if page, ok := a.authorizePages[scope]; ok && acc == a.official {
		return page.before + state + page.after
	}
	return acc.client.AuthorizeURL(a.redirectURI(), scope, state)
}

// authorizePage is the address of WeChat's page around the state.
type authorizePage struct{ before, after string }

func (a *Auth) setAuthorizePages() {
	a.authorizePages = map[client.Scope]authorizePage{}
	if a.official.client == nil {
		return
	}
	for _, scope := range []client.Scope{client.ScopeBase, client.ScopeUserInfo} {
		state := flow.NewState()
		before, after, _ := strings.Cut(a.official.client.AuthorizeURL(a.redirectURI(), scope, state), state)
		a.authorizePages[scope] = authorizePage{before, after}
	}
}

// stopLoop ends a redirect loop and names its cause: the detail, or what the
// visit shows.
func (a *Auth) stopLoop(w http.ResponseWriter, r *http.Request, v *session.Visit, target, detail string) {
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
	a.stopped(r, Event{Reason: reason, Detail: detail + a.sessions.DescribeCookie() + ", base URL " + a.base.String() + ", request host " + redact.Clean(r.Host)})
	a.stop(w, r, Failure{Reason: reason, Page: true, RetryURL: a.loginURL(target, true)})
}

// loginActionFor returns what a request to log in gets.
func (a *Auth) loginActionFor(r *http.Request) environment.Action {
	return a.environments.ForLogin(r, a.website.client != nil)
}

// accountFor picks the account by the browser. The User-Agent decides what a
// visitor is shown, never what he may do.
func (a *Auth) accountFor(r *http.Request) account {
	if a.website.client != nil && a.loginActionFor(r).NeedsWebsite() {
		return a.website
	}
	return a.official
}

// serveLogin begins a login for whoever was told to: a link, or a script that
// got a 401. With again it asks WeChat even where somebody is logged in; his
// session stays until another one is saved.
func (a *Auth) serveLogin(w http.ResponseWriter, r *http.Request) {
	target := a.nextOf(r, r.URL.Query())
	if !a.navigates(r) {
		a.stop(w, r, Failure{Reason: ReasonNoSession, RetryURL: a.absolute(a.endpoint("login"))})
		return
	}
	again := r.URL.Query().Has("again")
	if a.onOtherHost(r) {
		a.hop(w, a.loginURL(target, again))
		return
	}
	v, err := a.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if again {
		a.cookies.DropIfSent(w, r, a.cookies.TrailName())
		a.cookies.DropIfSent(w, r, a.cookies.SnapshotName())
		r = cookie.Without(r, a.cookies.TrailName(), a.cookies.SnapshotName())
	}
	if v.LoggedIn && v.Identity.Grants(a.scope) && !(again && navigation.IsOwnWish(r)) {
		respond.Redirect(w, target)
		return
	}
	if a.cookies.InSnapshot(r) {
		a.stop(w, r, Failure{Reason: ReasonSnapshotUser, Page: true})
		return
	}
	a.cookies.DropIfSent(w, r, a.cookies.LoggedOutName())
	a.begin(w, r, v, login{target: target, scope: a.scope, again: again})
}

// navigates is the page-visit rule for our own endpoints. They are nothing
// but pages, so a client too old or too simple to say what it asks for is
// believed, unless something shows that it is no person's visit.
func (a *Auth) navigates(r *http.Request) bool {
	return a.isPage(r) || navigation.MayBePage(r)
}

func (a *Auth) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	a.stopped(r, Event{Reason: ReasonStoreUnavailable, Err: err})
	a.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Page: true, Err: err})
}

func (a *Auth) upgradeURL(target string) string {
	return a.endpoint("upgrade") + "?next=" + url.QueryEscape(target)
}

// serveUpgradePage shows why the profile is asked for, and a button: WeChat
// puts pages that ask without a user's action into snapshot mode.
func (a *Auth) serveUpgradePage(w http.ResponseWriter, r *http.Request) {
	target := a.nextOf(r, r.URL.Query())
	if a.onOtherHost(r) {
		a.hop(w, a.upgradeURL(target))
		return
	}
	v, err := a.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if v.LoggedIn && v.Identity.Grants(client.ScopeUserInfo) {
		respond.Redirect(w, target)
		return
	}
	switch a.loginActionFor(r) {
	case environment.OpenInWeChat:
		a.stop(w, r, Failure{Reason: ReasonOpenInWeChat, Page: true, RetryURL: a.absolute(target)})
		return
	case environment.LoginScan: // the button is on the phone
		respond.Redirect(w, a.scanURL(target, client.ScopeUserInfo))
		return
	}
	respond.NoStore(w.Header())
	a.page(w, r, Page{
		Kind: PageUpgrade, Status: http.StatusOK,
		ActionURL: a.endpoint("upgrade"), Next: target, FormActions: a.formActions(),
	})
}

// formActions are the origins that the button's form leads over: WeChat's, and
// the relay's on the way back where consent was given before.
func (a *Auth) formActions() []string {
	if a.relay == nil {
		return []string{a.openOrigin()}
	}
	return []string{a.openOrigin(), a.relay.url}
}

// openOrigin is where WeChat's authorize page is: the form's redirect has to
// be allowed to go there.
func (a *Auth) openOrigin() string {
	u, err := url.Parse(a.official.client.AuthorizeURL(a.redirectURI(), client.ScopeBase, "x"))
	if err != nil {
		return client.DefaultOpen
	}
	return u.Scheme + "://" + u.Host
}

// serveUpgrade asks WeChat for the profile. The openid of a visitor who is
// logged in travels along: nobody else may come back. Of one who is known by
// another account, as a mini program's in its web-view, the unionid does.
func (a *Auth) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	values, ok := a.ownForm(w, r)
	if !ok {
		return
	}
	v, err := a.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	target := a.nextOf(r, values)
	if v.LoggedIn && v.Identity.Grants(client.ScopeUserInfo) {
		respond.Redirect(w, target)
		return
	}
	l := login{target: target, scope: client.ScopeUserInfo}
	switch {
	case v.LoggedIn && v.Identity.AppID == a.accountFor(r).appID:
		l.openID = v.Identity.OpenID
	case v.LoggedIn:
		l.unionID = v.Identity.UnionID
	}
	a.cookies.DropIfSent(w, r, a.cookies.LoggedOutName())
	a.begin(w, r, v, l)
}

// ownForm reads a form that was posted from our own pages, and answers one
// that was not.
func (a *Auth) ownForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	err := a.origin.Check(r)
	if err == nil && a.base.Scheme == "https" && strings.HasPrefix(strings.ToLower(navigation.Header(r.Header, "Origin")), "http://") {
		// net/http compares hosts only, and anyone on the network makes such a page.
		err = errors.New("form of a page that came by plain http")
	}
	if err != nil {
		a.stopped(r, Event{Reason: ReasonCrossOrigin, Err: err})
		a.stop(w, r, Failure{Reason: ReasonCrossOrigin, Page: a.showsPage(r), Err: err})
		return nil, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		a.stop(w, r, Failure{Reason: ReasonCallbackMalformed, Page: a.showsPage(r), Err: err})
		return nil, false
	}
	return r.Form, true
}

func (a *Auth) serveLogout(w http.ResponseWriter, r *http.Request) {
	values, ok := a.ownForm(w, r)
	if !ok {
		return
	}
	if err := a.Logout(w, r); err != nil {
		a.stopped(r, Event{Reason: ReasonStoreUnavailable, Err: err, Detail: "a visitor could not be logged out"})
		a.stop(w, r, Failure{Reason: ReasonStoreUnavailable, Page: a.showsPage(r), Err: err})
		return
	}
	if _, sent := session.Bearer(r); sent && a.audience.Bearer {
		respond.NoStore(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return
	}
	respond.Redirect(w, a.nextOf(r, values))
}

// Logout ends the visitor's session: the record is deleted from the store and
// the cookie from the browser. For five minutes page visits then show a page
// with a "log in" link instead of logging the visitor in again silently. On an
// error the session may still be alive, and nothing was written to w. Call it
// before the answer begins; it does not check where the request comes from, as
// the endpoint does.
func (a *Auth) Logout(w http.ResponseWriter, r *http.Request) error {
	a, err := a.of(r)
	if err != nil {
		return err
	}
	e := a.loggedOut(r)
	ended, err := a.sessions.LogOut(w, r, &a.audience)
	if err != nil {
		return redact.Tokens(err)
	}
	if _, sent := session.Bearer(r); !sent || !a.audience.Bearer {
		a.cookies.MarkLoggedOut(w)
		a.cookies.DropIfSent(w, r, a.cookies.TrailName())
		a.cookies.DropIfSent(w, r, a.cookies.ScanName()) // it may be confirmed, and would log the next person in
	}
	if ended {
		a.report(r.Context(), e)
	}
	return nil
}

// loggedOut is the event of a logout. Whose the session is, is known where a gate
// has let its owner in; the endpoint deletes it unread.
func (a *Auth) loggedOut(r *http.Request) Event {
	e := Event{Kind: EventLoggedOut}
	held := session.FromContext(r.Context())
	_, sent := session.Bearer(r)
	switch {
	case held != nil && held.In():
		e.AppID, e.Channel, e.OpenID = held.Identity.AppID, held.Identity.Channel, redact.OpenID(held.Identity.OpenID)
	case sent && a.mini.client != nil:
		e.AppID, e.Channel = a.mini.appID, ChannelMiniProgram
	case a.mini.client == nil && a.website.client == nil:
		e.AppID = a.official.appID
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
func (a *Auth) join(r *http.Request, f flow.Flow, key string) (*singleflight.Call, error) {
	ctx, cancel := context.WithTimeout(r.Context(), singleflight.JoinTimeout)
	defer cancel()
	return a.claims.Join(withFlow(ctx, f), key)
}
