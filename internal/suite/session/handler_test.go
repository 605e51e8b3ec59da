package session

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Effects of handlers behind the middleware on the session and the response.

var preflight = http.Header{"Access-Control-Request-Method": {"POST"}, "Origin": {"https://app.example.com"}, "Sec-Fetch-Mode": {"cors"}}

func TestHandler(t *testing.T) {
	t.Run("T85 always has a session", func(t *testing.T) {
		for kind, opts := range authtest.Keepers(t) {
			t.Run(kind, func(t *testing.T) {
				var st *authtest.FaultyStore
				s := authtest.NewSite(t, opts()...)
				if kind == "in memory" {
					s = authtest.NewSite(t, authtest.WithFaultyStore(&st), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.AllowAnonymous}))
				}
				m := s.Auth.Sessions()
				read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					cart := m.GetString(r.Context(), "cart")
					if r.Method == http.MethodOptions {
						m.Put(r.Context(), "cart", "of a preflight")
						_ = m.RenewToken(r.Context())
					}
					fmt.Fprintf(w, "cart=%s ", cart)
					authtest.Echo(w, r)
				})
				mux := s.Routes().(*http.ServeMux)
				mux.Handle("/require", s.Auth.RequireWeChat(read))
				mux.Handle("/load", s.Auth.LoadWeChat(read))
				mux.Handle("/both", s.Auth.LoadWeChat(s.Auth.RequireWeChat(read)))
				mux.Handle("/outside", m.LoadAndSave(s.Auth.RequireWeChat(read)))
				s.Server.Config.Handler = mux
				b := s.Browser()
				b.VisitForToken("/a")
				for _, path := range []string{"/require", "/load", "/both", "/outside"} {
					for who, browser := range map[string]*authtest.Browser{"a browser": s.Browser(), "one with a session": b} {
						got := browser.Do(browser.Client, http.MethodOptions, path, nil, preflight)
						require.Equal(t, http.StatusOK, got.StatusCode, path+" "+who)
						assert.Contains(t, got.Text, "cart= ", path+" "+who)
						assert.Contains(t, got.Text, "logged-in=false")
						if path != "/outside" {
							assert.Empty(t, got.Cookies(), path+" "+who)
						}
					}
				}
				if st == nil {
					return
				}
				computer := s.Browser().As(authtest.ChromeWindows)
				assert.Contains(t, computer.Step("/require").Text, "cart= ", "allowed by the policy")
				st.Fail("find", authtest.Failing)
				assert.Contains(t, b.Step("/load").Text, "cart= ", "while the store is down")
				got := b.Do(b.Client, http.MethodOptions, "/require", nil, preflight)
				assert.Contains(t, got.Text, "cart= ", "a preflight reads no store")
			})
		}
	})

	t.Run("T85 preflight makes no store call", func(t *testing.T) {
		redis := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
		b := s.Browser()
		b.VisitForToken("/a")
		for _, path := range []string{"/a", "/public"} {
			s.Untouched(t, redis, func() {
				got := b.Do(b.Client, http.MethodOptions, path, nil, preflight)
				assert.Equal(t, http.StatusOK, got.StatusCode)
			})
		}
	})

	t.Run("T85 error handler has a session", func(t *testing.T) {
		var s *authtest.Site
		s = authtest.NewSite(t, wechatauth.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, f wechatauth.Failure) {
			w.WriteHeader(f.Status)
			fmt.Fprintf(w, "%s flash=%q", f.Reason, s.Auth.Sessions().PopString(r.Context(), "flash"))
		}))
		assert.Equal(t, `no_session flash=""`, s.Browser().Fetch(http.MethodGet, "/a").Text)
		assert.Contains(t, s.Browser().Step("/wechat/callback?state=x").Text, `flash=""`)
		assert.Contains(t, s.Browser().Step("/wechat/nothing").Text, `flash=""`)
	})

	// A handler inside of http.TimeoutHandler may run, in its own goroutine,
	// after its response was sent.
	t.Run("T90 may return after its response", func(t *testing.T) {
		late := map[string]func(s *authtest.Site, w http.ResponseWriter, r *http.Request){
			"Logout": func(s *authtest.Site, w http.ResponseWriter, r *http.Request) { _ = s.Auth.Logout(w, r) },
			"Put": func(s *authtest.Site, _ http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().Put(r.Context(), "late", "yes")
			},
			"RenewToken": func(s *authtest.Site, _ http.ResponseWriter, r *http.Request) {
				_ = s.Auth.Sessions().RenewToken(r.Context())
			},
			"Destroy": func(s *authtest.Site, _ http.ResponseWriter, r *http.Request) {
				_ = s.Auth.Sessions().Destroy(r.Context())
			},
			"Commit": func(s *authtest.Site, _ http.ResponseWriter, r *http.Request) {
				_, _, _ = s.Auth.Sessions().Commit(r.Context())
			},
			"an identity": func(_ *authtest.Site, _ http.ResponseWriter, r *http.Request) {
				_, _ = wechatauth.IdentityFromContext(r.Context())
			},
			"a gate": func(s *authtest.Site, w http.ResponseWriter, r *http.Request) {
				s.Auth.RequireWeChat(http.HandlerFunc(authtest.Echo)).ServeHTTP(w, r)
			},
		}
		for kind, opts := range authtest.Keepers(t) {
			for what, do := range late {
				t.Run(kind+", "+what, func(t *testing.T) {
					s := authtest.NewSite(t, opts()...)
					done := make(chan struct{})
					given := make(chan struct{})
					mux := s.Routes().(*http.ServeMux)
					mux.Handle("/late", s.Auth.RequireWeChat(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						defer close(done)
						if r.URL.Query().Has("race") { // while the response is being sent
							<-r.Context().Done()
						} else {
							<-given
						}
						do(s, w, r)
					}), time.Millisecond, "too late")))
					s.Server.Config.Handler = mux
					b := s.Browser()
					token := b.VisitForToken("/a")
					for _, path := range []string{"/late?race", "/late"} {
						got := b.Step(path)
						// At its timeout, http.TimeoutHandler sends what is ready.
						if path == "/late" || got.StatusCode != http.StatusOK {
							require.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
							require.Equal(t, "too late", got.Text)
						}
						if path == "/late" {
							close(given)
						}
						<-done
						done = make(chan struct{})
						alive := strings.Contains(s.Holding(s.SessionCookie(), token).Step("/public").Text, "logged-in=true")
						switch what {
						case "Logout", "Destroy":
							assert.False(t, alive, "a late Destroy ends the session")
						case "RenewToken": // before the response or after it
						default:
							assert.True(t, alive)
						}
						if !alive {
							b = s.Browser()
							token = b.VisitForToken("/a")
						}
					}
				})
			}
		}
	})

	// The gate that serves the request need not be the one that begins the
	// response.
	t.Run("T94 page inside nested gates is private", func(t *testing.T) {
		m := authtest.OwnManager(store.NewMemory())
		s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
		other, err := wechatauth.New(wechatauth.WithApp("wx00000000000000ff", wechattest.DefaultSecret), wechatauth.WithBaseURL(s.Base.String()),
			wechatauth.WithEndpoints(s.Sim.Endpoints()), wechatauth.WithPathPrefix("/other/"), wechatauth.WithSessionManager(m))
		require.NoError(t, err)
		for name, wrap := range map[string]func(http.Handler) http.Handler{
			"one":   func(h http.Handler) http.Handler { return other.LoadWeChat(s.Auth.LoadWeChat(h)) },
			"two":   func(h http.Handler) http.Handler { return other.LoadWeChat(other.LoadWeChat(s.Auth.LoadWeChat(h))) },
			"first": func(h http.Handler) http.Handler { return s.Auth.LoadWeChat(other.LoadWeChat(h)) },
		} {
			t.Run(name, func(t *testing.T) {
				s.Server.Config.Handler = wrap(http.HandlerFunc(authtest.Echo))
				b := s.Browser()
				b.Visit("/wechat/login?next=/a")
				got := b.Step("/a")
				assert.Equal(t, name != "first", strings.Contains(got.Text, "logged-in=true"))
				assert.Equal(t, "private, no-cache", got.Header.Get("Cache-Control"))
				assert.Empty(t, s.Browser().Step("/a").Header.Get("Cache-Control"))
			})
		}
	})
}

