package mini

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

// newStore returns a store on a clock that the test moves.
func newStore(t *testing.T) (s Store, advance func(time.Duration)) {
	t.Helper()
	now := time.Now()
	clock := func() time.Time { return now }
	ring, err := seal.New("kept", []byte("a secret of the application"))
	require.NoError(t, err)
	// The marks never expire, as if the clock of the store stood still.
	frozen := now
	marks := store.NewMemory(store.WithClock(func() time.Time { return frozen }))
	return Store{Marks: marks, Keys: ring, AppID: "wx01", Now: clock}, func(d time.Duration) { now = now.Add(d) }
}

func TestStore_Find(t *testing.T) {
	ctx, ticket := context.Background(), flow.NewState()
	s, advance := newStore(t)
	put := Ticket{Identity: identity.Identity{AppID: "wx01", OpenID: "o01", LoginAt: time.Unix(1, 0)}, Target: "/orders", Session: "key"}
	require.NoError(t, s.Put(ctx, ticket, put))

	got, found, err := s.Find(ctx, ticket)
	require.NoError(t, err)
	require.True(t, found)
	assert.Equal(t, put.Identity.OpenID, got.Identity.OpenID)
	assert.Equal(t, put.Target, got.Target)
	assert.Equal(t, put.Session, got.Session)

	other := s
	other.AppID = "wx02"
	for name, find := range map[string]func() (Ticket, bool, error){
		"another ticket": func() (Ticket, bool, error) { return s.Find(ctx, flow.NewState()) },
		"another AppID":  func() (Ticket, bool, error) { return other.Find(ctx, ticket) },
	} {
		_, found, err := find()
		assert.NoError(t, err, name)
		assert.False(t, found, name)
	}

	advance(TTL + cookie.Skew + time.Second)
	got, found, err = s.Find(ctx, ticket)
	require.NoError(t, err)
	assert.False(t, found, "too old")
	assert.Equal(t, put.Target, got.Target)
}

func TestStore_Use(t *testing.T) {
	ctx, ticket := context.Background(), flow.NewState()
	s, _ := newStore(t)
	use := func() bool {
		won, err := s.Use(ctx, ticket)
		require.NoError(t, err)
		return won
	}
	assert.True(t, use())
	assert.False(t, use())
	require.NoError(t, s.Release(ctx, ticket))
	assert.True(t, use())
}

// lossy sets marks, and loses the replies.
type lossy struct{ store.Marks }

func (l lossy) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if _, err := l.Marks.PutMarkNX(ctx, key, value, ttl); err != nil {
		return false, err
	}
	return false, errors.New("the reply is lost")
}

func TestStore_Use_lostReply(t *testing.T) {
	ctx, ticket := context.Background(), flow.NewState()
	s, _ := newStore(t)
	broken := s
	broken.Marks = lossy{s.Marks}
	won, err := broken.Use(ctx, ticket)
	assert.False(t, won)
	require.Error(t, err)

	won, err = s.Use(ctx, ticket)
	require.NoError(t, err)
	assert.True(t, won, "the ticket is as it was")

	_, err = broken.Use(ctx, ticket)
	require.Error(t, err)
	won, err = s.Use(ctx, ticket)
	require.NoError(t, err)
	assert.False(t, won, "another request's use stays")
}

func TestStore_SessionKey(t *testing.T) {
	ctx := context.Background()
	s, _ := newStore(t)
	_, found, err := s.SessionKey(ctx, "wx01 o01")
	require.NoError(t, err)
	assert.False(t, found)
	require.NoError(t, s.PutSessionKey(ctx, "wx01 o01", "the key", time.Hour))
	key, found, err := s.SessionKey(ctx, "wx01 o01")
	require.NoError(t, err)
	require.True(t, found)
	assert.Equal(t, "the key", key)

	box, _, err := s.Marks.Mark(ctx, SessionKeyMark("wx01 o01"))
	require.NoError(t, err)
	assert.NotContains(t, string(box), "the key")
	require.NoError(t, s.Marks.PutMark(ctx, SessionKeyMark("wx01 o02"), box, time.Hour))
	_, found, err = s.SessionKey(ctx, "wx01 o02")
	require.NoError(t, err)
	assert.False(t, found, "of another user")
}
