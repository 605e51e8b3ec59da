package wechatauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
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
	// claimPoll is the pause between two looks at a claim held by another.
	claimPoll = 50 * time.Millisecond
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
	left    bool // the store may hold a mark of this claim
	waited  bool // another had the claim, undecided, when this one looked
}

const (
	markClaimed = 'c' // followed by the owner
	markSettled = 'o' // followed by the outcome
)

// ownerSize is that of an owner's name. It has only to differ from those of
// the other callbacks of one login.
const ownerSize = 12

// join claims a login, or waits for the outcome of the callback that has it.
// It returns when ctx ends at the latest. The claim is never nil: after an
// error its owner may have the claim without knowing, because a store that
// gives no answer may have obeyed all the same. Whoever knows the owner then
// names it among the abandoned, whose claims are taken over and not waited for.
func (cs *claims) join(ctx context.Context, key string, abandoned ...[]byte) (*claim, error) {
	c := &claim{claims: cs, key: key, owner: make([]byte, 1+ownerSize)}
	c.owner[0] = markClaimed
	rand.Read(c.owner[1:]) // never fails: crypto/rand ends the program instead
	for place := key; ; {
		c.left = true
		won, err := cs.marks.PutMarkNX(ctx, place, c.owner, claimLease)
		if won && place != key {
			// Now that no other callback can take over too, the claim is ours.
			err = cs.marks.PutMark(ctx, key, c.owner, claimLease)
		}
		if won || err != nil {
			return c, err
		}
		c.left = false
		if place, err = c.await(ctx, abandoned); err != nil || c.outcome != nil {
			return c, err
		}
	}
}

// await looks at a claim that another holds until it is decided, or free: then
// it returns the key to claim.
func (c *claim) await(ctx context.Context, abandoned [][]byte) (place string, err error) {
	for {
		place = c.key
		mark, found, err := c.claims.marks.Mark(ctx, place)
		// Who takes over an abandoned claim may abandon it in turn.
		for err == nil && found && isAmong(mark, abandoned) {
			place = successionKey(c.key, mark)
			mark, found, err = c.claims.marks.Mark(ctx, place)
		}
		switch {
		case err != nil:
			return "", err
		case !found: // released, or the lease ran out, or nobody took over yet
			return place, nil
		case bytes.Equal(mark, c.owner): // the reply to our own claim was lost
			return place, nil
		case len(mark) > 0 && mark[0] == markSettled:
			c.outcome = mark[1:]
			return "", nil
		}
		c.waited = true
		if err := c.claims.wait(ctx, claimPoll); err != nil {
			return "", err
		}
	}
}

// successionKey is where callbacks settle which of them takes over from an
// owner who abandoned his claim.
func successionKey(key string, owner []byte) string {
	return key + " " + base64.RawURLEncoding.EncodeToString(owner[1:])
}

// isAmong reports whether the mark is a claim of one of the owners.
func isAmong(mark []byte, owners [][]byte) bool {
	if len(mark) != 1+ownerSize || mark[0] != markClaimed {
		return false
	}
	return slices.ContainsFunc(owners, func(o []byte) bool { return bytes.Equal(o, mark[1:]) })
}

// maxAbandoned owners are remembered: that many failed tries in ten seconds,
// which is the life of a claim.
const maxAbandoned = 4

// abandon adds this claim's owner to those that were abandoned before.
func (c *claim) abandon(before [][]byte) [][]byte {
	return append(slices.Clone(before[max(0, len(before)-maxAbandoned+1):]), c.owner[1:])
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
	return c.claims.marks.PutMark(ctx, c.key, settled(outcome), ttl)
}

// settled is the mark of a claim with an outcome.
func settled(outcome []byte) []byte { return append([]byte{markSettled}, outcome...) }

// release gives the claim back: the code was not spent, another callback may
// try. A claim that has passed to another is left alone.
func (c *claim) release(ctx context.Context) error {
	mark, found, err := c.claims.marks.Mark(ctx, c.key)
	if err != nil {
		return err
	}
	if found && bytes.Equal(mark, c.owner) {
		if err := c.claims.marks.DeleteMark(ctx, c.key); err != nil {
			return err
		}
	}
	c.left = false
	return nil
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
