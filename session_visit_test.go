package wechatauth

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

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// countingCodec counts what it decodes, and can be told to fail.
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

// counted has the site's sessions decoded by a codec that counts.
func (s *site) counted() countingCodec {
	c := countingCodec{decoded: &atomic.Int64{}, fails: &atomic.Bool{}}
	s.auth.Sessions().Codec = c
	return c
}

func TestASessionIsDecodedWhenSomebodyAsksForItAndOnce(t *testing.T) {
	s := newSite(t)
	sessions := s.auth.Sessions()
	s.handle("/nested", s.auth.RequireWeChat(s.auth.LoadWeChat(http.HandlerFunc(echo))).ServeHTTP)
	s.handle2("/get", func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			assert.Equal(t, "v", sessions.GetString(r.Context(), "k"))
		}
		echo(w, r)
	})
	s.handle2("/nested-get", s.auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "v", sessions.GetString(r.Context(), "k"))
		echo(w, r)
	})).ServeHTTP)
	s.handle2("/derived", func(w http.ResponseWriter, r *http.Request) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), key{}, "mine"))
		defer cancel()
		assert.Equal(t, "v", sessions.GetString(ctx, "k"))
		assert.Equal(t, "mine", ctx.Value(key{}))
		assert.NotNil(t, ctx.Value(http.ServerContextKey), "what the server put there")
		assert.Nil(t, ctx.Value("nobody's"))
		_, ok := IdentityFromContext(context.WithoutCancel(ctx))
		assert.True(t, ok)
		echo(w, r)
	})
	s.handle2("/together", func(w http.ResponseWriter, r *http.Request) {
		var all sync.WaitGroup
		for n := range 32 {
			all.Go(func() {
				assert.Equal(t, "v", sessions.GetString(r.Context(), "k"))
				sessions.Put(r.Context(), fmt.Sprint(n), n)
				_, ok := IdentityFromContext(r.Context())
				assert.True(t, ok)
			})
		}
		all.Wait()
		echo(w, r)
	})
	s.handle2("/put", func(w http.ResponseWriter, r *http.Request) { sessions.Put(r.Context(), "k", "v") })
	b := s.browser()
	b.visit("/a")
	b.step("/put")
	codec := s.counted()
	for path, want := range map[string]int64{"/a": 0, "/public": 0, "/nested": 0, "/get": 1, "/nested-get": 1, "/derived": 1, "/together": 1} {
		codec.decoded.Store(0)
		assert.Contains(t, b.step(path).body, "logged-in=true", path)
		assert.Equal(t, want, codec.decoded.Load(), path)
	}
	assert.Equal(t, "v", b.stored()["k"])
	assert.Equal(t, 32, len(b.stored())-2, "what all of them put is saved")

	codec.decoded.Store(0)
	anonymous := s.browser()
	assert.Contains(t, anonymous.step("/public").body, "logged-in=false")
	assert.Zero(t, codec.decoded.Load())
}

// stored returns the values of the browser's session as they stand in the store.
func (b *browser) stored() map[string]any {
	b.t.Helper()
	raw, found, err := b.site.auth.Sessions().Store.Find(b.site.auth.sessions.StoreKey(b.cookie(b.site.sessionCookie()).Value))
	require.NoError(b.t, err)
	require.True(b.t, found)
	_, values, err := store.Codec{}.Decode(raw)
	require.NoError(b.t, err)
	return values
}

func TestAnAuthenticatedRequestIsOneReadOfTheStore(t *testing.T) {
	server := redistest.Start(t)
	for name, c := range map[string]struct {
		opts []Option
		want []string
	}{
		"without idle timeout": {nil, []string{"GET"}},
		"with idle timeout":    {[]Option{WithIdleTimeout(time.Hour)}, []string{"GET", "PTTL"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, append(c.opts, WithRedis(server.Pool()))...)
			s.handle("/get", func(w http.ResponseWriter, r *http.Request) {
				s.auth.Sessions().GetString(r.Context(), "k")
				echo(w, r)
			})
			b := s.browser()
			b.visit("/a")
			key := s.storedAt(b.cookie(s.sessionCookie()).Value)
			for _, path := range []string{"/b", "/get", "/public"} {
				var want []string
				for _, command := range c.want {
					want = append(want, command+" "+key)
				}
				assert.Equal(t, want, server.Commands(func() { b.step(path) }), path)
			}
			assert.Empty(t, server.Commands(func() { s.browser().step("/b") }), "an anonymous page visit")
			assert.Empty(t, server.Commands(func() { s.browser().fetch(http.MethodGet, "/b") }), "an anonymous script")
		})
	}
}

