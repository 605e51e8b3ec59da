package threat

import (
	"context"
	"fmt"
	"net/http"
	"sync"
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

// memoryOnClock keeps sessions in memory, on the site's clock.
func memoryOnClock() wechatauth.Option {
	return authtest.OnClock(func(now func() time.Time) wechatauth.Option {
		return wechatauth.WithStore(store.NewMemory(store.WithClock(now)))
	})
}

// A gatedStore calls a function once, before the first session that is saved
// after arm: before it is in the index, or between index and record.
type gatedStore struct {
	store.Sessions
	noIndexYet bool

	mu   sync.Mutex
	then func()
}

func (s *gatedStore) arm(then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.then = then
}

func (s *gatedStore) pass() {
	s.mu.Lock()
	then := s.then
	s.then = nil
	s.mu.Unlock()
	if then != nil {
		then()
	}
}

func (s *gatedStore) AddSession(ctx context.Context, user, token string, expiry time.Time) error {
	if s.noIndexYet {
		s.pass()
	}
	return s.Sessions.AddSession(ctx, user, token, expiry)
}

func (s *gatedStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	s.pass()
	return s.Sessions.CommitCtx(ctx, token, b, expiry)
}

// A gatedBatches is a gatedStore that does several writes in one call.
type gatedBatches struct {
	*gatedStore
	all store.Batcher
}

func (s gatedBatches) DoBatch(ctx context.Context, b store.Batch) error {
	s.pass()
	return s.all.DoBatch(ctx, b)
}

func TestRevokeUser_DuringLoginFromSession(t *testing.T) {
	gates := map[string]func(s *gatedStore) wechatauth.Option{
		"before the index":         func(s *gatedStore) wechatauth.Option { s.noIndexYet = true; return wechatauth.WithStore(s) },
		"between index and record": func(s *gatedStore) wechatauth.Option { return wechatauth.WithStore(s) },
		"own manager":              func(s *gatedStore) wechatauth.Option { return wechatauth.WithSessionManager(authtest.OwnManager(s)) },
		"index and record in one call": func(s *gatedStore) wechatauth.Option {
			whole := store.New(redistest.Start(t).Pool())
			s.Sessions = whole
			return wechatauth.WithStore(gatedBatches{s, whole})
		},
	}
	logins := map[string]func(s *authtest.ScanSite) (appID string, b *authtest.Browser, enter func() authtest.Response){
		"mini program's web-view": func(s *authtest.ScanSite) (string, *authtest.Browser, func() authtest.Response) {
			url, view := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a"), s.WebView()
			return authtest.MiniApp, view, func() authtest.Response { return view.Step(url) }
		},
		"scan": func(s *authtest.ScanSite) (string, *authtest.Browser, func() authtest.Response) {
			computer, number := scanned(s, "/a")
			return wechattest.DefaultAppID, computer, func() authtest.Response { return computer.Enter("/a", number) }
		},
	}
	for name, gate := range gates {
		for channel, logIn := range logins {
			for _, around := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/LoadAndSave around %t", name, channel, around), func(t *testing.T) {
					kept := &gatedStore{}
					s := newHookSite(t, authtest.OnClock(func(now func() time.Time) wechatauth.Option {
						kept.Sessions = store.NewMemory(store.WithClock(now))
						return gate(kept)
					}))
					if around {
						s.Server.Config.Handler = s.Auth.Sessions().LoadAndSave(s.Server.Config.Handler)
					}
					appID, b, enter := logIn(s)
					kept.arm(func() {
						n, err := s.Auth.RevokeUser(t.Context(), appID, wechattest.OpenID(appID, authtest.Person(0)))
						assert.NoError(t, err)
						assert.Equal(t, 1, n, "the session that the login comes from")
					})
					got := enter()
					assert.True(t, authtest.RefusedFor(got, wechatauth.ReasonSessionUnknown), "%s %s", got.Status, got.Text)
					for _, line := range got.Header["Set-Cookie"] {
						cookie, err := http.ParseSetCookie(line)
						require.NoError(t, err)
						assert.False(t, cookie.Name == s.SessionCookie() && cookie.Value != "", line)
					}
					assert.Contains(t, b.Step("/public").Text, "logged-in=false")
					n, err := s.Auth.RevokeUser(t.Context(), appID, wechattest.OpenID(appID, authtest.Person(0)))
					require.NoError(t, err)
					assert.Zero(t, n, "no session remains")
					records, err := kept.Sessions.(scs.IterableCtxStore).AllCtx(t.Context())
					require.NoError(t, err)
					for _, record := range records {
						assert.NotContains(t, string(record), wechattest.OpenID(appID, authtest.Person(0)))
					}
				})
			}
		}
	}
}

