package wechatauth

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/store"
)

// An outcome is what the callback that had the claim leaves for the others:
// the session, or why there is none.
type outcome struct {
	Token  string `json:"k,omitempty"` // the session's
	Expiry int64  `json:"e,omitempty"` // of its cookie, Unix seconds
	Target string `json:"r,omitempty"`
	Reason Reason `json:"x,omitempty"`

	Remember bool `json:"m,omitempty"` // scs's RememberMe, which changes the cookie
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
	plain, err := json.Marshal(o)
	if err != nil {
		return err
	}
	b := boxes{Flow: g.keys.With("outcome", f.Key).Seal(plain, singleflight.Key(f.AppID, f.State))}
	if o.Token != "" {
		b.Session = g.keys.With("outcome target", []byte(o.Token)).Seal([]byte(o.Target), "target")
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return c.Settle(ctx, text, life, g.sessions.Batcher(), with)
}

// openOutcome opens the box of the browser that holds the flow cookie.
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
	return o, json.Unmarshal(plain, &o)
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

// lostLogins are the names of the flow cookies that a browser still holds
// although their logins ended well within the last minute: it has kept nothing
// of the callbacks' answers, the trail neither. flow.MaxLogins of them are a loop, or
// as many as the browser has room for where return targets are long; of fewer it
// tells nothing. The store is not asked before there are so many, and one that
// gives no answer tells of none.
func (g *gate) lostLogins(ctx context.Context, held []flow.Held) []string {
	held = slices.DeleteFunc(slices.Clone(held), func(h flow.Held) bool { return !cookie.Fresh(g.now(), h.Flow.IssuedAt, flow.TrailTTL) })
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
		left, err := g.claims.Outcome(ctx, singleflight.Key(h.Flow.AppID, h.Flow.State))
		if err != nil {
			return nil
		}
		if o, err := g.openOutcome(left, h.Flow); err == nil && o.Token != "" {
			lost = append(lost, h.Name)
		}
	}
	if len(lost) < enough {
		return nil
	}
	return lost
}
