package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// A tally counts failures that must not happen in any case.
type tally struct {
	cases, rejected               int
	lost, foreign, stale, unclear int
}

// A trial is one store against one server.
type trial struct {
	t     *testing.T
	open  func() fullStore // another instance, with the same sessions
	s     fullStore
	near  bool // the store has a near cache
	tally *tally
}

// cases cover a login, a page visit, a logout and the operator.
var cases = []struct {
	name string
	run  func(*trial) error
}{
	{"session", (*trial).session},
	{"update and touch", (*trial).update},
	{"delete", (*trial).delete},
	{"marks", (*trial).marks},
	{"claims", (*trial).claims},
	{"index", (*trial).index},
	{"batch", (*trial).batch},
	{"many at once", (*trial).many},
	{"two instances", (*trial).instances},
	{"encrypted", (*trial).encrypted},
	{"list", (*trial).list},
	{"check", (*trial).check},
}

func TestServers(t *testing.T) {
	var sum tally
	started := 0
	for _, server := range servers(t) {
		t.Run(server.name, func(t *testing.T) {
			started++
			address := server.start(t)
			for _, under := range stores {
				if server.topology && !under.topology {
					continue
				}
				t.Run(under.name, func(t *testing.T) { testStore(t, server, address, under.name, under.open, &sum) })
			}
		})
	}
	fmt.Printf("stores: servers %d, stores %d, cases %d, rejected %d, lost %d, foreign %d, stale %d, unclear %d\n",
		started, len(stores), sum.cases, sum.rejected, sum.lost, sum.foreign, sum.stale, sum.unclear)
	assert.Zero(t, sum.lost+sum.foreign+sum.stale+sum.unclear)
}

func testStore(t *testing.T, server server, a address, name string, open func(*testing.T, address, string) fullStore, sum *tally) {
	prefix := "scs:session:" + strings.ReplaceAll(name, " ", "") + ":"
	s := open(t, a, prefix)
	says, cannot := server.cannot[name]
	if all, ok := server.cannot["*"]; ok {
		says, cannot = all, true
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sum.cases++
			x := &trial{t: t, s: s, near: name == nearCache, tally: sum, open: func() fullStore { return open(t, a, prefix) }}
			err := c.run(x)
			switch {
			case err == nil:
				assert.False(t, cannot, "the server can be used: correct the table of servers")
				return
			case cannot:
				sum.rejected++
				assert.Contains(t, err.Error(), says)
			case slices.Contains(server.rejects, c.name):
				sum.rejected++
			default:
				assert.NoError(t, err)
			}
			if !isClear(err) {
				sum.unclear++
				t.Errorf("unclear: %v", err)
			}
		})
	}
}

// advice are the words with which an error names its fix.
var advice = []string{"use ", "leave ", "grant ", "add ", "set ", "check ", "needs "}

// isClear reports whether an error says what to do.
func isClear(err error) bool {
	return slices.ContainsFunc(advice, func(word string) bool { return strings.Contains(err.Error(), word) })
}

func inAnHour() time.Time { return time.Now().Add(time.Hour) }

// expect reads a session and counts a record that differs from the saved one.
func (x *trial) expect(s store.Sessions, token, want string) error {
	b, _, found, err := s.FindTTLCtx(context.Background(), token)
	switch {
	case err != nil:
		return err
	case !found:
		x.tally.lost++
		x.t.Error("session lost")
	case string(b) != want:
		x.tally.foreign++
		x.t.Error("the session of another token")
	}
	return nil
}

// gone reads a session that was deleted, and counts one that is still there.
func (x *trial) gone(s store.Sessions, token string) error {
	_, found, err := s.FindCtx(context.Background(), token)
	if found {
		x.tally.stale++
		x.t.Error("deleted session found")
	}
	return err
}

func (x *trial) session() error {
	ctx, token := context.Background(), storetest.Token()
	if err := x.s.CommitCtx(ctx, token, []byte("record"), inAnHour()); err != nil {
		return err
	}
	_, ttl, _, err := x.s.FindTTLCtx(ctx, token)
	if err != nil {
		return err
	}
	assert.InDelta(x.t, time.Hour, ttl, float64(time.Minute))
	return x.expect(x.s, token, "record")
}

func (x *trial) update() error {
	ctx, token := context.Background(), storetest.Token()
	found, err := x.s.UpdateCtx(ctx, token, []byte("late"), inAnHour())
	if err != nil {
		return err
	}
	assert.False(x.t, found, "an update has restored a session")
	if err := x.s.CommitCtx(ctx, token, []byte("old"), inAnHour()); err != nil {
		return err
	}
	found, err = x.s.UpdateCtx(ctx, token, []byte("new"), inAnHour())
	if err != nil {
		return err
	}
	assert.True(x.t, found)
	found, err = x.s.TouchCtx(ctx, token, time.Now().Add(2*time.Hour))
	if err != nil {
		return err
	}
	assert.True(x.t, found)
	return x.expect(x.s, token, "new")
}

func (x *trial) delete() error {
	ctx, token, other := context.Background(), storetest.Token(), storetest.Token()
	for _, one := range []string{token, other} {
		if err := x.s.CommitCtx(ctx, one, []byte(one), inAnHour()); err != nil {
			return err
		}
	}
	deleted, err := x.s.DeleteAndReportAllCtx(ctx, []string{token, storetest.Token()})
	if err != nil {
		return err
	}
	assert.Equal(x.t, []string{token}, deleted)
	return errors.Join(x.gone(x.s, token), x.expect(x.s, other, other))
}

