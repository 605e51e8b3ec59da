package wechatauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/seal"
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
	// callbackBudget bounds a callback from the claim, once it is won, to the
	// answer, whatever the browser does meanwhile.
	callbackBudget = 8 * time.Second
	// saveBudget is how long a callback tries to save a session for which a
	// code was spent.
	saveBudget = 3 * time.Second
)

// A proof is what shows who a visitor is: one row for each channel. What becomes
// of it is the same for all of them, and is written in settle.
type proof struct {
	flow flow.Flow     // the pending login that it completes
	key  string        // names the login among all instances
	keep time.Duration // how long its outcome answers for requests that come later

	// source is the session that vouches for the user, by its key in the store. If
	// it has ended when the new session is saved, that one ends too. "" for none.
	source string
	// session is what the visitor has now, and what he is logged in to.
	session func(r *http.Request) (*session.Visit, error)
	// verify asks who he is. What it spends, such as a code, is spent by it.
	verify func(ctx context.Context) (identity.Identity, Reason, error)
	// prepare, if it is not nil, adds to the session and stores what belongs to it,
	// once the user is admitted and before the session is saved: see forget.
	prepare func(ctx context.Context, v *session.Visit, id identity.Identity) error
	// ended, if not nil, is called once after verify: with a failure's Reason, or "".
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
func (g *gate) settle(w http.ResponseWriter, r *http.Request, p proof, answer func(w http.ResponseWriter, r *http.Request, res result)) {
	c, err := g.join(r, p.flow, p.key)
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
		answer(w, r, g.follow(p, c))
	default:
		answer(w, r, g.lead(w, r, p, c))
	}
}

// follow reads the outcome that another request has left.
func (g *gate) follow(p proof, c *singleflight.Call) result {
	o, err := g.openOutcome(c.Outcome, p.flow)
	if err != nil {
		return result{outcome: outcome{Reason: ReasonStateMismatch}, shared: true, unopened: true}
	}
	return result{outcome: o, shared: true, late: !c.Waited}
}

// lead does the login that this request has claimed.
func (g *gate) lead(w http.ResponseWriter, r *http.Request, p proof, c *singleflight.Call) result {
	ctx := r.Context()
	how := ReasonApplicationError // unless something else is known, its code has panicked
	defer g.endLogin(ctx, p, c, &how)
	v, err := p.session(r)
	if err != nil {
		return result{outcome: outcome{Reason: ReasonStoreUnavailable}, err: err}
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
		return result{outcome: outcome{Reason: reason}, err: err}
	}
	o, err := g.leaveLogin(ctx, p, c, saved)
	how = ""
	f := p.flow
	if err != nil {
		g.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Err: err, Detail: "the outcome could not be left for doubled callbacks"})
	}
	g.report(ctx, Event{
		Kind: EventLoginFinished, Flow: flowID(f.AppID, f.State), AppID: id.AppID, Channel: id.Channel, Scope: id.Scope,
		OpenID: redact.OpenID(id.OpenID), Duration: g.age(f),
	})
	return result{outcome: o}
}

// saveLogin saves, and tries again for a while: the code is spent, and the
// visitor has nothing but this answer. If the session cannot be saved, a reload
// finds the code used, and begins the login again.
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
		if g.claims.Wait(ctx, pause) != nil {
			return saved, ReasonStoreUnavailable, err
		}
	}
	if p.source != "" {
		reason, err = g.checkSource(ctx, p.source)
	}
	if reason == "" {
		if p.key == "" { // it leaves no outcome, with which the rest would go
			_ = g.sessions.Batcher().DoBatch(ctx, saved.Rest) // not worth a failure of the login
		}
		return saved, "", nil
	}
	_ = g.sessions.SessionManager().Clear(v.Context()) // in memory: scs's LoadAndSave may save it once more
	_, failed := g.sessions.LogOut(w, r.WithContext(v.Context()), &g.audience)
	w.Header()["Set-Cookie"] = cookies
	return session.Saved{}, reason, errors.Join(err, failed)
}

// checkSource returns ReasonSessionUnknown if a session has ended. RevokeUser
// deletes the sessions that it finds in the index: one that is saved after that
// survives, unless the session that it came from is looked for once more.
func (g *gate) checkSource(ctx context.Context, source string) (Reason, error) {
	lives, err := g.sessions.Lives(ctx, source)
	switch {
	case err != nil:
		return ReasonStoreUnavailable, err
	case !lives:
		return ReasonSessionUnknown, nil
	}
	return "", nil
}

// leaveLogin leaves the session that was saved to the other requests.
func (g *gate) leaveLogin(ctx context.Context, p proof, c *singleflight.Call, saved session.Saved) (outcome, error) {
	o := outcome{Token: saved.Token, Expiry: saved.Expiry.Unix(), Remember: saved.Remember}
	if p.flow.Target != "" {
		o.Target = g.landing(p.flow.Target)
	}
	return o, g.leaveOutcome(ctx, p.flow, c, o, saved.Rest, p.keep)
}

