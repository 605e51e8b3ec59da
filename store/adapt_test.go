package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store"
)

// token returns a well-formed token of one letter.
func token(letter string) string { return strings.Repeat(letter, 43) }

// withContext is an scs store whose methods take a context.
type withContext struct{ *memstore.MemStore }

func (s withContext) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	return s.Find(token)
}

func (s withContext) CommitCtx(_ context.Context, token string, b []byte, expiry time.Time) error {
	return s.Commit(token, b, expiry)
}

func (s withContext) DeleteCtx(_ context.Context, token string) error { return s.Delete(token) }

// damaged has a corrupt record.
type damaged struct{ withContext }

func (damaged) FindCtx(context.Context, string) ([]byte, bool, error) {
	return nil, false, store.ErrCorrupt
}

func TestAdapt(t *testing.T) {
	ctx, hour := t.Context(), time.Now().Add(time.Hour)
	for name, inner := range map[string]scs.Store{
		"without contexts": struct{ scs.Store }{memstore.NewWithCleanupInterval(0)},
		"with contexts":    withContext{memstore.NewWithCleanupInterval(0)},
		"in memory":        store.NewMemory(),
	} {
		t.Run(name, func(t *testing.T) {
			s := store.Adapt(inner)
			found, err := s.UpdateCtx(ctx, token("a"), []byte("1"), hour)
			require.NoError(t, err)
			assert.False(t, found, "an update created a session")
			require.NoError(t, s.CommitCtx(ctx, token("a"), []byte("1"), hour))
			found, err = s.UpdateCtx(ctx, token("a"), []byte("2"), hour)
			require.NoError(t, err)
			assert.True(t, found)
			b, _, found, err := s.FindTTLCtx(ctx, token("a"))
			require.NoError(t, err)
			assert.True(t, found)
			assert.Equal(t, "2", string(b))
			found, err = s.TouchCtx(ctx, token("a"), time.Now().Add(2*time.Hour))
			require.NoError(t, err)
			assert.True(t, found)
			found, err = s.TouchCtx(ctx, token("b"), hour)
			require.NoError(t, err)
			assert.False(t, found)

			var both store.Batch
			both.Commit(token("b"), []byte("3"), hour)
			both.PutMark("mark", []byte("4"), time.Minute)
			both.Delete(token("a"))
			require.NoError(t, s.DoBatch(ctx, both))
			mark, found, err := s.Mark(ctx, "mark")
			require.NoError(t, err)
			assert.True(t, found)
			assert.Equal(t, "4", string(mark))

			dropped, err := s.DeleteAndReportAllCtx(ctx, []string{token("a"), token("b")})
			require.NoError(t, err)
			assert.Equal(t, []string{token("b")}, dropped)
			found, err = s.DeleteAndReportCtx(ctx, token("b"))
			require.NoError(t, err)
			assert.False(t, found)
			assert.NoError(t, s.Check(ctx))
			assert.Equal(t, s, store.Adapt(s), "an adapted store was adapted again")
		})
	}
}

func TestAdapt_limits(t *testing.T) {
	s := store.Adapt(struct{ scs.Store }{memstore.NewWithCleanupInterval(0)})
	require.NoError(t, s.CommitCtx(t.Context(), token("a"), []byte("1"), time.Now().Add(time.Hour)))
	_, ttl, _, err := s.FindTTLCtx(t.Context(), token("a"))
	require.NoError(t, err)
	assert.Equal(t, time.Duration(-1), ttl)
	assert.NoError(t, s.AddSession(t.Context(), "user", token("a"), time.Now().Add(time.Hour)))
	_, err = s.SessionsOf(t.Context(), "user")
	assert.ErrorIs(t, err, store.ErrNoIndex)
	_, err = s.AllCtx(t.Context())
	assert.Error(t, err, "the inner store cannot be iterated")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.DeleteAndReportAllCtx(gone, []string{token("a")})
	assert.ErrorIs(t, err, context.Canceled)

	_, err = store.Adapt(damaged{withContext{memstore.NewWithCleanupInterval(0)}}).DeleteAndReportCtx(t.Context(), token("a"))
	assert.NoError(t, err, "a corrupt record is deleted too")
	_, err = store.Adapt(withContext{memstore.NewWithCleanupInterval(0)}).DeleteAndReportCtx(gone, token("a"))
	assert.True(t, errors.Is(err, context.Canceled))
}

// updating is an scs store with only UpdateCtx in addition. Another request
// deletes a record after it was read.
type updating struct{ withContext }

func (s updating) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	b, found, err := s.withContext.FindCtx(ctx, token)
	return b, found, errors.Join(err, s.Delete(token))
}

func (s updating) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if _, found, err := s.Find(token); err != nil || !found {
		return false, err
	}
	return true, s.CommitCtx(ctx, token, b, expiry)
}

func TestAdapt_touchOfRecordThatIsGone(t *testing.T) {
	inner := updating{withContext{memstore.NewWithCleanupInterval(0)}}
	require.NoError(t, inner.Commit(token("a"), []byte("1"), time.Now().Add(time.Hour)))
	found, err := store.Adapt(inner).TouchCtx(t.Context(), token("a"), time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	assert.False(t, found)
	_, found, err = inner.Find(token("a"))
	require.NoError(t, err)
	assert.False(t, found, "a touch restored a deleted session")
}
