// Package singleflight completes a login once, however many duplicate requests
// arrive at the same time or a moment later, on any instance.
//
// WeChat's browsers request a callback twice, at the same time or a second
// apart, and show the response to the last request; a code is good for one
// exchange. So one request of a login, the leader, holds a lease, which is a mark
// in the store. It completes the login and stores the result in the mark; the
// duplicates wait for it. The name is that of golang.org/x/sync/singleflight, which
// does the same within one process.
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

// A Group completes each login once among all instances that share its marks. It
// must not be copied, and is safe for concurrent use.
type Group struct {
	Marks store.Marks
	// Keys seal the results. The store never sees them.
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
	// Lease is how long a request leads. After it, a duplicate takes over from a
	// leader that has crashed.
	Lease = 10 * time.Second
	// JoinTimeout is how long a duplicate should wait: longer than the lease,
	// because only the end of the lease shows that the leader has crashed.
	JoinTimeout = Lease + 2*time.Second
	// poll is the first pause between two reads of the leader's mark. Each pause is
	// half as long again as the one before, up to MaxPoll.
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

// A Call is a request's part in a login. If Sealed is nil, the request leads: it
// completes the login, and then calls Share or Release. Otherwise Sealed is the
// leader's result.
type Call struct {
	Key    string
	Sealed []byte
	Waited bool // the login was in progress when this request arrived
	Spent  bool // for the caller: what can be used once, such as a code, may have been used
	Ended  bool // Share or Release was called

	group  *Group
	holder []byte
}

const (
	markLeased = 'c' // followed by the holder
	markDone   = 'o' // followed by the result
)

// holderSize is the length of the random name of a lease's holder.
const holderSize = 12

// Join makes the request the leader of a login, or waits for the leader's result.
// It returns when ctx ends at the latest. A leader that has crashed, or that never
// received the store's reply, is replaced after Lease.
func (g *Group) Join(ctx context.Context, key string) (*Call, error) {
	c := &Call{group: g, Key: key, holder: make([]byte, 1+holderSize)}
	c.holder[0] = markLeased
	rand.Read(c.holder[1:]) // never fails: crypto/rand ends the program instead
	claiming := true
	defer func() {
		if claiming { // the store panicked, and may have written before
			_ = c.Release(ctx)
		}
	}()
	for {
		claiming = true
		won, err := g.Marks.PutMarkNX(ctx, key, c.holder, Lease)
		claiming = false
		if won || err != nil {
			return c, err
		}
		if err := c.wait(ctx); err != nil || c.Sealed != nil {
			return c, err
		}
	}
}

// ErrBusy is returned by Join if too many requests wait already.
var ErrBusy = errors.New("too many requests wait for the same login, or for logins in all")

// acquire counts a waiting request. The caller must call done.
func (g *Group) acquire(key string) (done func(), err error) {
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

// wait polls the leader's mark until it has a result, or is deleted or expires.
func (c *Call) wait(ctx context.Context) error {
	done, err := c.group.acquire(c.Key)
	if err != nil {
		return err
	}
	defer done()
	for pause := poll; ; pause = min(pause*3/2, MaxPoll) {
		mark, found, err := c.group.Marks.Mark(ctx, c.Key)
		if err != nil || !found { // released, or the lease ran out
			return err
		}
		if len(mark) > 0 && mark[0] == markDone {
			c.Sealed = mark[1:]
			return nil
		}
		c.Waited = true
		if err := c.group.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// Sealed returns the sealed result of a login, or nil if there is none. It takes no
// lease.
func (g *Group) Sealed(ctx context.Context, key string) ([]byte, error) {
	mark, found, err := g.Marks.Mark(ctx, key)
	if err != nil || !found || len(mark) == 0 || mark[0] != markDone {
		return nil, err
	}
	return mark[1:], nil
}

// publish stores a result in the mark, with the writes of a batch.
func (c *Call) publish(ctx context.Context, outcome []byte, ttl time.Duration, batcher store.Batcher, with store.Batch) (err error) {
	mark := append([]byte{markDone}, outcome...)
	if with.Len() == 0 {
		err = c.group.Marks.PutMark(ctx, c.Key, mark, ttl)
	} else {
		with.PutMark(c.Key, mark, ttl)
		err = batcher.DoBatch(ctx, with)
	}
	c.Ended = true
	return err
}

// Release ends the lease without a result, so that another request can lead. A
// lease that another request has taken over is left alone.
func (c *Call) Release(ctx context.Context) error {
	c.Ended = true
	mark, found, err := c.group.Marks.Mark(ctx, c.Key)
	if err != nil || !found || !bytes.Equal(mark, c.holder) {
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
