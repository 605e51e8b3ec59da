package wechatauth

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// ungated are the ways in which scs's own LoadAndSave serves a request.
var ungated = map[string]func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler{
	"no gate": func(m *scs.SessionManager, _ *Auth, h http.Handler) http.Handler { return m.LoadAndSave(h) },
	"no gate, a timeout inside": func(m *scs.SessionManager, _ *Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(http.TimeoutHandler(h, patience, ""))
	},
	"no gate, a timeout around": func(m *scs.SessionManager, _ *Auth, h http.Handler) http.Handler {
		return http.TimeoutHandler(m.LoadAndSave(h), patience, "")
	},
	"around the gate": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(a.LoadWeChat(h))
	},
	"around the gate, a timeout between": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
		return m.LoadAndSave(http.TimeoutHandler(a.LoadWeChat(h), patience, ""))
	},
}

// ungatedKeepers are managers whose LoadAndSave serves requests.
func ungatedKeepers(t *testing.T) map[string]func() []Option {
	redis := redistest.Start(t)
	sites := 0
	own := func(set func(m *scs.SessionManager)) func() []Option {
		return func() []Option {
			sites++
			m := ownManager(store.New(redis.Pool(), store.WithPrefix(fmt.Sprintf("site %d:", sites))))
			set(m)
			return []Option{WithSessionManager(m)}
		}
	}
	return map[string]func() []Option{
		"in memory":   func() []Option { return nil },
		"own manager": own(func(*scs.SessionManager) {}),
		"own manager, hashed, with an idle timeout and this codec": own(func(m *scs.SessionManager) {
			m.HashTokenInStore, m.IdleTimeout, m.Codec = true, time.Hour, store.Codec{}
		}),
		"own manager, a store that does least": func() []Option { return []Option{WithSessionManager(ownManager(plain{store.NewMemory()}))} },
	}
}

// serveUngated serves "/slow" without the site's own gate.
func (s *site) serveUngated(wrap func(*scs.SessionManager, *Auth, http.Handler) http.Handler, h http.HandlerFunc) {
	mux := s.routes().(*http.ServeMux)
	mux.Handle("/slow", wrap(s.auth.Sessions(), s.auth, h))
	s.server.Config.Handler = mux
}

// endings are the ways in which another request ends a session.
var endings = map[string]func(s *site, token string) error{
	"revoked": func(s *site, _ string) error {
		_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
		return err
	},
	"logged out": func(s *site, token string) error {
		s.holding(s.sessionCookie(), token).post("/wechat/logout", url.Values{})
		return nil
	},
}

// A request under way writes its session, which ends before that, after it, or
// in between.
func TestT79_NoSessionThatEndedComesBackOnARouteWithoutTheGate(t *testing.T) {
	type request struct {
		m     *scs.SessionManager
		ctx   context.Context
		other string
		end   func()
	}
	writes := map[string]func(t *testing.T, r request){
		"put":      func(_ *testing.T, r request) { r.end(); r.m.Put(r.ctx, "seen", "yes") },
		"put late": func(_ *testing.T, r request) { r.m.Put(r.ctx, "seen", "yes"); r.end() },
		"renew":    func(t *testing.T, r request) { r.end(); assert.NoError(t, r.m.RenewToken(r.ctx)) },
		"renew late": func(t *testing.T, r request) {
			assert.NoError(t, r.m.RenewToken(r.ctx))
			r.end()
		},
		"renew twice": func(t *testing.T, r request) {
			assert.NoError(t, r.m.RenewToken(r.ctx))
			r.end()
			assert.NoError(t, r.m.RenewToken(r.ctx))
		},
		"merge": func(t *testing.T, r request) {
			assert.NoError(t, r.m.MergeSession(r.ctx, r.other))
			r.end()
		},
		"merge and renew": func(t *testing.T, r request) {
			assert.NoError(t, r.m.MergeSession(r.ctx, r.other))
			assert.NoError(t, r.m.RenewToken(r.ctx))
			r.end()
		},
		"commit by hand": func(t *testing.T, r request) {
			assert.NoError(t, r.m.RenewToken(r.ctx))
			r.end()
			_, _, err := r.m.Commit(r.ctx)
			assert.ErrorIs(t, err, session.ErrGone)
		},
	}
	for kind, opts := range ungatedKeepers(t) {
		for form, wrap := range ungated {
			for what, write := range writes {
				for how, end := range endings {
					if how == "revoked" && kind == "own manager, a store that does least" {
						continue // has no index
					}
					if what == "commit by hand" && strings.Contains(form, "timeout") {
						continue // a context that scs did not load the session with
					}
					t.Run(fmt.Sprintf("%s/%s/%s/%s", kind, form, what, how), func(t *testing.T) {
						s := newSite(t, opts()...)
						token := s.browser().visitForToken("/a")
						reader := token
						if strings.HasPrefix(what, "merge") { // an anonymous session takes the user's in
							reader = s.sessionWith("cart", "book")
						}
						s.serveUngated(wrap, func(w http.ResponseWriter, r *http.Request) {
							write(t, request{s.auth.Sessions(), r.Context(), token, func() { assert.NoError(t, end(s, token)) }})
							_, _ = io.WriteString(w, "done")
						})
						late := s.holding(s.sessionCookie(), reader)
						got := late.step("/slow")
						assert.Equal(t, http.StatusOK, got.StatusCode)
						assert.Equal(t, "done", got.body)

						for _, b := range []*browser{late, s.holding(s.sessionCookie(), token), s.holding(s.sessionCookie(), reader)} {
							assert.Contains(t, b.step("/public").body, "logged-in=false")
						}
						if all, err := guardOf(s.auth).AllCtx(context.Background()); err == nil {
							assert.Empty(t, all, "no record is left")
						}
					})
				}
			}
		}
	}
}

