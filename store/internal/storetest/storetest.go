// Package storetest tests that a session store keeps the guarantees of package
// store, wherever it stores the sessions.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
)

// Opener returns an empty store that uses the real time.
type Opener func(t *testing.T) store.Sessions

// Run checks that the stores that open returns keep the guarantees of package
// store's interfaces.
func Run(t *testing.T, open Opener) {
	for _, group := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"records", testRecords},
		{"updates", testUpdates},
		{"touches", testTouches},
		{"drops", testDrops},
		{"malformed tokens", testMalformedTokens},
		{"canceled requests", testCanceled},
		{"iteration", testIteration},
		{"marks", testMarks},
		{"index", testIndex},
		{"session manager", testSessionManager},
	} {
		t.Run(group.name, func(t *testing.T) { group.test(t, open) })
	}
}

// Token returns a new session token as scs generates it.
func Token() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// MalformedTokens lists strings that are not tokens.
func MalformedTokens() map[string]string {
	token := Token()
	return map[string]string{
		"empty":           "",
		"one short":       token[:42],
		"one long":        token + "A",
		"4 KB":            strings.Repeat("A", 4<<10),
		"900 KB":          strings.Repeat("A", 900<<10),
		"padding":         token[:42] + "=",
		"base64":          token[:42] + "+",
		"slash":           token[:42] + "/",
		"pattern":         strings.Repeat("*", 43),
		"line break":      token[:41] + "\r\n",
		"NUL":             token[:42] + "\x00",
		"space":           token[:42] + " ",
		"not ASCII":       token[:41] + "é",
		"high byte":       token[:42] + "\xff",
		"another's colon": token[:42] + ":",
	}
}

func soon() time.Time { return time.Now().Add(time.Hour) }
func past() time.Time { return time.Now().Add(-time.Hour) }

func testRecords(t *testing.T, open Opener) {
	ctx := context.Background()

	t.Run("an unknown token is not found", func(t *testing.T) {
		b, found, err := open(t).FindCtx(ctx, Token())
		require.NoError(t, err)
		assert.False(t, found)
		assert.Nil(t, b)
	})
	t.Run("a committed record is found, byte for byte", func(t *testing.T) {
		for name, want := range map[string][]byte{
			"text": []byte("openid"), "empty": {}, "every byte": everyByte(), "64 KiB": make([]byte, 64<<10),
		} {
			s, token := open(t), Token()
			require.NoError(t, s.CommitCtx(ctx, token, want, soon()), name)
			b, found, err := s.FindCtx(ctx, token)
			require.NoError(t, err, name)
			assert.True(t, found, name)
			assert.Equal(t, want, b, name)
		}
	})
	t.Run("a commit replaces the record", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("old"), soon()))
		require.NoError(t, s.CommitCtx(ctx, token, []byte("new"), soon()))
		assertRecord(t, s, token, "new")
	})
	t.Run("the store shares no bytes with its callers", func(t *testing.T) {
		s, token := open(t), Token()
		given := []byte("record")
		require.NoError(t, s.CommitCtx(ctx, token, given, soon()))
		given[0] = 'X'
		got, _, err := s.FindCtx(ctx, token)
		require.NoError(t, err)
		got[0] = 'Y'
		assertRecord(t, s, token, "record")
	})
	t.Run("tokens that differ in case are different sessions", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.CommitCtx(ctx, strings.Repeat("a", 43), []byte("lower"), soon()))
		require.NoError(t, s.CommitCtx(ctx, strings.Repeat("A", 43), []byte("upper"), soon()))
		assertRecord(t, s, strings.Repeat("a", 43), "lower")
	})
	t.Run("a deleted record is not found", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
		require.NoError(t, s.DeleteCtx(ctx, token))
		assertGone(t, s, token)
	})
	t.Run("deleting a record reports whether there was one", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
		for _, want := range []bool{true, false} {
			found, err := s.DeleteAndReportCtx(ctx, token)
			require.NoError(t, err)
			assert.Equal(t, want, found)
			assertGone(t, s, token)
		}
		found, err := s.DeleteAndReportCtx(ctx, "no token")
		require.NoError(t, err)
		assert.False(t, found)
	})
	t.Run("deleting an unknown token is no error", func(t *testing.T) {
		require.NoError(t, open(t).DeleteCtx(ctx, Token()))
	})
	t.Run("a commit whose expiry has passed removes the record", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
		require.NoError(t, s.CommitCtx(ctx, token, []byte("late"), past()))
		assertGone(t, s, token)
		require.NoError(t, s.CommitCtx(ctx, token, []byte("never"), time.Time{}))
		assertGone(t, s, token)
	})
	t.Run("a record of more than 1 MiB is an error", func(t *testing.T) {
		s, token := open(t), Token()
		err := s.CommitCtx(ctx, token, make([]byte, 1<<20+1), soon())
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err), "%v", err)
		assertGone(t, s, token)
	})
	t.Run("the remaining lifetime is returned with the record", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
		b, ttl, found, err := s.FindTTLCtx(ctx, token)
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, "record", string(b))
		assert.Greater(t, ttl, time.Duration(0))
		assert.LessOrEqual(t, ttl, time.Hour+time.Millisecond)

		_, _, found, err = s.FindTTLCtx(ctx, Token())
		require.NoError(t, err)
		assert.False(t, found)
	})
	t.Run("the calls without a context do the same", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.Commit(token, []byte("record"), soon()))
		b, found, err := s.Find(token)
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, "record", string(b))
		all, err := s.All()
		require.NoError(t, err)
		assert.Equal(t, map[string][]byte{token: []byte("record")}, all)
		require.NoError(t, s.Delete(token))
		assertGone(t, s, token)
	})
}

