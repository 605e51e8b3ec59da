package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A countingCodec counts what it decodes, and can fail.
type countingCodec struct {
	store.Codec
	decoded *atomic.Int64
	fails   *atomic.Bool
}

func (c countingCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	c.decoded.Add(1)
	if c.fails.Load() {
		return time.Time{}, nil, errors.New("a type that this build does not know")
	}
	return c.Codec.Decode(b)
}

// counted makes the site decode its sessions with a codec that counts.
func counted(s *authtest.Site) countingCodec {
	c := countingCodec{decoded: &atomic.Int64{}, fails: &atomic.Bool{}}
	s.Auth.Sessions().Codec = c
	return c
}

func TestSession_DecodedOnce(t *testing.T) {
	s := authtest.NewSite(t)
	sessions := s.Auth.Sessions()
	s.Handle("/nested", s.Auth.RequireWeChat(s.Auth.LoadWeChat(http.HandlerFunc(authtest.Echo))).ServeHTTP)
	s.Handle2("/get", func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			assert.Equal(t, "v", sessions.GetString(r.Context(), "k"))
		}
		authtest.Echo(w, r)
	})
	s.Handle2("/nested-get", s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "v", sessions.GetString(r.Context(), "k"))
		authtest.Echo(w, r)
	})).ServeHTTP)
	s.Handle2("/derived", func(w http.ResponseWriter, r *http.Request) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), key{}, "mine"))
		defer cancel()
		assert.Equal(t, "v", sessions.GetString(ctx, "k"))
		assert.Equal(t, "mine", ctx.Value(key{}))
		assert.NotNil(t, ctx.Value(http.ServerContextKey), "the server's own values")
		assert.Nil(t, ctx.Value("unknown"))
		_, ok := wechatauth.IdentityFromContext(context.WithoutCancel(ctx))
		assert.True(t, ok)
		authtest.Echo(w, r)
	})
	s.Handle2("/together", func(w http.ResponseWriter, r *http.Request) {
		var all sync.WaitGroup
		for n := range 32 {
			all.Go(func() {
				assert.Equal(t, "v", sessions.GetString(r.Context(), "k"))
				sessions.Put(r.Context(), fmt.Sprint(n), n)
				_, ok := wechatauth.IdentityFromContext(r.Context())
				assert.True(t, ok)
			})
		}
		all.Wait()
		authtest.Echo(w, r)
	})
	s.Handle2("/put", func(w http.ResponseWriter, r *http.Request) { sessions.Put(r.Context(), "k", "v") })
	b := s.Browser()
	b.Visit("/a")
	b.Step("/put")
	codec := counted(s)
	for path, want := range map[string]int64{"/a": 0, "/public": 0, "/nested": 0, "/get": 1, "/nested-get": 1, "/derived": 1, "/together": 1} {
		codec.decoded.Store(0)
		assert.Contains(t, b.Step(path).Text, "logged-in=true", path)
		assert.Equal(t, want, codec.decoded.Load(), path)
	}
	assert.Equal(t, "v", stored(b)["k"])
	assert.Equal(t, 32, len(stored(b))-2, "every put is saved")

	codec.decoded.Store(0)
	anonymous := s.Browser()
	assert.Contains(t, anonymous.Step("/public").Text, "logged-in=false")
	assert.Zero(t, codec.decoded.Load())
}

// stored returns the values of the browser's session as they are in the store.
func stored(b *authtest.Browser) map[string]any {
	b.T.Helper()
	raw, found, err := b.Site.Auth.Sessions().Store.Find(b.Site.StoreKey(b.Cookie(b.Site.SessionCookie()).Value))
	require.NoError(b.T, err)
	require.True(b.T, found)
	_, values, err := store.Codec{}.Decode(raw)
	require.NoError(b.T, err)
	return values
}

func TestSession_OneRead(t *testing.T) {
	server := redistest.Start(t)
	for name, c := range map[string]struct {
		opts []wechatauth.Option
		want []string
	}{
		"without idle timeout": {nil, []string{"GET"}},
		"with idle timeout":    {[]wechatauth.Option{wechatauth.WithIdleTimeout(time.Hour)}, []string{"GET", "PTTL"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, append(c.opts, wechatauth.WithRedis(server.Pool()))...)
			s.Handle("/get", func(w http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().GetString(r.Context(), "k")
				authtest.Echo(w, r)
			})
			b := s.Browser()
			b.Visit("/a")
			key := s.StoredAt(b.Cookie(s.SessionCookie()).Value)
			for _, path := range []string{"/b", "/get", "/public"} {
				var want []string
				for _, command := range c.want {
					want = append(want, command+" "+key)
				}
				assert.Equal(t, want, server.Commands(func() { b.Step(path) }), path)
			}
			assert.Empty(t, server.Commands(func() { s.Browser().Step("/b") }), "an anonymous page visit")
			assert.Empty(t, server.Commands(func() { s.Browser().Fetch(http.MethodGet, "/b") }), "an anonymous script")
		})
	}
}

