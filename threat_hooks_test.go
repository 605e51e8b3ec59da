package wechatauth

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

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// What the application's own functions do to a login: reject it, fail, panic,
// and put values into its session.

// channels are the ways to log in. Each logs a user in, until a hook rejects
// or fails, and returns the answer that has the cause.
var channels = map[string]func(s *scanSite) answer{
	"callback": func(s *scanSite) answer { return s.browser().visit("/uid") },
	"scan": func(s *scanSite) answer {
		desk, number := s.scanned("/uid")
		return desk.enter("/uid", number)
	},
	"mini program": func(s *scanSite) answer {
		got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
		_, rest, ok := strings.Cut(got.body, `"token":"`)
		if !ok {
			return got
		}
		token, _, _ := strings.Cut(rest, `"`)
		return s.request(http.MethodGet, "/uid", token, "")
	},
}

// scanned is a browser whose QR code was confirmed, and the number. The phone's
// own login is not what is tested: it is a session that is there.
func (s *scanSite) scanned(target string) (desk *browser, number string) {
	s.t.Helper()
	desk, phone := s.desk(), s.loggedIn(aliceOpenID)
	path, _ := s.show(desk, target)
	s.scan(phone, path)
	return desk, s.confirm(phone, path)
}

// newHookSite serves every channel, and at /uid what a hook has put.
func newHookSite(t *testing.T, opts ...Option) *scanSite {
	t.Helper()
	opts = append([]Option{WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret), WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan})}, opts...)
	s := &scanSite{site: newSite(t, opts...)}
	mux := s.routes().(*http.ServeMux)
	mux.Handle("/uid", s.auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "uid=%d cart=%s", s.auth.Sessions().GetInt(r.Context(), "uid"), s.auth.Sessions().GetString(r.Context(), "cart"))
	})))
	s.server.Config.Handler = mux
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

func TestOneErrorOfAHookIsARefusalAndEveryOtherIsAFailure(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		reason Reason
		level  string
	}{
		"ErrForbidden":         {ErrForbidden, http.StatusForbidden, ReasonNotAuthorized, "INFO"},
		"ErrForbidden, inside": {fmt.Errorf("user 7 is banned: %w", ErrForbidden), http.StatusForbidden, ReasonNotAuthorized, "INFO"},
		"a database's error":   {errors.New("connection refused"), http.StatusServiceUnavailable, ReasonApplicationError, "ERROR"},
		"the end of its time":  {context.DeadlineExceeded, http.StatusServiceUnavailable, ReasonApplicationError, "ERROR"},
	} {
		check := func(t *testing.T, s *site, got answer) {
			t.Helper()
			assert.Equal(t, c.status, got.StatusCode, got.body)
			assert.Contains(t, got.body, string(c.reason))
			assert.NotContains(t, got.body, c.err.Error())
			assert.Equal(t, c.status == http.StatusServiceUnavailable, got.Header.Get("Retry-After") != "")
			logged := ""
			for line := range strings.SplitSeq(s.logs.String(), "\n") {
				if strings.Contains(line, "reason="+string(c.reason)) {
					logged = line
				}
			}
			assert.Contains(t, logged, "level="+c.level+" ")
			assert.Contains(t, logged, c.err.Error())
		}
		for channel, logIn := range channels {
			t.Run(name+", WithOnLogin, "+channel, func(t *testing.T) {
				s := newHookSite(t, WithOnLogin(func(context.Context, Identity) error { return c.err }))
				check(t, s.site, logIn(s))
			})
		}
		t.Run(name+", WithAuthorize", func(t *testing.T) {
			var failing atomic.Bool
			s := newSite(t, WithAuthorize(func(context.Context, Identity) error {
				if failing.Load() {
					return c.err
				}
				return nil
			}, 0))
			b := s.browser()
			require.Contains(t, b.visit("/a").body, "logged-in=true")
			failing.Store(true)
			check(t, s, b.visit("/a"))
			check(t, s, b.fetch(http.MethodGet, "/a"))
			before := len(s.logs.String())
			assert.Contains(t, b.visit("/public").body, "logged-in=false")
			assert.Equal(t, c.level == "ERROR", strings.Contains(s.logs.String()[before:], "level=ERROR"), "an open route is served, and a failure is told")
			failing.Store(false)
			assert.Contains(t, b.visit("/a").body, "logged-in=true", "the session is kept")
		})
	}
}