// A record whose sum is right can still be beyond decoding: it has a type that
// this build of the application does not know.
func TestASessionThatCannotBeDecodedWhenItIsAskedForIsHealed(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(m *scs.SessionManager, w http.ResponseWriter, r *http.Request)
		after   bool // a new session takes its place
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
			s := newSite(t)
			s.handle("/session", func(w http.ResponseWriter, r *http.Request) {
				c.handler(s.auth.Sessions(), w, r)
				echo(w, r)
			})
			b := s.browser()
			b.visit("/a")
			old := b.cookie(s.sessionCookie()).Value
			s.counted().fails.Store(true)
			assert.Contains(t, b.step("/a").body, "logged-in=true", "who he is can be read")

			got := b.step("/session")

			assert.Equal(t, http.StatusOK, got.StatusCode)
			assert.Contains(t, got.body, "logged-in=true")
			assert.Contains(t, s.logs.String(), "session_corrupt")
			_, found, err := s.auth.Sessions().Store.Find(s.auth.sessions.StoreKey(old))
			require.NoError(t, err)
			assert.False(t, found, "the record is deleted")
			s.counted()
			assert.Equal(t, c.after, b.cookie(s.sessionCookie()) != nil)
			assert.Contains(t, b.step("/public").body, "logged-in=false")
			assert.Contains(t, b.visit("/a").body, "logged-in=true", "a login heals it")
			if c.after {
				assert.Equal(t, "new", b.stored()["k"])
			}
		})
	}
}

// Logging a context is a mistake that shall cost nobody his session.
func TestAContextThatIsPrintedShowsNoTokenAndNoOpenid(t *testing.T) {
	s := newSite(t)
	var printed string
	s.handle("/print", func(w http.ResponseWriter, r *http.Request) {
		derived, cancel := context.WithCancel(r.Context())
		defer cancel()
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			printed += fmt.Sprintf(format+format, r.Context(), derived)
		}
		printed += fmt.Sprintf("%v%+v%#v", r, r, r)
	})
	b := s.browser()
	b.visit("/a")
	b.step("/print")
	require.NotEmpty(t, printed)
	token := b.cookie(s.sessionCookie()).Value
	printed = strings.ReplaceAll(printed, s.sessionCookie()+"="+token, "") // what the request's own header shows
	assert.NotContains(t, printed, aliceOpenID)
	assert.NotContains(t, printed, token)
}

func TestASessionThatARequestHasDestroyedIsNotMergedBack(t *testing.T) {
	s := newSite(t)
	m := s.auth.Sessions()
	s.handle("/merge", func(w http.ResponseWriter, r *http.Request) {
		token := m.Token(r.Context())
		assert.NoError(t, m.Destroy(r.Context()))
		assert.NoError(t, m.MergeSession(r.Context(), token))
		assert.Empty(t, m.Keys(r.Context()))
	})
	b := s.browser()
	b.visit("/a")
	b.step("/merge")
	assert.Contains(t, b.step("/public").body, "logged-in=false")
}

func TestAHandlerThatPanicsHasItsSessionUnsaved(t *testing.T) {
	s := newSite(t)
	s.handle("/panic", func(w http.ResponseWriter, r *http.Request) {
		s.auth.Sessions().Put(r.Context(), "k", "v")
		panic(http.ErrAbortHandler)
	})
	b := s.browser()
	b.visit("/a")
	resp, err := b.client.Get(s.auth.home.base.String() + "/panic")
	if err == nil {
		resp.Body.Close()
	}
	assert.Error(t, err)
	assert.NotContains(t, b.stored(), "k")
	assert.Contains(t, b.step("/a").body, "logged-in=true")
}

