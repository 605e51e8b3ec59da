package wechatauth

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

	"github.com/wechatauth/wechatauth/store"
)

// WeChat's browsers call a callback twice, at once or a second apart, and the
// page shows what the last call got. A code is good for one exchange. So the
// callbacks of one (AppID, state) hold a claim: one of them exchanges, and the
// others wait for what it finds and answer the same. The claim is a mark in
// the store that all instances share.
type claims struct {
	marks store.Marks
	wait  func(ctx context.Context, d time.Duration) error // sleeps; tests replace it

	mu      sync.Mutex
	waiting map[string]int // by claim: the requests of this instance that wait
	all     int
}

const (
	// claimLease is how long a winner may take. One that dies loses the claim
	// after it, and another callback takes over.
	claimLease = 10 * time.Second
	// joinBudget bounds the wait for a claim. It outlasts the lease, because one
	// that died is found out only then, and callbackBudget begins after it: who
	// works never outlives his own lease.
	joinBudget = claimLease + 2*time.Second
	// outcomeTTL is how long the outcome of a login is kept for the callbacks
	// that come late, and for reloads.
	outcomeTTL = time.Minute
	// failureTTL is how long a failed login answers for the callbacks that
	// wait for it.
	failureTTL = 3 * time.Second
	// claimPoll is the first pause between two looks at a claim held by another.
	// Each pause is half as long again as the one before, up to claimPollMost.
	claimPoll     = 50 * time.Millisecond
	claimPollMost = 500 * time.Millisecond
	// An instance lets this many requests wait for one claim, and in all. WeChat
	// sends two.
	maxWaitingForOne = 128
	maxWaiting       = 1024
)

// claimKey names the mark of one login. The state itself stays out of the
// store.
func claimKey(appID, state string) string {
	h := sha256.New()
	for _, part := range []string{appID, state} {
		_ = binary.Write(h, binary.BigEndian, uint32(len(part))) // a hash takes all it is given
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// A claim is either won (outcome is nil; the caller exchanges the code and
// then calls settle or release) or decided by another (outcome is what that
// one left).
type claim struct {
	claims  *claims
	key     string
	owner   []byte
	outcome []byte
	waited  bool // another had the claim, undecided, when this one looked
	spent   bool // what can be used once may have been used, such as a code
	ended   bool // by settle or release
}

const (
	markClaimed = 'c' // followed by the owner
	markSettled = 'o' // followed by the outcome
)

// ownerSize is that of an owner's name. It has only to differ from those of
// the other callbacks of one login.
const ownerSize = 12

// join claims a login, or waits for the outcome of the callback that has it.
// It returns when ctx ends at the latest. A claim whose holder died, or of which
// the store's reply was lost, is free again after claimLease.
func (cs *claims) join(ctx context.Context, key string) (*claim, error) {
	c := &claim{claims: cs, key: key, owner: make([]byte, 1+ownerSize)}
	c.owner[0] = markClaimed
	rand.Read(c.owner[1:]) // never fails: crypto/rand ends the program instead
	for {
		won, err := cs.marks.PutMarkNX(ctx, key, c.owner, claimLease)
		if won || err != nil {
			return c, err
		}
		if err := c.await(ctx); err != nil || c.outcome != nil {
			return c, err
		}
	}
}

// errCrowded means that too many requests wait for logins under way.
var errCrowded = errors.New("too many requests wait for the same login, or for logins in all")

// enter counts a request that waits. The caller calls leave.
func (cs *claims) enter(key string) (leave func(), err error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.waiting[key] >= maxWaitingForOne || cs.all >= maxWaiting {
		return nil, errCrowded
	}
	if cs.waiting == nil {
		cs.waiting = map[string]int{}
	}
	cs.waiting[key]++
	cs.all++
	return func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		cs.all--
		if cs.waiting[key]--; cs.waiting[key] == 0 {
			delete(cs.waiting, key)
		}
	}, nil
}

// await looks at a claim that another holds until it is decided or free.
func (c *claim) await(ctx context.Context) error {
	leave, err := c.claims.enter(c.key)
	if err != nil {
		return err
	}
	defer leave()
	for pause := claimPoll; ; pause = min(pause*3/2, claimPollMost) {
		mark, found, err := c.claims.marks.Mark(ctx, c.key)
		if err != nil || !found { // released, or the lease ran out
			return err
		}
		if len(mark) > 0 && mark[0] == markSettled {
			c.outcome = mark[1:]
			return nil
		}
		c.waited = true
		if err := c.claims.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// outcome looks for the outcome of a login without claiming it.
func (cs *claims) outcome(ctx context.Context, key string) ([]byte, error) {
	mark, found, err := cs.marks.Mark(ctx, key)
	if err != nil || !found || len(mark) == 0 || mark[0] != markSettled {
		return nil, err
	}
	return mark[1:], nil
}

// settle leaves the outcome for the callbacks that wait and that come late.
func (c *claim) settle(ctx context.Context, outcome []byte, ttl time.Duration) error {
	err := c.claims.marks.PutMark(ctx, c.key, settled(outcome), ttl)
	c.ended = true
	return err
}

// settled is the mark of a claim with an outcome.
func settled(outcome []byte) []byte { return append([]byte{markSettled}, outcome...) }

// release gives the claim back: the code was not spent, another callback may
// try. A claim that has passed to another is left alone.
func (c *claim) release(ctx context.Context) error {
	c.ended = true
	mark, found, err := c.claims.marks.Mark(ctx, c.key)
	if err != nil || !found || !bytes.Equal(mark, c.owner) {
		return err
	}
	return c.claims.marks.DeleteMark(ctx, c.key)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
