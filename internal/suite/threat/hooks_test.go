package threat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// The application's functions during a login: they reject it, fail, panic, and put
// values into its session.

// channels has the ways to log in. Each logs a user in until a hook rejects the
// login or fails, and returns the response that has the reason.
var channels = map[string]func(s *authtest.ScanSite) authtest.Response{
	"callback": func(s *authtest.ScanSite) authtest.Response { return s.Browser().Visit("/uid") },
	"scan": func(s *authtest.ScanSite) authtest.Response {
		computer, number := scanned(s, "/uid")
		return computer.Enter("/uid", number)
	},
	"mini program": func(s *authtest.ScanSite) authtest.Response {
		got := s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
		_, rest, ok := strings.Cut(got.Text, `"token":"`)
		if !ok {
			return got
		}
		token, _, _ := strings.Cut(rest, `"`)
		return s.Request(http.MethodGet, "/uid", token, "")
	},
}

// scanned returns a browser whose QR code was confirmed, and the number. The
// phone's own login is not under test: it has a session already.
func scanned(s *authtest.ScanSite, target string) (computer *authtest.Browser, number string) {
	s.T.Helper()
	computer, phone := s.Computer(), s.LoggedIn(authtest.AliceOpenID)
	path, _ := s.Show(computer, target)
	s.Scan(phone, path)
	return computer, s.Confirm(phone, path)
}

// newHookSite serves every channel. The page /uid shows what a hook has put
// into the session.
func newHookSite(t *testing.T, opts ...wechatauth.Option) *authtest.ScanSite {
	t.Helper()
	opts = append([]wechatauth.Option{wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret), wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}, opts...)
	s := &authtest.ScanSite{Site: authtest.NewSite(t, opts...)}
	mux := s.Routes().(*http.ServeMux)
	mux.Handle("/uid", s.Auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "uid=%d cart=%s", s.Auth.Sessions().GetInt(r.Context(), "uid"), s.Auth.Sessions().GetString(r.Context(), "cart"))
	})))
	s.Server.Config.Handler = mux
	s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

func TestHookError(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		reason wechatauth.Reason
		level  string
	}{
		"ErrForbidden":         {wechatauth.ErrForbidden, http.StatusForbidden, wechatauth.ReasonNotAuthorized, "INFO"},
		"ErrForbidden, inside": {fmt.Errorf("user 7 is banned: %w", wechatauth.ErrForbidden), http.StatusForbidden, wechatauth.ReasonNotAuthorized, "INFO"},
		"a database's error":   {errors.New("connection refused"), http.StatusServiceUnavailable, wechatauth.ReasonApplicationError, "ERROR"},
		"the end of its time":  {context.DeadlineExceeded, http.StatusServiceUnavailable, wechatauth.ReasonApplicationError, "ERROR"},
	} {
		check := func(t *testing.T, s *authtest.Site, got authtest.Response) {
			t.Helper()
			assert.Equal(t, c.status, got.StatusCode, got.Text)
			assert.Contains(t, got.Text, string(c.reason))
			assert.NotContains(t, got.Text, c.err.Error())
			assert.Equal(t, c.status == http.StatusServiceUnavailable, got.Header.Get("Retry-After") != "")
			logged := ""
			for line := range strings.SplitSeq(s.Logs.String(), "\n") {
				if strings.Contains(line, "reason="+string(c.reason)) {
					logged = line
				}
			}
			assert.Contains(t, logged, "level="+c.level+" ")
			assert.Contains(t, logged, c.err.Error())
		}
		for channel, logIn := range channels {
			t.Run(name+", WithOnLogin, "+channel, func(t *testing.T) {
				s := newHookSite(t, wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error { return c.err }))
				check(t, s.Site, logIn(s))
			})
		}
		t.Run(name+", WithAccessCheck", func(t *testing.T) {
			var failing atomic.Bool
			s := authtest.NewSite(t, wechatauth.WithAccessCheck(func(context.Context, wechatauth.Identity) error {
				if failing.Load() {
					return c.err
				}
				return nil
			}, 0))
			b := s.Browser()
			require.Contains(t, b.Visit("/a").Text, "logged-in=true")
			failing.Store(true)
			check(t, s, b.Visit("/a"))
			check(t, s, b.Fetch(http.MethodGet, "/a"))
			before := len(s.Logs.String())
			assert.Contains(t, b.Visit("/public").Text, "logged-in=false")
			assert.Equal(t, c.level == "ERROR", strings.Contains(s.Logs.String()[before:], "level=ERROR"), "an open route is served, and a failure is logged")
			failing.Store(false)
			assert.Contains(t, b.Visit("/a").Text, "logged-in=true", "the session is kept")
		})
	}
}

