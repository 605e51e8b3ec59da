package wechatauth

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// What handlers behind the gate may do with the session and the response.

var preflight = http.Header{"Access-Control-Request-Method": {"POST"}, "Origin": {"https://app.example.com"}, "Sec-Fetch-Mode": {"cors"}}

func TestT85_EveryRequestThatReachesAHandlerHasASession(t *testing.T) {
	for kind, opts := range keepers(t) {
		t.Run(kind, func(t *testing.T) {
			var st *faultyStore
			s := newSite(t, opts()...)
			if kind == "in memory" {
				s = newSite(t, withFaultyStore(&st), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.AllowAnonymous}))
			}
			m := s.auth.Sessions()
			read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				cart := m.GetString(r.Context(), "cart")
				if r.Method == http.MethodOptions {
					m.Put(r.Context(), "cart", "of a preflight")
					_ = m.RenewToken(r.Context())
				}
				fmt.Fprintf(w, "cart=%s ", cart)
				echo(w, r)
			})
			mux := s.routes().(*http.ServeMux)
			mux.Handle("/require", s.auth.RequireWeChat(read))
			mux.Handle("/load", s.auth.LoadWeChat(read))
			mux.Handle("/both", s.auth.LoadWeChat(s.auth.RequireWeChat(read)))
			mux.Handle("/outside", m.LoadAndSave(s.auth.RequireWeChat(read)))
			s.server.Config.Handler = mux
			b := s.browser()
			b.visitForToken("/a")
			for _, path := range []string{"/require", "/load", "/both", "/outside"} {
				for who, browser := range map[string]*browser{"a browser": s.browser(), "one with a session": b} {
					got := browser.do(browser.client, http.MethodOptions, path, nil, preflight)
					require.Equal(t, http.StatusOK, got.StatusCode, path+" "+who)
					assert.Contains(t, got.body, "cart= ", path+" "+who)
					assert.Contains(t, got.body, "logged-in=false")
					if path != "/outside" {
						assert.Empty(t, got.Cookies(), path+" "+who)
					}
				}
			}
			if st == nil {
				return
			}
			desk := s.browser().as(chromeWindows)
			assert.Contains(t, desk.step("/require").body, "cart= ", "whom the policy lets pass")
			st.fail("find", failing)
			assert.Contains(t, b.step("/load").body, "cart= ", "while the store is down")
			got := b.do(b.client, http.MethodOptions, "/require", nil, preflight)
			assert.Contains(t, got.body, "cart= ", "a preflight reads no store")
		})
	}
}

func TestT85_APreflightCostsNoCallOfTheStore(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	b := s.browser()
	b.visitForToken("/a")
	for _, path := range []string{"/a", "/public"} {
		s.untouched(t, redis, func() {
			got := b.do(b.client, http.MethodOptions, path, nil, preflight)
			assert.Equal(t, http.StatusOK, got.StatusCode)
		})
	}
}

func TestT85_AnErrorHandlerHasASession(t *testing.T) {
	var s *site
	s = newSite(t, WithErrorHandler(func(w http.ResponseWriter, r *http.Request, f Failure) {
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, "%s flash=%q", f.Reason, s.auth.Sessions().PopString(r.Context(), "flash"))
	}))
	assert.Equal(t, `no_session flash=""`, s.browser().fetch(http.MethodGet, "/a").body)
	assert.Contains(t, s.browser().step("/wechat/callback?state=x").body, `flash=""`)
	assert.Contains(t, s.browser().step("/wechat/nothing").body, `flash=""`)
}

