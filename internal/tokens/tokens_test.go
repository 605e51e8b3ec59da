package tokens

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
)

// Tokens are sealed for their user and expire with their refresh token.
func TestTokens_seal(t *testing.T) {
	ctx := context.Background()
	keys, err := seal.New("kept", []byte("a secret of thirty-two bytes ....."))
	require.NoError(t, err)
	now := time.Unix(1_700_000_000, 0)
	marks := store.NewMemory()
	s := Store{Marks: marks, Keys: keys, Now: func() time.Time { return now }}
	token := &client.Token{AccessToken: client.NewSecret("access"), RefreshToken: client.NewSecret("refresh"), ExpiresIn: 2 * time.Hour}
	require.NoError(t, s.Put(ctx, "user", token, now.Add(TTL)))

	kept, found, err := s.Find(ctx, "user")
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, Kept{token.AccessToken, token.RefreshToken, now.Add(2 * time.Hour), now.Add(TTL)}, kept)

	box, _, err := marks.Mark(ctx, mark("user"))
	require.NoError(t, err)
	assert.NotContains(t, string(box), "access")
	require.NoError(t, marks.PutMark(ctx, mark("other"), box, time.Hour))
	_, found, err = s.Find(ctx, "other")
	assert.NoError(t, err)
	assert.False(t, found, "tokens that were moved to another user")

	now = now.Add(TTL)
	_, found, err = s.Find(ctx, "user")
	assert.NoError(t, err)
	assert.False(t, found, "the refresh_token has ended")
}

// A refresh stores no tokens for a revoked user.
func TestTokens_refreshAfterRevoke(t *testing.T) {
	ctx := context.Background()
	keys, err := seal.New("kept", []byte("a secret of thirty-two bytes ....."))
	require.NoError(t, err)
	s := Store{Marks: store.NewMemory(), Keys: keys, Now: time.Now}
	token := &client.Token{AccessToken: client.NewSecret("access"), RefreshToken: client.NewSecret("refresh"), ExpiresIn: 2 * time.Hour}
	require.NoError(t, s.PutRefreshed(ctx, "user", token, time.Now().Add(TTL)))
	require.NoError(t, Forget(ctx, s.Marks, "user"))
	assert.ErrorIs(t, s.PutRefreshed(ctx, "user", token, time.Now().Add(TTL)), ErrRevoked)
	_, found, err := s.Find(ctx, "user")
	assert.NoError(t, err)
	assert.False(t, found)
}
