package interleaving

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A hold stops one request at one step, until it is released.
type hold struct {
	step    string
	once    sync.Once
	reached chan struct{}
	open    chan struct{}
	release func() // opens; may be called again
}

func newHold(step string) *hold {
	h := &hold{step: step, reached: make(chan struct{}), open: make(chan struct{})}
	h.release = sync.OnceFunc(func() { close(h.open) })
	return h
}

// The steps at which requests are held.
const (
	holdHandler   = "handler"   // the session is loaded, nothing is written
	holdExchanged = "exchanged" // WeChat has confirmed the identity
	holdCommit    = "commit"    // before a session is written
	holdDrop      = "drop"      // before a session is deleted
)

type holdKey struct{}

// at blocks the context's request if it is to be held at this step.
func at(ctx context.Context, step string) {
	if h, ok := ctx.Value(holdKey{}).(*hold); ok && h.step == step {
		h.once.Do(func() { close(h.reached); <-h.open })
	}
}

// A heldStore holds requests before they write, and reports every record as due
// for a touch.
type heldStore struct{ store.Sessions }

func (s heldStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	at(ctx, holdCommit)
	return s.Sessions.CommitCtx(ctx, token, b, expiry)
}

// A heldBatcher is a heldStore for stores that write several values in one
// call. A login begins with the call that saves its session.
type heldBatcher struct {
	heldStore
	inner store.Batcher
}

func (s heldBatcher) DoBatch(ctx context.Context, b store.Batch) error {
	at(ctx, holdCommit)
	return s.inner.DoBatch(ctx, b)
}

func held(inner store.Sessions) store.Sessions {
	if b, ok := inner.(store.Batcher); ok {
		return heldBatcher{heldStore{inner}, b}
	}
	return heldStore{inner}
}

func (s heldStore) DeleteAndReportCtx(ctx context.Context, token string) (bool, error) {
	at(ctx, holdDrop)
	return s.Sessions.DeleteAndReportCtx(ctx, token)
}

func (s heldStore) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	b, ttl, found, err := s.Sessions.FindTTLCtx(ctx, token)
	return b, ttl / 2, found, err
}

// A stage is a site whose requests can be held.
type stage struct {
	*authtest.Site
	store store.Sessions
	holds sync.Map // by name
	sends bool     // a response may repeat the session cookie of the request
}

const holdHeader = "X-Hold"

func newStage(t *testing.T, inner store.Sessions, opts ...wechatauth.Option) *stage {
	return newStageWith(t, inner, append(opts, wechatauth.WithStore(held(inner))), nil)
}

// newOwnStage returns a stage with an application's own manager. With byScs,
// its LoadAndSave serves the pages that write, without a gate.
func newOwnStage(t *testing.T, inner store.Sessions, idle time.Duration, byScs bool) *stage {
	m := authtest.OwnManager(held(inner))
	m.IdleTimeout = idle
	var wrap func(http.Handler) http.Handler
	if byScs {
		wrap = m.LoadAndSave
	}
	s := newStageWith(t, inner, []wechatauth.Option{wechatauth.WithSessionManager(m)}, wrap)
	s.sends = idle > 0 || byScs // as scs does
	return s
}

// newStageWith puts the pages that write behind wrap, or behind the gate if it
// is nil.
func newStageWith(t *testing.T, inner store.Sessions, opts []wechatauth.Option, wrap func(http.Handler) http.Handler) *stage {
	s := &stage{store: inner}
	s.Site = authtest.NewSite(t, append([]wechatauth.Option{
		wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error { at(ctx, holdExchanged); return nil }),
	}, opts...)...)
	if wrap == nil {
		wrap = s.Auth.LoadWeChat
	}
	// A test that fails in between must release every request.
	t.Cleanup(func() { s.holds.Range(func(_, h any) bool { h.(*hold).release(); return true }) })
	mux := s.Routes().(*http.ServeMux)
	mux.Handle("/values", wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		at(r.Context(), holdHandler)
		for name := range r.URL.Query() {
			s.Auth.Sessions().Put(r.Context(), name, "put")
		}
	})))
	mux.Handle("/who", s.Auth.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		fmt.Fprintf(w, "%s %v %s", id.OpenID, s.Auth.Sessions().Keys(r.Context()), id.Scope)
	})))
	mux.Handle("/leave", wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at(r.Context(), holdHandler)
		assert.NoError(t, s.Auth.Logout(w, r))
	})))
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := s.holds.Load(r.Header.Get(holdHeader)); ok {
			r = r.WithContext(context.WithValue(r.Context(), holdKey{}, h))
		}
		mux.ServeHTTP(w, r)
	})
	return s
}

