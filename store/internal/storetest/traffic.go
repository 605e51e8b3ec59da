package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/store"
)

// Login is what one login stores in Redis.
type Login struct {
	state, attempt, user, Token string
	record                      []byte
	LoggedOut                   bool
}

// newLogin returns the login with this number. Four belong to one user; the
// fourth of them logs out again.
func newLogin(n int) *Login {
	return &Login{
		state:   fmt.Sprintf("state %d", n),
		attempt: Token(),
		user:    fmt.Sprintf("user %d", n/4),
		Token:   Token(),
		record:  fmt.Appendf(nil, "record %d", n),

		LoggedOut: n%4 == 3,
	}
}

// steps returns the calls that a login makes, and a page visit after it.
func (l *Login) steps(s store.Sessions, expect func(ok bool, what string)) []func() error {
	ctx := context.Background()
	steps := []func() error{
		func() error {
			won, err := s.PutMarkNX(ctx, l.state, []byte(l.attempt), time.Hour)
			expect(won || err != nil, "the claim is won")
			return err
		},
		func() error { return s.AddSession(ctx, l.user, l.Token, soon()) },
		func() error { return s.CommitCtx(ctx, l.Token, l.record, soon()) },
		func() error {
			b, _, found, err := s.FindTTLCtx(ctx, l.Token)
			expect(found && string(b) == string(l.record) || err != nil, "the session is read back")
			return err
		},
		func() error {
			found, err := s.TouchCtx(ctx, l.Token, soon())
			expect(found || err != nil, "the session is touched")
			return err
		},
		func() error { return s.PutMark(ctx, l.state, []byte("outcome"), time.Hour) },
	}
	if l.LoggedOut {
		steps = append(steps,
			func() error { return s.DeleteCtx(ctx, l.Token) },
			func() error { return s.RemoveSession(ctx, l.user, l.Token) })
	}
	return steps
}

// Traffic is a stream of logins through several stores. Each call that fails is
// retried until it succeeds, as the middleware does.
type Traffic struct {
	t      *testing.T
	logins []*Login
	wg     sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	released int       // logins that may begin
	begun    int       // logins that have
	Done     int       // logins that are complete
	failures int       // calls that failed
	last     time.Time // of a login's completion
	longest  time.Duration
	stopped  bool
}

// StartTraffic starts workers that perform released logins, each of them one
// after the other and, if every is not 0, not faster than that.
func StartTraffic(t *testing.T, logins []*Login, workers int, every time.Duration, stores ...store.Sessions) *Traffic {
	tr := &Traffic{t: t, logins: logins, last: time.Now()}
	tr.changed = sync.NewCond(&tr.mu)
	for i := range workers {
		tr.wg.Go(func() { tr.work(stores[i%len(stores)], every) })
	}
	t.Cleanup(tr.stop)
	return tr
}

func (tr *Traffic) work(s store.Sessions, every time.Duration) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	pause := make(<-chan time.Time)
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		pause = ticker.C
	}
	for {
		l, ok := tr.begin()
		if !ok {
			return
		}
		for _, step := range l.steps(s, func(ok bool, what string) { assert.True(tr.t, ok, what) }) {
			for err := step(); err != nil; err = step() {
				tr.failed(err)
				<-again.C
			}
		}
		tr.complete()
		if every > 0 {
			<-pause
		}
	}
}

// begin waits for a login to be released.
func (tr *Traffic) begin() (*Login, bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for tr.begun == tr.released && !tr.stopped {
		tr.changed.Wait()
	}
	if tr.stopped {
		return nil, false
	}
	tr.begun++
	return tr.logins[tr.begun-1], true
}

func (tr *Traffic) complete() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	now := time.Now()
	tr.longest, tr.last = max(tr.longest, now.Sub(tr.last)), now
	tr.Done++
	tr.changed.Broadcast()
}

// failed counts a call that failed. Every fault in these tests is temporary, and
// its class must be one that permits a retry.
func (tr *Traffic) failed(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failures++
	assert.Contains(tr.t, []store.Class{store.ClassRetryNow, store.ClassRetryFresh}, store.ClassOf(err), "%v", err)
}

// Release allows n more logins to start.
func (tr *Traffic) Release(n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.released = min(tr.released+n, len(tr.logins))
	tr.changed.Broadcast()
}

// Await returns when n more of the released logins are complete.
func (tr *Traffic) Await(n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for n = min(tr.Done+n, tr.released); tr.Done < n; {
		tr.changed.Wait()
	}
}

// Do releases n more logins and returns when they are complete.
func (tr *Traffic) Do(n int) {
	tr.Release(n)
	tr.Await(len(tr.logins))
}

// stop ends the traffic after the logins that have started.
func (tr *Traffic) stop() {
	tr.mu.Lock()
	tr.stopped = true
	tr.changed.Broadcast()
	tr.mu.Unlock()
	tr.wg.Wait()
}

// Verify ends the traffic and checks everything that the logins have stored.
func (tr *Traffic) Verify(s store.Sessions) {
	t, ctx := tr.t, context.Background()
	tr.stop()
	t.Logf("%d logins, %d calls repeated, longest time without a login complete: %v",
		tr.Done, tr.failures, tr.longest.Round(time.Millisecond))

	users, lost := map[string][]string{}, 0
	for _, l := range tr.logins[:tr.Done] {
		users[l.user] = append(users[l.user], "")[:len(users[l.user])]
		b, found, err := s.FindCtx(ctx, l.Token)
		assert.NoError(t, err)
		if l.LoggedOut {
			assert.False(t, found, "a session exists after logout")
		} else {
			users[l.user] = append(users[l.user], l.Token)
			if !found || string(b) != string(l.record) {
				lost++
			}
		}
		outcome, _, err := s.Mark(ctx, l.state)
		assert.NoError(t, err)
		assert.Equal(t, "outcome", string(outcome))
		again, err := s.PutMarkNX(ctx, l.state, []byte("another's"), time.Hour)
		assert.NoError(t, err)
		assert.False(t, again, "a claim was won twice")
	}
	assert.Zero(t, lost, "logins lost")
	for user, tokens := range users {
		indexed, err := s.SessionsOf(ctx, user)
		assert.NoError(t, err)
		assert.ElementsMatch(t, tokens, indexed)
	}
}

// NewLogins returns n logins.
func NewLogins(n int) []*Login {
	logins := make([]*Login, n)
	for i := range logins {
		logins[i] = newLogin(i)
	}
	return logins
}