// A handler inside of http.TimeoutHandler goes on after its response was sent, in
// a goroutine of its own.
func TestT90_AHandlerMayOutliveItsResponse(t *testing.T) {
	late := map[string]func(s *site, w http.ResponseWriter, r *http.Request){
		"Logout": func(s *site, w http.ResponseWriter, r *http.Request) { _ = s.auth.Logout(w, r) },
		"Put": func(s *site, _ http.ResponseWriter, r *http.Request) {
			s.auth.Sessions().Put(r.Context(), "late", "yes")
		},
		"RenewToken":  func(s *site, _ http.ResponseWriter, r *http.Request) { _ = s.auth.Sessions().RenewToken(r.Context()) },
		"Destroy":     func(s *site, _ http.ResponseWriter, r *http.Request) { _ = s.auth.Sessions().Destroy(r.Context()) },
		"Commit":      func(s *site, _ http.ResponseWriter, r *http.Request) { _, _, _ = s.auth.Sessions().Commit(r.Context()) },
		"an identity": func(_ *site, _ http.ResponseWriter, r *http.Request) { _, _ = IdentityFromContext(r.Context()) },
		"a gate": func(s *site, w http.ResponseWriter, r *http.Request) {
			s.auth.RequireWeChat(http.HandlerFunc(echo)).ServeHTTP(w, r)
		},
	}
	for kind, opts := range keepers(t) {
		for what, do := range late {
			t.Run(kind+", "+what, func(t *testing.T) {
				s := newSite(t, opts()...)
				done := make(chan struct{})
				given := make(chan struct{})
				mux := s.routes().(*http.ServeMux)
				mux.Handle("/late", s.auth.RequireWeChat(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(done)
					if r.URL.Query().Has("race") { // as the response is being sent
						<-r.Context().Done()
					} else {
						<-given
					}
					do(s, w, r)
				}), time.Millisecond, "too late")))
				s.server.Config.Handler = mux
				b := s.browser()
				token := b.visitForToken("/a")
				for _, path := range []string{"/late?race", "/late"} {
					got := b.step(path)
					// At the end of its time http.TimeoutHandler takes what is ready.
					if path == "/late" || got.StatusCode != http.StatusOK {
						require.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
						require.Equal(t, "too late", got.body)
					}
					if path == "/late" {
						close(given)
					}
					<-done
					done = make(chan struct{})
					alive := strings.Contains(s.holding(s.sessionCookie(), token).step("/public").body, "logged-in=true")
					switch what {
					case "Logout", "Destroy":
						assert.False(t, alive, "what is ended late is ended")
					case "RenewToken": // before the response or after it
					default:
						assert.True(t, alive)
					}
					if !alive {
						b = s.browser()
						token = b.visitForToken("/a")
					}
				}
			})
		}
	}
}

func TestAPageIsNotShownAgainAfterItsSessionEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a page":       {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") }, "private, no-cache"},
		"not modified": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, "private, no-cache"},
		"a stream":     {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); fmt.Fprint(w, "more") }, "private, no-cache"},
		"an error":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) }, "private, no-cache"},
		"nothing":      {func(http.ResponseWriter, *http.Request) {}, "private, no-cache"},
		"an asset": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=31536000, immutable")
		}, "max-age=31536000, immutable"},
		"public": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "public") }, "public"},
		"an empty header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Cache-Control"], w.Header()["Expires"] = []string{""}, []string{" "}
		}, "private, no-cache"},
		"without an age": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "no-transform")
		}, "no-transform, private, no-cache"},
		"by its expiry": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			mux := s.routes().(*http.ServeMux)
			mux.Handle("/require", s.auth.RequireWeChat(tt.handler))
			mux.Handle("/load", s.auth.LoadWeChat(tt.handler))
			s.server.Config.Handler = mux
			b := s.browser()
			b.visit("/a")
			for _, path := range []string{"/require", "/load"} {
				assert.Equal(t, tt.want, strings.Join(b.step(path).Header["Cache-Control"], ", "), path)
			}
			if tt.want == "private, no-cache" {
				assert.Empty(t, s.browser().step("/load").Header.Get("Cache-Control"), "an anonymous page is the same for everybody")
			}
		})
	}
}

// The gate that lets the user through need not be the one that begins the response.
func TestT94_APageOfAGateInsideOtherGatesIsPrivate(t *testing.T) {
	m := ownManager(store.NewMemory())
	s := newSite(t, WithSessionManager(m))
	other, err := New(WithApp("wx00000000000000ff", wechattest.DefaultSecret), WithBaseURL(s.auth.home.base.String()),
		WithEndpoints(s.sim.Endpoints()), WithPathPrefix("/other/"), WithSessionManager(m))
	require.NoError(t, err)
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"one":   func(h http.Handler) http.Handler { return other.LoadWeChat(s.auth.LoadWeChat(h)) },
		"two":   func(h http.Handler) http.Handler { return other.LoadWeChat(other.LoadWeChat(s.auth.LoadWeChat(h))) },
		"first": func(h http.Handler) http.Handler { return s.auth.LoadWeChat(other.LoadWeChat(h)) },
	} {
		t.Run(name, func(t *testing.T) {
			s.server.Config.Handler = wrap(http.HandlerFunc(echo))
			b := s.browser()
			b.visit("/wechat/login?next=/a")
			got := b.step("/a")
			assert.Equal(t, name != "first", strings.Contains(got.body, "logged-in=true"))
			assert.Equal(t, "private, no-cache", got.Header.Get("Cache-Control"))
			assert.Empty(t, s.browser().step("/a").Header.Get("Cache-Control"))
		})
	}
}