// begin sends a request and returns when it is held. The function that it
// returns releases the request and returns the response.
func (s *stage) begin(b *authtest.Browser, step, method, target string) (finish func() authtest.Response) {
	h := newHold(step)
	name := fmt.Sprintf("%p", h)
	s.holds.Store(name, h)
	done := make(chan authtest.Response, 1)
	go func() {
		still := *b.Client
		still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		header := http.Header{holdHeader: {name}, "Sec-Fetch-Site": {"same-origin"},
			"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
		done <- b.Do(&still, method, target, strings.NewReader(""), header)
	}()
	select {
	case <-h.reached:
	case got := <-done:
		require.Failf(b.T, "the request was not held", "%s %s: %d %s", method, target, got.StatusCode, authtest.ReasonOf(got))
	}
	return func() authtest.Response {
		h.release()
		got := <-done
		s.holds.Delete(name)
		return got
	}
}

// pending gives the browser a pending login and returns the callback URL to
// which WeChat would redirect it. It calls the handlers of the two servers
// directly: they are not under test here.
func (s *stage) pending(b *authtest.Browser) (callback string) {
	ask := func(h http.Handler, target string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header = b.Header.Clone()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	toWeChat := ask(s.Auth, s.Base.String()+"/wechat/login?next=%2Fa")
	b.Client.Jar.SetCookies(s.Base, toWeChat.Cookies())
	authorize, _, _ := strings.Cut(toWeChat.Header.Get("Location"), "#") // browsers do not send it
	back := ask(s.Sim, authorize)
	require.Equal(b.T, http.StatusFound, back.StatusCode)
	return back.Header.Get("Location")
}

// in reports whether the browser is logged in.
func (s *stage) in(b *authtest.Browser) bool {
	return b.Fetch(http.MethodGet, "/a").StatusCode == http.StatusOK
}

// alive reports whether there is a record of the token.
func (s *stage) alive(t *testing.T, token string) bool {
	_, found, err := s.store.FindCtx(context.Background(), s.StoreKey(token))
	require.NoError(t, err)
	return found
}

// given returns the session token that a response sets, or "".
func (s *stage) given(got authtest.Response) string {
	for _, c := range got.Cookies() {
		if c.Name == s.SessionCookie() {
			return c.Value
		}
	}
	return ""
}

// rounds is how often an interleaving is played: 200 times. The race detector
// makes each several times slower and finds a race in any of them, so a few are
// enough with it.
func rounds() int {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 24
	}
	return 200
}

// kinds returns the stores and timeouts that every interleaving runs with.
func kinds(t *testing.T) map[string]func(t *testing.T) *stage {
	redis := redistest.Start(t)
	idle := wechatauth.WithIdleTimeout(time.Hour)
	var stages atomic.Int32
	inRedis := func(t *testing.T) store.Sessions {
		prefix := fmt.Sprintf("stage %d:", stages.Add(1))
		return store.New(redis.Pool(), store.WithTimeout(authtest.Patience), store.WithPrefix(prefix))
	}
	return map[string]func(t *testing.T) *stage{
		"in memory":                func(t *testing.T) *stage { return newStage(t, store.NewMemory()) },
		"in memory, idle timeout":  func(t *testing.T) *stage { return newStage(t, store.NewMemory(), idle) },
		"over Redis":               func(t *testing.T) *stage { return newStage(t, inRedis(t)) },
		"over Redis, idle timeout": func(t *testing.T) *stage { return newStage(t, inRedis(t), idle) },

		"own manager":                 func(t *testing.T) *stage { return newOwnStage(t, inRedis(t), 0, false) },
		"own manager, by LoadAndSave": func(t *testing.T) *stage { return newOwnStage(t, inRedis(t), 0, true) },
		"own manager, idle, by scs":   func(t *testing.T) *stage { return newOwnStage(t, store.NewMemory(), time.Hour, true) },
	}
}

func TestInterleaving(t *testing.T) {
	// Three requests of one browser are in flight: one that writes to the
	// session or only reads it, a login and a logout. In whatever order they
	// end, the last of login and logout counts, no session that ended is
	// restored, and no response of the writer sets the cookie.
	t.Run("T72 login, logout and late writer", func(t *testing.T) {
		orders := []string{"writer login logout", "writer logout login", "login writer logout",
			"login logout writer", "logout writer login", "logout login writer"}
		for kind, open := range kinds(t) {
			for _, order := range orders {
				t.Run(kind+"/"+order, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					resurrections, lost := 0, 0
					for round := range rounds() {
						back, gone := s.play(t, strings.Fields(order), round)
						resurrections += back
						lost += gone
					}
					t.Logf("interleavings: rounds %d, resurrections %d, lost-logins %d", rounds(), resurrections, lost)
					assert.Zero(t, resurrections, "resurrections")
					assert.Zero(t, lost, "lost logins")
				})
			}
		}
	})

	// Two tabs log in at the same time, as two users. The browser is logged in
	// as the last one, and no value of the other remains.
	t.Run("T72 two logins", func(t *testing.T) {
		alice, bob := wechattest.DefaultPeople()[0].Name, wechattest.DefaultPeople()[1].Name
		for kind, open := range kinds(t) {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				for round := range rounds() {
					b := s.Browser()
					s.Sim.SetPerson(alice)
					before, asAlice := s.pending(b), s.pending(b)
					s.Sim.SetPerson(bob)
					asBob := s.pending(b)
					if round%2 == 0 { // Alice is logged in already, with a value in the session
						require.Equal(t, http.StatusSeeOther, b.Step(before).StatusCode)
						b.Step("/values?of-alice")
					}
					finishAlice := s.begin(b, holdExchanged, http.MethodGet, asAlice)
					finishBob := s.begin(b, []string{holdExchanged, holdCommit}[round/2%2], http.MethodGet, asBob)

					if round%3 == 0 {
						finishBob()
						finishAlice()
						require.Contains(t, s.identityOf(b), wechattest.OpenID(wechattest.DefaultAppID, alice))
						continue
					}
					finishAlice()
					finishBob()
					got := s.identityOf(b)
					require.Contains(t, got, wechattest.OpenID(wechattest.DefaultAppID, bob))
					require.NotContains(t, got, "of-alice")
				}
			})
		}
	})

	t.Run("T72 revocation and request in flight", func(t *testing.T) {
		alice := wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name)
		for kind, open := range kinds(t) {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				for round := range rounds() {
					b := s.Browser()
					require.Equal(t, http.StatusSeeOther, b.Step(s.pending(b)).StatusCode)
					token := b.Cookie(s.SessionCookie()).Value
					finish := s.begin(b, holdHandler, http.MethodGet, []string{"/values?a", "/values"}[round%2])
					n, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, alice)
					require.NoError(t, err)
					require.Equal(t, 1, n)
					got := finish()
					require.Empty(t, s.given(got))
					require.False(t, s.alive(t, token))
					require.False(t, s.in(b))
				}
			})
		}
	})

	// A login that is saved while its user is being revoked counts as a login
	// after the revocation. The next revocation must find it.
	t.Run("T72 revocation and login", func(t *testing.T) {
		alice := wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[0].Name)
		for kind, open := range kinds(t) {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				revoke := func() {
					_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, alice)
					require.NoError(t, err)
				}
				for range rounds() / 4 {
					b := s.Browser()
					finish := s.begin(b, holdCommit, http.MethodGet, s.pending(b))
					revoke()
					finish()
					require.True(t, s.in(b))
					revoke()
					require.False(t, s.in(b))
				}
			})
		}
	})

	// The values of two concurrent requests are not merged: the whole record of
	// the one that ends last is kept. The identity is in every record, and a
	// request that began before a login cannot overwrite the login's record.
	t.Run("T72 two writers", func(t *testing.T) {
		for kind, open := range kinds(t) {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				for range rounds() / 4 {
					b := s.Browser()
					b.Visit("/a")
					before := s.identityOf(b)
					first := s.begin(b, holdHandler, http.MethodGet, "/values?first")
					last := s.begin(b, holdHandler, http.MethodGet, "/values?last")
					first()
					last()
					got := s.identityOf(b)
					require.Contains(t, got, "last")
					require.NotContains(t, got, "first")
					require.Equal(t, strings.Fields(before)[0], strings.Fields(got)[0])

					stale := s.begin(b, holdHandler, http.MethodGet, "/values?stale")
					b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
					stale()
					got = s.identityOf(b)
					require.Contains(t, got, "snsapi_userinfo", "the login that was in flight")
					require.NotContains(t, got, "stale")
				}
			})
		}
	})
}

