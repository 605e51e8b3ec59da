package wechatauth

import (
	"context"
	"net/http"
	"time"

	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
)

const (
	// outcomeTTL is how long the outcome of a login is kept for the callbacks
	// that come late, and for reloads.
	outcomeTTL = time.Minute
	// failureTTL is how long a failed login answers for the callbacks that
	// wait for it.
	failureTTL = 3 * time.Second
)

// A proof is what shows who a visitor is: one row for each channel. What becomes
// of it is the same for all of them, and is written in settle.
type proof struct {
	flow flow.Flow     // the pending login that it completes
	key  string        // names the login among all instances
	keep time.Duration // how long its outcome answers for requests that come later

	// session is what the visitor has now, and what he is logged in to.
	session func(r *http.Request) (*session.Visit, error)
	// verify asks who he is. What it spends, such as a code, is spent by it.
	verify func(ctx context.Context) (identity.Identity, Reason, error)
	// prepare, if it is not nil, adds to the session and stores what belongs to it,
	// once the user is admitted and before the session is saved: see forget.
	prepare func(ctx context.Context, v *session.Visit, id identity.Identity) error
	// ended, if it is not nil, is called once after verify: with the Reason of a
	// failure, or with none.
	ended func(ctx context.Context, reason Reason)
}

// A result is how a login ended.
type result struct {
	outcome
	err error // behind Reason, where this request has done the login

	shared   bool // another request has done it
	late     bool // and before this one came
	unopened bool // and this one cannot read how it ended: it is not of the same browser
}

// settle does a login once. WeChat's browsers bring every proof twice; the first
// request verifies it, asks the application's hook, saves the session and leaves
// the outcome, and the others wait for that and get the same. answer is called
// with the result and with a request that the end of the client's does not end;
// it is not called for a client that has gone while it waited.
func (a *Auth) settle(w http.ResponseWriter, r *http.Request, p proof, answer func(w http.ResponseWriter, r *http.Request, res result)) {
	c, err := a.join(r, p.flow, p.key)
	if err != nil && r.Context().Err() != nil {
		return // the client has gone
	}
	ctx, cancel := detached(r, callbackBudget)
	defer cancel()
	r = r.WithContext(withFlow(ctx, p.flow))
	switch {
	case err != nil: // nothing is spent, and a reload tries again
		answer(w, r, result{outcome: outcome{Reason: ReasonStoreUnavailable}, err: err})
	case c.Outcome != nil:
		answer(w, r, a.follow(p, c))
	default:
		answer(w, r, a.lead(w, r, p, c))
	}
}

// follow reads the outcome that another request has left.
func (a *Auth) follow(p proof, c *singleflight.Call) result {
	o, err := a.openOutcome(c.Outcome, p.flow)
	if err != nil {
		return result{outcome: outcome{Reason: ReasonStateMismatch}, shared: true, unopened: true}
	}
	return result{outcome: o, shared: true, late: !c.Waited}
}

// lead does the login that this request has claimed.
func (a *Auth) lead(w http.ResponseWriter, r *http.Request, p proof, c *singleflight.Call) result {
	ctx := r.Context()
	defer a.endClaim(ctx, p, c)
	v, err := p.session(r)
	if err != nil {
		a.release(ctx, p.flow, c)
		return result{outcome: outcome{Reason: ReasonStoreUnavailable}, err: err}
	}
	c.Spent = true
	id, reason, err := p.verify(ctx)
	if reason == "" {
		reason, err = a.admit(p.flow, v, id)
	}
	if reason == "" {
		var saved session.Saved
		if saved, err = a.saveLogin(ctx, w, v, p, id); err == nil {
			return result{outcome: a.settleLogin(ctx, p, c, id, saved)}
		}
		reason = ReasonStoreUnavailable // a reload finds the code used, and begins the login again
	}
	a.settleFailure(ctx, p, c, reason)
	return result{outcome: outcome{Reason: reason}, err: err}
}

// saveLogin saves, and tries again for a while: the code is spent, and the
// visitor has nothing but this answer.
func (a *Auth) saveLogin(ctx context.Context, w http.ResponseWriter, v *session.Visit, p proof, id identity.Identity) (session.Saved, error) {
	ctx, cancel := context.WithTimeout(ctx, saveBudget)
	defer cancel()
	if err := a.sessions.LogIn(v, id); err != nil {
		return session.Saved{}, err
	}
	if p.prepare != nil {
		if err := p.prepare(ctx, v, id); err != nil {
			return session.Saved{}, err
		}
	}
	settles := p.key != ""
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 400*time.Millisecond) {
		saved, err := a.sessions.SaveLogin(w, v, settles)
		if err == nil {
			return saved, nil
		}
		if a.claims.Wait(ctx, pause) != nil {
			return session.Saved{}, err
		}
	}
}

// settleLogin leaves the session that was saved to the other requests, and reports
// the login.
func (a *Auth) settleLogin(ctx context.Context, p proof, c *singleflight.Call, id identity.Identity, saved session.Saved) outcome {
	f := p.flow
	o := outcome{Token: saved.Token, Expiry: saved.Expiry.Unix(), Remember: saved.Remember}
	if f.Target != "" {
		o.Target = a.landing(f.Target)
	}
	if err := a.leaveOutcome(ctx, f, c, o, saved.Rest, p.keep); err != nil {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Err: err, Detail: "the outcome could not be left for doubled callbacks"})
	}
	a.report(ctx, Event{
		Kind: EventLoginFinished, Flow: flowID(f.AppID, f.State), AppID: id.AppID, Channel: id.Channel, Scope: id.Scope,
		OpenID: redact.OpenID(id.OpenID), Duration: a.age(f),
	})
	if p.ended != nil {
		p.ended(ctx, "")
	}
	return o
}

// settleFailure leaves the reason why there is no login.
func (a *Auth) settleFailure(ctx context.Context, p proof, c *singleflight.Call, reason Reason) {
	f := p.flow
	if err := a.leaveOutcome(ctx, f, c, outcome{Reason: reason}, store.Batch{}, failureTTL); err != nil {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Err: err})
	}
	if p.ended != nil {
		p.ended(ctx, reason)
	}
}

// endClaim ends a claim whose request panicked before it could: whoever waits,
// and the next try, shall read the cause and not wait for the end of the lease.
func (a *Auth) endClaim(ctx context.Context, p proof, c *singleflight.Call) {
	switch {
	case c.Ended:
	case c.Spent:
		a.settleFailure(ctx, p, c, ReasonApplicationError)
	default:
		a.release(ctx, p.flow, c)
	}
}

func (a *Auth) release(ctx context.Context, f flow.Flow, c *singleflight.Call) {
	if err := c.Release(ctx); err != nil {
		a.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Err: err})
	}
}
