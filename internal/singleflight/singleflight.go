// Package singleflight does a login once, however many requests ask for it at
// once or a moment later, on whichever instance.
//
// WeChat's browsers request a callback twice, at the same time or a second
// apart, and show the response to the last request; a code is good for one
// exchange. So the requests of one login hold a claim, which is a mark in the
// store: the first one does the login and leaves its outcome there, and the
// others wait for the outcome. The name is that of golang.org/x/sync/singleflight,
// which does the same within one process.
package singleflight

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

// A Group does each login once among all instances that share its marks. A Group
// must not be copied, and is safe for concurrent use.
type Group struct {
	Marks store.Marks
	// Keys seal the outcomes. The store never sees them.
	Keys *seal.Ring
	// Now is the clock.
	Now func() time.Time
	// Wait sleeps for d, or until ctx ends. Tests replace it.
	Wait func(ctx context.Context, d time.Duration) error

	mu      sync.Mutex
	waiting map[string]int // by key: the requests of this instance that wait
	all     int
}

const (
	// Lease is how long a claim lasts. After it, another request takes over from
	// one that died.
	Lease = 10 * time.Second
	// JoinTimeout is how long a request should wait for a claim: longer than the
	// lease, because only the end of the lease shows that its holder has died.
	JoinTimeout = Lease + 2*time.Second
	// poll is the first pause between two looks at the claim of another request.
	// Each pause is half as long again as the one before, up to MaxPoll.
	poll    = 50 * time.Millisecond
	MaxPoll = 500 * time.Millisecond
	// maxWaitingForOne and maxWaiting bound the requests of an instance that wait,
	// for one login and in all. WeChat sends two.
	maxWaitingForOne = 128
	maxWaiting       = 1024
)

// Key returns the key of the mark of a login. The state itself stays out of the
// store.
func Key(appID, state string) string {
	h := sha256.New()
	for _, part := range []string{appID, state} {
		_ = binary.Write(h, binary.BigEndian, uint32(len(part))) // a hash takes all it is given
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// A Call is a request's part in a login. If Outcome is nil the request has the
// claim: it does the login, and then calls Leave or Release. Otherwise another
// request has left Outcome.
type Call struct {
	Key     string
	Outcome []byte
	Waited  bool // the login was not settled when this request came
	Spent   bool // for the caller: what can be used once, such as a code, may have been used
	Ended   bool // Leave or Release was called

	group *Group
	owner []byte
}

const (
	markClaimed = 'c' // followed by the owner
	markSettled = 'o' // followed by the outcome
)

// holderSize is the length of an owner's name, which differs from those of the
// other requests of the same login.
const holderSize = 12

// Join claims a login, or waits for the outcome of the request that has the claim.
// It returns when ctx ends at the latest. The claim of a request that died, or
// that never received the store's reply, is free again after Lease.
func (g *Group) Join(ctx context.Context, key string) (*Call, error) {
	c := &Call{group: g, Key: key, owner: make([]byte, 1+holderSize)}
	c.owner[0] = markClaimed
	rand.Read(c.owner[1:]) // never fails: crypto/rand ends the program instead
	claiming := true
	defer func() {
		if claiming { // the store panicked, and may have obeyed before
			_ = c.Release(ctx)
		}
	}()
	for {
		claiming = true
		won, err := g.Marks.PutMarkNX(ctx, key, c.owner, Lease)
		claiming = false
		if won || err != nil {
			return c, err
		}
		if err := c.wait(ctx); err != nil || c.Outcome != nil {
			return c, err
		}
	}
}

// ErrBusy is returned by Join where too many requests wait already.
var ErrBusy = errors.New("too many requests wait for the same login, or for logins in all")

// acquire counts a waiting request. The caller must call leave.
func (g *Group) acquire(key string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting[key] >= maxWaitingForOne || g.all >= maxWaiting {
		return nil, ErrBusy
	}
	if g.waiting == nil {
		g.waiting = map[string]int{}
	}
	g.waiting[key]++
	g.all++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.waiting[key]--; g.waiting[key] == 0 {
			delete(g.waiting, key)
		}
	}, nil
}

// wait polls the claim of another request until it is settled or free.
func (c *Call) wait(ctx context.Context) error {
	leave, err := c.group.acquire(c.Key)
	if err != nil {
		return err
	}
	defer leave()
	for pause := poll; ; pause = min(pause*3/2, MaxPoll) {
		mark, found, err := c.group.Marks.Mark(ctx, c.Key)
		if err != nil || !found { // released, or the lease ran out
			return err
		}
		if len(mark) > 0 && mark[0] == markSettled {
			c.Outcome = mark[1:]
			return nil
		}
		c.Waited = true
		if err := c.group.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// Outcome returns the outcome of a login without claiming it; nil if there is none.
func (g *Group) Outcome(ctx context.Context, key string) ([]byte, error) {
	mark, found, err := g.Marks.Mark(ctx, key)
	if err != nil || !found || len(mark) == 0 || mark[0] != markSettled {
		return nil, err
	}
	return mark[1:], nil
}

// publish writes the mark of an outcome, with the writes of a batch.
func (c *Call) publish(ctx context.Context, outcome []byte, ttl time.Duration, batcher store.Batcher, with store.Batch) (err error) {
	mark := append([]byte{markSettled}, outcome...)
	if with.Len() == 0 {
		err = c.group.Marks.PutMark(ctx, c.Key, mark, ttl)
	} else {
		with.PutMark(c.Key, mark, ttl)
		err = batcher.DoBatch(ctx, with)
	}
	c.Ended = true
	return err
}

// Release gives the claim back, for another request to do the login. A claim that
// has passed to another request is left alone.
func (c *Call) Release(ctx context.Context) error {
	c.Ended = true
	mark, found, err := c.group.Marks.Mark(ctx, c.Key)
	if err != nil || !found || !bytes.Equal(mark, c.owner) {
		return err
	}
	return c.group.Marks.DeleteMark(ctx, c.Key)
}

// Sleep waits for d, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
