package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/internal/tokens"
)

// serveCallback handles the redirect from WeChat. It checks in this order, and
// spends the code only after the last check: the browser navigates, and does
// not prefetch; the query is WeChat's; this browser has the pending login of
// the state; the pending login has not expired; the user has not denied it; this
// callback is the leader of its duplicates.
func (g *gate) serveCallback(w http.ResponseWriter, r *http.Request) {
	if !navigation.MayNavigate(r) {
		g.reject(w, r, Failure{Reason: ReasonNoSession, RetryURL: g.absolute(g.endpoint("login"))})
		return
	}
	q, f, err := g.cookies.Callback(r, g.relay)
	acc, known := g.accountByAppID(f.AppID)
	if err == nil && !known {
		err = flow.ErrMismatch
	}
	f.Channel = acc.channel
	switch {
	case errors.Is(err, flow.ErrMissing) && navigation.InFrame(r):
		// If WeChat's page redirected a frame to the callback, browsers withhold Lax
		// cookies, and with them the pending login. The page written here requests
		// the same URL in the whole window, where they are sent. The code is not spent.
		respond.NoStore(w.Header())
		_ = writePage(w, r, nil, Page{Kind: pageReopen, Brand: g.brand}, http.StatusOK, page.Hints{Sandbox: g.sandbox != ""}) // ours does not fail
	case errors.Is(err, flow.ErrMissing) || errors.Is(err, flow.ErrExpired):
		g.serveStale(w, r, q, f, reasonOf(err))
	case err != nil:
		g.failCallback(w, r, f, reasonOf(err), nil)
	case q.Refused:
		g.cookies.Drop(w, g.cookies.CookieName(f.State))
		g.failCallback(w, r, f, ReasonRefusedByUser, nil)
	default:
		g.settleCallback(w, r, acc, f, q.Code)
	}
}

// serveStale responds to a callback whose pending login this browser does not have,
// or whose pending login has expired. If a user is logged in, a reload or a step
// back is redirected to the return URL of the login that created the session; any
// other callback to that of the expired login, or to "/". Without a user, the login
// fails.
func (g *gate) serveStale(w http.ResponseWriter, r *http.Request, q flow.Callback, f flow.Flow, reason Reason) {
	v, err := g.load(r)
	if err == nil && v.LoggedIn {
		target, ofThisSession := g.logins.Target(r.Context(), singleflight.Key(v.Identity.AppID, q.State), g.sessions.SessionManager().Token(v.Context()))
		if !ofThisSession {
			target = f.Target
		}
		respond.Redirect(w, g.returnURL(target))
		return
	}
	if err != nil {
		reason = ReasonStoreUnavailable
	}
	g.failCallback(w, r, f, reason, err)
}

// settleCallback logs the user in with the code.
func (g *gate) settleCallback(w http.ResponseWriter, r *http.Request, acc account, f flow.Flow, code string) {
	var token *client.Token
	g.settle(w, r, proof{
		flow: f, key: singleflight.Key(f.AppID, f.State), keep: resultTTL, session: g.load,
		verify: func(ctx context.Context) (id identity.Identity, reason Reason, err error) {
			id, token, reason, err = g.exchange(ctx, acc, f, code)
			return id, reason, err
		},
		prepare: func(ctx context.Context, _ *session.Visit, _ identity.Identity) error {
			if !g.tokens {
				return nil
			}
			if err := g.storedTokens().Put(ctx, session.User(f.AppID, token.OpenID), token, g.now().Add(tokens.TTL)); err != nil {
				g.report(ctx, Event{Kind: EventDegraded, Reason: ReasonStoreUnavailable, AppID: f.AppID, Detail: "logged in; the tokens could not be stored", Err: err})
			}
			return nil
		},
	}, func(w http.ResponseWriter, r *http.Request, res result) {
		switch {
		case res.Reason == "":
			g.enterSession(w, r, f, res)
		case res.unopened:
			g.failCallback(w, r, f, ReasonStateMismatch, nil)
		default:
			g.retryOrFail(w, r, acc, f, res.Reason, res.err)
		}
	})
}