func testUpdates(t *testing.T, open Opener) {
	ctx := context.Background()

	t.Run("an update replaces a record and its expiry", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("old"), time.Now().Add(time.Minute)))
		found, err := s.UpdateCtx(ctx, token, []byte("new"), soon())
		require.NoError(t, err)
		assert.True(t, found)
		assertRecord(t, s, token, "new")
		_, ttl, _, err := s.FindTTLCtx(ctx, token)
		require.NoError(t, err)
		assert.Greater(t, ttl, time.Minute)
	})
	t.Run("an update does not restore a deleted session", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("old"), soon()))
		require.NoError(t, s.DeleteCtx(ctx, token))
		found, err := s.UpdateCtx(ctx, token, []byte("late"), soon())
		require.NoError(t, err)
		assert.False(t, found)
		assertGone(t, s, token)
	})
	t.Run("an update whose expiry has passed removes the record", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("old"), soon()))
		found, err := s.UpdateCtx(ctx, token, []byte("late"), past())
		require.NoError(t, err)
		assert.False(t, found)
		assertGone(t, s, token)
	})
	t.Run("none of a hundred updates survives a concurrent logout", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("old"), soon()))
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if i == 50 {
					assert.NoError(t, s.DeleteCtx(ctx, token))
					return
				}
				_, err := s.UpdateCtx(ctx, token, []byte("late"), soon())
				assert.NoError(t, err)
				_, err = s.TouchCtx(ctx, token, soon())
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		assertGone(t, s, token)
	})
}

func testDrops(t *testing.T, open Opener) {
	t.Run("deleting many tokens returns those that had a record", func(t *testing.T) {
		s, ctx := open(t), context.Background()
		var tokens, alive []string
		for i := range 250 {
			tokens = append(tokens, Token())
			if i%2 == 0 {
				alive = append(alive, tokens[i])
				require.NoError(t, s.CommitCtx(ctx, tokens[i], []byte("record"), soon()))
				_, _, err := s.FindCtx(ctx, tokens[i])
				require.NoError(t, err)
			}
		}
		stays := Token()
		require.NoError(t, s.CommitCtx(ctx, stays, []byte("record"), soon()))

		ended, cancel := context.WithCancel(ctx)
		cancel()
		dropped, err := s.DeleteAndReportAllCtx(ended, tokens)
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, dropped)

		dropped, err = s.DeleteAndReportAllCtx(ctx, append(tokens, "no token"))
		require.NoError(t, err)
		assert.Equal(t, alive, dropped)
		for _, token := range tokens {
			assertGone(t, s, token)
		}
		assertRecord(t, s, stays, "record")
		dropped, err = s.DeleteAndReportAllCtx(ctx, tokens)
		require.NoError(t, err)
		assert.Empty(t, dropped)
	})
}