func TestOnLogin_PutsValues(t *testing.T) {
	own := func(pool bool) func(t *testing.T) (wechatauth.Option, *scs.SessionManager) {
		return func(t *testing.T) (wechatauth.Option, *scs.SessionManager) {
			m := scs.New()
			m.Cookie.SameSite = http.SameSiteLaxMode
			m.Store = store.NewMemory()
			if pool {
				m.Store = store.New(redistest.Start(t).Pool())
			}
			return wechatauth.WithSessionManager(m), m
		}
	}
	for name, sessions := range map[string]func(t *testing.T) (wechatauth.Option, *scs.SessionManager){
		"in memory": func(*testing.T) (wechatauth.Option, *scs.SessionManager) {
			return wechatauth.WithStore(store.NewMemory()), nil
		},
		"over Redis": func(t *testing.T) (wechatauth.Option, *scs.SessionManager) {
			return wechatauth.WithRedis(redistest.Start(t).Pool()), nil
		},
		"the application's manager":             own(false),
		"the application's manager, over Redis": own(true),
	} {
		for channel, logIn := range channels {
			t.Run(name+", "+channel, func(t *testing.T) {
				option, _ := sessions(t)
				var s *authtest.ScanSite
				s = newHookSite(t, option, wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error {
					s.Auth.Sessions().Put(ctx, "uid", 7)
					return ctx.Err()
				}))
				got := logIn(s)
				assert.Equal(t, http.StatusOK, got.StatusCode, got.Text)
				assert.Equal(t, "uid=7 cart=", got.Text)
			})
		}
	}
	t.Run("under the manager's own LoadAndSave", func(t *testing.T) {
		option, m := own(false)(t)
		var s *authtest.ScanSite
		s = newHookSite(t, option, wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error {
			s.Auth.Sessions().Put(ctx, "uid", 7)
			return nil
		}))
		s.Server.Config.Handler = m.LoadAndSave(s.Server.Config.Handler)
		assert.Equal(t, "uid=7 cart=", s.Browser().Visit("/uid").Text)
	})
}

// The hook sees values that an anonymous user has put there, and none of
// another user. A login that it rejects changes nothing.
func TestOnLogin_SeesSession(t *testing.T) {
	var fail atomic.Bool
	var cart atomic.Value
	var s *authtest.ScanSite
	s = newHookSite(t, wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error {
		cart.Store(s.Auth.Sessions().GetString(ctx, "cart"))
		_, in := wechatauth.IdentityFromContext(ctx)
		assert.False(t, in, "no user is logged in yet")
		s.Auth.Sessions().Put(ctx, "uid", 7)
		if fail.Load() {
			return wechatauth.ErrForbidden
		}
		return nil
	}))

	b := s.Browser()
	b.SetCookie(s.SessionCookie(), s.SessionWith("cart", "book"))
	assert.Equal(t, "uid=7 cart=book", b.Visit("/uid").Text)
	assert.Equal(t, "book", cart.Load())

	other := s.LoggedIn(authtest.BobOpenID)
	token := other.Cookie(s.SessionCookie()).Value
	callback := s.Browser()
	flow := s.Pending("/uid")
	cookie := s.FlowCookie(flow)
	callback.SetCookie(cookie.Name, cookie.Value)
	callback.SetCookie(s.SessionCookie(), token)
	s.Grant(1)
	fail.Store(true)
	assert.Equal(t, http.StatusForbidden, callback.Step(authtest.CallbackOf(flow, "code")).StatusCode)
	assert.Empty(t, cart.Load())
	assert.Equal(t, token, callback.Cookie(s.SessionCookie()).Value)
	fail.Store(false)
	assert.Equal(t, "uid=0 cart=", callback.Visit("/uid").Text, "no value of the hook is saved")
	assert.Contains(t, callback.Visit("/a").Text, authtest.BobOpenID)
}

// Under scs's LoadAndSave the session is saved whether or not the login
// succeeds.
func TestOnLogin_RejectsUnderLoadAndSave(t *testing.T) {
	m := scs.New()
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Store = store.NewMemory()
	s := newHookSite(t, wechatauth.WithSessionManager(m), wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error {
		m.Put(ctx, "uid", 7)
		return wechatauth.ErrForbidden
	}))
	inner := s.Server.Config.Handler
	s.Server.Config.Handler = m.LoadAndSave(inner)
	b := s.Browser()
	b.SetCookie(s.SessionCookie(), s.Session(authtest.BobOpenID))
	f := s.Pending("/uid")
	cookie := s.FlowCookie(f)
	b.SetCookie(cookie.Name, cookie.Value)
	s.Grant(1)

	assert.Equal(t, http.StatusForbidden, b.Step(authtest.CallbackOf(f, "code")).StatusCode)

	assert.Equal(t, "uid=0 cart=", b.Visit("/uid").Text)
	assert.Contains(t, b.Visit("/a").Text, authtest.BobOpenID)
}

