package login

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestContextWithIdentity(t *testing.T) {
	full := wechatauth.Identity{
		AppID: "wx1", OpenID: "o1", UnionID: "u1", Scope: client.ScopeUserInfo, Channel: wechatauth.ChannelScan,
		Nickname: "Lin", AvatarURL: "https://a.example/1", ProfileAt: time.Unix(1, 0), LoginAt: time.Unix(2, 0),
	}
	for name, tt := range map[string]struct {
		id wechatauth.Identity
		ok bool
	}{
		"logged in":           {full, true},
		"with only an openid": {wechatauth.Identity{OpenID: "o1"}, true},
		"not logged in":       {wechatauth.Identity{}, false},
		"in snapshot mode":    {wechatauth.Identity{Snapshot: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			got, ok := wechatauth.IdentityFromContext(wechatauth.ContextWithIdentity(r.Context(), tt.id))
			assert.Equal(t, tt.id, got)
			assert.Equal(t, tt.ok, ok)
		})
	}
	first := wechatauth.ContextWithIdentity(t.Context(), full)
	got, ok := wechatauth.IdentityFromContext(wechatauth.ContextWithIdentity(first, wechatauth.Identity{}))
	assert.Equal(t, wechatauth.Identity{}, got, "the last one counts")
	assert.False(t, ok)
}

// forger puts an identity into the context of every request, as a mistake of an
// application might.
func forger(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(wechatauth.ContextWithIdentity(r.Context(), wechatauth.Identity{AppID: wechattest.DefaultAppID, OpenID: "forged"})))
	})
}

func TestContextWithIdentity_Gate(t *testing.T) {
	echo := http.HandlerFunc(authtest.Echo)
	anonymous, alice := "logged-in=false openid= ", "logged-in=true openid="+authtest.AliceOpenID+" "
	for name, app := range map[string]func(*wechatauth.Auth) http.Handler{
		"RequireWeChat": func(a *wechatauth.Auth) http.Handler { return a.RequireWeChat(echo) },
		"RequireScope":  func(a *wechatauth.Auth) http.Handler { return a.RequireScope(client.ScopeBase)(echo) },
		"LoadWeChat":    func(a *wechatauth.Auth) http.Handler { return a.LoadWeChat(echo) },
		"nested":        func(a *wechatauth.Auth) http.Handler { return a.LoadWeChat(forger(a.RequireWeChat(echo))) },
		"between":       func(a *wechatauth.Auth) http.Handler { return a.RequireWeChat(forger(echo)) },
		"mounted": func(a *wechatauth.Auth) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/wechat/", a)
			mux.Handle("/", a.RequireWeChat(echo))
			return mux
		},
		"LoadAndSave": func(a *wechatauth.Auth) http.Handler { return a.Sessions().LoadAndSave(a.RequireWeChat(echo)) },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			called := map[string]int{}
			see := func(what string, ctx context.Context) {
				mu.Lock()
				defer mu.Unlock()
				called[what]++
				id, _ := wechatauth.IdentityFromContext(ctx)
				assert.NotEqual(t, "forged", id.OpenID, what)
			}
			s := authtest.NewSiteServing(t, func(a *wechatauth.Auth) http.Handler { return forger(app(a)) },
				wechatauth.WithPageVisit(func(r *http.Request) bool {
					see("page visit", r.Context())
					return wechatauth.IsPageVisit(r)
				}),
				wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error { see("login", ctx); return nil }),
				wechatauth.WithAccessCheck(func(ctx context.Context, _ wechatauth.Identity) error { see("access", ctx); return nil }, 0),
				wechatauth.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, f wechatauth.Failure) {
					see("error", r.Context())
					w.WriteHeader(f.Status)
				}))
			b := s.Browser()

			stranger := b.Fetch(http.MethodGet, "/a")
			if name == "LoadWeChat" {
				assert.Contains(t, stranger.Text, anonymous)
			} else {
				assert.Equal(t, http.StatusUnauthorized, stranger.StatusCode)
			}
			assert.Equal(t, http.StatusBadRequest, b.Step("/wechat/callback").StatusCode)
			preflight := b.Do(b.Client, http.MethodOptions, "/a", nil, http.Header{
				"Origin": {"https://other.example"}, "Access-Control-Request-Method": {http.MethodPut}, "Sec-Fetch-Mode": {"cors"},
			})
			assert.Equal(t, http.StatusOK, preflight.StatusCode)
			if name != "between" {
				assert.Contains(t, preflight.Text, anonymous, "the preflight")
			}

			b.Visit("/wechat/login?next=/a")
			assert.Contains(t, b.Fetch(http.MethodGet, "/a").Text, alice)
			for _, what := range []string{"page visit", "login", "access", "error"} {
				if name != "LoadWeChat" || what != "page visit" {
					assert.NotZero(t, called[what], what)
				}
			}
		})
	}
}

func TestWithClock(t *testing.T) {
	memory := func() []wechatauth.Option { return nil }
	inRedis := func() []wechatauth.Option {
		return []wechatauth.Option{wechatauth.WithRedis(redistest.Start(t).Pool())}
	}
	for name, opts := range map[string]func() []wechatauth.Option{"in memory": memory, "in Redis": inRedis} {
		t.Run("lifetime "+name, func(t *testing.T) {
			s := authtest.NewSite(t, append(opts(), wechatauth.WithLifetime(2*time.Hour))...)
			b := s.Browser()
			for range 3 {
				require.Equal(t, http.StatusOK, b.Visit("/a").StatusCode, "also long after the real time")
				s.Clock.Advance(119 * time.Minute)
				require.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
				s.Clock.Advance(2 * time.Minute)
				assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
			}
			callback := b.Authorize("/a")
			s.Clock.Advance(24 * time.Hour)
			assert.NotEqual(t, "/a", b.Step(callback).Header.Get("Location"), "a pending login does not wait for a day")
		})
	}
	t.Run("idle timeout", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithIdleTimeout(time.Hour))
		b := s.Browser()
		require.Equal(t, http.StatusOK, b.Visit("/a").StatusCode)
		for range 3 {
			s.Clock.Advance(59 * time.Minute)
			require.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode, "it is in use")
		}
		s.Clock.Advance(61 * time.Minute)
		assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
	})
}
