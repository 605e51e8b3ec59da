package goredisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/goredisstore"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// noon is the time on the clock of stores whose commands are compared.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// sent returns the commands that f makes the server execute, without those that
// keep up connections.
func sent(server *redistest.Server, f func()) []string {
	commands := []string{}
	for _, c := range server.Commands(f) {
		name, _, _ := strings.Cut(c, " ")
		switch strings.ToUpper(name) {
		case "PING", "CLIENT", "HELLO", "CLUSTER":
		default:
			commands = append(commands, c)
		}
	}
	return commands
}

// operations are all that a store can do, building on each other.
func operations(ctx context.Context, s store.Sessions, token string) []func() error {
	later := noon.Add(time.Hour)
	find := func() error { _, _, err := s.FindCtx(ctx, token); return err }
	return []func() error{
		find,
		func() error { _, err := s.UpdateCtx(ctx, token, []byte("r"), later); return err },
		func() error { _, err := s.TouchCtx(ctx, token, later); return err },
		func() error { return s.CommitCtx(ctx, token, []byte("r \r\n\x00\xff"), later) },
		find,
		func() error { _, _, _, err := s.FindTTLCtx(ctx, token); return err },
		func() error { _, err := s.UpdateCtx(ctx, token, []byte("q"), later); return err },
		func() error { _, err := s.TouchCtx(ctx, token, later.Add(time.Microsecond)); return err },
		func() error { return s.CommitCtx(ctx, token, nil, noon.Add(1)) },
		func() error { return s.CommitCtx(ctx, token, []byte("r"), noon) },
		func() error { _, err := s.UpdateCtx(ctx, token, []byte("r"), noon.Add(-1)); return err },
		func() error { _, err := s.TouchCtx(ctx, token, time.Time{}); return err },
		func() error { return s.CommitCtx(ctx, token, []byte("r"), noon.AddDate(10_000, 0, 0)) },
		func() error { _, err := s.AllCtx(ctx); return err },
		func() error { return s.DeleteCtx(ctx, token) },
		func() error { _, err := s.PutMarkNX(ctx, "state", []byte("a"), time.Minute); return err },
		func() error { _, err := s.PutMarkNX(ctx, "state", []byte("b"), time.Minute); return err },
		func() error { return s.PutMark(ctx, "state", []byte("c"), time.Minute) },
		func() error { _, _, err := s.Mark(ctx, "state"); return err },
		func() error { return s.DeleteMark(ctx, "state") },
		func() error { return s.AddSession(ctx, "openid", token, later.Add(time.Hour)) },
		func() error { return s.AddSession(ctx, "openid", storetest.Token(), later) },
		func() error { _, err := s.SessionsOf(ctx, "openid"); return err },
		func() error { return s.RemoveSession(ctx, "openid", token) },
	}
}

func TestEachOperationSendsTheCommandsOfPackageStore(t *testing.T) {
	ctx := context.Background()
	theirServer, ourServer := redistest.Start(t), redistest.Start(t)
	for _, prefix := range []string{"scs:session:", "a[b]*?\\c:"} {
		theirs := store.New(theirServer.Pool(), store.WithClock(atNoon), store.WithPrefix(prefix), store.WithTimeout(patience))
		ours := open(t, one(ourServer), goredisstore.WithClock(atNoon), goredisstore.WithPrefix(prefix))
		token := storetest.Token()
		want, got := operations(ctx, theirs, token), operations(ctx, ours, token)
		for i := range want {
			expected := sent(theirServer, func() { require.NoError(t, want[i]()) })
			actual := sent(ourServer, func() { require.NoError(t, got[i]()) })
			require.NotEmpty(t, expected)
			assert.Equal(t, withoutTokens(expected), withoutTokens(actual), "operation %d", i)
		}
	}
}

// withoutTokens hides the token that an operation makes for itself.
func withoutTokens(commands []string) []string {
	for i, c := range commands {
		if words := strings.Fields(c); words[0] == "ZADD" {
			commands[i] = strings.Join(words[:3], " ")
		}
	}
	return commands
}
