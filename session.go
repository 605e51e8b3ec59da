package wechatauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/session"
)

// load returns the visit of a request, which is the request with its session.
func (g *gate) load(r *http.Request) (*session.Visit, error) {
	return g.sessions.Load(r, &g.audience, false)
}

// reportSession reports an error of a session for which no request fails.
func (a *Auth) reportSession(ctx context.Context, err error) {
	e := Event{Kind: EventDegraded, Reason: ReasonStoreUnavailable, Err: err}
	if errors.Is(err, session.ErrCorrupt) || errors.Is(err, session.ErrDecrypt) {
		e = Event{Kind: EventDegraded, Reason: ReasonSessionCorrupt, Detail: err.Error()} // redacting an Err would cost more than the record
	}
	a.report(ctx, e)
}

// rejectLoadAndSave responds if the LoadAndSave of a session manager that New
// created fails.
func (a *Auth) rejectLoadAndSave(w http.ResponseWriter, r *http.Request, err error) {
	a.report(r.Context(), Event{Kind: EventRejected, Reason: ReasonStoreUnavailable, Err: err, Detail: "LoadAndSave could not load or save the session"})
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

func (g *gate) serveLogout(w http.ResponseWriter, r *http.Request) {
	values, ok := g.readForm(w, r)
	if !ok {
		return
	}
	if err := g.logout(w, r); err != nil {
		g.rejectReported(w, r, Event{Reason: ReasonStoreUnavailable, Err: err, Detail: "logout failed"}, g.showsPage(r))
		return
	}
	if _, sent := session.Bearer(r); sent && g.audience.Bearer {
		respond.NoStore(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return
	}
	respond.Redirect(w, g.nextParam(r, values))
}

// Logout ends the user's session: it deletes the record from the store and the
// cookie from the browser. For five minutes, page visits then get a page with a
// login link instead of a silent login. If it returns an error, the session may
// still be valid, and nothing was written to w. Call it before the response
// begins. Unlike the endpoint POST logout, it does not check which site the
// request comes from.
func (a *Auth) Logout(w http.ResponseWriter, r *http.Request) error {
	g, err := a.gateFor(r)
	if err != nil {
		return err
	}
	return g.logout(w, r)
}

func (g *gate) logout(w http.ResponseWriter, r *http.Request) error {
	e := g.loggedOutEvent(r)
	ended, err := g.sessions.LogOut(w, r, &g.audience)
	if err != nil {
		return redact.Tokens(err)
	}
	if _, sent := session.Bearer(r); !sent || !g.audience.Bearer {
		g.cookies.MarkLoggedOut(w)
		g.cookies.DropIfSent(w, r, g.cookies.LoginCounterName())
		g.cookies.DropIfSent(w, r, g.cookies.ScanName()) // it may be confirmed, and would log the next person in
	}
	if ended {
		g.report(r.Context(), e)
	}
	return nil
}

// loggedOutEvent returns the event of a logout. Its user is known only if the
// middleware has loaded the session: the endpoint deletes the record unread.
func (g *gate) loggedOutEvent(r *http.Request) Event {
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

// RevokeUser ends every session of a user, in all browsers, and returns how
// many sessions it ended. It also deletes the user's stored tokens (see
// [WithTokens]) and session_key (see [Auth.MiniProgram]), even if this Auth has
// no option that stores them. A request in flight cannot restore them, nor a
// session, unless an scs manager loaded the session with a context that is
// never canceled. But a login with a code from WeChat that is in flight
// completes, with a session as long as any, and the user can log in again: use
// [WithAccessCheck] to reject the user. Sessions of the same person with another
// AppID are another user's. Requests that have begun continue. A near cache
// that has lost Redis serves a session until its maximum age
// (rueidisstore.WithNearCache), and a primary that fails before a replica has the
// deletion restores the session (store.WithReplicaAcks).
//
// RevokeUser requires a store with store.Index, such as those of package store,
// and makes no new call once ctx has ended. If it returns an error, some sessions
// may remain: call it again.
func (a *Auth) RevokeUser(ctx context.Context, appID, openID string) (sessions int, err error) {
	sessions, err = a.sessions.Revoke(ctx, appID, openID)
	if ctx.Err() == nil { // even if replicas do not confirm the sessions
		err = errors.Join(err, a.endTokens(ctx, appID, openID))
	}
	e := Event{Kind: EventRevoked, AppID: appID, OpenID: redact.OpenID(openID)}
	if err != nil {
		e.Kind, e.Reason, e.Err = EventDegraded, ReasonStoreUnavailable, err
	}
	a.report(ctx, e)
	return sessions, redact.Tokens(err)
}
