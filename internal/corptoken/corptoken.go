// Package corptoken shares the access_token of a WeCom app among the instances of
// a program, over their store.
//
// The token is a mark, sealed, so that an attacker who can read the store cannot
// call WeCom's API. A second mark is the lease of the instance that gets the next
// token. The others use the current token while it is valid, and wait for the
// next one otherwise.
package corptoken

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/client/wecom"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

// A Cache implements [wecom.TokenCache]. It is safe for concurrent use by
// multiple goroutines.
type Cache struct {
	Marks store.Marks
	// Keys seal the token. The store never sees them.
	Keys *seal.Ring
	// Now is the clock.
	Now func() time.Time
	// Wait sleeps for d, or until ctx ends. Tests replace it.
	Wait func(ctx context.Context, d time.Duration) error
}

const (
	// Lease limits how long an instance gets a token. After it, another instance
	// takes over from one that has crashed.
	Lease = 5 * time.Second
	// margin and jitter are how long before its end a token is replaced: between
	// margin and margin+jitter, so that the instances do not try in step. A token
	// is valid for two hours; of a shorter life, they take at most half.
	margin = 5 * time.Minute
	jitter = 5 * time.Minute
	// rejectedTime is how long no instance calls WeCom after it has rejected the
	// configuration, or a token that replaced a rejected one.
	rejectedTime = time.Minute
	// meanwhile is how long an instance uses the current token before it looks
	// again, while another one gets the next.
	meanwhile = 5 * time.Second

	firstPoll = 50 * time.Millisecond
	maxPoll   = 500 * time.Millisecond

	holderSize = 12
)

// A record is what the store has: a token, or the errcode with which WeCom has
// rejected the configuration. Times are in Unix milliseconds.
type record struct {
	Token    string `json:"k,omitempty"`
	Code     int    `json:"c,omitempty"`
	Message  string `json:"m,omitempty"`
	Hint     string `json:"h,omitempty"`
	Endpoint string `json:"p,omitempty"`
	Forced   bool   `json:"s,omitempty"` // Token replaced a stale one
	Fetched  int64  `json:"f"`
	Expires  int64  `json:"e"`
}

func tokenMark(key string) string { return "wecom token " + key }
func leaseMark(key string) string { return "wecom lease " + key }

// Token implements [wecom.TokenCache]. Of all instances, one calls fetch. A token
// that replaced a stale one and is reported stale within a minute is returned
// again: WeCom would issue no better one.
func (c *Cache) Token(ctx context.Context, key string, stale client.Secret, fetch func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error) {
	for pause := firstPoll; ; pause = min(pause*3/2, maxPoll) {
		r, err := c.find(ctx, key)
		if err != nil {
			return client.Secret{}, 0, err
		}
		if token, life, done, err := c.use(r, stale); done {
			return token, life, err
		}
		holder := make([]byte, holderSize)
		rand.Read(holder) // never fails: crypto/rand ends the program instead
		won, err := c.Marks.PutMarkNX(ctx, leaseMark(key), holder, Lease)
		switch {
		case err != nil:
			return client.Secret{}, 0, err
		case won:
			return c.refresh(ctx, key, stale, holder, fetch)
		case c.valid(r, stale):
			return client.NewSecret(r.Token), meanwhile, nil
		}
		if err := c.Wait(ctx, pause); err != nil {
			return client.Secret{}, 0, err
		}
	}
}

// use returns the result of a record. It reports false if WeCom should be called.
func (c *Cache) use(r record, stale client.Secret) (token client.Secret, life time.Duration, done bool, err error) {
	now := c.Now()
	if r.Code != 0 {
		err = &client.Error{Code: r.Code, Message: r.Message, RID: r.Hint, Endpoint: r.Endpoint, HTTPStatus: 200}
		return token, 0, now.Before(time.UnixMilli(r.Expires)), err
	}
	if !c.valid(r, stale) {
		return token, 0, false, nil
	}
	whole := time.Duration(r.Expires-r.Fetched) * time.Millisecond
	early := min(margin+mathrand.N(jitter), whole/2)
	life = time.UnixMilli(r.Expires).Add(-early).Sub(now)
	return client.NewSecret(r.Token), life, life > 0, nil
}

// valid reports whether a call may carry the token of a record.
func (c *Cache) valid(r record, stale client.Secret) bool {
	now := c.Now()
	if r.Token == "" || !now.Before(time.UnixMilli(r.Expires)) {
		return false
	}
	return !stale.Equal(client.NewSecret(r.Token)) || r.Forced && now.Before(time.UnixMilli(r.Fetched).Add(rejectedTime))
}

// refresh gets a token under a lease. If that fails while there is a valid token,
// the lease stays until it expires, so that the instances do not all try.
func (c *Cache) refresh(ctx context.Context, key string, stale client.Secret, holder []byte, fetch func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error) {
	current, err := c.find(ctx, key) // another instance may have finished before this one got the lease
	if err != nil {
		return client.Secret{}, 0, err
	}
	if token, life, done, err := c.use(current, stale); done {
		c.release(ctx, key, holder)
		return token, life, err
	}
	fetching, cancel := context.WithTimeout(ctx, Lease)
	defer cancel()
	token, life, err := fetch(fetching)
	if err != nil && c.valid(current, stale) {
		return client.NewSecret(current.Token), meanwhile, nil
	}
	forced := current.Token != "" && stale.Equal(client.NewSecret(current.Token))
	next := record{Token: token.Reveal(), Forced: forced, Fetched: c.Now().UnixMilli()}
	if err != nil {
		life = rejectedTime
		if e := (*client.Error)(nil); wecom.Rejected(err) && errors.As(err, &e) {
			next.Code, next.Message, next.Hint, next.Endpoint = e.Code, e.Message, e.RID, e.Endpoint
		}
	}
	next.Expires = c.Now().Add(life).UnixMilli()
	if next.Token != "" || next.Code != 0 {
		c.put(ctx, key, next, life)
	}
	c.release(ctx, key, holder)
	if err == nil {
		_, life, _, _ = c.use(next, client.Secret{})
	}
	return token, life, err
}

func (c *Cache) find(ctx context.Context, key string) (r record, err error) {
	sealed, found, err := c.Marks.Mark(ctx, tokenMark(key))
	if err != nil || !found {
		return r, err
	}
	plain, err := c.Keys.Open(string(sealed), tokenMark(key))
	if err != nil || json.Unmarshal(plain, &r) != nil {
		return record{}, nil // of another key, or forged: it is replaced
	}
	return r, nil
}

// put stores a record. If it fails, so does the next call of the store.
func (c *Cache) put(ctx context.Context, key string, r record, life time.Duration) {
	if life < time.Millisecond { // of no use to others
		return
	}
	plain, _ := json.Marshal(r) // cannot fail: it has strings and numbers only
	_ = c.Marks.PutMark(ctx, tokenMark(key), []byte(c.Keys.Seal(plain, tokenMark(key))), life)
}

// release ends the lease, unless another instance has taken it over. If it fails,
// the lease expires.
func (c *Cache) release(ctx context.Context, key string, holder []byte) {
	mark, found, err := c.Marks.Mark(ctx, leaseMark(key))
	if err == nil && found && bytes.Equal(mark, holder) {
		_ = c.Marks.DeleteMark(ctx, leaseMark(key))
	}
}