// play is one round. It returns how many sessions were restored and how many
// logins were lost.
func (s *stage) play(t *testing.T, order []string, round int) (resurrections, lost int) {
	b := s.Browser()
	first, second := s.pending(b), s.pending(b)
	require.Equal(t, http.StatusSeeOther, b.Step(first).StatusCode)
	old := b.Cookie(s.SessionCookie()).Value

	// Two kinds of writer, of logout and of login, in all combinations.
	targets := []string{"/values?a", "/values"}
	finish := map[string]func() authtest.Response{
		"writer": s.begin(b, holdHandler, http.MethodGet, targets[round%2]),
		"login":  s.begin(b, []string{holdExchanged, holdCommit}[round/4%2], http.MethodGet, second),
	}
	if round%4 < 2 {
		finish["logout"] = s.begin(b, holdDrop, http.MethodPost, "/wechat/logout")
	} else {
		finish["logout"] = s.begin(b, holdHandler, http.MethodGet, "/leave")
	}
	var last, renewed string
	for _, who := range order {
		got := finish[who]()
		switch who {
		case "writer":
			assert.Equal(t, http.StatusOK, got.StatusCode)
			if token := s.given(got); !s.sends || token != old {
				assert.Empty(t, token, "the writer's response has a session cookie")
			}
		case "login":
			assert.Equal(t, http.StatusSeeOther, got.StatusCode)
			renewed = s.given(got)
			last = who
		case "logout":
			last = who
		}
	}

	if s.alive(t, old) {
		resurrections++
	}
	switch in := s.in(b); {
	case last == "login" && !in:
		lost++
	case last == "logout" && (in || s.alive(t, renewed)):
		resurrections++
	}
	return resurrections, lost
}

