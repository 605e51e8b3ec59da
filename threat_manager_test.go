package wechatauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// keepers are the ways in which sessions are kept: by the gate's manager and by
// an application's, over stores that do much and little.
func keepers(t *testing.T) map[string]func() []Option {
	own := func(set func(m *scs.SessionManager)) func() []Option {
		return func() []Option {
			m := ownManager(store.New(redistest.Start(t).Pool()))
			set(m)
			return []Option{WithSessionManager(m)}
		}
	}
	return map[string]func() []Option{
		"in memory":  func() []Option { return nil },
		"over Redis": func() []Option { return []Option{WithRedis(redistest.Start(t).Pool())} },
		"over Redis, encrypted": func() []Option {
			return []Option{WithRedis(redistest.Start(t).Pool()), WithSessionEncryption(sessionKeyForTests)}
		},
		"own manager":                          own(func(*scs.SessionManager) {}),
		"own manager, hashed":                  own(func(m *scs.SessionManager) { m.HashTokenInStore = true }),
		"own manager, with an idle timeout":    own(func(m *scs.SessionManager) { m.IdleTimeout = time.Hour }),
		"own manager, this codec":              own(func(m *scs.SessionManager) { m.Codec = Codec{} }),
		"own manager, a store that does least": func() []Option { return []Option{WithSessionManager(ownManager(plain{store.NewMemory()}))} },
	}
}

func TestT79_NoSuccessorOfASessionThatEnded(t *testing.T) {
	writes := map[string]func(m *scs.SessionManager, ctx context.Context, other string) error{
		"put": func(m *scs.SessionManager, ctx context.Context, _ string) error {
			m.Put(ctx, "seen", "yes")
			return nil
		},
		"renew": func(m *scs.SessionManager, ctx context.Context, _ string) error { return m.RenewToken(ctx) },
		"renew twice": func(m *scs.SessionManager, ctx context.Context, _ string) error {
			_ = m.RenewToken(ctx)
			return m.RenewToken(ctx)
		},
		"merge": func(m *scs.SessionManager, ctx context.Context, other string) error {
			return m.MergeSession(ctx, other)
		},
	}
	ends := map[string]func(s *site, token string) error{
		"revoked": func(s *site, _ string) error {
			_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
			return err
		},
		"logged out": func(s *site, token string) error {
			s.holding(s.sessionCookie(), token).post("/wechat/logout", url.Values{})
			return nil
		},
	}
	for kind, opts := range keepers(t) {
		for what, write := range writes {
			for how, end := range ends {
				if how == "revoked" && kind == "own manager, a store that does least" {
					continue // has no index
				}
				t.Run(kind+", "+what+", "+how, func(t *testing.T) {
					s := newSite(t, opts()...)
					m := s.auth.Sessions()
					token := s.browser().visitForToken("/a")
					reader, other := token, ""
					if what == "merge" { // an anonymous session takes the user's in
						reader, other = s.sessionWith("cart", "book"), token
					}
					s.handle("/slow", func(w http.ResponseWriter, r *http.Request) {
						m.Get(r.Context(), "cart")
						if what != "merge" {
							assert.NoError(t, end(s, token))
							assert.NoError(t, write(m, r.Context(), other))
						} else { // between its reading and its writing
							assert.NoError(t, write(m, r.Context(), other))
							assert.NoError(t, end(s, token))
						}
						echo(w, r)
					})
					late := s.holding(s.sessionCookie(), reader)
					assert.Equal(t, http.StatusOK, late.step("/slow").StatusCode)

					for _, b := range []*browser{late, s.holding(s.sessionCookie(), token), s.holding(s.sessionCookie(), reader)} {
						assert.Contains(t, b.step("/public").body, "logged-in=false")
					}
					if all, err := s.auth.sessions.guard.AllCtx(context.Background()); err == nil {
						assert.Empty(t, all, "no record is left")
					}
				})
			}
		}
	}
}

