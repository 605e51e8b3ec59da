package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
)

const (
	// resultTTL is how long the result of a login is kept for late callbacks and
	// for reloads.
	resultTTL = time.Minute
	// shortTTL is how long a failure is kept for the duplicates that wait, and the
	// result of a mini program's login, whose code is used.
	shortTTL = 3 * time.Second
	// callbackBudget bounds a login from the lease to the response, even if the
	// client disconnects.
	callbackBudget = 8 * time.Second
	// saveBudget is how long a login tries to save a session for which a code
	// was spent.
	saveBudget = 3 * time.Second
)

// A proof shows who a user is. Each channel creates its own; the rest of the login
// is the same for all channels, and is in settle.
type proof struct {
	flow flow.Flow     // the pending login that it completes
	key  string        // names the login among all instances
	keep time.Duration // how long its result is kept for later duplicates

	// source is the store key of the session from which the new one is created,
	// such as that of the phone, or "". If the source has ended when the new
	// session is saved, the new one ends too.
	source string
	// session loads the user's current session.
	session func(r *http.Request) (*session.Visit, error)
	// verify returns the user's identity, and spends what can be used only once,
	// such as a code.
	verify func(ctx context.Context) (identity.Identity, Reason, error)
	// prepare, if not nil, is called after the user is admitted and before the
	// session is saved. It adds values to the session and stores what must be in
	// the store before it: see endTokens in tokens.go.
	prepare func(ctx context.Context, v *session.Visit, id identity.Identity) error
	// ended, if not nil, is called once, when the login has ended, if verify was
	// called: with the Reason of a failure, or "".
	ended func(ctx context.Context, reason Reason)
}

// A result is how a login ended.
type result struct {
	singleflight.Result        // the session, if Reason is ""
	Reason              Reason // why there is none
	err                 error  // behind Reason, where this request has done the login

	shared   bool // by another request
	late     bool // which had completed it before this one arrived
	unopened bool // and this one cannot open it: it comes from another browser
}

// settle completes a login once, even if its proof arrives several times: WeChat's
// browsers send a callback twice, and mini programs may repeat a code. The first
// request, the leader, verifies the proof, calls the application's hook, saves the
// session and shares the result, for which the duplicates wait. respond is called
// with the result, and with a request whose context outlives the client's. It is
// not called if the client disconnects while its request waits for the leader.
func (g *gate) settle(w http.ResponseWriter, r *http.Request, p proof, respond func(w http.ResponseWriter, r *http.Request, res result)) {
	c, err := g.join(r, p.flow, p.key)
	if err != nil && r.Context().Err() != nil {
		return // the client has gone
	}
	ctx, cancel := detachedContext(r, callbackBudget)
	defer cancel()
	r = r.WithContext(withFlow(ctx, p.flow))
	switch {
	case err != nil: // nothing is spent, and a reload tries again
		respond(w, r, result{Reason: ReasonStoreUnavailable, err: err})
	case c.Sealed != nil:
		respond(w, r, g.follow(p, c))
	default:
		respond(w, r, g.lead(w, r, p, c))
	}
}

// follow returns the leader's result.
func (g *gate) follow(p proof, c *singleflight.Call) result {
	o, err := c.Open(p.flow.Key)
	if err != nil {
		return result{Reason: ReasonStateMismatch, shared: true, unopened: true}
	}
	return result{Result: o, Reason: Reason(o.Reason), shared: true, late: !c.Waited}
}

// lead completes the login as the leader of its duplicates.
func (g *gate) lead(w http.ResponseWriter, r *http.Request, p proof, c *singleflight.Call) result {
	ctx := r.Context()
	how := ReasonApplicationError // stays if the application's code panics
	defer g.endLogin(ctx, p, c, &how)
	v, err := p.session(r)
	if err != nil {
		return result{Reason: ReasonStoreUnavailable, err: err}
	}
	c.Spent = true
	id, reason, err := p.verify(ctx)
	if reason == "" {
		reason, err = g.admit(p.flow, v, id)
	}
	var saved session.Saved
	if reason == "" {
		saved, reason, err = g.saveLogin(w, r, v, p, id)
	}
	if reason != "" {
		how = reason
		return result{Reason: reason, err: err}
	}
	o := singleflight.Result{Token: saved.Token, Expiry: saved.Expiry.Unix(), Remember: saved.Remember}
	if p.flow.Target != "" {
		o.Target = g.returnURL(p.flow.Target)
	}
	err = c.Share(ctx, o, p.flow.Key, p.keep, g.sessions.Batcher(), saved.Rest)
	how = ""
	if err != nil {
		g.report(ctx, Event{Kind: EventDegraded, Reason: ReasonStoreUnavailable, AppID: p.flow.AppID, Err: err, Detail: "result not saved for duplicate callbacks"})
	}
	f := p.flow
	f.AppID, f.Channel, f.Scope = id.AppID, id.Channel, id.Scope // what was granted
	g.reportLogin(ctx, f, Event{Kind: EventLoginFinished, OpenID: redact.OpenID(id.OpenID)})
	return result{Result: o}
}