func TestCacheControl(t *testing.T) {
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
			s := authtest.NewSite(t)
			mux := s.Routes().(*http.ServeMux)
			mux.Handle("/require", s.Auth.RequireWeChat(tt.handler))
			mux.Handle("/load", s.Auth.LoadWeChat(tt.handler))
			s.Server.Config.Handler = mux
			b := s.Browser()
			b.Visit("/a")
			for _, path := range []string{"/require", "/load"} {
				assert.Equal(t, tt.want, strings.Join(b.Step(path).Header["Cache-Control"], ", "), path)
			}
			if tt.want == "private, no-cache" {
				assert.Empty(t, s.Browser().Step("/load").Header.Get("Cache-Control"), "an anonymous page is the same for all users")
			}
		})
	}
}

func TestUpgrade_Headers(t *testing.T) {
	s := authtest.NewSite(t)
	s.Handle("/ws", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	b := s.Browser()
	token := b.VisitForToken("/a")
	got := s.Wire(http.MethodGet, "/ws", "Cookie: "+s.SessionCookie()+"="+token)
	assert.Equal(t, http.StatusSwitchingProtocols, got.StatusCode)
}

// A change that cannot be saved is an error.
func TestSave_NotLoaded(t *testing.T) {
	var st *authtest.FaultyStore
	s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
	m := s.Auth.Sessions()
	mux := s.Routes().(*http.ServeMux)
	for path, h := range map[string]http.HandlerFunc{
		"/put": func(w http.ResponseWriter, r *http.Request) {
			m.Put(r.Context(), "cart", "book")
			http.Redirect(w, r, "/cart", http.StatusSeeOther)
		},
		"/destroy": func(w http.ResponseWriter, r *http.Request) { _ = m.Destroy(r.Context()); fmt.Fprint(w, "bye") },
		"/read":    func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, m.GetString(r.Context(), "cart")) },
		"/remove":  func(w http.ResponseWriter, r *http.Request) { m.Remove(r.Context(), "cart") },
		"/pop":     func(w http.ResponseWriter, r *http.Request) { _ = m.PopString(r.Context(), "cart") },
		"/clear":   func(w http.ResponseWriter, r *http.Request) { _ = m.Clear(r.Context()) },
		"/late": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "sent")
			m.Put(r.Context(), "cart", "book")
		},
	} {
		mux.Handle(path, s.Auth.LoadWeChat(h))
		mux.Handle("/require"+path, s.Auth.RequireWeChat(h))
	}
	s.Server.Config.Handler = mux
	b := s.Browser()
	b.Visit("/a")
	st.Fail("find", authtest.Failing)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range []string{"/put", "/destroy"} {
			got := b.Fetch(method, path)
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode, method+path)
			assert.NotEmpty(t, got.Header.Get("Retry-After"))
			assert.Empty(t, got.Header.Get("Location"))
			assert.Empty(t, got.Cookies())
		}
		assert.Equal(t, http.StatusServiceUnavailable, b.Fetch(method, "/require/put").StatusCode)
		for _, path := range []string{"/remove", "/pop", "/clear"} {
			assert.Equal(t, http.StatusOK, b.Fetch(method, path).StatusCode, "as LoadWeChat says: there is nothing to remove")
			assert.Equal(t, http.StatusServiceUnavailable, b.Fetch(method, "/require"+path).StatusCode)
		}
	}
	assert.Equal(t, http.StatusOK, b.Step("/read").StatusCode, "reading saves nothing")

	before := len(s.Logs.String())
	assert.Equal(t, "sent", b.Step("/late").Text)
	said := s.Logs.String()[before:]
	assert.Contains(t, said, "level=ERROR")
	assert.Contains(t, said, "the change is lost")

	st.Fail("find", nil)
	st.Fail("commit", authtest.Failing)
	for _, path := range []string{"/put", "/require/put"} {
		assert.Equal(t, http.StatusServiceUnavailable, b.Fetch(http.MethodPost, path).StatusCode, path)
	}
	st.Fail("commit", nil)
	assert.Contains(t, b.Step("/public").Text, "logged-in=true")
}