// A handler may save the session itself before it ends, under another token or
// with another session in it.
func TestSave_committedByHandler(t *testing.T) {
	for kind, opts := range keepers(t) {
		if kind == "own manager, a store that does least" {
			continue // has no index
		}
		for _, what := range []string{"renewed", "merged"} {
			for how, end := range endings {
				t.Run(kind+", "+what+", "+how, func(t *testing.T) {
					s := newSite(t, opts()...)
					m := s.auth.Sessions()
					token := s.browser().visitForToken("/a")
					reader := token
					if what == "merged" {
						reader = s.sessionWith("cart", "book")
					}
					s.handle("/slow", func(_ http.ResponseWriter, r *http.Request) {
						if what == "merged" {
							assert.NoError(t, m.MergeSession(r.Context(), token))
						} else {
							assert.NoError(t, m.RenewToken(r.Context()))
						}
						saved, _, err := m.Commit(r.Context())
						assert.NoError(t, err)
						assert.NoError(t, end(s, saved))
					})
					b := s.holding(s.sessionCookie(), reader)
					assert.Equal(t, http.StatusOK, b.step("/slow").StatusCode)
					assert.Contains(t, b.step("/public").body, "logged-in=false")
				})
			}
		}
	}
}

// A handler may end sessions other than the request's.
func TestDelete_otherSessions(t *testing.T) {
	iterate := func(t *testing.T, m *scs.SessionManager, ctx context.Context, token string) {
		assert.NoError(t, m.Iterate(ctx, func(ctx context.Context) error {
			if m.Token(ctx) != token {
				return nil
			}
			return m.Destroy(ctx)
		}))
	}
	inStore := func(t *testing.T, m *scs.SessionManager, ctx context.Context, token string) {
		assert.NoError(t, m.Store.(scs.CtxStore).DeleteCtx(ctx, token))
	}
	for way, destroy := range map[string]func(*testing.T, *scs.SessionManager, context.Context, string){"Iterate": iterate, "DeleteCtx": inStore} {
		for form, wrap := range ungated {
			t.Run(way+"/"+form, func(t *testing.T) {
				testDeleteOthers(t, destroy, func(s *site, h http.HandlerFunc) { s.serveUngated(wrap, h) })
			})
		}
		t.Run(way+"/in the gate", func(t *testing.T) {
			testDeleteOthers(t, destroy, func(s *site, h http.HandlerFunc) { s.handle("/slow", h) })
		})
	}
}

func testDeleteOthers(t *testing.T, destroy func(*testing.T, *scs.SessionManager, context.Context, string), serve func(*site, http.HandlerFunc)) {
	m := ownManager(store.NewMemory())
	s := newSite(t, WithSessionManager(m))
	for _, used := range []string{"untouched", "read", "changed"} {
		other, b := s.session(aliceOpenID), s.browser()
		token := b.visitForToken("/a")
		for _, ends := range []string{other, token} {
			serve(s, func(_ http.ResponseWriter, r *http.Request) {
				switch used {
				case "read":
					m.Get(r.Context(), "cart")
				case "changed":
					m.Put(r.Context(), "cart", "book")
				}
				destroy(t, m, r.Context(), ends)
			})
			assert.Equal(t, http.StatusOK, b.step("/slow").StatusCode)
			assert.Contains(t, s.holding(s.sessionCookie(), ends).step("/public").body, "logged-in=false", used)
		}
	}
}

// visitForToken logs in by visiting a page, and returns the session's token.
func (b *browser) visitForToken(target string) string {
	b.t.Helper()
	require.Contains(b.t, b.visit(target).body, "logged-in=true")
	return b.cookie(b.site.sessionCookie()).Value
}

// betweenStore calls a function once, after the index was read.
type betweenStore struct {
	store.Sessions
	once sync.Once
	then func()
}

func (s *betweenStore) SessionsOf(ctx context.Context, user string) ([]string, error) {
	found, err := s.Sessions.SessionsOf(ctx, user)
	s.once.Do(s.then)
	return found, err
}

func TestT79_ASessionThatMovesDuringARevocationEndsWithTheOthers(t *testing.T) {
	inner := &betweenStore{Sessions: store.NewMemory()}
	s := newSite(t, WithStore(inner))
	s.handle("/renew", func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, s.auth.Sessions().RenewToken(r.Context()))
	})
	b := s.browser()
	b.visitForToken("/a")
	inner.then = func() { b.step("/renew") }
	_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
	require.NoError(t, err)
	assert.Contains(t, b.step("/public").body, "logged-in=false")
}