func TestWhatTheHookPutsIsSavedWithTheLogin(t *testing.T) {
	own := func(pool bool) func(t *testing.T) (Option, *scs.SessionManager) {
		return func(t *testing.T) (Option, *scs.SessionManager) {
			m := scs.New()
			m.Cookie.SameSite = http.SameSiteLaxMode
			m.Store = store.NewMemory()
			if pool {
				m.Store = store.New(redistest.Start(t).Pool())
			}
			return WithSessionManager(m), m
		}
	}
	for name, sessions := range map[string]func(t *testing.T) (Option, *scs.SessionManager){
		"in memory":                             func(*testing.T) (Option, *scs.SessionManager) { return WithStore(store.NewMemory()), nil },
		"over Redis":                            func(t *testing.T) (Option, *scs.SessionManager) { return WithRedis(redistest.Start(t).Pool()), nil },
		"the application's manager":             own(false),
		"the application's manager, over Redis": own(true),
	} {
		for channel, logIn := range channels {
			t.Run(name+", "+channel, func(t *testing.T) {
				option, _ := sessions(t)
				var s *scanSite
				s = newHookSite(t, option, WithOnLogin(func(ctx context.Context, _ Identity) error {
					s.auth.Sessions().Put(ctx, "uid", 7)
					return ctx.Err()
				}))
				got := logIn(s)
				assert.Equal(t, http.StatusOK, got.StatusCode, got.body)
				assert.Equal(t, "uid=7 cart=", got.body)
			})
		}
	}
	t.Run("under the manager's own LoadAndSave", func(t *testing.T) {
		option, m := own(false)(t)
		var s *scanSite
		s = newHookSite(t, option, WithOnLogin(func(ctx context.Context, _ Identity) error {
			s.auth.Sessions().Put(ctx, "uid", 7)
			return nil
		}))
		s.server.Config.Handler = m.LoadAndSave(s.server.Config.Handler)
		assert.Equal(t, "uid=7 cart=", s.browser().visit("/uid").body)
	})
}

// The hook sees what an anonymous visitor has put there, and nothing of another
// user. A login that it rejects leaves everything as it was.
func TestTheHookSeesTheSessionThatItsLoginGets(t *testing.T) {
	var fail atomic.Bool
	var cart atomic.Value
	var s *scanSite
	s = newHookSite(t, WithOnLogin(func(ctx context.Context, _ Identity) error {
		cart.Store(s.auth.Sessions().GetString(ctx, "cart"))
		_, in := IdentityFromContext(ctx)
		assert.False(t, in, "nobody is logged in yet")
		s.auth.Sessions().Put(ctx, "uid", 7)
		if fail.Load() {
			return ErrForbidden
		}
		return nil
	}))

	b := s.browser()
	b.setCookie(s.sessionCookie(), s.sessionWith("cart", "book"))
	assert.Equal(t, "uid=7 cart=book", b.visit("/uid").body)
	assert.Equal(t, "book", cart.Load())

	other := s.loggedIn(bobOpenID)
	token := other.cookie(s.sessionCookie()).Value
	callback := s.browser()
	flow := s.pending("/uid")
	cookie := s.flowCookie(flow)
	callback.setCookie(cookie.Name, cookie.Value)
	callback.setCookie(s.sessionCookie(), token)
	s.grant(1)
	fail.Store(true)
	assert.Equal(t, http.StatusForbidden, callback.step(callbackOf(flow, "code")).StatusCode)
	assert.Empty(t, cart.Load())
	assert.Equal(t, token, callback.cookie(s.sessionCookie()).Value)
	fail.Store(false)
	assert.Equal(t, "uid=0 cart=", callback.visit("/uid").body, "nothing that it put is there")
	assert.Contains(t, callback.visit("/a").body, bobOpenID)
}