// A record with a valid checksum may still fail to decode: it has a type that
// this build of the application does not know.
func TestCorruptRecord_Undecodable(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(m *scs.SessionManager, w http.ResponseWriter, r *http.Request)
		after   bool // a new session replaces it
	}{
		"a handler that reads": {func(m *scs.SessionManager, w http.ResponseWriter, r *http.Request) {
			assert.Empty(t, m.GetString(r.Context(), "k"))
		}, false},
		"a handler that writes": {func(m *scs.SessionManager, w http.ResponseWriter, r *http.Request) {
			m.Put(r.Context(), "k", "new")
		}, true},
		"a handler that destroys": {func(m *scs.SessionManager, w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, m.Destroy(r.Context()))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			s.Handle("/session", func(w http.ResponseWriter, r *http.Request) {
				c.handler(s.Auth.Sessions(), w, r)
				authtest.Echo(w, r)
			})
			b := s.Browser()
			b.Visit("/a")
			old := b.Cookie(s.SessionCookie()).Value
			counted(s).fails.Store(true)
			assert.Contains(t, b.Step("/a").Text, "logged-in=true", "the identity can be read")

			got := b.Step("/session")

			assert.Equal(t, http.StatusOK, got.StatusCode)
			assert.Contains(t, got.Text, "logged-in=true")
			assert.Contains(t, s.Logs.String(), "session_corrupt")
			_, found, err := s.Auth.Sessions().Store.Find(s.StoreKey(old))
			require.NoError(t, err)
			assert.False(t, found, "the record is deleted")
			counted(s)
			assert.Equal(t, c.after, b.Cookie(s.SessionCookie()) != nil)
			assert.Contains(t, b.Step("/public").Text, "logged-in=false")
			assert.Contains(t, b.Visit("/a").Text, "logged-in=true", "a login replaces it")
			if c.after {
				assert.Equal(t, "new", stored(b)["k"])
			}
		})
	}
}

// Logging a context by mistake must not expose a session.
func TestContext_Format(t *testing.T) {
	s := authtest.NewSite(t)
	var printed string
	s.Handle("/print", func(w http.ResponseWriter, r *http.Request) {
		derived, cancel := context.WithCancel(r.Context())
		defer cancel()
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			printed += fmt.Sprintf(format+format, r.Context(), derived)
		}
		printed += fmt.Sprintf("%v%+v%#v", r, r, r)
	})
	b := s.Browser()
	b.Visit("/a")
	b.Step("/print")
	require.NotEmpty(t, printed)
	token := b.Cookie(s.SessionCookie()).Value
	printed = strings.ReplaceAll(printed, s.SessionCookie()+"="+token, "") // the request's own header
	assert.NotContains(t, printed, authtest.AliceOpenID)
	assert.NotContains(t, printed, token)
}

func TestMergeSession_Destroyed(t *testing.T) {
	s := authtest.NewSite(t)
	m := s.Auth.Sessions()
	s.Handle("/merge", func(w http.ResponseWriter, r *http.Request) {
		token := m.Token(r.Context())
		assert.NoError(t, m.Destroy(r.Context()))
		assert.NoError(t, m.MergeSession(r.Context(), token))
		assert.Empty(t, m.Keys(r.Context()))
	})
	b := s.Browser()
	b.Visit("/a")
	b.Step("/merge")
	assert.Contains(t, b.Step("/public").Text, "logged-in=false")
}

func TestSave_HandlerPanics(t *testing.T) {
	s := authtest.NewSite(t)
	s.Handle("/panic", func(w http.ResponseWriter, r *http.Request) {
		s.Auth.Sessions().Put(r.Context(), "k", "v")
		panic(http.ErrAbortHandler)
	})
	b := s.Browser()
	b.Visit("/a")
	resp, err := b.Client.Get(s.Base.String() + "/panic")
	if err == nil {
		resp.Body.Close()
	}
	assert.Error(t, err)
	assert.NotContains(t, stored(b), "k")
	assert.Contains(t, b.Step("/a").Text, "logged-in=true")
}