func TestHookPanic(t *testing.T) {
	// A panic is left to net/http and to the application's own middleware. It
	// leaves no lease behind: duplicates that wait, and the next attempt, get
	// the reason immediately.
	t.Run("T99 lease is released", func(t *testing.T) {
		what := errors.New("the hook panics on purpose")
		again := map[string]func(s *authtest.ScanSite) (first func() error, next func() authtest.Response){
			"callback": func(s *authtest.ScanSite) (func() error, func() authtest.Response) {
				b := s.Browser()
				callback := b.Authorize("/uid")
				return func() error { return b.TryStep(callback) }, func() authtest.Response { return b.Visit(callback) }
			},
			"scan": func(s *authtest.ScanSite) (func() error, func() authtest.Response) {
				computer, number := scanned(s, "/uid")
				return func() error { return tryPost(computer, "/wechat/scan?number="+number) }, func() authtest.Response { return computer.Enter("/uid", number) }
			},
			"mini program": func(s *authtest.ScanSite) (func() error, func() authtest.Response) {
				body := `{"code":"` + s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0)) + `"}`
				try := func() error {
					c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
					resp, err := c.Post(s.Base.String()+"/wechat/mini/login", "application/json", strings.NewReader(body))
					if err == nil {
						resp.Body.Close()
					}
					return err
				}
				return try, func() authtest.Response { return s.Request(http.MethodPost, "/wechat/mini/login", "", body) }
			},
		}
		for channel, prepare := range again {
			t.Run(channel, func(t *testing.T) {
				var panics, waits atomic.Int64
				var seen atomic.Value
				s := newHookSite(t, authtest.OnClock(func(now func() time.Time) wechatauth.Option {
					return wechatauth.WithStore(store.NewMemory(store.WithClock(now)))
				}),
					wechatauth.WithOnLogin(func(context.Context, wechatauth.Identity) error {
						panics.Add(1)
						panic(what)
					}))
				inner := s.Server.Config.Handler
				s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() {
						if p := recover(); p != nil {
							seen.Store(p)
							panic(http.ErrAbortHandler)
						}
					}()
					inner.ServeHTTP(w, r)
				})
				first, next := prepare(s)
				require.Zero(t, panics.Load())
				s.Wait = func(context.Context, time.Duration) error { waits.Add(1); return context.DeadlineExceeded }

				require.Error(t, first(), "the response is cut off")
				assert.Equal(t, what, seen.Load(), "with the panic's own value")
				got := next()

				assert.Zero(t, waits.Load(), "the lease is free")
				assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode, got.Text)
				assert.Contains(t, got.Text, string(wechatauth.ReasonApplicationError))
				assert.EqualValues(t, 1, panics.Load(), "it is reported once")
			})
		}
		t.Run("both pages of a scan", func(t *testing.T) {
			s := newHookSite(t, authtest.OnClock(func(now func() time.Time) wechatauth.Option {
				return wechatauth.WithStore(store.NewMemory(store.WithClock(now)))
			}),
				wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error {
					if id.Channel == wechatauth.ChannelScan {
						panic(http.ErrAbortHandler)
					}
					return nil
				}))
			computer, phone := s.Computer(), s.PhoneOf(authtest.Person(0))
			path, _ := s.Show(computer, "/uid")
			s.Scan(phone, path)
			number := s.Confirm(phone, path)
			require.Error(t, tryPost(computer, "/wechat/scan?number="+number))
			s.Clock.Advance(authtest.FailureTTL + time.Second)
			assert.Equal(t, `{"state":"application_error"}`, s.StatusOf(computer))
			assert.True(t, authtest.RefusedFor(phone.Visit(path), wechatauth.ReasonApplicationError), "the phone does not wait")
			assert.True(t, authtest.RefusedFor(computer.Collect("/uid"), wechatauth.ReasonApplicationError), "nor does the browser show the number form again")
		})
		t.Run("before the code is spent", func(t *testing.T) {
			var st *authtest.FaultyStore
			s := authtest.NewSite(t, authtest.WithFaultyStore(&st))
			s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
			b := s.Browser()
			b.SetCookie(s.SessionCookie(), s.SessionWith("cart", "book"))
			callback := b.Authorize("/a")
			st.Fail("find", func() error { panic(what) })
			require.Error(t, b.TryStep(callback))
			st.Fail("find", nil)
			assert.Contains(t, b.Visit(callback).Text, "url=/a logged-in=true")
			assert.Equal(t, 1, s.Exchanges(), "the same code")
		})
	})
}

