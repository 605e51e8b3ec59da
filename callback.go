package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
)

// serveCallback is where WeChat sends the visitor back. It checks in this
// order, and spends the code only after the last check: the browser navigates,
// and not ahead of a visit; the query is of WeChat's form; this browser holds the
// pending login of this state; it is not expired; the visitor did not refuse;
// this callback has the claim.
func (a *Auth) serveCallback(w http.ResponseWriter, r *http.Request) {
	if !navigation.MayNavigate(r) {
		a.stop(w, r, Failure{Reason: ReasonNoSession, RetryURL: a.absolute(a.endpoint("login"))})
		return
	}
	q, ok := parseCallback(r.URL.RawQuery)
	if ok {
		q, ok = a.unhop(q)
	}
	if !ok {
		a.failCallback(w, r, a.cookies.Named(r), ReasonCallbackMalformed, nil)
		return
	}
	f, err := a.cookies.Get(r, q.state)
	acc, known := a.accountOf(f.AppID)
	if err == nil && !known {
		err = flow.ErrMismatch
	}
	f.Channel = acc.channel
	switch {
	case errors.Is(err, flow.ErrMissing) && navigation.InFrame(r):
		a.reopenInTop(w, r)
	case errors.Is(err, flow.ErrMissing) || errors.Is(err, flow.ErrExpired):
		a.comeTooLate(w, r, q, f, reasonOf(err))
	case err != nil:
		a.failCallback(w, r, f, reasonOf(err), nil)
	case q.refused:
		a.cookies.Drop(w, a.cookies.CookieName(f.State))
		a.failCallback(w, r, f, ReasonRefusedByUser, nil)
	default:
		a.finish(w, r, acc, f, q.code)
	}
}

// callbackQuery is what WeChat's redirect carries.
type callbackQuery struct {
	code, state string
	hop         string // the code, sealed by a relay, instead of the code
	refused     bool   // no code: the visitor did not allow the login
}

// parseCallback accepts a query that WeChat could have sent: exactly one
// well-formed state, at most one code. An empty code, or "authdeny" in its
// place, has been seen where a visitor refused.
func parseCallback(rawQuery string) (callbackQuery, bool) {
	if len(rawQuery) > maxQueryBytes {
		return callbackQuery{}, false
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil || len(values["state"]) != 1 || len(values["code"]) > 1 {
		return callbackQuery{}, false
	}
	q := callbackQuery{code: values.Get("code"), state: values.Get("state"), hop: values.Get("hop")}
	if !flow.ValidState(q.state) {
		return callbackQuery{}, false
	}
	if q.hop != "" && !values.Has("code") && !values.Has("error") && len(q.hop) <= cookie.MaxBytes {
		return q, true
	}
	if values.Has("error") || q.code == "" || q.code == "authdeny" {
		q.code, q.refused = "", true
		return q, true
	}
	return q, validCode(q.code)
}

// validCode keeps what cannot be a code away from WeChat, which counts calls.
func validCode(code string) bool {
	return code != "" && len(code) <= maxCodeBytes && strings.Trim(code, alphanumeric+"-_") == ""
}

func (a *Auth) accountOf(appID string) (account, bool) {
	switch {
	case appID == "":
		return account{}, false
	case appID == a.official.appID:
		return a.official, true
	case appID == a.website.appID:
		return a.website, true
	}
	return account{}, false
}

// comeTooLate answers a callback for which this browser holds no live pending
// login: a reload or a step back after the login is done, which leads to
// where the login led; or a link from elsewhere, which leads nowhere.
func (a *Auth) comeTooLate(w http.ResponseWriter, r *http.Request, q callbackQuery, f flow.Flow, reason Reason) {
	v, err := a.load(r)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	if !v.LoggedIn {
		a.failCallback(w, r, f, reason, nil)
		return
	}
	respond.Redirect(w, a.targetOfOutcome(r.Context(), v, q.state, f.Target))
}

// targetOfOutcome finds the return target of a login that this session came
// from; fallback, or "/", where it is forgotten or was another browser's.
func (a *Auth) targetOfOutcome(ctx context.Context, v *session.Visit, state, fallback string) string {
	target := a.landing(fallback)
	left, err := a.claims.Outcome(ctx, singleflight.Key(v.Identity.AppID, state))
	if err != nil || left == nil {
		return target
	}
	if t, err := a.openTarget(left, a.sessions.SessionManager().Token(v.Context())); err == nil {
		return t
	}
	return target
}

// finish logs the visitor in with the code.
func (a *Auth) finish(w http.ResponseWriter, r *http.Request, acc account, f flow.Flow, code string) {
	var token *client.Token
	a.settle(w, r, proof{
		flow: f, key: singleflight.Key(f.AppID, f.State), keep: outcomeTTL, session: a.load,
		verify: func(ctx context.Context) (id identity.Identity, reason Reason, err error) {
			id, token, reason, err = a.identify(ctx, acc, f, code)
			return id, reason, err
		},
		prepare: func(ctx context.Context, _ *session.Visit, _ identity.Identity) error {
			if !a.tokens {
				return nil
			}
			if err := a.keepTokens(ctx, f.AppID, token, a.now().Add(tokensTTL)); err != nil {
				a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Detail: "logged in without keeping the tokens", Err: err})
			}
			return nil
		},
	}, func(w http.ResponseWriter, r *http.Request, res result) {
		switch {
		case res.Reason == "":
			a.enterSession(w, r, f, res)
		case res.unopened:
			a.failCallback(w, r, f, ReasonStateMismatch, nil)
		default:
			a.afterFailure(w, r, f, res.Reason, res.err)
		}
	})
}