func TestT79_AMergedUserIsRevokedToo(t *testing.T) {
	for kind, opts := range keepers(t) {
		if kind == "own manager, a store that does least" {
			continue // has no index
		}
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, opts()...)
			token := s.browser().visitForToken("/a")
			s.handle("/merge", func(_ http.ResponseWriter, r *http.Request) {
				assert.NoError(t, s.auth.Sessions().MergeSession(r.Context(), token))
			})
			b := s.holding(s.sessionCookie(), s.sessionWith("cart", "book"))
			b.step("/merge")
			require.Contains(t, b.step("/public").body, "logged-in=true")
			_, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
			require.NoError(t, err)
			assert.Contains(t, b.step("/public").body, "logged-in=false")
		})
	}
}

// A login at one of two gates that share a manager takes the other's identity
// along, unless that was revoked meanwhile.
func TestT79_ALoginElsewhereKeepsNoRevokedIdentity(t *testing.T) {
	for kind, home := range map[string]scs.Store{"in memory": store.NewMemory(), "over Redis": store.New(redistest.Start(t).Pool())} {
		for _, revoke := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, revoked %t", kind, revoke), func(t *testing.T) {
				m := ownManager(home)
				sim := wechattest.NewServer(wechattest.WithAccount(
					wechattest.Account{AppID: wechattest.DefaultAppID, Secret: wechattest.DefaultSecret, Kind: wechattest.OfficialAccount},
					wechattest.Account{AppID: shopB, Secret: "secret-of-b", Kind: wechattest.OfficialAccount}))
				defer sim.Close()
				s := newSite(t, WithEndpoints(sim.Endpoints()), WithSessionManager(m))
				other, err := New(WithApp(shopB, "secret-of-b"), WithBaseURL(s.auth.base.String()), WithEndpoints(sim.Endpoints()),
					WithPathPrefix("/other/"), WithSessionManager(m), WithOnLogin(func(ctx context.Context, _ Identity) error {
						if !revoke {
							return nil
						}
						_, err := s.auth.RevokeUser(ctx, wechattest.DefaultAppID, aliceOpenID)
						return err
					}))
				require.NoError(t, err)
				mux := s.routes().(*http.ServeMux)
				mux.Handle("/other/", other)
				mux.Handle("/b", other.RequireWeChat(http.HandlerFunc(echo)))
				s.server.Config.Handler = mux
				b := s.browser()
				b.visitForToken("/a")
				require.Contains(t, b.visit("/b").body, "logged-in=true")
				assert.Contains(t, b.step("/public").body, fmt.Sprintf("logged-in=%t", !revoke))
				assert.Contains(t, b.step("/b").body, "logged-in=true", "the login itself lasts")
			})
		}
	}
}

func TestT87_ABearerTokenIsNoCookieBehindAnyGates(t *testing.T) {
	wraps := map[string]func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler{
		"one gate": func(_ *scs.SessionManager, a *Auth, h http.Handler) http.Handler { return a.LoadWeChat(h) },
		"two gates": func(_ *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			return a.LoadWeChat(a.LoadWeChat(h))
		},
		"a handler that reads between": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			inner := a.LoadWeChat(h)
			return a.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.Get(r.Context(), "x"); inner.ServeHTTP(w, r) }))
		},
		"LoadAndSave": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			return m.LoadAndSave(a.LoadWeChat(h))
		},
		"LoadAndSave and two gates": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			return m.LoadAndSave(a.LoadWeChat(a.LoadWeChat(h)))
		},
		"LoadAndSave between two gates": func(m *scs.SessionManager, a *Auth, h http.Handler) http.Handler {
			return a.LoadWeChat(m.LoadAndSave(a.LoadWeChat(h)))
		},
	}
	for kind, opts := range keepers(t) {
		t.Run(kind, func(t *testing.T) {
			s := newMiniSite(t, opts()...)
			bearer, cookie := s.miniLogin(person(0)), s.browser().visitForToken("/a")
			for name, wrap := range wraps {
				s.server.Config.Handler = wrap(s.auth.Sessions(), s.auth, http.HandlerFunc(echo))
				asCookie := s.holding(s.sessionCookie(), strings.TrimPrefix(bearer, bearerPrefix)).step("/public")
				assert.Contains(t, asCookie.body, "logged-in=false", name)
				assert.Contains(t, s.request(http.MethodGet, "/public", bearerPrefix+cookie, "").body, "logged-in=false", name)
				assert.Contains(t, s.request(http.MethodGet, "/public", bearer, "").body, "logged-in=true", name)
				assert.Contains(t, s.holding(s.sessionCookie(), cookie).step("/public").body, "logged-in=true", name)
			}
		})
	}
}