// What a request does to a session that lives is done as scs does it.
func TestT79_WithoutTheGateALivingSessionIsSaved(t *testing.T) {
	type request struct {
		m     *scs.SessionManager
		ctx   context.Context
		other string
	}
	for what, c := range map[string]struct {
		write func(r request) error
		in    bool // logged in afterwards
		moves bool // the old token ends
		cart  bool
	}{
		"put":   {func(r request) error { r.m.Put(r.ctx, "cart", "book"); return nil }, true, false, true},
		"renew": {func(r request) error { r.m.Put(r.ctx, "cart", "book"); return r.m.RenewToken(r.ctx) }, true, true, true},
		"renew twice": {func(r request) error {
			_ = r.m.RenewToken(r.ctx)
			return r.m.RenewToken(r.ctx)
		}, true, true, false},
		"merge":   {func(r request) error { return r.m.MergeSession(r.ctx, r.other) }, true, false, true},
		"destroy": {func(r request) error { return r.m.Destroy(r.ctx) }, false, true, false},
		"renew and destroy": {func(r request) error {
			_ = r.m.RenewToken(r.ctx)
			return r.m.Destroy(r.ctx)
		}, false, true, false},
		"destroy and put": {func(r request) error {
			err := r.m.Destroy(r.ctx)
			r.m.Put(r.ctx, "cart", "book")
			return err
		}, false, true, true},
		"read": {func(r request) error { r.m.Get(r.ctx, "cart"); return nil }, true, false, false},
	} {
		for kind, opts := range ungatedKeepers(t) {
			for form, wrap := range ungated {
				t.Run(fmt.Sprintf("%s/%s/%s", what, kind, form), func(t *testing.T) {
					s := newSite(t, opts()...)
					b := s.browser()
					token, other := b.visitForToken("/a"), s.sessionWith("cart", "book")
					s.serveUngated(wrap, func(_ http.ResponseWriter, r *http.Request) {
						assert.NoError(t, c.write(request{s.auth.Sessions(), r.Context(), other}))
					})
					require.Equal(t, http.StatusOK, b.step("/slow").StatusCode)
					assert.Contains(t, b.step("/public").body, fmt.Sprintf("logged-in=%t", c.in))
					if c.cart {
						assert.Equal(t, "book", b.stored()["cart"])
					}
					old := s.holding(s.sessionCookie(), token).step("/public").body
					assert.Contains(t, old, fmt.Sprintf("logged-in=%t", !c.moves), "the old token")

					if kind == "own manager, a store that does least" {
						return // has no index
					}
					_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
					require.NoError(t, err)
					assert.Contains(t, b.step("/public").body, "logged-in=false", "the index has the session")
				})
			}
		}
	}
}

// Of two requests at once that renew the token one goes on.
func TestT79_OfTwoThatRenewTheTokenWithoutTheGateOneGoesOn(t *testing.T) {
	for kind, opts := range ungatedKeepers(t) {
		for form, wrap := range ungated {
			t.Run(kind+"/"+form, func(t *testing.T) {
				s := newSite(t, opts()...)
				token := s.browser().visitForToken("/a")
				entered, goOn := make(chan struct{}), make(chan struct{})
				s.serveUngated(wrap, func(w http.ResponseWriter, r *http.Request) {
					assert.NoError(t, s.auth.Sessions().RenewToken(r.Context()))
					entered <- struct{}{}
					<-goOn
					_, _ = io.WriteString(w, "done")
				})
				browsers := []*browser{s.holding(s.sessionCookie(), token), s.holding(s.sessionCookie(), token)}
				var both sync.WaitGroup
				for _, b := range browsers {
					both.Go(func() { b.step("/slow") })
					<-entered
				}
				close(goOn)
				both.Wait()
				in := slices.DeleteFunc(browsers, func(b *browser) bool {
					return strings.Contains(b.step("/public").body, "logged-in=false")
				})
				assert.Len(t, in, 1)
				assert.Contains(t, s.holding(s.sessionCookie(), token).step("/public").body, "logged-in=false")
			})
		}
	}
}

// A client that has gone does not change what its request has read.
func TestT79_ACanceledRequestBringsNoSessionBack(t *testing.T) {
	m := ownManager(store.NewMemory())
	s := newSite(t, WithSessionManager(m))
	token := s.browser().visitForToken("/a")
	ctx, cancel := context.WithCancel(context.Background())
	loaded, err := m.Load(ctx, token)
	require.NoError(t, err)
	m.Put(loaded, "seen", "yes")
	require.NoError(t, endings["revoked"](s, token))
	cancel()
	_, _, err = m.Commit(loaded)
	require.ErrorIs(t, err, session.ErrGone)
	assert.Contains(t, s.holding(s.sessionCookie(), token).step("/public").body, "logged-in=false")
}

// A client may have gone before the session is loaded.
func TestGuard_canceledLoad(t *testing.T) {
	m := ownManager(plain{store.NewMemory()})
	s := newSite(t, WithSessionManager(m))
	token := s.browser().visitForToken("/a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := m.Load(ctx, token)
	assert.ErrorIs(t, err, context.Canceled, "what it writes could not be told from a new session")
}