// Under scs's LoadAndSave the session is saved whatever comes of the login.
func TestARejectedLoginLeavesTheSessionOfTheApplicationsManagerAsItWas(t *testing.T) {
	m := scs.New()
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Store = store.NewMemory()
	s := newHookSite(t, WithSessionManager(m), WithOnLogin(func(ctx context.Context, _ Identity) error {
		m.Put(ctx, "uid", 7)
		return ErrForbidden
	}))
	inner := s.server.Config.Handler
	s.server.Config.Handler = m.LoadAndSave(inner)
	b := s.browser()
	b.setCookie(s.sessionCookie(), s.session(bobOpenID))
	f := s.pending("/uid")
	cookie := s.flowCookie(f)
	b.setCookie(cookie.Name, cookie.Value)
	s.grant(1)

	assert.Equal(t, http.StatusForbidden, b.step(callbackOf(f, "code")).StatusCode)

	assert.Equal(t, "uid=0 cart=", b.visit("/uid").body)
	assert.Contains(t, b.visit("/a").body, bobOpenID)
}

// A panic is net/http's to handle, and the application's middleware's. It
// leaves no claim behind: who waits, and the next try, read the cause at once.
func TestT99_APanickingHookReleasesTheLogin(t *testing.T) {
	what := errors.New("the hook panics, because the test says so")
	again := map[string]func(s *scanSite) (first func() error, next func() answer){
		"callback": func(s *scanSite) (func() error, func() answer) {
			b := s.browser()
			callback := b.authorize("/uid")
			return func() error { return b.tryStep(callback) }, func() answer { return b.visit(callback) }
		},
		"scan": func(s *scanSite) (func() error, func() answer) {
			desk, number := s.scanned("/uid")
			return func() error { return desk.tryPost("/wechat/scan?number=" + number) }, func() answer { return desk.enter("/uid", number) }
		},
		"mini program": func(s *scanSite) (func() error, func() answer) {
			body := `{"code":"` + s.sim.JSCode(miniApp, person(0)) + `"}`
			try := func() error {
				c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				resp, err := c.Post(s.auth.base.String()+"/wechat/mini/login", "application/json", strings.NewReader(body))
				if err == nil {
					resp.Body.Close()
				}
				return err
			}
			return try, func() answer { return s.request(http.MethodPost, "/wechat/mini/login", "", body) }
		},
	}
	for channel, prepare := range again {
		t.Run(channel, func(t *testing.T) {
			var panics, waits atomic.Int64
			var seen atomic.Value
			s := newHookSite(t, func(c *config) { WithStore(store.NewMemory(store.WithClock(c.now)))(c) },
				WithOnLogin(func(context.Context, Identity) error {
					panics.Add(1)
					panic(what)
				}))
			inner := s.server.Config.Handler
			s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			s.auth.claims.Wait = func(context.Context, time.Duration) error { waits.Add(1); return context.DeadlineExceeded }

			require.Error(t, first(), "the answer breaks off")
			assert.Equal(t, what, seen.Load(), "with the panic's own value")
			got := next()

			assert.Zero(t, waits.Load(), "the claim is held by nobody")
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode, got.body)
			assert.Contains(t, got.body, string(ReasonApplicationError))
			assert.EqualValues(t, 1, panics.Load(), "nobody is told twice")
		})
	}
	t.Run("both pages of a scan", func(t *testing.T) {
		s := newHookSite(t, func(c *config) { WithStore(store.NewMemory(store.WithClock(c.now)))(c) },
			WithOnLogin(func(_ context.Context, id Identity) error {
				if id.Channel == ChannelScan {
					panic(http.ErrAbortHandler)
				}
				return nil
			}))
		desk, phone := s.desk(), s.phoneOf(person(0))
		path, _ := s.show(desk, "/uid")
		s.scan(phone, path)
		number := s.confirm(phone, path)
		require.Error(t, desk.tryPost("/wechat/scan?number="+number))
		s.clock.Advance(failureTTL + time.Second)
		assert.Equal(t, `{"state":"application_error"}`, s.status(desk))
		assert.True(t, refusedFor(phone.visit(path), ReasonApplicationError), "the phone does not wait")
		assert.True(t, refusedFor(desk.collect("/uid"), ReasonApplicationError), "nor is the browser asked for the number again")
	})
	t.Run("before the code is spent", func(t *testing.T) {
		var st *faultyStore
		s := newSite(t, withFaultyStore(&st))
		s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.auth.claims.Wait = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		b := s.browser()
		b.setCookie(s.sessionCookie(), s.sessionWith("cart", "book"))
		callback := b.authorize("/a")
		st.fail("find", func() error { panic(what) })
		require.Error(t, b.tryStep(callback))
		st.fail("find", nil)
		assert.Contains(t, b.visit(callback).body, "url=/a logged-in=true")
		assert.Equal(t, 1, s.exchanges(), "the same code")
	})
}