// A gate without a mini program takes no bearer token from a gate around it.
func TestT87_AGateThatTakesNoBearerTokensTakesNoneFromAnother(t *testing.T) {
	m := ownManager(store.NewMemory())
	outer := newMiniSite(t, WithSessionManager(m))
	inner, err := New(WithApp(miniApp, wechattest.DefaultMiniProgramSecret), WithBaseURL(outer.auth.base.String()),
		WithEndpoints(outer.sim.Endpoints()), WithPathPrefix("/inner/"), WithSessionManager(m))
	require.NoError(t, err)
	token := outer.miniLogin(person(0))
	outer.server.Config.Handler = outer.auth.RequireWeChat(inner.LoadWeChat(http.HandlerFunc(echo)))
	assert.Contains(t, outer.request(http.MethodGet, "/a", token, "").body, "logged-in=false")
}

func TestT93_NewRefusesUnsafeCookiesOfAnOwnManager(t *testing.T) {
	cases := map[string]struct {
		set  func(c *scs.SessionCookie)
		says string
	}{
		"as they are":                    {func(*scs.SessionCookie) {}, ""},
		"SameSite=0":                     {func(c *scs.SessionCookie) { c.SameSite = 0 }, "SameSite is not set"},
		"SameSite default":               {func(c *scs.SessionCookie) { c.SameSite = http.SameSiteDefaultMode }, "SameSite is not set"},
		"SameSite none":                  {func(c *scs.SessionCookie) { c.SameSite = http.SameSiteNoneMode }, "SameSite=None"},
		"a script reads it":              {func(c *scs.SessionCookie) { c.HttpOnly = false }, "HttpOnly"},
		"also over plain http":           {func(c *scs.SessionCookie) { c.Secure = false }, "Secure"},
		"for every subdomain, warned of": {func(c *scs.SessionCookie) { c.Domain = "example.com" }, ""},
		"for another domain":             {func(c *scs.SessionCookie) { c.Domain = "example.org" }, "does not cover"},
		"the name of our flow":           {func(c *scs.SessionCookie) { c.Name = "__Host-wechat_flow_x" }, "is a name of this library's"},
		"the name of another's":          {func(c *scs.SessionCookie) { c.Name = "__host-Wechat_OUT_abc" }, "is a name of this library's"},
		"this library's own for it":      {func(c *scs.SessionCookie) { c.Name = "__Host-wechat_session_abc123" }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := ownManager(store.NewMemory())
			m.Cookie.Secure = true
			c.set(&m.Cookie)
			_, err := New(WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL("https://shop.example.com"), WithSessionManager(m))
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
			assert.ErrorContains(t, err, "WithSessionManager: Cookie: ")
		})
	}
}

func TestT94_APublicPageWithASessionCookieIsPrivate(t *testing.T) {
	for name, lines := range map[string][]string{
		"nothing":              nil,
		"max-age":              {"max-age=600"},
		"public":               {"public, max-age=600"},
		"upper case":           {"PUBLIC, MAX-AGE=600, S-MAXAGE=60"},
		"s-maxage":             {"s-maxage=600"},
		"immutable":            {"public, max-age=31536000, immutable"},
		"many lines":           {"public", "max-age=600", "s-maxage=5"},
		"private for one name": {`private="X-Private", max-age=600`},
		"a comma in quotes":    {`no-cache="Set-Cookie, private", max-age=600`},
		"private":              {"Private"},
		"no-store":             {"no-store"},
	} {
		for how, wrap := range loaders {
			t.Run(name+", "+how, func(t *testing.T) {
				s := newSite(t, WithSessionManager(ownManager(store.NewMemory())))
				s.server.Config.Handler = wrap(s.auth.Sessions(), s.auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/cart" {
						s.auth.Sessions().Put(r.Context(), "cart", "1")
						w.Header()["Cache-Control"] = lines
						w.Header().Set("CDN-Cache-Control", "max-age=60")
						w.Header().Set("Surrogate-Control", "max-age=60")
						w.Header().Set("X-Accel-Expires", "60")
						_ = s.auth.Sessions().RenewToken(r.Context())
					}
					echo(w, r)
				}))
				b := s.browser()
				b.visit("/a")
				got := b.step("/cart")
				require.NotEmpty(t, got.setOf(s.sessionCookie()))
				var directives []string
				for _, line := range got.Header["Cache-Control"] {
					for _, d := range splitDirectives(line) {
						directives = append(directives, strings.ToLower(d))
					}
				}
				assert.Contains(t, directives, "private")
				for _, d := range directives {
					assert.NotEqual(t, "public", d)
					assert.False(t, strings.HasPrefix(d, "s-maxage"), d)
				}
				for _, name := range []string{"CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires"} {
					assert.Empty(t, got.Header.Get(name))
				}
				if strings.Contains(strings.Join(lines, ","), "max-age=31536000") {
					assert.Contains(t, directives, "immutable", "what a browser may do stays")
				}
			})
		}
	}
}