func testTouches(t *testing.T, open Opener) {
	ctx := context.Background()

	t.Run("a touch changes the expiry and not the record", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), time.Now().Add(time.Minute)))
		for _, life := range []time.Duration{time.Hour, time.Second * 30} {
			found, err := s.TouchCtx(ctx, token, time.Now().Add(life))
			require.NoError(t, err)
			assert.True(t, found)
			_, ttl, _, err := s.FindTTLCtx(ctx, token)
			require.NoError(t, err)
			assert.LessOrEqual(t, ttl, life+time.Millisecond)
			assert.Greater(t, ttl, life/2)
		}
		assertRecord(t, s, token, "record")
	})
	t.Run("a touch does not restore a deleted session", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
		require.NoError(t, s.DeleteCtx(ctx, token))
		found, err := s.TouchCtx(ctx, token, soon())
		require.NoError(t, err)
		assert.False(t, found)
		assertGone(t, s, token)
	})
	t.Run("a touch whose expiry has passed removes the record", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(ctx, token, []byte("record"), soon()))
		found, err := s.TouchCtx(ctx, token, past())
		require.NoError(t, err)
		assert.False(t, found)
		assertGone(t, s, token)
	})
}

func testMalformedTokens(t *testing.T, open Opener) {
	ctx := context.Background()
	for name, token := range MalformedTokens() {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			_, found, err := s.FindCtx(ctx, token)
			require.NoError(t, err)
			assert.False(t, found)
			_, _, found, err = s.FindTTLCtx(ctx, token)
			require.NoError(t, err)
			assert.False(t, found)
			found, err = s.UpdateCtx(ctx, token, []byte("record"), soon())
			require.NoError(t, err)
			assert.False(t, found)
			found, err = s.TouchCtx(ctx, token, soon())
			require.NoError(t, err)
			assert.False(t, found)
			require.NoError(t, s.DeleteCtx(ctx, token))
			require.NoError(t, s.RemoveSession(ctx, "user", token))

			err = s.CommitCtx(ctx, token, []byte("record"), soon())
			assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
			err = s.AddSession(ctx, "user", token, soon())
			assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
			if token != "" {
				assert.NotContains(t, err.Error(), token)
			}

			all, err := s.AllCtx(ctx)
			require.NoError(t, err)
			assert.Empty(t, all)
			tokens, err := s.SessionsOf(ctx, "user")
			require.NoError(t, err)
			assert.Empty(t, tokens)
		})
	}
}

func testCanceled(t *testing.T, open Opener) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()

	t.Run("every write is made", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.CommitCtx(canceled, token, []byte("record"), soon()))
		assertRecord(t, s, token, "record")
		found, err := s.UpdateCtx(canceled, token, []byte("new"), soon())
		require.NoError(t, err)
		assert.True(t, found)
		found, err = s.TouchCtx(canceled, token, soon())
		require.NoError(t, err)
		assert.True(t, found)
		require.NoError(t, s.AddSession(canceled, "user", token, soon()))
		won, err := s.PutMarkNX(canceled, "k", []byte("v"), time.Hour)
		require.NoError(t, err)
		assert.True(t, won)
		won, err = s.PutMarkNX(canceled, "k", []byte("other"), time.Hour)
		require.NoError(t, err)
		assert.False(t, won)
		require.NoError(t, s.PutMark(canceled, "k", []byte("w"), time.Hour))
		require.NoError(t, s.DeleteMark(canceled, "k"))
		require.NoError(t, s.RemoveSession(canceled, "user", token))
		require.NoError(t, s.DeleteCtx(canceled, token))
		assertGone(t, s, token)
	})
	t.Run("every read returns the error, never not found", func(t *testing.T) {
		s, token := open(t), Token()
		_, _, findErr := s.FindCtx(canceled, token)
		_, _, _, ttlErr := s.FindTTLCtx(canceled, token)
		_, allErr := s.AllCtx(canceled)
		_, _, markErr := s.Mark(canceled, "k")
		_, indexErr := s.SessionsOf(canceled, "user")
		for _, err := range []error{findErr, ttlErr, allErr, markErr, indexErr} {
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, store.ClassRetryNow, store.ClassOf(err))
		}
	})
}

