package singleflight

import (
	"context"
	"encoding/json"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

// An Outcome is how a login ended: with a session, or with the reason why there is
// none.
type Outcome struct {
	Token    string `json:"k,omitempty"` // the session's
	Expiry   int64  `json:"e,omitempty"` // of its cookie, Unix seconds
	Remember bool   `json:"m,omitempty"` // scs's RememberMe, which changes the cookie
	Target   string `json:"r,omitempty"` // where the login leads
	Reason   string `json:"x,omitempty"`
	Until    int64  `json:"t"` // how long it is good: Unix milliseconds, set by Leave
}

// sealedOutcome is an Outcome as the store has it. The first box opens for the browser
// that holds the secret of the login, the second, which has only the target, for
// the session that came of it. Both need the Group's keys too: who reads the store
// opens neither, and who writes it makes neither.
type sealedOutcome struct {
	Login   string `json:"f"`
	Session string `json:"s,omitempty"`
}

func (g *Group) ofLogin(secret []byte) *seal.Ring { return g.Keys.With("outcome", secret) }
func (g *Group) ofSession(token string) *seal.Ring {
	return g.Keys.With("outcome target", []byte(token))
}

// Share leaves the outcome for the requests that wait, and for those that come
// within ttl. Only a request with the same secret opens it. If with is not empty, it
// is written by batcher in the same call. A login whose Leave panics has not ended.
func (c *Call) Share(ctx context.Context, o Outcome, secret []byte, ttl time.Duration, batcher store.Batcher, with store.Batch) error {
	o.Until = c.group.Now().Add(ttl).UnixMilli()
	plain, _ := json.Marshal(o) // cannot fail, as below
	b := sealedOutcome{Login: c.group.ofLogin(secret).Seal(plain, c.Key)}
	if o.Token != "" {
		b.Session = c.group.ofSession(o.Token).Seal([]byte(o.Target), "target")
	}
	text, _ := json.Marshal(b)
	return c.publish(ctx, text, ttl, batcher, with)
}

// Open opens the outcome that another request has left; seal.ErrOpen if the secret
// is that of another browser, or the time of the outcome is over: a writer of the
// store could put a copy back.
func (c *Call) Open(secret []byte) (Outcome, error) { return c.group.open(c.Outcome, c.Key, secret) }

// Find returns the outcome of a login without claiming it. It is found only where
// the secret opens it.
func (g *Group) Find(ctx context.Context, key string, secret []byte) (o Outcome, found bool, err error) {
	left, err := g.Outcome(ctx, key)
	if err != nil || left == nil {
		return o, false, err
	}
	o, wrong := g.open(left, key, secret)
	return o, wrong == nil, nil
}

// Target returns where a login led, for the session that came of it.
func (g *Group) Target(ctx context.Context, key, token string) (target string, found bool) {
	left, err := g.Outcome(ctx, key)
	var b sealedOutcome
	if err != nil || left == nil || json.Unmarshal(left, &b) != nil || b.Session == "" || token == "" {
		return "", false
	}
	plain, err := g.ofSession(token).Open(b.Session, "target")
	return string(plain), err == nil
}

func (g *Group) open(left []byte, key string, secret []byte) (o Outcome, err error) {
	var b sealedOutcome
	if err := json.Unmarshal(left, &b); err != nil {
		return o, seal.ErrOpen
	}
	plain, err := g.ofLogin(secret).Open(b.Login, key)
	if err != nil {
		return o, err
	}
	if json.Unmarshal(plain, &o) != nil || g.Now().Add(-cookie.Skew).UnixMilli() > o.Until {
		return Outcome{}, seal.ErrOpen
	}
	return o, nil
}