func TestAnonymousSession(t *testing.T) {
	for kind, opts := range authtest.Keepers(t) {
		t.Run(kind, func(t *testing.T) {
			s := authtest.NewSite(t, opts()...)
			cart := s.Holding(s.SessionCookie(), s.SessionWith("cart", "book")).Fetch(http.MethodGet, "/a")
			assert.Contains(t, cart.Text, `"reason":"`+string(wechatauth.ReasonNoSession)+`"`)
			ended := s.Holding(s.SessionCookie(), strings.Repeat("A", session.TokenLength)).Fetch(http.MethodGet, "/a")
			assert.Contains(t, ended.Text, `"reason":"`+string(wechatauth.ReasonSessionUnknown)+`"`)
			none := s.Browser().Fetch(http.MethodGet, "/a")
			assert.Contains(t, none.Text, `"reason":"`+string(wechatauth.ReasonNoSession)+`"`)
		})
	}
}

func TestNew_Goroutines(t *testing.T) {
	pool := redistest.Start(t).Pool()
	for kind, opts := range map[string]func() []wechatauth.Option{
		"over Redis": func() []wechatauth.Option { return []wechatauth.Option{wechatauth.WithRedis(pool)} },
		"in memory":  func() []wechatauth.Option { return nil },
		"by a URL": func() []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithRedisURL("redis://127.0.0.1:1/0")}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			before := runtime.NumGoroutine()
			for range 50 {
				_, err := wechatauth.New(append(opts(), wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("https://shop.example.com"))...)
				require.NoError(t, err)
			}
			assert.LessOrEqual(t, runtime.NumGoroutine(), before)
		})
	}
}

// A notifyingWriter is the writer of a middleware that supports only Flush and
// CloseNotify.
type notifyingWriter struct {
	http.ResponseWriter
	http.Flusher
	closeNotifier
}

// A framework that asserts http.CloseNotifier unconditionally finds it behind
// the gate if it is there in front of the gate.
func TestCloseNotify(t *testing.T) {
	s := authtest.NewSite(t)
	s.Handle("/stream", func(w http.ResponseWriter, _ *http.Request) {
		assert.NotNil(t, w.(closeNotifier).CloseNotify())
		assert.ErrorIs(t, w.(http.Pusher).Push("/a", nil), http.ErrNotSupported)
		w.(http.Flusher).Flush()
	})
	inner := s.Server.Config.Handler
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(notifyingWriter{w, w.(http.Flusher), w.(closeNotifier)}, r)
	})
	b := s.Browser()
	assert.Equal(t, http.StatusOK, b.Visit("/stream").StatusCode)
}