// identify exchanges the code, and fetches the profile if the granted scope
// has one. A broken profile never breaks a login.
func (a *Auth) identify(ctx context.Context, acc account, f flow.Flow, code string) (identity.Identity, *client.Token, Reason, error) {
	token, err := acc.client.Exchange(ctx, code)
	if err != nil {
		return identity.Identity{}, nil, reasonOf(err), err
	}
	if token.Snapshot {
		return identity.Identity{}, nil, ReasonSnapshotUser, nil
	}
	id := identity.Identity{
		AppID: f.AppID, OpenID: token.OpenID, UnionID: token.UnionID,
		Scope: token.Scope, Channel: f.Channel, LoginAt: time.Unix(a.now().Unix(), 0),
	}
	if id.OpenID == "" {
		return identity.Identity{}, nil, ReasonUpstreamError, errors.New("the token answer has no openid")
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
		a.report(ctx, Event{Kind: EventTrouble, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Detail: "logged in without a profile", Err: err})
		return id, token, "", nil
	}
	setProfile(&id, info, a.now())
	return id, token, "", nil
}

// enterSession gives the browser the session of a login, where another request
// has saved it, and sends the visitor to where he wanted to go.
func (a *Auth) enterSession(w http.ResponseWriter, r *http.Request, f flow.Flow, res result) {
	if res.shared {
		if err := a.sessions.WriteCookie(w, res.saved()); err != nil {
			a.failCallback(w, r, f, ReasonStoreUnavailable, err)
			return
		}
	}
	a.leave(w, r, f, a.landing(res.Target))
}

// leave ends the flow in the browser and goes to the return target.
func (a *Auth) leave(w http.ResponseWriter, r *http.Request, f flow.Flow, target string) {
	a.cookies.Drop(w, a.cookies.CookieName(f.State))
	a.cookies.DropIfSent(w, r, a.cookies.LoggedOutName())
	a.cookies.ExtendTrail(w, r)
	respond.Redirect(w, target)
}

// afterFailure starts a login whose code WeChat no longer takes once more by
// itself: the visitor has done nothing wrong, and with snsapi_base sees
// nothing of it. The second time he is told.
func (a *Auth) afterFailure(w http.ResponseWriter, r *http.Request, f flow.Flow, reason Reason, err error) {
	if (reason == ReasonCodeUsed || reason == ReasonCodeExpired) && f.Attempt == 0 {
		a.report(r.Context(), Event{Kind: EventTrouble, Reason: reason, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Err: err, Detail: "started once more"})
		a.cookies.Drop(w, a.cookies.CookieName(f.State))
		r = cookie.Without(r, a.cookies.CookieName(f.State))
		a.begin(w, r, nil, login{target: a.landing(f.Target), scope: f.Scope, openID: f.OpenID, unionID: f.UnionID, attempt: f.Attempt + 1})
		return
	}
	if reason == ReasonSnapshotUser || reason == ReasonSnapshotSuspected {
		a.leaveAsSnapshot(w, r, f, reason)
		return
	}
	a.failCallback(w, r, f, reason, err)
}

// failCallback tells the visitor why there is no login, and how to try again
// where that can help. The session he may have stays as it is.
func (a *Auth) failCallback(w http.ResponseWriter, r *http.Request, f flow.Flow, reason Reason, err error) {
	e := Event{Kind: EventLoginFailed, Reason: reason, AppID: f.AppID, Channel: f.Channel, Scope: f.Scope, Err: err}
	if f.State != "" {
		e.Flow, e.Duration = flowID(f.AppID, f.State), a.age(f)
	}
	a.report(r.Context(), e)
	failure := Failure{Reason: reason, Page: true, Err: err}
	switch reason {
	case ReasonBadConfig, ReasonUserBlocked:
	default:
		failure.RetryURL = a.loginURL(a.landing(f.Target), true)
	}
	a.stop(w, r, failure)
}