// tryPost is TryStep for a form of the browser's.
func tryPost(b *authtest.Browser, target string) error {
	c := http.Client{Jar: b.Client.Jar, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequest(http.MethodPost, b.Site.Base.String()+target, nil)
	require.NoError(b.T, err)
	r.Header = b.Header.Clone()
	resp, err := c.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func TestRememberMe(t *testing.T) {
	// scs's RememberMe makes a session cookie outlast the browser process. A
	// duplicate callback sets the cookie again, and the browser keeps the last
	// one.
	t.Run("T89 duplicate callback sets the same cookie", func(t *testing.T) {
		for _, remember := range []bool{true, false} {
			for _, persist := range []bool{true, false} {
				for _, channel := range []string{"callback", "scan"} {
					t.Run(fmt.Sprintf("%s, remember %t, persist %t", channel, remember, persist), func(t *testing.T) {
						m := scs.New()
						m.Cookie.SameSite = http.SameSiteLaxMode
						m.Cookie.Persist = persist
						m.IdleTimeout = time.Hour // its cookie expires with it
						m.Store = store.NewMemory()
						s := newHookSite(t, wechatauth.WithSessionManager(m), wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error {
							m.RememberMe(ctx, remember)
							return nil
						}))
						b, method, target := s.Browser(), http.MethodGet, ""
						if channel == "callback" {
							target = authtest.MustParse(t, b.Authorize("/a")).RequestURI()
						} else {
							var number string
							b, number = scanned(s, "/a")
							method, target = http.MethodPost, "/wechat/scan?next=%2Fa&number="+number
						}
						header := []string{authtest.PageHeader, "User-Agent: " + b.Header.Get("User-Agent"), authtest.CookieHeader(b.Client.Jar.Cookies(s.Base)...)}

						first := s.Wire(method, target, header...)
						second := s.Wire(method, target, header...)

						session := func(a authtest.Response) *http.Cookie {
							for _, c := range a.Cookies() {
								if c.Name == s.SessionCookie() {
									return c
								}
							}
							require.Fail(t, "no session cookie", a.Text)
							return nil
						}
						want, got := session(first), session(second)
						assert.Equal(t, want.Value, got.Value)
						assert.Equal(t, want.Expires, got.Expires)
						assert.InDelta(t, want.MaxAge, got.MaxAge, 60, "a session of the browser, or one that lasts")
						assert.Equal(t, remember || persist, got.MaxAge > 0)
					})
				}
			}
		}
	})
}

// The clock is just before a full second. Whole seconds would turn an instant
// into a second.
func TestEventDuration(t *testing.T) {
	const took = 250 * time.Millisecond
	for _, failing := range []bool{false, true} {
		for channel, run := range map[string]func(s *authtest.ScanSite, wait func()){
			"callback": func(s *authtest.ScanSite, wait func()) {
				b := s.Browser()
				callback := b.Authorize("/a")
				wait()
				b.Step(callback)
			},
			"scan": func(s *authtest.ScanSite, wait func()) {
				computer, number := scanned(s, "/a")
				wait()
				computer.Enter("/a", number)
			},
			"mini program": func(s *authtest.ScanSite, _ func()) { // the hook takes the time
				s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
			},
		} {
			t.Run(channel+", failing "+strconv.FormatBool(failing), func(t *testing.T) {
				seen := &authtest.Recorder{}
				var s *authtest.ScanSite
				s = newHookSite(t, wechatauth.WithObserver(seen), wechatauth.WithOnLogin(func(_ context.Context, id wechatauth.Identity) error {
					if id.Channel == wechatauth.ChannelMiniProgram {
						s.Clock.Advance(took)
					}
					if failing {
						return wechatauth.ErrForbidden
					}
					return nil
				}))
				now := s.Clock.Now()
				s.Clock.Advance(now.Truncate(time.Second).Add(time.Second + 900*time.Millisecond).Sub(now))
				run(s, func() { s.Clock.Advance(took) })
				kind := wechatauth.EventLoginFinished
				if failing {
					kind = wechatauth.EventLoginFailed
				}
				assert.Equal(t, took, seen.Event(t, kind).Duration)
				assert.Contains(t, s.Logs.String(), "duration="+took.String())
			})
		}
	}
}