// The wall's own manager has a LoadAndSave too, and an application may use it.
func TestLoadAndSaveOfTheWallsOwnManagerKeepsOneCookie(t *testing.T) {
	for name, wrap := range map[string]func(a *Auth, h http.Handler) http.Handler{
		"outside": func(a *Auth, h http.Handler) http.Handler { return a.Sessions().LoadAndSave(a.RequireWeChat(h)) },
		"inside":  func(a *Auth, h http.Handler) http.Handler { return a.RequireWeChat(a.Sessions().LoadAndSave(h)) },
		"between": func(a *Auth, h http.Handler) http.Handler {
			return a.LoadWeChat(a.Sessions().LoadAndSave(a.RequireWeChat(h)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			m := s.auth.Sessions()
			s.server.Config.Handler = wrap(s.auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m.Put(r.Context(), "visits", m.GetInt(r.Context(), "visits")+1)
				echo(w, r)
			}))
			b := s.browser()
			assert.Contains(t, b.visit("/a").body, "logged-in=true")
			for range 3 {
				got := b.step("/a")
				assert.Contains(t, got.body, "logged-in=true")
				assert.LessOrEqual(t, len(got.Cookies()), 1)
			}
			assert.Equal(t, 4, b.stored()["visits"])
			b.post("/wechat/logout", url.Values{})
			assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode)
		})
	}
}

func TestLoadAndSaveOfTheWallsOwnManagerTellsOfAStoreThatIsDown(t *testing.T) {
	for form, wrap := range loaders {
		t.Run(form, func(t *testing.T) {
			var st *faultyStore
			s := newSite(t, withFaultyStore(&st))
			s.server.Config.Handler = wrap(s.auth.Sessions(), s.auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.auth.Sessions().Put(r.Context(), "k", "v")
				echo(w, r)
			}))
			b := s.loggedIn(aliceOpenID)
			for _, step := range []string{"find", "commit"} {
				st.fail(step, failing)
				got := b.step("/a")
				st.fail(step, nil)
				assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode, step)
				assert.Empty(t, got.Header["Set-Cookie"])
				assert.NotContains(t, got.body, errFault.Error())
				assert.Contains(t, s.logs.String(), errFault.Error())
			}
			assert.Contains(t, b.step("/a").body, "logged-in=true")
		})
	}
}

// Two walls with sessions of their own, one around the other: what one of them
// has read is not taken for what the other has.
func TestASessionThatEndedIsNotRenewedThroughAnotherWallsContext(t *testing.T) {
	s := newSite(t)
	inner, err := New(WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL(s.auth.home.base.String()), WithEndpoints(s.sim.Endpoints()),
		WithPathPrefix("/inner/"), WithCookie("inner"))
	require.NoError(t, err)
	entered, release := make(chan struct{}), make(chan struct{})
	s.handle("/slow", inner.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		assert.NoError(t, s.auth.Sessions().RenewToken(r.Context()))
	})).ServeHTTP)
	b := s.browser()
	b.visit("/a")
	thief := s.browser()
	thief.setCookie(s.sessionCookie(), b.cookie(s.sessionCookie()).Value)
	slow := make(chan answer)
	go func() { slow <- thief.step("/slow") }()
	<-entered
	b.post("/wechat/logout", url.Values{"next": {"/public"}})
	close(release)
	assert.Empty(t, (<-slow).Header["Set-Cookie"])
	assert.Equal(t, http.StatusUnauthorized, thief.fetch(http.MethodGet, "/a").StatusCode)
}

func TestAnAuthenticatedRequestAllocatesLittle(t *testing.T) {
	w := &blank{header: http.Header{}}
	count := func(h http.Handler, r *http.Request) float64 {
		return testing.AllocsPerRun(200, func() { w.ask(h, r) })
	}
	free := count(bare())
	for name, opts := range map[string][]Option{
		"in memory":                    nil,
		"in memory, with idle timeout": {WithIdleTimeout(time.Hour)},
		"in memory, many values":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			values := 0
			if name == "in memory, many values" {
				values = 50
			}
			h, r := aGateWith(t, values, opts...)
			got := count(h, r) - free
			t.Log("allocations above a bare handler:", got)
			assert.LessOrEqual(t, got, 6.0)
		})
	}
}