// endLogin ends a login for those who wait for it: it leaves the reason why there
// is none, or releases a claim for which nothing was spent, and calls p.ended. It
// is deferred, and each of the two happens even if the application's code
// panicked before, or does in the other one.
func (g *gate) endLogin(ctx context.Context, p proof, c *singleflight.Call, how *Reason) {
	defer func() {
		if c.Spent && p.ended != nil {
			p.ended(ctx, *how)
		}
	}()
	err, f := error(nil), p.flow
	switch {
	case c.Ended:
	case c.Spent:
		err = g.leaveOutcome(ctx, f, c, outcome{Reason: *how}, store.Batch{}, failureTTL)
	default:
		err = c.Release(ctx)
	}
	if err != nil {
		g.report(ctx, Event{Kind: EventTrouble, Reason: ReasonStoreUnavailable, Flow: flowID(f.AppID, f.State), AppID: f.AppID, Err: err})
	}
}

// An outcome is what the callback that had the claim leaves for the others:
// the session, or why there is none.
type outcome struct {
	Token  string `json:"k,omitempty"` // the session's
	Expiry int64  `json:"e,omitempty"` // of its cookie, Unix seconds
	Target string `json:"r,omitempty"`
	Reason Reason `json:"x,omitempty"`

	Remember bool  `json:"m,omitempty"` // scs's RememberMe, which changes the cookie
	LeftAt   int64 `json:"t"`           // Unix milliseconds
}

// saved is the login that the outcome is of.
func (o outcome) saved() session.Saved {
	return session.Saved{Token: o.Token, Expiry: time.Unix(o.Expiry, 0), Remember: o.Remember}
}

// boxes is how an outcome is stored: only the browser that holds the flow
// cookie can open the first box, and only the session that came of it the
// second, which has nothing but the target. Both also need the gate's key, so a
// reader of the store can open neither and a writer can make neither.
type boxes struct {
	Flow    string `json:"f"`
	Session string `json:"s,omitempty"`
}

// leaveOutcome leaves the outcome of a login for so long. What its session still
// has to write goes with it.
func (g *gate) leaveOutcome(ctx context.Context, f flow.Flow, c *singleflight.Call, o outcome, with store.Batch, life time.Duration) error {
	o.LeftAt = g.now().UnixMilli()
	plain, _ := json.Marshal(o) // cannot fail, as below
	b := boxes{Flow: g.keys.With("outcome", f.Key).Seal(plain, singleflight.Key(f.AppID, f.State))}
	if o.Token != "" {
		b.Session = g.keys.With("outcome target", []byte(o.Token)).Seal([]byte(o.Target), "target")
	}
	text, _ := json.Marshal(b)
	return c.Settle(ctx, text, life, g.sessions.Batcher(), with)
}

// openOutcome opens the box of the browser that holds the flow cookie. It is good
// no longer than it is kept: a writer of the store could put a copy back.
func (g *gate) openOutcome(left []byte, f flow.Flow) (outcome, error) {
	var b boxes
	var o outcome
	if err := json.Unmarshal(left, &b); err != nil {
		return o, seal.ErrOpen
	}
	plain, err := g.keys.With("outcome", f.Key).Open(b.Flow, singleflight.Key(f.AppID, f.State))
	if err != nil {
		return o, err
	}
	if json.Unmarshal(plain, &o) != nil || !cookie.Fresh(g.now(), o.LeftAt, outcomeTTL+cookie.Skew) {
		return outcome{}, seal.ErrOpen
	}
	return o, nil
}

// openTarget opens the box of the session that came of the login.
func (g *gate) openTarget(left []byte, token string) (string, error) {
	var b boxes
	if err := json.Unmarshal(left, &b); err != nil || b.Session == "" || token == "" {
		return "", seal.ErrOpen
	}
	plain, err := g.keys.With("outcome target", []byte(token)).Open(b.Session, "target")
	if err != nil {
		return "", err
	}
	return g.judge(string(plain))
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

// authorize calls the function of WithAuthorize, unless it accepted the user within
// the interval.
func (a *Auth) authorize(ctx context.Context, id identity.Identity) error {
	if a.onRequest == nil {
		return nil
	}
	err := a.consents.Do(session.User(id.AppID, id.OpenID), func() error { return a.onRequest(ctx, Identity(id)) })
	if err != nil && !errors.Is(err, ErrForbidden) && errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return err
}

// admit decides whether the user whom a proof shows may log in: a step-up is for
// the same one, and the application's hook has to agree.
func (g *gate) admit(f flow.Flow, v *session.Visit, id identity.Identity) (Reason, error) {
	if f.OpenID != "" && f.OpenID != id.OpenID || f.UnionID != "" && id.UnionID != "" && f.UnionID != id.UnionID {
		return ReasonIdentityMismatch, nil
	}
	if g.onLogin == nil {
		return "", nil
	}
	err := g.sessions.Admit(v, id, func(ctx context.Context) error { return g.onLogin(ctx, Identity(id)) })
	return hookReason(err), err
}
