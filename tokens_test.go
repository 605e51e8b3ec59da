package wechatauth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestTokensAreKeptOnRequestOnlySealedAndRefreshedBeforeUse(t *testing.T) {
	redis := redistest.Start(t)
	sim := wechattest.NewServer()
	clock := newTestClock()
	s := newSite(t, WithRedis(redis.Pool()), WithTokens(0), WithEndpoints(sim.Endpoints()), withClock(clock.Now))
	defer sim.Close()
	var token client.Secret
	var failed error
	s.handle("/token", func(w http.ResponseWriter, r *http.Request) { token, failed = s.auth.AccessToken(r.Context()) })
	user := session.User(wechattest.DefaultAppID, wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	b := s.browser()
	b.visit("/a")

	b.visit("/token")
	require.NoError(t, failed)
	first := token
	assert.NotEmpty(t, first)
	sealed, found, err := s.auth.sessions.Marks().Mark(t.Context(), tokensMark(user))
	require.NoError(t, err)
	require.True(t, found)
	plain, err := s.auth.keys.Open(string(sealed), "tokens", user)
	require.NoError(t, err)
	var kept keptTokens
	require.NoError(t, json.Unmarshal(plain, &kept))
	require.NotEmpty(t, kept.Refresh)
	for _, key := range redis.Do("KEYS", "*").([]any) {
		if kind := redis.Do("TYPE", string(key.([]byte))); kind == "string" {
			value := string(redis.Do("GET", string(key.([]byte))).([]byte))
			assert.NotContains(t, value, first.Reveal(), "sealed")
			assert.NotContains(t, value, kept.Refresh, "sealed")
		}
	}
	clock.Advance(116 * time.Minute)
	sim.Advance(116 * time.Minute)
	b.visit("/token")
	require.NoError(t, failed)
	assert.Equal(t, 1, sim.Count("/sns/oauth2/refresh_token"))
	longest := int64(0) // the tokens' mark: all others are of minutes
	for _, key := range redis.Do("KEYS", "wechat:mark:*").([]any) {
		longest = max(longest, redis.Do("PTTL", string(key.([]byte))).(int64))
	}
	assert.LessOrEqual(t, longest, (30*24*time.Hour - 116*time.Minute).Milliseconds(), "refreshing does not extend the refresh_token")
	assert.Greater(t, longest, (29 * 24 * time.Hour).Milliseconds())

	_, err = s.auth.RevokeUser(t.Context(), wechattest.DefaultAppID, wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	require.NoError(t, err)
	_, found, err = s.auth.sessions.Marks().Mark(t.Context(), tokensMark(user))
	require.NoError(t, err)
	assert.False(t, found, "who is revoked leaves no tokens")

	s.browser().visit("/token")
	assert.ErrorIs(t, failed, ErrNoTokens)
}

func TestWithoutTheOptionNoTokenIsKept(t *testing.T) {
	s := newSite(t)
	var failed error
	s.handle("/token", func(w http.ResponseWriter, r *http.Request) { _, failed = s.auth.AccessToken(r.Context()) })
	b := s.browser()
	b.visit("/a")
	b.visit("/token")
	assert.ErrorIs(t, failed, ErrNoTokens)
}

func TestAProfileIsFetchedAgainAtItsAge(t *testing.T) {
	s := newSite(t, WithTokens(24*time.Hour), WithLifetime(30*24*time.Hour))
	b := s.browser()
	b.allow(b.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
	require.Equal(t, 1, s.sim.Count("/sns/userinfo"))

	s.clock.Advance(23 * time.Hour)
	b.visit("/a")
	assert.Equal(t, 1, s.sim.Count("/sns/userinfo"), "young enough")

	s.clock.Advance(2 * time.Hour)
	b.fetch(http.MethodGet, "/api")
	assert.Equal(t, 1, s.sim.Count("/sns/userinfo"), "scripts do not wait for a picture")
	assert.Contains(t, b.visit("/a").body, "logged-in=true")
	b.visit("/a")
	assert.Equal(t, 2, s.sim.Count("/sns/userinfo"), "once")

	s.clock.Advance(25 * time.Hour)
	s.sim.Fail("/sns/userinfo", wechattest.BadGateway(), wechattest.BadGateway())
	got := b.visit("/a")
	assert.Contains(t, got.body, "logged-in=true")
	assert.NotContains(t, got.body, "nickname= ", "the old one stays")
	b.visit("/a")
	asked := s.sim.Count("/sns/userinfo")
	b.visit("/a")
	assert.Equal(t, asked, s.sim.Count("/sns/userinfo"), "not again within the hour")
}

func TestAProfileIsFetchedAgainWhoeverHasLoadedTheSession(t *testing.T) {
	m := scs.New()
	for name, tt := range map[string]struct {
		opts []Option
		wrap func(s *site, h http.Handler) http.Handler
	}{
		"a gate around the gate":         {nil, func(s *site, h http.Handler) http.Handler { return s.auth.LoadWeChat(h) }},
		"the application's LoadAndSave":  {[]Option{WithSessionManager(m)}, func(_ *site, h http.Handler) http.Handler { return m.LoadAndSave(h) }},
		"both, the application's inside": {[]Option{WithSessionManager(m)}, func(s *site, h http.Handler) http.Handler { return s.auth.LoadWeChat(m.LoadAndSave(h)) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, append([]Option{WithTokens(time.Hour), WithScope(client.ScopeUserInfo)}, tt.opts...)...)
			s.server.Config.Handler = tt.wrap(s, s.server.Config.Handler)
			b := s.browser()
			require.Contains(t, b.allow(b.visit("/a")).body, "logged-in=true")
			require.Equal(t, 1, s.sim.Count("/sns/userinfo"))
			s.clock.Advance(2 * time.Hour)
			for range 2 {
				assert.Contains(t, b.visit("/a").body, "nickname="+person(0))
			}
			assert.Equal(t, 2, s.sim.Count("/sns/userinfo"), "once, and that was saved")
		})
	}
}

func TestTokensEndWithTheRefreshTokenBySitesOwnClock(t *testing.T) {
	s := newSite(t, WithTokens(0), WithLifetime(60*24*time.Hour))
	var failed error
	s.handle("/token", func(w http.ResponseWriter, r *http.Request) { _, failed = s.auth.AccessToken(r.Context()) })
	b := s.browser()
	b.visit("/a")
	for _, days := range []int{15, 14} {
		s.clock.Advance(time.Duration(days) * 24 * time.Hour)
		s.sim.Advance(time.Duration(days) * 24 * time.Hour)
		b.visit("/token")
		require.NoError(t, failed)
	}
	s.clock.Advance(24 * time.Hour)
	b.visit("/token")
	assert.ErrorIs(t, failed, ErrNoTokens)
	assert.Equal(t, 2, s.sim.Count("/sns/oauth2/refresh_token"), "WeChat is not asked for what has ended")
}

// What is stored for a user besides sessions goes with them, and what began
// before RevokeUser does not bring it back.
func TestRevokeUser_storedSecrets(t *testing.T) {
	newStored := func(t *testing.T, opts ...Option) (s *site, keys func() []string) {
		server := redistest.Start(t)
		s = newMiniSite(t, append([]Option{WithRedis(server.Pool()), WithTokens(0)}, opts...)...)
		keys = func() (all []string) {
			for _, key := range server.Do("KEYS", "*").([]any) {
				if server.Do("PTTL", string(key.([]byte))).(int64) > revokedTTL.Milliseconds() {
					all = append(all, string(key.([]byte)))
				}
			}
			return all
		}
		return s, keys
	}
	revoke := func(t *testing.T, s *site, appID string) {
		t.Helper()
		_, err := s.auth.RevokeUser(t.Context(), appID, wechattest.OpenID(appID, person(0)))
		require.NoError(t, err)
	}
	t.Run("session_key", func(t *testing.T) {
		s, keys := newStored(t)
		s.miniLogin(person(0))
		require.NotEmpty(t, keys())
		revoke(t, s, miniApp)
		assert.Empty(t, keys())
	})
	t.Run("refresh in flight", func(t *testing.T) {
		s, keys := newStored(t)
		failed := make(chan error, 1)
		s.handle("/token", func(_ http.ResponseWriter, r *http.Request) {
			_, err := s.auth.AccessToken(r.Context())
			failed <- err
		})
		b := s.browser()
		b.visit("/a")
		s.clock.Advance(116 * time.Minute)
		release := s.sim.Block("sns/oauth2/refresh_token")
		visited := make(chan struct{})
		go func() {
			defer close(visited)
			b.step("/token")
		}()
		require.NoError(t, s.sim.Await(t.Context(), "sns/oauth2/refresh_token", 1))
		revoke(t, s, wechattest.DefaultAppID)
		release()
		require.ErrorIs(t, <-failed, ErrNoTokens)
		<-visited
		assert.Empty(t, keys())
		b.visit("/a")
		b.step("/token")
		assert.NoError(t, <-failed, "the next login stores its own")
	})
	t.Run("by a program without the options", func(t *testing.T) {
		s, keys := newStored(t)
		s.browser().visit("/a")
		s.miniLogin(person(0))
		require.NotEmpty(t, keys())
		admin, err := New(WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.base.String()), WithStore(guardOf(s.auth).Unwrap()))
		require.NoError(t, err)
		for _, appID := range []string{wechattest.DefaultAppID, miniApp} {
			_, err := admin.RevokeUser(t.Context(), appID, wechattest.OpenID(appID, person(0)))
			require.NoError(t, err)
		}
		assert.Empty(t, keys())
	})
	t.Run("refused login", func(t *testing.T) {
		s, keys := newStored(t, WithOnLogin(func(context.Context, Identity) error { return ErrForbidden }))
		assert.Equal(t, http.StatusForbidden, s.browser().visit("/a").StatusCode)
		s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
		assert.Empty(t, keys())
	})
}