// saveLogin saves the session, and retries errors that are not configuration
// errors for a while, because the code is spent. If the session cannot be saved,
// a reload finds the code used and starts the login again.
func (g *gate) saveLogin(w http.ResponseWriter, r *http.Request, v *session.Visit, p proof, id identity.Identity) (saved session.Saved, reason Reason, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), saveBudget)
	defer cancel()
	err = g.sessions.LogIn(v, id)
	if err == nil && p.prepare != nil {
		err = p.prepare(ctx, v, id)
	}
	if err != nil {
		return saved, ReasonStoreUnavailable, err
	}
	cookies := slices.Clip(w.Header()["Set-Cookie"])
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 400*time.Millisecond) {
		saved, err = g.sessions.SaveLogin(w, v)
		if err == nil {
			break
		}
		if store.ClassOf(err) == store.ClassConfiguration || g.logins.Wait(ctx, pause) != nil {
			return saved, ReasonStoreUnavailable, err
		}
	}
	if p.source != "" {
		reason, err = g.checkSource(ctx, p.source)
	}
	if reason == "" {
		if p.key == "" { // no result is shared, with which the rest would be written
			_ = g.sessions.Batcher().DoBatch(ctx, saved.Rest) // a failure here must not fail the login
		}
		return saved, "", nil
	}
	_ = g.sessions.SessionManager().Clear(v.Context()) // in memory: scs's LoadAndSave may save it once more
	_, failed := g.sessions.LogOut(w, r.WithContext(v.Context()), &g.audience)
	w.Header()["Set-Cookie"] = cookies
	return session.Saved{}, reason, errors.Join(err, failed)
}

// checkSource returns ReasonSessionUnknown if the source session has ended.
// RevokeUser deletes the sessions that it finds in the index, and cannot find one
// that is saved later. A session that was created from an older one therefore ends
// if the older one has ended. A login with a code from WeChat has no source, so a
// concurrent RevokeUser does not end its session.
func (g *gate) checkSource(ctx context.Context, source string) (Reason, error) {
	exists, err := g.sessions.Exists(ctx, source)
	switch {
	case err != nil:
		return ReasonStoreUnavailable, err
	case !exists:
		return ReasonSessionUnknown, nil
	}
	return "", nil
}

// endLogin ends a login for the duplicates that wait: it shares the reason of a
// failure, or releases the lease if nothing was spent, and then calls p.ended. It
// is deferred, so both happen even if the application's code has panicked. p.ended
// is called even if the store panics while the reason is shared.
func (g *gate) endLogin(ctx context.Context, p proof, c *singleflight.Call, how *Reason) {
	defer func() {
		if c.Spent && p.ended != nil {
			p.ended(ctx, *how)
		}
	}()
	var err error
	switch {
	case c.Ended:
	case c.Spent:
		err = c.Share(ctx, singleflight.Result{Reason: string(*how)}, p.flow.Key, shortTTL, nil, store.Batch{})
	default:
		err = c.Release(ctx)
	}
	if err != nil {
		g.report(ctx, Event{Kind: EventDegraded, Reason: ReasonStoreUnavailable, AppID: p.flow.AppID, Err: err})
	}
}

// detachedContext returns r's context without its cancellation, bounded by budget, so
// that a login completes even if the client disconnects.
func detachedContext(r *http.Request, budget time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), budget)
}

// join makes a request the leader of a login, or waits for the leader's result.
// The wait ends with the request, and is not part of the login's budget.
func (g *gate) join(r *http.Request, f flow.Flow, key string) (*singleflight.Call, error) {
	ctx, cancel := context.WithTimeout(r.Context(), singleflight.JoinTimeout)
	defer cancel()
	return g.logins.Join(withFlow(ctx, f), key)
}

// admit decides whether the user may log in: a step-up must return the same user,
// and WithOnLogin's function must accept them. A user known by another account can
// be compared only if WeChat returns a unionid. Without one, the login counts as
// that of another user, whose session gets nothing from the old one.
func (g *gate) admit(f flow.Flow, v *session.Visit, id identity.Identity) (Reason, error) {
	if (f.OpenID != "" && f.OpenID != id.OpenID) || (f.UnionID != "" && id.UnionID != "" && f.UnionID != id.UnionID) {
		return ReasonIdentityMismatch, nil
	}
	if g.onLogin == nil {
		return "", nil
	}
	err := g.sessions.Try(v, id, func(ctx context.Context) error { return g.onLogin(ctx, Identity(id)) })
	return hookReason(err), err
}
