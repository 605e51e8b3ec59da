package wechatauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
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
}

const (
	markClaimed = 'c' // followed by the owner
	markSettled = 'o' // followed by the outcome
)

// join claims a login, or waits for the outcome of the callback that has it.
// It returns when ctx ends at the latest.
func (cs *claims) join(ctx context.Context, key string) (*claim, error) {
	owner := make([]byte, 1, 17)
	owner[0] = markClaimed
	owner = owner[:17]
	rand.Read(owner[1:]) // never fails: crypto/rand ends the program instead
	for {
		won, err := cs.marks.PutMarkNX(ctx, key, owner, claimLease)
		if err != nil {
			return nil, err
		}
		if won {
			return &claim{claims: cs, key: key, owner: owner}, nil
		}
		for {
			mark, found, err := cs.marks.Mark(ctx, key)
			if err != nil {
				return nil, err
			}
			if !found {
				break // released, or the lease ran out: claim again
			}
			if len(mark) > 0 && mark[0] == markSettled {
				return &claim{claims: cs, key: key, outcome: mark[1:]}, nil
			}
			// The reply to our own claim may have been lost on the way.
			if string(mark) == string(owner) {
				return &claim{claims: cs, key: key, owner: owner}, nil
			}
			if err := cs.wait(ctx, claimPoll); err != nil {
				return nil, err
			}
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
	return c.claims.marks.PutMark(ctx, c.key, append([]byte{markSettled}, outcome...), ttl)
}

// release gives the claim back: the code was not spent, another callback may
// try. A claim that has passed to another is left alone.
func (c *claim) release(ctx context.Context) error {
	mark, found, err := c.claims.marks.Mark(ctx, c.key)
	if err != nil || !found || string(mark) != string(c.owner) {
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
