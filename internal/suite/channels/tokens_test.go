package channels

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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestWithTokens(t *testing.T) {
	redis := redistest.Start(t)
	sim := wechattest.NewServer()
	clock := authtest.NewClock()
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithTokens(0), wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithClock(clock.Now))
	defer sim.Close()
	var token client.Secret
	var failed error
	s.Handle("/token", func(w http.ResponseWriter, r *http.Request) { token, failed = s.Auth.AccessToken(r.Context()) })
	user := wechattest.DefaultAppID + " " + wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0))
	marks := store.New(redis.Pool())
	b := s.Browser()
	b.Visit("/a")

	b.Visit("/token")
	require.NoError(t, failed)
	first := token
	assert.NotEmpty(t, first)
	sealed, found, err := marks.Mark(t.Context(), "tokens "+user)
	require.NoError(t, err)
	require.True(t, found)
	ring, err := seal.New("kept", []byte(wechattest.DefaultSecret))
	require.NoError(t, err)
	plain, err := ring.Open(string(sealed), "tokens", user)
	require.NoError(t, err)
	var kept struct {
		Refresh string `json:"r"`
	}
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
	b.Visit("/token")
	require.NoError(t, failed)
	assert.Equal(t, 1, sim.Count("/sns/oauth2/refresh_token"))
	longest := int64(0) // the tokens' mark: all others last minutes
	for _, key := range redis.Do("KEYS", "wechat:mark:*").([]any) {
		longest = max(longest, redis.Do("PTTL", string(key.([]byte))).(int64))
	}
	assert.LessOrEqual(t, longest, (30*24*time.Hour - 116*time.Minute).Milliseconds(), "refreshing does not extend the refresh_token")
	assert.Greater(t, longest, (29 * 24 * time.Hour).Milliseconds())

	_, err = s.Auth.RevokeUser(t.Context(), wechattest.DefaultAppID, wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
	require.NoError(t, err)
	_, found, err = marks.Mark(t.Context(), "tokens "+user)
	require.NoError(t, err)
	assert.False(t, found, "a revoked user has no tokens left")

	s.Browser().Visit("/token")
	assert.ErrorIs(t, failed, wechatauth.ErrNoTokens)
}

func TestWithTokens_Default(t *testing.T) {
	s := authtest.NewSite(t)
	var failed error
	s.Handle("/token", func(w http.ResponseWriter, r *http.Request) { _, failed = s.Auth.AccessToken(r.Context()) })
	b := s.Browser()
	b.Visit("/a")
	b.Visit("/token")
	assert.ErrorIs(t, failed, wechatauth.ErrNoTokens)
}

func TestProfile_Refresh(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithTokens(24*time.Hour), wechatauth.WithLifetime(30*24*time.Hour))
	b := s.Browser()
	b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
	require.Equal(t, 1, s.Sim.Count("/sns/userinfo"))

	s.Clock.Advance(23 * time.Hour)
	b.Visit("/a")
	assert.Equal(t, 1, s.Sim.Count("/sns/userinfo"), "young enough")

	s.Clock.Advance(2 * time.Hour)
	b.Fetch(http.MethodGet, "/api")
	assert.Equal(t, 1, s.Sim.Count("/sns/userinfo"), "a fetch does not wait for a profile")
	assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
	b.Visit("/a")
	assert.Equal(t, 2, s.Sim.Count("/sns/userinfo"), "once")

	s.Clock.Advance(25 * time.Hour)
	s.Sim.Fail("/sns/userinfo", wechattest.BadGateway(), wechattest.BadGateway())
	got := b.Visit("/a")
	assert.Contains(t, got.Text, "logged-in=true")
	assert.NotContains(t, got.Text, "nickname= ", "the old one is kept")
	b.Visit("/a")
	asked := s.Sim.Count("/sns/userinfo")
	b.Visit("/a")
	assert.Equal(t, asked, s.Sim.Count("/sns/userinfo"), "no retry within the hour")
}

func TestProfile_RefreshUnderLoadAndSave(t *testing.T) {
	m := scs.New()
	for name, tt := range map[string]struct {
		opts []wechatauth.Option
		wrap func(s *authtest.Site, h http.Handler) http.Handler
	}{
		"a gate around the gate":         {nil, func(s *authtest.Site, h http.Handler) http.Handler { return s.Auth.LoadWeChat(h) }},
		"the application's LoadAndSave":  {[]wechatauth.Option{wechatauth.WithSessionManager(m)}, func(_ *authtest.Site, h http.Handler) http.Handler { return m.LoadAndSave(h) }},
		"both, the application's inside": {[]wechatauth.Option{wechatauth.WithSessionManager(m)}, func(s *authtest.Site, h http.Handler) http.Handler { return s.Auth.LoadWeChat(m.LoadAndSave(h)) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, append([]wechatauth.Option{wechatauth.WithTokens(time.Hour), wechatauth.WithScope(client.ScopeUserInfo)}, tt.opts...)...)
			s.Server.Config.Handler = tt.wrap(s, s.Server.Config.Handler)
			b := s.Browser()
			require.Contains(t, b.Allow(b.Visit("/a")).Text, "logged-in=true")
			require.Equal(t, 1, s.Sim.Count("/sns/userinfo"))
			s.Clock.Advance(2 * time.Hour)
			for range 2 {
				assert.Contains(t, b.Visit("/a").Text, "nickname="+authtest.Person(0))
			}
			assert.Equal(t, 2, s.Sim.Count("/sns/userinfo"), "one call, whose result was saved")
		})
	}
}