// dump is everything that a reader of Redis sees: keys and values.
func dump(t *testing.T, server *redistest.Server) (all [][]byte) {
	t.Helper()
	keys, err := redis.Strings(server.Do("KEYS", "*"), nil)
	require.NoError(t, err)
	for _, key := range keys {
		all = append(all, []byte(key))
		var values [][]byte
		switch kind := server.Do("TYPE", key).(string); kind {
		case "string":
			values, err = redis.ByteSlices([]any{server.Do("GET", key)}, nil)
		case "zset":
			values, err = redis.ByteSlices(server.Do("ZRANGE", key, 0, -1), nil)
		default:
			require.Fail(t, "a key of another type", kind)
		}
		require.NoError(t, err)
		all = append(all, values...)
	}
	return all
}

func TestT98_AReaderOfRedisFindsNoLiveToken(t *testing.T) {
	for kind, opts := range map[string][]Option{
		"plain": nil, "encrypted": {WithSessionEncryption(sessionKeyForTests)},
	} {
		t.Run(kind, func(t *testing.T) {
			server := redistest.Start(t)
			s := newScanSiteWith(t, func(p *redis.Pool) Option { return WithRedis(server.Pool()) },
				append(opts, WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret), WithTokens(0))...)
			s.handle("/renew", func(_ http.ResponseWriter, r *http.Request) {
				s.auth.Sessions().Put(r.Context(), "cart", "book")
				assert.NoError(t, s.auth.Sessions().RenewToken(r.Context()))
			})
			m := s.auth.Sessions()
			require.True(t, m.HashTokenInStore)
			tokens := map[string]string{}
			look := func(after string) {
				t.Helper()
				all := dump(t, server)
				require.NotEmpty(t, all, after)
				for of, token := range tokens {
					raw, err := base64.RawURLEncoding.DecodeString(token)
					require.NoError(t, err)
					for _, b := range all {
						assert.False(t, bytes.Contains(b, []byte(token)) || bytes.Contains(b, raw), "%s is there after %s", of, after)
					}
				}
				for _, b := range all { // and what is there opens nothing
					for i := 0; i+tokenLength <= len(b); i++ {
						if word := string(b[i : i+tokenLength]); validToken(word) {
							assert.Contains(t, s.holding(s.sessionCookie(), word).step("/public").body, "logged-in=false", after)
						}
					}
				}
			}
			b := s.browser()
			tokens["the login's"] = b.visitForToken("/a")
			look("a login")
			b.allow(b.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
			tokens["the second login's"] = b.cookie(s.sessionCookie()).Value
			look("a login of the same user, whose old token leads to the new one")
			b.step("/renew")
			tokens["the renewed session's"] = b.cookie(s.sessionCookie()).Value
			look("RenewToken")
			bearer := s.miniLogin(person(0))
			tokens["the mini program's"] = strings.TrimPrefix(bearer, bearerPrefix)
			look("a mini program's login")
			s.ticket(bearer, "/a")
			look("an entry to the web-view")
			desk := s.desk()
			path, _ := s.show(desk, "/a")
			phone := s.phoneOf(person(1))
			s.scan(phone, path)
			if c := phone.cookie(s.sessionCookie()); c != nil {
				tokens["the phone's"] = c.Value
			}
			look("a scan")
			n := s.confirm(phone, path)
			look("a confirmed scan")
			require.Contains(t, desk.enter("/a", n).body, "logged-in=true")
			tokens["the scanned browser's"] = desk.cookie(s.sessionCookie()).Value
			look("a completed scan login")

			ended, err := s.auth.RevokeUser(context.Background(), wechattest.DefaultAppID, aliceOpenID)
			require.NoError(t, err)
			assert.Positive(t, ended, "the index has the hashes")
			assert.Contains(t, b.step("/public").body, "logged-in=false")
		})
	}
}