func testIteration(t *testing.T, open Opener) {
	ctx := context.Background()

	t.Run("an empty store returns an empty map", func(t *testing.T) {
		all, err := open(t).AllCtx(ctx)
		require.NoError(t, err)
		assert.NotNil(t, all)
		assert.Empty(t, all)
	})
	t.Run("every session is returned, and no mark or index", func(t *testing.T) {
		s, want := open(t), map[string][]byte{}
		for i := range 250 {
			token := Token()
			want[token] = fmt.Appendf(nil, "record %d", i)
			require.NoError(t, s.CommitCtx(ctx, token, want[token], soon()))
			require.NoError(t, s.AddSession(ctx, token, token, soon()))
			require.NoError(t, s.PutMark(ctx, token, []byte("v"), time.Hour))
		}
		all, err := s.AllCtx(ctx)
		require.NoError(t, err)
		assert.Equal(t, want, all)
	})
}

func testMarks(t *testing.T, open Opener) {
	ctx := context.Background()

	t.Run("an unknown mark is not found", func(t *testing.T) {
		_, found, err := open(t).Mark(ctx, "k")
		require.NoError(t, err)
		assert.False(t, found)
	})
	t.Run("the first claim wins, a later one with another value loses", func(t *testing.T) {
		s := open(t)
		won, err := s.PutMarkNX(ctx, "k", []byte("first"), time.Hour)
		require.NoError(t, err)
		assert.True(t, won)
		won, err = s.PutMarkNX(ctx, "k", []byte("second"), time.Hour)
		require.NoError(t, err)
		assert.False(t, won)
		assertMark(t, s, "k", "first")
	})
	t.Run("a repeated claim with the same value wins", func(t *testing.T) {
		s := open(t)
		for range 2 {
			won, err := s.PutMarkNX(ctx, "k", []byte("mine"), time.Hour)
			require.NoError(t, err)
			assert.True(t, won)
		}
	})
	t.Run("exactly one of a hundred concurrent claims wins", func(t *testing.T) {
		s := open(t)
		wins := make(chan int, 100)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				won, err := s.PutMarkNX(ctx, "k", fmt.Append(nil, i), time.Hour)
				assert.NoError(t, err)
				if won {
					wins <- i
				}
			})
		}
		wg.Wait()
		require.Len(t, wins, 1)
		assertMark(t, s, "k", fmt.Sprint(<-wins))
	})
	t.Run("a mark is overwritten and deleted", func(t *testing.T) {
		s := open(t)
		require.NoError(t, s.PutMark(ctx, "k", []byte("claim"), time.Hour))
		require.NoError(t, s.PutMark(ctx, "k", []byte("outcome"), time.Hour))
		assertMark(t, s, "k", "outcome")
		require.NoError(t, s.DeleteMark(ctx, "k"))
		require.NoError(t, s.DeleteMark(ctx, "k"))
		_, found, err := s.Mark(ctx, "k")
		require.NoError(t, err)
		assert.False(t, found)
		won, err := s.PutMarkNX(ctx, "k", []byte("again"), time.Hour)
		require.NoError(t, err)
		assert.True(t, won)
	})
	t.Run("any string is a key, any bytes are a value", func(t *testing.T) {
		s := open(t)
		keys := []string{"", "a", "A", "a\x00", strings.Repeat("k", 10_000), "鍵", "*", "a b\r\n"}
		for _, key := range keys {
			require.NoError(t, s.PutMark(ctx, key, append(everyByte(), key...), time.Hour))
		}
		for _, key := range keys {
			assertMark(t, s, key, string(everyByte())+key)
		}
		require.NoError(t, s.PutMark(ctx, "empty", nil, time.Hour))
		assertMark(t, s, "empty", "")
	})
	t.Run("a mark without a lifetime is an error", func(t *testing.T) {
		s := open(t)
		_, err := s.PutMarkNX(ctx, "k", []byte("v"), 0)
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
		err = s.PutMark(ctx, "k", []byte("v"), -time.Second)
		assert.Equal(t, store.ClassConfiguration, store.ClassOf(err))
		_, found, err := s.Mark(ctx, "k")
		require.NoError(t, err)
		assert.False(t, found)
	})
	t.Run("marks and sessions have separate keys", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.PutMark(ctx, token, []byte("mark"), time.Hour))
		assertGone(t, s, token)
	})
}

