package wechatauth

import (
	"net/http"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/session"
)

// RequireWeChat combines [New] and [Auth.RequireWeChat]: it returns a
// middleware that passes only requests with a WeChat identity to the handler,
// and that serves the endpoints. It panics on invalid options, like
// regexp.MustCompile, so use it at startup only.
func RequireWeChat(opts ...Option) func(http.Handler) http.Handler {
	a, err := New(opts...)
	if err != nil {
		panic(err)
	}
	return a.RequireWeChat
}

// RequireWeChat calls next for requests whose session has a WeChat identity,
// which [IdentityFromContext] returns. An unauthenticated page visit (see
// [IsPageVisit]) is redirected to WeChat and returns, logged in, to the URL
// that was requested. Any other unauthenticated request gets a 401: a form that
// a page submits gets a page with a link, everything else JSON:
//
//	{"error":"login_required","reason":"no_session","login_url":"https://…/wechat/login"}
//
// A script appends "?next=" and the page to return to, and navigates there. The
// value of "error" is login_required (401), scope_required or forbidden (403),
// unavailable (5xx) or bad_request (any other 4xx). docs/errors.md lists the status
// and the response of each reason.
//
// The return URL is the one that the browser requested, byte for byte. If it is
// longer than 2,048 bytes, or its path has a dot segment or a control
// character, "/" is used instead, and the reason is logged. A page visit to
// another host is first redirected to that of the base URL. For five minutes
// after a logout a page visit gets a 401 page with a link instead of a
// redirect. While the session store is unavailable, the response is a 503, and
// no session ends; package store waits for at most one second by default.
//
// CORS preflight requests, which browsers send without cookies, reach next
// without an identity and with an empty session: for OPTIONS, do nothing but
// CORS. Requests for the endpoints are served, so the middleware may wrap a
// whole application. Other paths below the path prefix are the application's.
func (a *Auth) RequireWeChat(next http.Handler) http.Handler {
	return a.requireScope(next, "")
}

// RequireScope is RequireWeChat for routes that need more than the openid. With
// client.ScopeUserInfo, a user whose identity has no profile is shown a page
// with a button, because WeChat requires a user's action before it asks for
// consent. Scripts get a 403 with the error "scope_required". It includes
// RequireWeChat. It panics unless s is client.ScopeBase or
// client.ScopeUserInfo.
func (a *Auth) RequireScope(s client.Scope) func(http.Handler) http.Handler {
	if s != client.ScopeBase && s != client.ScopeUserInfo {
		panic("wechatauth: RequireScope: use client.ScopeBase or client.ScopeUserInfo, not " + string(s))
	}
	return func(next http.Handler) http.Handler { return a.requireScope(next, s) }
}

func (a *Auth) requireScope(next http.Handler, want client.Scope) http.Handler {
	return a.wrap(next, func(g *gate, w http.ResponseWriter, r *http.Request) { g.serveRequired(w, r, next, want) })
}

// LoadWeChat calls next for every request, with the identity if there is one.
// It never redirects and never rejects, except that it serves the endpoints as
// RequireWeChat does. While the session store is unavailable, requests have no
// identity, and a handler that changes the session gets a 503 as its response,
// because the change cannot be saved. Remove, Pop and Clear find nothing then, so
// they are no change: put a value instead, or use RequireWeChat. After a call of
// the store timed out, requests with a session cookie do not wait for the store
// until it responds again, which one request tests every two seconds.
func (a *Auth) LoadWeChat(next http.Handler) http.Handler {
	return a.wrap(next, func(g *gate, w http.ResponseWriter, r *http.Request) { g.passOptional(w, r, next) })
}

// wrap serves the endpoints, passes CORS preflights to next, and rejects stray
// callbacks. For every other request it calls serve with the gate of the
// request's account.
func (a *Auth) wrap(next http.Handler, serve func(*gate, http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = withoutIdentity(r)
		if a.isEndpoint(r) {
			a.ServeHTTP(w, r)
			return
		}
		if navigation.IsPreflight(r) {
			// Browsers send preflights without cookies, and ignore Set-Cookie in the
			// responses.
			next.ServeHTTP(w, a.sessions.WithEmpty(r))
			return
		}
		if g, ok := a.gateForEndpoint(w, r); ok && !g.strayCallback(w, r) {
			serve(g, w, r)
		}
	})
}

