package singleflight

import (
	"context"
	"encoding/json"
	"time"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

// A Result is how a login ended: with a session, or with a reason why there is
// none.
type Result struct {
	Token    string `json:"k,omitempty"` // the session's
	Expiry   int64  `json:"e,omitempty"` // of its cookie, Unix seconds
	Remember bool   `json:"m,omitempty"` // scs's RememberMe, which changes the cookie
	Target   string `json:"r,omitempty"` // where the login leads
	Reason   string `json:"x,omitempty"`
	Until    int64  `json:"t"` // how long it is valid: Unix milliseconds, set by Share
}

// sealedResult is a Result as the store has it. Login is sealed for the browser
// that holds the secret of the login; Session, which has only the target, for the
// session that was created. Both need the Group's keys too, so an attacker who can
// read the store opens neither, and one who can write to it forges neither.
type sealedResult struct {
	Login   string `json:"f"`
	Session string `json:"s,omitempty"`
}

func (g *Group) ofLogin(secret []byte) *seal.Ring { return g.Keys.With("outcome", secret) }
func (g *Group) ofSession(token string) *seal.Ring {
	return g.Keys.With("outcome target", []byte(token))
}

// Share stores the result for the duplicates that wait, and for those that arrive
// within ttl. Only a request with the same secret can open it. If with is not empty,
// batcher writes it in the same call. If Share panics, the lease has not ended.
func (c *Call) Share(ctx context.Context, o Result, secret []byte, ttl time.Duration, batcher store.Batcher, with store.Batch) error {
	o.Until = c.group.Now().Add(ttl).UnixMilli()
	plain, _ := json.Marshal(o) // cannot fail, as below
	b := sealedResult{Login: c.group.ofLogin(secret).Seal(plain, c.Key)}
	if o.Token != "" {
		b.Session = c.group.ofSession(o.Token).Seal([]byte(o.Target), "target")
	}
	text, _ := json.Marshal(b)
	return c.publish(ctx, text, ttl, batcher, with)
}

// Open opens the leader's result. It returns seal.ErrOpen if the secret is that of
// another browser, or if the result has expired: an attacker who can write to the
// store could restore a copy.
func (c *Call) Open(secret []byte) (Result, error) { return c.group.open(c.Sealed, c.Key, secret) }

// Find returns the result of a login, if there is one that the secret opens. It
// takes no lease.
func (g *Group) Find(ctx context.Context, key string, secret []byte) (o Result, found bool, err error) {
	left, err := g.Sealed(ctx, key)
	if err != nil || left == nil {
		return o, false, err
	}
	o, wrong := g.open(left, key, secret)
	return o, wrong == nil, nil
}

// Target returns where a login led, for the session that came of it.
func (g *Group) Target(ctx context.Context, key, token string) (target string, found bool) {
	left, err := g.Sealed(ctx, key)
	var b sealedResult
	if err != nil || left == nil || json.Unmarshal(left, &b) != nil || b.Session == "" || token == "" {
		return "", false
	}
	plain, err := g.ofSession(token).Open(b.Session, "target")
	return string(plain), err == nil
}

func (g *Group) open(left []byte, key string, secret []byte) (o Result, err error) {
	var b sealedResult
	if err := json.Unmarshal(left, &b); err != nil {
		return o, seal.ErrOpen
	}
	plain, err := g.ofLogin(secret).Open(b.Login, key)
	if err != nil {
		return o, err
	}
	if json.Unmarshal(plain, &o) != nil || g.Now().Add(-cookie.Skew).UnixMilli() > o.Until {
		return Result{}, seal.ErrOpen
	}
	return o, nil
}