func testIndex(t *testing.T, open Opener) {
	ctx := context.Background()

	t.Run("an unknown user has no sessions", func(t *testing.T) {
		tokens, err := open(t).SessionsOf(ctx, "unknown")
		require.NoError(t, err)
		assert.Empty(t, tokens)
	})
	t.Run("sessions are listed by user", func(t *testing.T) {
		s := open(t)
		a1, a2, b1 := Token(), Token(), Token()
		require.NoError(t, s.AddSession(ctx, "a", a1, soon()))
		require.NoError(t, s.AddSession(ctx, "a", a2, soon()))
		require.NoError(t, s.AddSession(ctx, "b", b1, soon()))
		assertIndex(t, s, "a", a1, a2)
		assertIndex(t, s, "b", b1)
	})
	t.Run("adding twice counts once", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.AddSession(ctx, "a", token, soon()))
		require.NoError(t, s.AddSession(ctx, "a", token, soon().Add(time.Hour)))
		assertIndex(t, s, "a", token)
	})
	t.Run("removing deletes one session from the index, not its record", func(t *testing.T) {
		s, gone, stays := open(t), Token(), Token()
		require.NoError(t, s.CommitCtx(ctx, gone, []byte("record"), soon()))
		require.NoError(t, s.AddSession(ctx, "a", gone, soon()))
		require.NoError(t, s.AddSession(ctx, "a", stays, soon()))
		require.NoError(t, s.RemoveSession(ctx, "a", gone))
		require.NoError(t, s.RemoveSession(ctx, "a", gone))
		require.NoError(t, s.RemoveSession(ctx, "unknown", gone))
		assertIndex(t, s, "a", stays)
		assertRecord(t, s, gone, "record")
	})
	t.Run("an expired session is not added", func(t *testing.T) {
		s, token := open(t), Token()
		require.NoError(t, s.AddSession(ctx, "a", token, past()))
		assertIndex(t, s, "a")
	})
	t.Run("a short session does not shorten the index of a long one", func(t *testing.T) {
		s, long, short := open(t), Token(), Token()
		require.NoError(t, s.AddSession(ctx, "a", long, soon()))
		require.NoError(t, s.AddSession(ctx, "a", short, time.Now().Add(time.Minute)))
		assertIndex(t, s, "a", long, short)
	})
	t.Run("sessions added concurrently are all kept", func(t *testing.T) {
		s := open(t)
		tokens := make([]string, 50)
		var wg sync.WaitGroup
		for i := range tokens {
			tokens[i] = Token()
			wg.Go(func() { assert.NoError(t, s.AddSession(ctx, "a", tokens[i], soon())) })
		}
		wg.Wait()
		assertIndex(t, s, "a", tokens...)
	})
}

func assertRecord(t *testing.T, s store.Sessions, token, want string) {
	t.Helper()
	b, found, err := s.FindCtx(context.Background(), token)
	require.NoError(t, err)
	assert.True(t, found, "record not found")
	assert.Equal(t, want, string(b))
}

func assertGone(t *testing.T, s store.Sessions, token string) {
	t.Helper()
	_, found, err := s.FindCtx(context.Background(), token)
	require.NoError(t, err)
	assert.False(t, found, "the session still exists")
}

func assertMark(t *testing.T, s store.Sessions, key, want string) {
	t.Helper()
	b, found, err := s.Mark(context.Background(), key)
	require.NoError(t, err)
	assert.True(t, found, "mark %q not found", key)
	assert.Equal(t, want, string(b))
}

func assertIndex(t *testing.T, s store.Sessions, user string, want ...string) {
	t.Helper()
	got, err := s.SessionsOf(context.Background(), user)
	require.NoError(t, err)
	assert.ElementsMatch(t, want, got)
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