// exchange exchanges the code, and fetches the profile if the granted scope
// includes it. A profile that cannot be fetched does not fail the login.
func (g *gate) exchange(ctx context.Context, acc account, f flow.Flow, code string) (identity.Identity, *client.Token, Reason, error) {
	token, err := acc.client.Exchange(ctx, code)
	if err != nil {
		return identity.Identity{}, nil, reasonOf(err), err
	}
	if token.Snapshot {
		return identity.Identity{}, nil, ReasonSnapshotUser, nil
	}
	id := identity.Identity{
		AppID: f.AppID, OpenID: token.OpenID, UnionID: token.UnionID,
		Scope: token.Scope, Channel: f.Channel, LoginAt: time.Unix(g.now().Unix(), 0),
	}
	if id.OpenID == "" {
		return identity.Identity{}, nil, ReasonUpstreamError, errors.New("the token response has no openid")
	}
	if !id.Grants(client.ScopeUserInfo) {
		return id, token, "", nil
	}
	info, err := acc.client.UserInfo(ctx, token.AccessToken.Reveal(), token.OpenID, client.LangZhCN)
	var we *client.Error
	if errors.As(err, &we) && we.Code == 48001 {
		return identity.Identity{}, nil, ReasonSnapshotSuspected, err
	}
	if err != nil {
		g.report(ctx, Event{Kind: EventDegraded, AppID: f.AppID, Detail: "logged in without a profile", Err: err})
		return id, token, "", nil
	}
	setProfile(&id, info, g.now())
	return id, token, "", nil
}

// enterSession sets the session cookie, if another request has saved the
// session, and redirects to the return URL.
func (g *gate) enterSession(w http.ResponseWriter, r *http.Request, f flow.Flow, res result) {
	if res.shared {
		if err := g.sessions.WriteCookie(w, session.Saved{Token: res.Token, Expiry: time.Unix(res.Expiry, 0), Remember: res.Remember}); err != nil {
			g.failCallback(w, r, f, ReasonStoreUnavailable, err)
			return
		}
	}
	g.endFlow(w, r, f, g.returnURL(res.Target))
}

// endFlow ends the pending login in the browser and redirects to target.
func (g *gate) endFlow(w http.ResponseWriter, r *http.Request, f flow.Flow, target string) {
	g.cookies.DropIfSent(w, r, g.cookies.CookieName(f.State)) // a scan has none
	g.cookies.DropIfSent(w, r, g.cookies.LoggedOutName())
	g.cookies.CountLogin(w, r)
	respond.Redirect(w, target)
}

// retryOrFail restarts, once, a login whose code WeChat no longer accepts. The user
// has done nothing wrong and, with snsapi_base, does not notice it. Any other
// failure ends the login.
func (g *gate) retryOrFail(w http.ResponseWriter, r *http.Request, acc account, f flow.Flow, reason Reason, err error) {
	if (reason == ReasonCodeUsed || reason == ReasonCodeExpired) && f.Attempt == 0 {
		g.report(r.Context(), Event{Kind: EventDegraded, Reason: reason, AppID: f.AppID, Err: err, Detail: "login restarted once"})
		name := g.cookies.CookieName(f.State)
		g.cookies.Drop(w, name)
		f.Attempt++
		_, wechat := g.start(r.Context(), w, g.cookies.Pending(cookie.Without(r, name)), acc, f)
		respond.Redirect(w, wechat)
		return
	}
	g.failCallback(w, r, f, reason, err)
}

// failCallback explains why there is no login, with a link to try again if that
// can help. A login with a virtual identity ends at its return URL, which is what
// "使用完整服务" opens. An existing session of the user is not changed.
func (g *gate) failCallback(w http.ResponseWriter, r *http.Request, f flow.Flow, reason Reason, err error) {
	g.reportLogin(r.Context(), f, Event{Kind: EventLoginFailed, Reason: reason, Err: err})
	failure := Failure{Reason: reason, Page: true, Err: err}
	switch reason {
	case ReasonSnapshotUser, ReasonSnapshotSuspected:
		g.cookies.MarkSnapshot(w)
		g.endFlow(w, r, f, g.returnURL(f.Target))
		return
	case ReasonBadConfig, ReasonUserBlocked:
	default:
		failure.RetryURL = g.loginURL(g.returnURL(f.Target), true)
	}
	g.reject(w, r.WithContext(withFlow(r.Context(), f)), failure)
}

// strayCallback reports whether the request is a callback of this browser's pending
// login that arrived at a path other than that of the endpoint. If so, it rejects
// the request, because WeChat would redirect another login to the same path.
func (g *gate) strayCallback(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.RawQuery, "state=") {
		return false
	}
	f, err := flow.Flow{}, flow.ErrMissing
	if q, ok := flow.ParseCallback(r.URL.RawQuery); ok {
		f, err = g.cookies.Get(r, q.State)
	}
	if err != nil && !errors.Is(err, flow.ErrExpired) {
		f = g.cookies.Named(r) // something was added to the query
	}
	if f.State == "" {
		return false
	}
	g.failCallback(w, r, f, ReasonBadConfig, fmt.Errorf("the callback arrived at %s instead of %s: does a proxy or http.StripPrefix remove a prefix, or is the Auth mounted at another path than WithPathPrefix has", redact.Clean(r.URL.Path), g.endpoint("callback")))
	return true
}