// The middleware's own manager has a LoadAndSave too, which an application may
// use.
func TestLoadAndSave(t *testing.T) {
	for name, wrap := range map[string]func(a *wechatauth.Auth, h http.Handler) http.Handler{
		"outside": func(a *wechatauth.Auth, h http.Handler) http.Handler {
			return a.Sessions().LoadAndSave(a.RequireWeChat(h))
		},
		"inside": func(a *wechatauth.Auth, h http.Handler) http.Handler {
			return a.RequireWeChat(a.Sessions().LoadAndSave(h))
		},
		"between": func(a *wechatauth.Auth, h http.Handler) http.Handler {
			return a.LoadWeChat(a.Sessions().LoadAndSave(a.RequireWeChat(h)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			m := s.Auth.Sessions()
			s.Server.Config.Handler = wrap(s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m.Put(r.Context(), "visits", m.GetInt(r.Context(), "visits")+1)
				authtest.Echo(w, r)
			}))
			b := s.Browser()
			assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
			for range 3 {
				got := b.Step("/a")
				assert.Contains(t, got.Text, "logged-in=true")
				assert.LessOrEqual(t, len(got.Cookies()), 1)
			}
			assert.Equal(t, 4, stored(b)["visits"])
			b.Post("/wechat/logout", url.Values{})
			assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
		})
	}
}

func TestLoadAndSave_StoreDown(t *testing.T) {
	for form, wrap := range authtest.Loaders {
		t.Run(form, func(t *testing.T) {
			var st *authtest.FaultyStore
			s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
			s.Server.Config.Handler = wrap(s.Auth.Sessions(), s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().Put(r.Context(), "k", "v")
				authtest.Echo(w, r)
			}))
			b := s.LoggedIn(authtest.AliceOpenID)
			for _, step := range []string{"find", "commit"} {
				st.Fail(step, authtest.Failing)
				got := b.Step("/a")
				st.Fail(step, nil)
				assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode, step)
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.NotContains(t, got.Text, authtest.ErrFault.Error())
				assert.Contains(t, s.Logs.String(), authtest.ErrFault.Error())
			}
			assert.Contains(t, b.Step("/a").Text, "logged-in=true")
		})
	}
}

// Two gates with separate sessions, one inside the other: what one of them has
// read does not count as the other's.
func TestNestedGates_EndedSession(t *testing.T) {
	s := authtest.NewSite(t)
	inner, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()), wechatauth.WithEndpoints(s.Sim.Endpoints()),
		wechatauth.WithPathPrefix("/inner/"), wechatauth.WithCookie("inner"))
	require.NoError(t, err)
	entered, release := make(chan struct{}), make(chan struct{})
	s.Handle("/slow", inner.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		assert.NoError(t, s.Auth.Sessions().RenewToken(r.Context()))
	})).ServeHTTP)
	b := s.Browser()
	b.Visit("/a")
	thief := s.Browser()
	thief.SetCookie(s.SessionCookie(), b.Cookie(s.SessionCookie()).Value)
	slow := make(chan authtest.Response)
	go func() { slow <- thief.Step("/slow") }()
	<-entered
	b.Post("/wechat/logout", url.Values{"next": {"/public"}})
	close(release)
	assert.Empty(t, (<-slow).Header["Set-Cookie"])
	assert.Equal(t, http.StatusUnauthorized, thief.Fetch(http.MethodGet, "/a").StatusCode)
}

func TestSession_Allocs(t *testing.T) {
	w := authtest.NewBlank()
	count := func(h http.Handler, r *http.Request) float64 {
		return testing.AllocsPerRun(200, func() { w.Ask(h, r) })
	}
	free := count(authtest.Bare())
	for name, opts := range map[string][]wechatauth.Option{
		"in memory":                    nil,
		"in memory, with idle timeout": {wechatauth.WithIdleTimeout(time.Hour)},
		"in memory, many values":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			values := 0
			if name == "in memory, many values" {
				values = 50
			}
			h, r := authtest.NewGateWith(t, values, opts...)
			got := count(h, r) - free
			t.Log("allocations above a bare handler:", got)
			assert.LessOrEqual(t, got, 6.0)
		})
	}
}
