package threat

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A keyStore records the keys it is given.
type keyStore struct {
	store.Sessions
	mu   sync.Mutex
	keys []string
}

func (s *keyStore) note(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

func (s *keyStore) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.keys, "\n")
}

func (s *keyStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	s.note(token)
	return s.Sessions.FindCtx(ctx, token)
}

func (s *keyStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	s.note(token)
	return s.Sessions.CommitCtx(ctx, token, b, expiry)
}

func (s *keyStore) AddSession(ctx context.Context, user, token string, expiry time.Time) error {
	s.note(token)
	return s.Sessions.AddSession(ctx, user, token, expiry)
}

func (s *keyStore) Mark(ctx context.Context, key string) ([]byte, bool, error) {
	s.note(key)
	return s.Sessions.Mark(ctx, key)
}

func (s *keyStore) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.note(key)
	return s.Sessions.PutMark(ctx, key, value, ttl)
}

func (s *keyStore) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	s.note(key)
	return s.Sessions.PutMarkNX(ctx, key, value, ttl)
}

func (s *keyStore) DeleteMark(ctx context.Context, key string) error {
	s.note(key)
	return s.Sessions.DeleteMark(ctx, key)
}

func TestMarkKeys(t *testing.T) {
	// A store supplied by the application may put a key into an error, where
	// operators can read it.
	t.Run("T98 hold no valid secret", func(t *testing.T) {
		kept := &keyStore{}
		s := newHookSite(t, wechatauth.WithTokens(0), authtest.OnClock(func(now func() time.Time) wechatauth.Option {
			kept.Sessions = store.NewMemory(store.WithClock(now))
			return wechatauth.WithStore(kept)
		}))
		secrets := map[string]string{}

		b := s.Browser()
		callback, err := url.Parse(b.Authorize("/a"))
		require.NoError(t, err)
		secrets["code"], secrets["state"] = callback.Query().Get("code"), callback.Query().Get("state")
		require.Contains(t, b.Visit(callback.String()).Text, "logged-in=true")
		before := b.Cookie(s.SessionCookie()).Value
		require.Contains(t, b.Visit("/wechat/login?again=1&next=/a").Text, "logged-in=true")
		secrets["token that was renewed"], secrets["token"] = before, b.Cookie(s.SessionCookie()).Value

		require.NotEqual(t, before, b.Cookie(s.SessionCookie()).Value)

		token := s.MiniLogin(authtest.Person(0))
		secrets["bearer token"] = strings.TrimPrefix(token, session.BearerPrefix)
		enter, err := url.Parse(s.Ticket(token, "/a"))
		require.NoError(t, err)
		secrets["ticket into the web-view"] = enter.Query().Get("ticket")
		require.Contains(t, s.WebView().Visit(enter.String()).Text, "logged-in=true")

		computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
		path, c := s.Show(computer, "/a")
		secrets["scan ticket"], secrets["state of the scan"] = c.Ticket, c.State
		s.Scan(phone, path)
		s.StatusOf(computer)
		require.Contains(t, computer.Enter("/a", s.Confirm(phone, path)).Text, "logged-in=true")

		require.Greater(t, strings.Count(kept.all(), "\n"), 20)
		for name, secret := range secrets {
			require.GreaterOrEqual(t, len(secret), flow.StateLength/2, name)
			assert.NotContains(t, kept.all(), secret, name)
		}
		assert.NotContains(t, kept.all(), wechattest.DefaultSecret)
	})
}