func (x *trial) marks() error {
	ctx, key := context.Background(), storetest.Token()
	won, err := x.s.PutMarkNX(ctx, key, []byte("first"), time.Hour)
	if err != nil {
		return err
	}
	assert.True(x.t, won)
	won, err = x.s.PutMarkNX(ctx, key, []byte("second"), time.Hour)
	if err != nil {
		return err
	}
	assert.False(x.t, won)
	value, _, err := x.s.Mark(ctx, key)
	assert.Equal(x.t, "first", string(value))
	return errors.Join(err, x.s.DeleteMark(ctx, key))
}

// claims has 50 callers claim the same mark. Exactly one gets it.
func (x *trial) claims() error {
	const callers = 50
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	wins, key := 0, storetest.Token()
	for i := range callers {
		wg.Go(func() {
			won, err := x.s.PutMarkNX(context.Background(), key, fmt.Append(nil, i), time.Hour)
			mu.Lock()
			defer mu.Unlock()
			if won {
				wins++
			}
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return errs[0]
	}
	assert.Equal(x.t, 1, wins)
	return nil
}

func (x *trial) index() error {
	ctx, user := context.Background(), storetest.Token()
	a, b := storetest.Token(), storetest.Token()
	for _, token := range []string{a, b} {
		if err := x.s.AddSession(ctx, user, token, inAnHour()); err != nil {
			return err
		}
	}
	tokens, err := x.s.SessionsOf(ctx, user)
	if err != nil {
		return err
	}
	assert.ElementsMatch(x.t, []string{a, b}, tokens)
	if err := x.s.RemoveSession(ctx, user, a); err != nil {
		return err
	}
	tokens, err = x.s.SessionsOf(ctx, user)
	assert.Equal(x.t, []string{b}, tokens)
	return err
}

func (x *trial) batch() error {
	ctx, user, token := context.Background(), storetest.Token(), storetest.Token()
	var b store.Batch
	b.AddSession(user, token, inAnHour())
	b.Commit(token, []byte("record"), inAnHour())
	b.PutMark(user, []byte("mark"), time.Hour)
	if err := x.s.DoBatch(ctx, b); err != nil {
		return err
	}
	tokens, err := x.s.SessionsOf(ctx, user)
	if err != nil {
		return err
	}
	assert.Equal(x.t, []string{token}, tokens)
	return x.expect(x.s, token, "record")
}

// many saves and reads 500 sessions, 20 at a time.
func (x *trial) many() error {
	const workers, each = 20, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	records := map[string]string{}
	var first error
	for range workers {
		wg.Go(func() {
			for range each {
				token := storetest.Token()
				err := x.s.CommitCtx(context.Background(), token, []byte("record of "+token), inAnHour())
				var b []byte
				if err == nil {
					b, _, err = x.s.FindCtx(context.Background(), token)
				}
				mu.Lock()
				records[token] = string(b)
				if err != nil && first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	for token, record := range maps.All(records) {
		switch record {
		case "record of " + token:
		case "":
			x.tally.lost++
			x.t.Error("session lost")
		default:
			x.tally.foreign++
			x.t.Error("the session of another token")
		}
	}
	return nil
}

// instances ends a session at another instance. It is gone at once, or with a
// near cache as soon as the server has reported the change.
func (x *trial) instances() error {
	ctx, token, other := context.Background(), storetest.Token(), x.open()
	if err := x.s.CommitCtx(ctx, token, []byte("record"), inAnHour()); err != nil {
		return err
	}
	if err := errors.Join(x.expect(x.s, token, "record"), x.expect(other, token, "record")); err != nil {
		return err
	}
	if err := other.DeleteCtx(ctx, token); err != nil {
		return err
	}
	if x.near && !assert.Eventually(x.t, func() bool {
		_, found, err := x.s.FindCtx(ctx, token)
		return err == nil && !found
	}, patience/2, time.Millisecond) {
		x.tally.stale++ // beyond half of the near cache's age
		return nil
	}
	return errors.Join(x.gone(x.s, token), x.gone(other, token))
}

func (x *trial) encrypted() error {
	sealed, err := store.Encrypt(x.s, append(bytes.Repeat([]byte{1}, 31), 0))
	require.NoError(x.t, err)
	token := storetest.Token()
	if err := sealed.CommitCtx(context.Background(), token, []byte("secret"), inAnHour()); err != nil {
		return err
	}
	b, _, err := x.s.FindCtx(context.Background(), token)
	assert.NotContains(x.t, string(b), "secret")
	return errors.Join(err, x.expect(sealed, token, "secret"), x.s.DeleteCtx(context.Background(), token))
}

func (x *trial) list() error {
	ctx, token := context.Background(), storetest.Token()
	if err := x.s.CommitCtx(ctx, token, []byte("record"), inAnHour()); err != nil {
		return err
	}
	all, err := x.s.AllCtx(ctx)
	if err != nil {
		return err
	}
	if string(all[token]) != "record" {
		x.tally.lost++
		x.t.Error("session not listed")
	}
	return nil
}

// check runs the check at start-up. Notes are no problems: a service need not
// show its settings.
func (x *trial) check() error {
	err := x.s.Check(context.Background())
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var problems []error
	for _, one := range several.Unwrap() {
		var found *store.Finding
		if !errors.As(one, &found) || !found.Note {
			problems = append(problems, one)
		}
	}
	return errors.Join(problems...)
}
