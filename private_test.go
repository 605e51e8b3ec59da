package wechatauth

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
)

// The tests here and in pages_test.go reach private functions of this package.
// All others import it.

// TestObserver_none checks that without an observer nothing is measured and an
// event allocates nothing.
func TestObserver_none(t *testing.T) {
	app, base := WithApp("wx00000000000000a1", "app-secret-for-tests"), WithBaseURL("https://m.example.com")
	storeOf := func(a *Auth) any { return a.Sessions().Store.(interface{ Unwrap() scs.Store }).Unwrap() }
	quiet := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
	auth, err := New(app, base, WithLogger(quiet))
	require.NoError(t, err)
	assert.IsType(t, &store.Memory{}, storeOf(auth), "no wrapper")
	ctx := context.Background()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		auth.report(ctx, Event{Kind: EventLoginStarted, Flow: "flow", AppID: "wx00000000000000a1"})
	}))

	events, err := New(app, base, WithLogger(quiet), WithObserver(silent{}, nil, silent{}))
	require.NoError(t, err)
	assert.IsType(t, &store.Memory{}, storeOf(events), "events alone need no wrapper")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		events.report(ctx, Event{Kind: EventLoginStarted, Flow: "flow", AppID: "wx00000000000000a1"})
	}))
}

// silent is an observer that does nothing.
type silent struct{}

func (silent) Observe(context.Context, Event) {}
