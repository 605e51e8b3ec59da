package session

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestUngated(t *testing.T) {
	// A request in flight writes its session, which ends before that, after it,
	// or in between.
	t.Run("T79 ended session is not written", func(t *testing.T) {
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
		for kind, opts := range authtest.UngatedKeepers(t) {
			for form, wrap := range authtest.Ungated {
				for what, write := range writes {
					for how, end := range authtest.Endings {
						if how == "revoked" && kind == "own manager, a store that does least" {
							continue // has no index
						}
						if what == "commit by hand" && strings.Contains(form, "timeout") {
							continue // a context that scs did not load the session with
						}
						t.Run(fmt.Sprintf("%s/%s/%s/%s", kind, form, what, how), func(t *testing.T) {
							s := authtest.NewSite(t, opts()...)
							token := s.Browser().VisitForToken("/a")
							reader := token
							if strings.HasPrefix(what, "merge") { // an anonymous session merges the user's
								reader = s.SessionWith("cart", "book")
							}
							s.ServeUngated(wrap, func(w http.ResponseWriter, r *http.Request) {
								write(t, request{s.Auth.Sessions(), r.Context(), token, func() { assert.NoError(t, end(s, token)) }})
								_, _ = io.WriteString(w, "done")
							})
							late := s.Holding(s.SessionCookie(), reader)
							got := late.Step("/slow")
							assert.Equal(t, http.StatusOK, got.StatusCode)
							assert.Equal(t, "done", got.Text)

							for _, b := range []*authtest.Browser{late, s.Holding(s.SessionCookie(), token), s.Holding(s.SessionCookie(), reader)} {
								assert.Contains(t, b.Step("/public").Text, "logged-in=false")
							}
							if all, err := guardOf(s.Auth).AllCtx(context.Background()); err == nil {
								assert.Empty(t, all, "no record is left")
							}
						})
					}
				}
			}
		}
	})

	// A request changes a live session as it does with scs alone.
	t.Run("T79 live session is saved", func(t *testing.T) {
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
			for kind, opts := range authtest.UngatedKeepers(t) {
				for form, wrap := range authtest.Ungated {
					t.Run(fmt.Sprintf("%s/%s/%s", what, kind, form), func(t *testing.T) {
						s := authtest.NewSite(t, opts()...)
						b := s.Browser()
						token, other := b.VisitForToken("/a"), s.SessionWith("cart", "book")
						s.ServeUngated(wrap, func(_ http.ResponseWriter, r *http.Request) {
							assert.NoError(t, c.write(request{s.Auth.Sessions(), r.Context(), other}))
						})
						require.Equal(t, http.StatusOK, b.Step("/slow").StatusCode)
						assert.Contains(t, b.Step("/public").Text, fmt.Sprintf("logged-in=%t", c.in))
						if c.cart {
							assert.Equal(t, "book", stored(b)["cart"])
						}
						old := s.Holding(s.SessionCookie(), token).Step("/public").Text
						assert.Contains(t, old, fmt.Sprintf("logged-in=%t", !c.moves), "the old token")

						if kind == "own manager, a store that does least" {
							return // has no index
						}
						_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, authtest.AliceOpenID)
						require.NoError(t, err)
						assert.Contains(t, b.Step("/public").Text, "logged-in=false", "the index has the session")
					})
				}
			}
		}
	})

	// Two concurrent requests renew the token. One of them succeeds.
	t.Run("T79 concurrent renewals", func(t *testing.T) {
		for kind, opts := range authtest.UngatedKeepers(t) {
			for form, wrap := range authtest.Ungated {
				t.Run(kind+"/"+form, func(t *testing.T) {
					s := authtest.NewSite(t, opts()...)
					token := s.Browser().VisitForToken("/a")
					entered, goOn := make(chan struct{}), make(chan struct{})
					s.ServeUngated(wrap, func(w http.ResponseWriter, r *http.Request) {
						assert.NoError(t, s.Auth.Sessions().RenewToken(r.Context()))
						entered <- struct{}{}
						<-goOn
						_, _ = io.WriteString(w, "done")
					})
					browsers := []*authtest.Browser{s.Holding(s.SessionCookie(), token), s.Holding(s.SessionCookie(), token)}
					var both sync.WaitGroup
					for _, b := range browsers {
						both.Go(func() { b.Step("/slow") })
						<-entered
					}
					close(goOn)
					both.Wait()
					in := slices.DeleteFunc(browsers, func(b *authtest.Browser) bool {
						return strings.Contains(b.Step("/public").Text, "logged-in=false")
					})
					if strings.Contains(kind, "does least") {
						// Its deletion does not report whether there was a session (see
						// store.Adapt), so both can succeed.
						assert.NotEmpty(t, in)
					} else {
						assert.Len(t, in, 1)
					}
					assert.Contains(t, s.Holding(s.SessionCookie(), token).Step("/public").Text, "logged-in=false")
				})
			}
		}
	})

	// Canceling a request does not change what it has read.
	t.Run("T79 canceled request", func(t *testing.T) {
		m := authtest.OwnManager(store.NewMemory())
		s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
		token := s.Browser().VisitForToken("/a")
		ctx, cancel := context.WithCancel(context.Background())
		loaded, err := m.Load(ctx, token)
		require.NoError(t, err)
		m.Put(loaded, "seen", "yes")
		require.NoError(t, authtest.Endings["revoked"](s, token))
		cancel()
		_, _, err = m.Commit(loaded)
		require.ErrorIs(t, err, session.ErrGone)
		assert.Contains(t, s.Holding(s.SessionCookie(), token).Step("/public").Text, "logged-in=false")
	})
}

// The client may disconnect before the session is loaded.
func TestUngated_CanceledLoad(t *testing.T) {
	m := authtest.OwnManager(authtest.PlainStore{Store: store.NewMemory()})
	s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
	token := s.Browser().VisitForToken("/a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := m.Load(ctx, token)
	assert.ErrorIs(t, err, context.Canceled, "its write would look like a new session")
}