// identityOf returns the identity and the values of the browser's session.
func (s *stage) identityOf(b *authtest.Browser) string { return b.Fetch(http.MethodGet, "/who").Text }

// A finished observer receives every login that has completed.
type finished chan struct{}

func (f finished) Observe(_ context.Context, e wechatauth.Event) {
	if e.Kind == wechatauth.EventLoginFinished {
		f <- struct{}{}
	}
}

func TestClientDisconnects(t *testing.T) {
	t.Run("T65 reload finds the login", func(t *testing.T) {
		for kind, open := range map[string]func() store.Sessions{
			"in memory": func() store.Sessions { return store.NewMemory() },
			"over Redis": func() store.Sessions {
				return store.New(redistest.Start(t).Pool(), store.WithTimeout(authtest.Patience))
			},
		} {
			for name, where := range map[string]struct {
				step string
				goes func(s *stage) (arrived func(), release func())
			}{
				"during the call to WeChat": {goes: func(s *stage) (func(), func()) {
					release := s.Sim.Block("sns/oauth2/access_token")
					return func() { require.NoError(t, s.Sim.WaitForCalls(context.Background(), "sns/oauth2/access_token", 1)) }, release
				}},
				"after the exchange":            {step: holdExchanged},
				"before the session is written": {step: holdCommit},
			} {
				t.Run(kind+", "+name, func(t *testing.T) {
					done := make(finished, 1)
					s := newStage(t, open(), wechatauth.WithObserver(done))
					b := s.Browser()
					callback := b.Authorize("/orders?id=7")

					ctx, leave := context.WithCancel(context.Background())
					h := newHold(where.step)
					s.holds.Store("gone", h)
					arrived, release := func() { <-h.reached }, h.release
					if where.goes != nil {
						arrived, release = where.goes(s)
					}
					gone := make(chan error)
					go func() {
						r, err := http.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
						assert.NoError(t, err)
						r.Header = b.Header.Clone()
						r.Header.Set(holdHeader, "gone")
						for _, c := range b.Client.Jar.Cookies(s.Base) {
							r.AddCookie(c)
						}
						resp, err := s.Server.Client().Transport.RoundTrip(r)
						if err == nil {
							resp.Body.Close()
						}
						gone <- err
					}()
					arrived()
					leave()
					require.ErrorIs(t, <-gone, context.Canceled)
					require.Nil(t, b.Cookie(s.SessionCookie()), "the response was lost")
					release()
					<-done

					assert.Contains(t, b.Visit(callback).Text, "url=/orders?id=7 logged-in=true")
					assert.Equal(t, 1, s.Exchanges())
				})
			}
		}
	})
}
