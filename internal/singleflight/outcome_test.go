package singleflight

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

// A shared result opens only for its login, and its return URL only for its
// session.
func TestOutcome_open(t *testing.T) {
	ctx := context.Background()
	keys, err := seal.New("kept", []byte("a secret of thirty-two bytes ....."))
	require.NoError(t, err)
	others, err := seal.New("kept", []byte("another secret of thirty-two bytes"))
	require.NoError(t, err)
	marks := store.NewMemory()
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { return now }
	g := &Group{Marks: marks, Keys: keys, Now: clock, Wait: Sleep}
	key, secret := Key("wx1", "state"), []byte("what the browser holds")
	want := Result{Token: "the session's token", Expiry: 1_700_000_000, Target: "/orders?id=7"}

	first, err := g.Join(ctx, key)
	require.NoError(t, err)
	require.NoError(t, first.Share(ctx, want, secret, time.Minute, nil, store.Batch{}))
	second, err := g.Join(ctx, key)
	require.NoError(t, err)
	got, err := second.Open(secret)
	require.NoError(t, err)
	want.Until = now.Add(time.Minute).UnixMilli()
	assert.Equal(t, want, got)
	for _, wrong := range [][]byte{nil, []byte("another"), []byte(want.Token)} {
		_, err := second.Open(wrong)
		assert.ErrorIs(t, err, seal.ErrOpen, "%q", wrong)
		_, found, err := g.Find(ctx, key, wrong)
		assert.False(t, found, "%q", wrong)
		assert.NoError(t, err)
	}
	assert.NotContains(t, string(second.Sealed), want.Token)
	assert.NotContains(t, string(second.Sealed), "orders")

	target, found := g.Target(ctx, key, want.Token)
	assert.True(t, found)
	assert.Equal(t, want.Target, target)
	for _, wrong := range []string{"", "the token of another session", string(secret)} {
		_, found := g.Target(ctx, key, wrong)
		assert.False(t, found, "%q", wrong)
	}

	foreign := &Group{Marks: marks, Keys: others, Now: clock, Wait: Sleep}
	_, found, err = foreign.Find(ctx, key, secret)
	assert.NoError(t, err)
	assert.False(t, found, "who writes the store has no key")
	_, found = foreign.Target(ctx, key, want.Token)
	assert.False(t, found)

	moved := Key("wx1", "another state")
	mark, _, err := marks.Mark(ctx, key)
	require.NoError(t, err)
	require.NoError(t, marks.PutMark(ctx, moved, mark, time.Minute))
	_, found, err = g.Find(ctx, moved, secret)
	assert.NoError(t, err)
	assert.False(t, found, "an outcome is bound to its login")

	now = now.Add(time.Minute + cookie.Skew)
	_, err = second.Open(secret)
	assert.NoError(t, err)
	now = now.Add(time.Millisecond)
	_, err = second.Open(secret)
	assert.ErrorIs(t, err, seal.ErrOpen, "a copy that is put back is worth nothing")
}