func TestWithTokens_Expiry(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithTokens(0), wechatauth.WithLifetime(60*24*time.Hour))
	var failed error
	s.Handle("/token", func(w http.ResponseWriter, r *http.Request) { _, failed = s.Auth.AccessToken(r.Context()) })
	b := s.Browser()
	b.Visit("/a")
	for _, days := range []int{15, 14} {
		s.Clock.Advance(time.Duration(days) * 24 * time.Hour)
		s.Sim.Advance(time.Duration(days) * 24 * time.Hour)
		b.Visit("/token")
		require.NoError(t, failed)
	}
	s.Clock.Advance(24 * time.Hour)
	b.Visit("/token")
	assert.ErrorIs(t, failed, wechatauth.ErrNoTokens)
	assert.Equal(t, 2, s.Sim.Count("/sns/oauth2/refresh_token"), "an expired token is not sent to WeChat")
}

// Values stored for a user besides sessions are deleted with them, and a call
// that began before RevokeUser does not restore them.
func TestRevokeUser_StoredSecrets(t *testing.T) {
	// Marks of RevokeUser are kept for five minutes.
	newStored := func(t *testing.T, opts ...wechatauth.Option) (s *authtest.Site, keys func() []string, server *redistest.Server) {
		server = redistest.Start(t)
		s = authtest.NewMiniSite(t, append([]wechatauth.Option{wechatauth.WithRedis(server.Pool()), wechatauth.WithTokens(0)}, opts...)...)
		keys = func() (all []string) {
			for _, key := range server.Do("KEYS", "*").([]any) {
				if server.Do("PTTL", string(key.([]byte))).(int64) > (5 * time.Minute).Milliseconds() {
					all = append(all, string(key.([]byte)))
				}
			}
			return all
		}
		return s, keys, server
	}
	revoke := func(t *testing.T, s *authtest.Site, appID string) {
		t.Helper()
		_, err := s.Auth.RevokeUser(t.Context(), appID, wechattest.OpenID(appID, authtest.Person(0)))
		require.NoError(t, err)
	}
	t.Run("session_key", func(t *testing.T) {
		s, keys, _ := newStored(t)
		s.MiniLogin(authtest.Person(0))
		require.NotEmpty(t, keys())
		revoke(t, s, authtest.MiniApp)
		assert.Empty(t, keys())
	})
	t.Run("refresh in flight", func(t *testing.T) {
		s, keys, _ := newStored(t)
		b, failed := browserWithOldToken(s)
		release := s.Sim.Block("sns/oauth2/refresh_token")
		visited := visitToken(t, s, b)
		revoke(t, s, wechattest.DefaultAppID)
		release()
		require.ErrorIs(t, <-failed, wechatauth.ErrNoTokens)
		<-visited
		assert.Empty(t, keys())
		b.Visit("/a")
		b.Step("/token")
		assert.NoError(t, <-failed, "the next login stores new tokens")
	})
	t.Run("refresh in flight, and a store that fails then", func(t *testing.T) {
		var st *authtest.FaultyStore
		s := authtest.NewSite(t, authtest.WithFaultyStore(&st), wechatauth.WithTokens(0))
		b, failed := browserWithOldToken(s)
		release := s.Sim.Block("sns/oauth2/refresh_token")
		visited := visitToken(t, s, b)
		revoke(t, s, wechattest.DefaultAppID)
		st.Fail("delete", authtest.Failing)
		release()
		err := <-failed
		<-visited
		require.ErrorIs(t, err, wechatauth.ErrNoTokens)
		assert.ErrorIs(t, err, authtest.ErrFault, "otherwise the tokens would be in the store again, unnoticed")
	})
	t.Run("by a program without the options", func(t *testing.T) {
		s, keys, server := newStored(t)
		s.Browser().Visit("/a")
		s.MiniLogin(authtest.Person(0))
		require.NotEmpty(t, keys())
		admin, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()), wechatauth.WithRedis(server.Pool()))
		require.NoError(t, err)
		for _, appID := range []string{wechattest.DefaultAppID, authtest.MiniApp} {
			_, err := admin.RevokeUser(t.Context(), appID, wechattest.OpenID(appID, authtest.Person(0)))
			require.NoError(t, err)
		}
		assert.Empty(t, keys())
	})
	t.Run("rejected login", func(t *testing.T) {
		s, keys, _ := newStored(t, wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { return wechatauth.ErrForbidden }))
		assert.Equal(t, http.StatusForbidden, s.Browser().Visit("/a").StatusCode)
		s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
		assert.Empty(t, keys())
	})
}

// browserWithOldToken logs a browser in and lets its access_token expire. Each
// visit of /token sends the error of AccessToken to the channel.
func browserWithOldToken(s *authtest.Site) (b *authtest.Browser, failed <-chan error) {
	errs := make(chan error, 1)
	s.Handle("/token", func(_ http.ResponseWriter, r *http.Request) {
		_, err := s.Auth.AccessToken(r.Context())
		errs <- err
	})
	b = s.Browser()
	b.Visit("/a")
	s.Clock.Advance(116 * time.Minute)
	return b, errs
}

// visitToken visits /token and returns once WeChat has received the refresh.
func visitToken(t *testing.T, s *authtest.Site, b *authtest.Browser) (visited <-chan struct{}) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Step("/token")
	}()
	require.NoError(t, s.Sim.WaitForCalls(t.Context(), "sns/oauth2/refresh_token", 1))
	return done
}