// tryPost is tryStep for a form of the browser's.
func (b *browser) tryPost(target string) error {
	c := http.Client{Jar: b.client.Jar, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequest(http.MethodPost, b.site.auth.base.String()+target, nil)
	require.NoError(b.t, err)
	r.Header = b.header.Clone()
	resp, err := c.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// scs's RememberMe makes a session cookie outlive the browser. A doubled
// callback sets the cookie once more, and it is the last one that counts.
func TestT89_ADoubledCallbackSetsTheCookieAsTheFirstDid(t *testing.T) {
	for _, remember := range []bool{true, false} {
		for _, persist := range []bool{true, false} {
			for _, channel := range []string{"callback", "scan"} {
				t.Run(fmt.Sprintf("%s, remember %t, persist %t", channel, remember, persist), func(t *testing.T) {
					m := scs.New()
					m.Cookie.SameSite = http.SameSiteLaxMode
					m.Cookie.Persist = persist
					m.IdleTimeout = time.Hour // its cookie ends with it
					m.Store = store.NewMemory()
					s := newHookSite(t, WithSessionManager(m), WithOnLogin(func(ctx context.Context, _ Identity) error {
						m.RememberMe(ctx, remember)
						return nil
					}))
					b, method, target := s.browser(), http.MethodGet, ""
					if channel == "callback" {
						target = mustParse(t, b.authorize("/a")).RequestURI()
					} else {
						var number string
						b, number = s.scanned("/a")
						method, target = http.MethodPost, "/wechat/scan?next=%2Fa&number="+number
					}
					header := []string{pageHeader, "User-Agent: " + b.header.Get("User-Agent"), cookieHeader(b.client.Jar.Cookies(s.auth.base)...)}

					first := s.wire(method, target, header...)
					second := s.wire(method, target, header...)

					session := func(a answer) *http.Cookie {
						for _, c := range a.Cookies() {
							if c.Name == s.sessionCookie() {
								return c
							}
						}
						require.Fail(t, "no session cookie", a.body)
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
}

// The clock stands just before a full second, where whole seconds would make a
// second of a moment.
func TestADurationIsThatOfTheLogin(t *testing.T) {
	const took = 250 * time.Millisecond
	for _, failing := range []bool{false, true} {
		for channel, run := range map[string]func(s *scanSite, wait func()){
			"callback": func(s *scanSite, wait func()) {
				b := s.browser()
				callback := b.authorize("/a")
				wait()
				b.step(callback)
			},
			"scan": func(s *scanSite, wait func()) {
				desk, number := s.scanned("/a")
				wait()
				desk.enter("/a", number)
			},
			"mini program": func(s *scanSite, _ func()) { // the hook takes the time
				s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
			},
		} {
			t.Run(channel+", failing "+strconv.FormatBool(failing), func(t *testing.T) {
				seen := &recorder{}
				var s *scanSite
				s = newHookSite(t, WithObserver(seen), WithOnLogin(func(_ context.Context, id Identity) error {
					if id.Channel == ChannelMiniProgram {
						s.clock.Advance(took)
					}
					if failing {
						return ErrForbidden
					}
					return nil
				}))
				now := s.clock.Now()
				s.clock.Advance(now.Truncate(time.Second).Add(time.Second + 900*time.Millisecond).Sub(now))
				run(s, func() { s.clock.Advance(took) })
				kind := EventLoginFinished
				if failing {
					kind = EventLoginFailed
				}
				assert.Equal(t, took, seen.event(t, kind).Duration)
				assert.Contains(t, s.logs.String(), "duration="+took.String())
			})
		}
	}
}