func TestAnUpgradedConnectionKeepsItsHeaders(t *testing.T) {
	s := newSite(t)
	s.handle("/ws", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	b := s.browser()
	token := b.visitForToken("/a")
	got := s.wire(http.MethodGet, "/ws", "Cookie: "+s.sessionCookie()+"="+token)
	assert.Equal(t, http.StatusSwitchingProtocols, got.StatusCode)
}

// A change that cannot be saved is no success.
func TestAChangeOfASessionThatCannotBeLoadedIsAnError(t *testing.T) {
	var st *faultyStore
	s := newSite(t, withFaultyStore(&st))
	m := s.auth.Sessions()
	mux := s.routes().(*http.ServeMux)
	for path, h := range map[string]http.HandlerFunc{
		"/put": func(w http.ResponseWriter, r *http.Request) {
			m.Put(r.Context(), "cart", "book")
			http.Redirect(w, r, "/cart", http.StatusSeeOther)
		},
		"/destroy": func(w http.ResponseWriter, r *http.Request) { _ = m.Destroy(r.Context()); fmt.Fprint(w, "bye") },
		"/read":    func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, m.GetString(r.Context(), "cart")) },
		"/late": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "sent")
			m.Put(r.Context(), "cart", "book")
		},
	} {
		mux.Handle(path, s.auth.LoadWeChat(h))
		mux.Handle("/require"+path, s.auth.RequireWeChat(h))
	}
	s.server.Config.Handler = mux
	b := s.browser()
	b.visit("/a")
	st.fail("find", failing)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range []string{"/put", "/destroy"} {
			got := b.fetch(method, path)
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode, method+path)
			assert.NotEmpty(t, got.Header.Get("Retry-After"))
			assert.Empty(t, got.Header.Get("Location"))
			assert.Empty(t, got.Cookies())
		}
		assert.Equal(t, http.StatusServiceUnavailable, b.fetch(method, "/require/put").StatusCode)
	}
	assert.Equal(t, http.StatusOK, b.step("/read").StatusCode, "reading needs nothing saved")

	before := len(s.logs.String())
	assert.Equal(t, "sent", b.step("/late").body)
	said := s.logs.String()[before:]
	assert.Contains(t, said, "level=ERROR")
	assert.Contains(t, said, "the change is lost")

	st.fail("find", nil)
	st.fail("commit", failing)
	for _, path := range []string{"/put", "/require/put"} {
		assert.Equal(t, http.StatusServiceUnavailable, b.fetch(http.MethodPost, path).StatusCode, path)
	}
	st.fail("commit", nil)
	assert.Contains(t, b.step("/public").body, "logged-in=true")
}

func TestASessionWithoutAnIdentityIsNotUnknown(t *testing.T) {
	for kind, opts := range keepers(t) {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, opts()...)
			cart := s.holding(s.sessionCookie(), s.sessionWith("cart", "book")).fetch(http.MethodGet, "/a")
			assert.Contains(t, cart.body, `"reason":"`+string(ReasonNoSession)+`"`)
			ended := s.holding(s.sessionCookie(), strings.Repeat("A", session.TokenLength)).fetch(http.MethodGet, "/a")
			assert.Contains(t, ended.body, `"reason":"`+string(ReasonSessionUnknown)+`"`)
			none := s.browser().fetch(http.MethodGet, "/a")
			assert.Contains(t, none.body, `"reason":"`+string(ReasonNoSession)+`"`)
		})
	}
}

func TestNewLeavesNoGoroutine(t *testing.T) {
	pool := redistest.Start(t).Pool()
	for kind, opts := range map[string]func() []Option{
		"over Redis": func() []Option { return []Option{WithRedis(pool)} },
		"in memory":  func() []Option { return nil },
		"by a URL":   func() []Option { return []Option{WithRedisURL("redis://127.0.0.1:1/0")} },
	} {
		t.Run(kind, func(t *testing.T) {
			before := runtime.NumGoroutine()
			for range 50 {
				_, err := New(append(opts(), WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL("https://shop.example.com"))...)
				require.NoError(t, err)
			}
			assert.LessOrEqual(t, runtime.NumGoroutine(), before)
		})
	}
}

// notifyingWriter is the writer of a middleware that flushes and notifies, and
// does nothing else.
type notifyingWriter struct {
	http.ResponseWriter
	http.Flusher
	closeNotifier
}

// A framework that asserts http.CloseNotifier without asking finds it behind the
// gate wherever it is there in front of the gate.
func TestWhatAMiddlewareNotifiesOfReachesTheHandler(t *testing.T) {
	s := newSite(t)
	s.handle("/stream", func(w http.ResponseWriter, _ *http.Request) {
		assert.NotNil(t, w.(closeNotifier).CloseNotify())
		assert.ErrorIs(t, w.(http.Pusher).Push("/a", nil), http.ErrNotSupported)
		w.(http.Flusher).Flush()
	})
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(notifyingWriter{w, w.(http.Flusher), w.(closeNotifier)}, r)
	})
	b := s.browser()
	assert.Equal(t, http.StatusOK, b.visit("/stream").StatusCode)
}