// A droppingStore calls a function once, before the sessions found in the index
// are deleted.
type droppingStore struct {
	store.Sessions
	once sync.Once
	then func()
}

func (s *droppingStore) DeleteAndReportAllCtx(ctx context.Context, tokens []string) ([]string, error) {
	s.once.Do(s.then)
	return s.Sessions.DeleteAndReportAllCtx(ctx, tokens)
}

func TestRevokeUser_BetweenIndexAndSource(t *testing.T) {
	for channel, logIn := range map[string]func(s *authtest.ScanSite) (appID string, b *authtest.Browser, enter func() authtest.Response){
		"mini program's web-view": func(s *authtest.ScanSite) (string, *authtest.Browser, func() authtest.Response) {
			url, view := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a"), s.WebView()
			return authtest.MiniApp, view, func() authtest.Response { return view.Step(url) }
		},
		"scan": func(s *authtest.ScanSite) (string, *authtest.Browser, func() authtest.Response) {
			computer, number := scanned(s, "/a")
			return wechattest.DefaultAppID, computer, func() authtest.Response { return computer.Enter("/a", number) }
		},
	} {
		t.Run(channel, func(t *testing.T) {
			kept := &droppingStore{}
			s := newHookSite(t, authtest.OnClock(func(now func() time.Time) wechatauth.Option {
				kept.Sessions = store.NewMemory(store.WithClock(now))
				return wechatauth.WithStore(kept)
			}))
			appID, b, enter := logIn(s)
			kept.then = func() {
				enter()
				require.Contains(t, b.Step("/public").Text, "logged-in=true")
			}
			n, err := s.Auth.RevokeUser(t.Context(), appID, wechattest.OpenID(appID, authtest.Person(0)))
			require.NoError(t, err)
			assert.Equal(t, 2, n, "one was created from the other")
			assert.Contains(t, b.Step("/public").Text, "logged-in=false")
		})
	}
}

// A login that is rejected after it was saved leaves the user's earlier session
// as it is, even one of another user.
func TestRevokeUser_RejectedLogin(t *testing.T) {
	kept := &gatedStore{}
	s := newHookSite(t, authtest.OnClock(func(now func() time.Time) wechatauth.Option {
		kept.Sessions = store.NewMemory(store.WithClock(now))
		return wechatauth.WithStore(kept)
	}))
	s.Sim.SetPerson(authtest.Person(1))
	view := s.WebView()
	before := view.VisitForToken("/a")
	url := s.Ticket(s.MiniLogin(authtest.Person(0)), "/a")
	require.Equal(t, http.StatusOK, view.Step(url).StatusCode, "it needs a confirmation")
	kept.arm(func() {
		_, err := s.Auth.RevokeUser(t.Context(), authtest.MiniApp, wechattest.OpenID(authtest.MiniApp, authtest.Person(0)))
		assert.NoError(t, err)
	})
	got := view.StepPost(url, nil)
	assert.True(t, authtest.RefusedFor(got, wechatauth.ReasonSessionUnknown), "%s %s", got.Status, got.Text)
	assert.Equal(t, before, view.Cookie(s.SessionCookie()).Value)
	assert.Contains(t, view.Step("/public").Text, wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(1)))
}