// passOptional serves a request of LoadWeChat.
func (g *gate) passOptional(w http.ResponseWriter, r *http.Request, next http.Handler) {
	v, err := g.sessions.Load(r, &g.audience, true)
	if err != nil {
		g.report(r.Context(), Event{Kind: EventDegraded, Reason: ReasonStoreUnavailable, AppID: g.appIDFor(r), Err: err})
		if v, err = g.sessions.Unloaded(r.Context(), err); err != nil {
			g.reject(w, r, Failure{Reason: ReasonStoreUnavailable, Page: g.showsPage(r), Err: err})
			return
		}
	}
	if v.LoggedIn {
		if err := g.checkAccess(v.Context(), v.Identity); err != nil {
			if reason := hookReason(err); reason != ReasonNotAuthorized {
				g.report(r.Context(), Event{Kind: EventDegraded, Reason: reason, AppID: v.Identity.AppID, OpenID: redact.OpenID(v.Identity.OpenID), Err: err})
			}
			v.LoggedIn = false
		}
	}
	g.sessions.Serve(w, r, v, next, g.unsaved)
}

// An action is what happens to a request. The comments complete "the request
// goes …".
type action int

const (
	actionPass      action = iota // to the handler, with the identity
	actionGuest                   // to the handler, without one: snapshot mode
	actionAnonymous               // to the handler, without one: WithEnvironment
	actionHop                     // to the same path on the base URL's host
	actionLogin                   // to WeChat
	actionUpgrade                 // to the page with the button
	actionStop                    // no further, for a reason
)

// decide returns the action for a request and, for actionStop, the reason. It
// writes nothing, and depends only on the options, the visit and the request
// with its cookies.
func (g *gate) decide(r *http.Request, v *session.Visit, want client.Scope) (action, Reason) {
	if v.LoggedIn && v.Identity.Grants(want) {
		return actionPass, ""
	}
	page, inSnapshot := g.isPage(r), !v.LoggedIn && g.cookies.InSnapshot(r)
	switch {
	case v.LoggedIn && page:
		return actionUpgrade, ""
	case v.LoggedIn:
		return actionStop, ReasonScopeRequired
	case inSnapshot && g.snapshot == SnapshotReject:
		return actionStop, ReasonSnapshotUser
	case !page && v.Brought == session.Damaged:
		return actionStop, ReasonSessionCorrupt
	case !page && (v.Brought == session.Unknown || v.Brought == session.Ambiguous):
		return actionStop, ReasonSessionUnknown
	case !page:
		return actionStop, ReasonNoSession
	case inSnapshot && g.snapshot == SnapshotAnonymous:
		return actionGuest, ""
	case inSnapshot:
		return actionStop, ReasonSnapshotUser
	}
	here := g.environments.For(r, g.website.client != nil)
	switch {
	case here == environment.AllowAnonymous:
		return actionAnonymous, ""
	case g.isOtherHost(r):
		return actionHop, ""
	case here == environment.OpenInWeChat:
		return actionStop, ReasonOpenInWeChat
	case want == client.ScopeUserInfo && g.scope != client.ScopeUserInfo:
		return actionUpgrade, ""
	case g.cookies.RecentlyLoggedOut(r):
		return actionStop, ReasonLoggedOut
	}
	return actionLogin, ""
}

// serveRequired serves a request of RequireWeChat and RequireScope.
func (g *gate) serveRequired(w http.ResponseWriter, r *http.Request, next http.Handler, want client.Scope) {
	v, err := g.load(r)
	if err != nil {
		g.rejectReported(w, r, Event{Reason: ReasonStoreUnavailable, Err: err}, g.showsPage(r))
		return
	}
	act, reason := g.decide(r, v, want)
	switch act {
	case actionPass:
		if err := g.checkAccess(v.Context(), v.Identity); err != nil {
			g.rejectReported(w, r, Event{Reason: hookReason(err), AppID: v.Identity.AppID, OpenID: redact.OpenID(v.Identity.OpenID), Err: err}, g.showsPage(r))
			return
		}
		if g.profileStale(v) && g.isPage(r) {
			g.refreshProfile(v)
		}
		g.sessions.Serve(w, r, v, next, g.unsaved)
	case actionGuest:
		v.Identity = identity.Identity{Snapshot: true}
		g.sessions.Serve(w, r, v, next, g.unsaved)
	case actionAnonymous:
		g.sessions.Serve(w, r, v, next, g.unsaved)
	case actionHop:
		g.redirectToBaseURL(w, g.requestURL(r))
	case actionLogin:
		g.begin(w, r, v, loginParams{target: g.requestURL(r), scope: g.scope})
	case actionUpgrade:
		respond.Redirect(w, g.upgradeURL(g.requestURL(r)))
	default:
		if r.Method == http.MethodPost && !navigation.Has(r.Header, "Cookie") && !navigation.Has(r.Header, "Authorization") {
			first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			g.reportRejected(r, Event{Reason: reason, Detail: "POST without a cookie to /" + redact.Clean(first) + "; if it came from WeChat's servers, put its handler outside of RequireWeChat"})
		}
		g.rejectAnonymous(w, r, reason)
	}
}

// isEndpoint reports whether the request is for an endpoint. Other paths below the
// prefix are the application's.
func (a *Auth) isEndpoint(r *http.Request) bool {
	_, ok := a.endpointIn(r.URL.Path)
	return ok
}
