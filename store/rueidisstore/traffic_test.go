package rueidisstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// login is what one login leaves in Redis.
type login struct {
	state, attempt, user, token string
	record                      []byte
	loggedOut                   bool
}

// newLogin makes the login of this number. Four belong to one user, the fourth
// of whom logs out again.
func newLogin(n int) *login {
	return &login{
		state:   fmt.Sprintf("state %d", n),
		attempt: storetest.Token(),
		user:    fmt.Sprintf("user %d", n/4),
		token:   storetest.Token(),
		record:  fmt.Appendf(nil, "record %d", n),

		loggedOut: n%4 == 3,
	}
}

// steps are the calls that a login makes, and a visit after it.
func (l *login) steps(s store.Sessions, expect func(ok bool, what string)) []func() error {
	ctx := context.Background()
	steps := []func() error{
		func() error {
			won, err := s.PutMarkNX(ctx, l.state, []byte(l.attempt), time.Hour)
			expect(won || err != nil, "the claim is won")
			return err
		},
		func() error { return s.AddSession(ctx, l.user, l.token, inAnHour()) },
		func() error { return s.CommitCtx(ctx, l.token, l.record, inAnHour()) },
		func() error {
			b, _, found, err := s.FindTTLCtx(ctx, l.token)
			expect(found && string(b) == string(l.record) || err != nil, "the session is read back")
			return err
		},
		func() error {
			found, err := s.TouchCtx(ctx, l.token, inAnHour())
			expect(found || err != nil, "the session is touched")
			return err
		},
		func() error { return s.PutMark(ctx, l.state, []byte("outcome"), time.Hour) },
	}
	if l.loggedOut {
		steps = append(steps,
			func() error { return s.DeleteCtx(ctx, l.token) },
			func() error { return s.RemoveSession(ctx, l.user, l.token) })
	}
	return steps
}

// traffic is a stream of logins through several stores. Each call that fails is
// repeated until it succeeds, as the login wall does.
type traffic struct {
	t      *testing.T
	logins []*login
	wg     sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	released int       // logins that may begin
	begun    int       // logins that have
	done     int       // logins that are complete
	failures int       // calls that failed
	last     time.Time // of a login's completion
	longest  time.Duration
	stopped  bool
}

// startTraffic sets workers to do logins that are released, each of them one
// after the other and, if every is not 0, not faster than that.
func startTraffic(t *testing.T, logins []*login, workers int, every time.Duration, stores ...store.Sessions) *traffic {
	tr := &traffic{t: t, logins: logins, last: time.Now()}
	tr.changed = sync.NewCond(&tr.mu)
	for i := range workers {
		tr.wg.Go(func() { tr.work(stores[i%len(stores)], every) })
	}
	t.Cleanup(tr.stop)
	return tr
}

func (tr *traffic) work(s store.Sessions, every time.Duration) {
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

// begin waits for a login that is released.
func (tr *traffic) begin() (*login, bool) {
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

func (tr *traffic) complete() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	now := time.Now()
	tr.longest, tr.last = max(tr.longest, now.Sub(tr.last)), now
	tr.done++
	tr.changed.Broadcast()
}

// failed counts a call that failed. No fault of these tests is one of those that
// do not pass.
func (tr *traffic) failed(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failures++
	assert.Contains(tr.t, []store.Class{store.ClassRetryNow, store.ClassRetryFresh}, store.ClassOf(err), "%v", err)
}

// release lets n more logins begin.
func (tr *traffic) release(n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.released = min(tr.released+n, len(tr.logins))
	tr.changed.Broadcast()
}

// await returns when n more of the logins that were released are complete.
func (tr *traffic) await(n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for n = min(tr.done+n, tr.released); tr.done < n; {
		tr.changed.Wait()
	}
}

// do releases n more logins and returns when they are complete.
func (tr *traffic) do(n int) {
	tr.release(n)
	tr.await(len(tr.logins))
}

// stop ends the traffic after the logins that have begun.
func (tr *traffic) stop() {
	tr.mu.Lock()
	tr.stopped = true
	tr.changed.Broadcast()
	tr.mu.Unlock()
	tr.wg.Wait()
}

// verify ends the traffic and looks for all that the logins have left.
func (tr *traffic) verify(s store.Sessions) {
	t, ctx := tr.t, context.Background()
	tr.stop()
	t.Logf("%d logins, %d calls repeated, longest time without a login complete: %v",
		tr.done, tr.failures, tr.longest.Round(time.Millisecond))

	users, lost := map[string][]string{}, 0
	for _, l := range tr.logins[:tr.done] {
		users[l.user] = append(users[l.user], "")[:len(users[l.user])]
		b, found, err := s.FindCtx(ctx, l.token)
		assert.NoError(t, err)
		if l.loggedOut {
			assert.False(t, found, "logged out and alive")
		} else {
			users[l.user] = append(users[l.user], l.token)
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

func newLogins(n int) []*login {
	logins := make([]*login, n)
	for i := range logins {
		logins[i] = newLogin(i)
	}
	return logins
}

func inAnHour() time.Time { return time.Now().Add(time.Hour) }
