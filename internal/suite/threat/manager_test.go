package threat

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestEndedSession(t *testing.T) {
	t.Run("T79 has no successor", func(t *testing.T) {
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
		ends := map[string]func(s *authtest.Site, token string) error{
			"revoked": func(s *authtest.Site, _ string) error {
				_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, authtest.AliceOpenID)
				return err
			},
			"logged out": func(s *authtest.Site, token string) error {
				s.Holding(s.SessionCookie(), token).Post("/wechat/logout", url.Values{})
				return nil
			},
		}
		for kind, opts := range authtest.Keepers(t) {
			for what, write := range writes {
				for how, end := range ends {
					if how == "revoked" && kind == "own manager, a store that does least" {
						continue // has no index
					}
					t.Run(kind+", "+what+", "+how, func(t *testing.T) {
						s := authtest.NewSite(t, opts()...)
						m := s.Auth.Sessions()
						token := s.Browser().VisitForToken("/a")
						reader, other := token, ""
						if what == "merge" { // an anonymous session merges the user's
							reader, other = s.SessionWith("cart", "book"), token
						}
						s.Handle("/slow", func(w http.ResponseWriter, r *http.Request) {
							m.Get(r.Context(), "cart")
							if what != "merge" {
								assert.NoError(t, end(s, token))
								assert.NoError(t, write(m, r.Context(), other))
							} else { // between its read and its write
								assert.NoError(t, write(m, r.Context(), other))
								assert.NoError(t, end(s, token))
							}
							authtest.Echo(w, r)
						})
						late := s.Holding(s.SessionCookie(), reader)
						assert.Equal(t, http.StatusOK, late.Step("/slow").StatusCode)

						for _, b := range []*authtest.Browser{late, s.Holding(s.SessionCookie(), token), s.Holding(s.SessionCookie(), reader)} {
							assert.Contains(t, b.Step("/public").Text, "logged-in=false")
						}
						if all, err := s.Auth.Sessions().Store.(scs.IterableCtxStore).AllCtx(context.Background()); err == nil {
							assert.Empty(t, all, "no record is left")
						}
					})
				}
			}
		}
	})
}

// A handler may save the session itself, under another token or with another
// session merged into it, before that session ends.
func TestSave_CommittedByHandler(t *testing.T) {
	for kind, opts := range authtest.Keepers(t) {
		if kind == "own manager, a store that does least" {
			continue // has no index
		}
		for _, what := range []string{"renewed", "merged"} {
			for how, end := range authtest.Endings {
				t.Run(kind+", "+what+", "+how, func(t *testing.T) {
					s := authtest.NewSite(t, opts()...)
					m := s.Auth.Sessions()
					token := s.Browser().VisitForToken("/a")
					reader := token
					if what == "merged" {
						reader = s.SessionWith("cart", "book")
					}
					s.Handle("/slow", func(_ http.ResponseWriter, r *http.Request) {
						if what == "merged" {
							assert.NoError(t, m.MergeSession(r.Context(), token))
						} else {
							assert.NoError(t, m.RenewToken(r.Context()))
						}
						saved, _, err := m.Commit(r.Context())
						assert.NoError(t, err)
						assert.NoError(t, end(s, saved))
					})
					b := s.Holding(s.SessionCookie(), reader)
					assert.Equal(t, http.StatusOK, b.Step("/slow").StatusCode)
					assert.Contains(t, b.Step("/public").Text, "logged-in=false")
				})
			}
		}
	}
}

// A handler may end other sessions than the request's.
func TestDelete_OtherSessions(t *testing.T) {
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
		for form, wrap := range authtest.Ungated {
			t.Run(way+"/"+form, func(t *testing.T) {
				testDeleteOthers(t, destroy, func(s *authtest.Site, h http.HandlerFunc) { s.ServeUngated(wrap, h) })
			})
		}
		t.Run(way+"/in the gate", func(t *testing.T) {
			testDeleteOthers(t, destroy, func(s *authtest.Site, h http.HandlerFunc) { s.Handle("/slow", h) })
		})
	}
}

func testDeleteOthers(t *testing.T, destroy func(*testing.T, *scs.SessionManager, context.Context, string), serve func(*authtest.Site, http.HandlerFunc)) {
	m := authtest.OwnManager(store.NewMemory())
	s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
	for _, used := range []string{"untouched", "read", "changed"} {
		other, b := s.Session(authtest.AliceOpenID), s.Browser()
		token := b.VisitForToken("/a")
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
			assert.Equal(t, http.StatusOK, b.Step("/slow").StatusCode)
			assert.Contains(t, s.Holding(s.SessionCookie(), ends).Step("/public").Text, "logged-in=false", used)
		}
	}
}

// A betweenStore calls a function once, after the index was read.
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

func TestRevokeUser(t *testing.T) {
	t.Run("T79 session that gets a new token meanwhile", func(t *testing.T) {
		inner := &betweenStore{Sessions: store.NewMemory()}
		s := authtest.NewSite(t, wechatauth.WithStore(inner))
		s.Handle("/renew", func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, s.Auth.Sessions().RenewToken(r.Context()))
		})
		b := s.Browser()
		b.VisitForToken("/a")
		inner.then = func() { b.Step("/renew") }
		_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, authtest.AliceOpenID)
		require.NoError(t, err)
		assert.Contains(t, b.Step("/public").Text, "logged-in=false")
	})

	t.Run("T79 merged session", func(t *testing.T) {
		for kind, opts := range authtest.Keepers(t) {
			if kind == "own manager, a store that does least" {
				continue // has no index
			}
			t.Run(kind, func(t *testing.T) {
				s := authtest.NewSite(t, opts()...)
				token := s.Browser().VisitForToken("/a")
				s.Handle("/merge", func(_ http.ResponseWriter, r *http.Request) {
					assert.NoError(t, s.Auth.Sessions().MergeSession(r.Context(), token))
				})
				b := s.Holding(s.SessionCookie(), s.SessionWith("cart", "book"))
				b.Step("/merge")
				require.Contains(t, b.Step("/public").Text, "logged-in=true")
				_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, authtest.AliceOpenID)
				require.NoError(t, err)
				assert.Contains(t, b.Step("/public").Text, "logged-in=false")
			})
		}
	})

	// A login at one of two gates that share a manager keeps the identity of
	// the other gate, unless that was revoked meanwhile.
	t.Run("T79 login at another gate meanwhile", func(t *testing.T) {
		for kind, home := range map[string]scs.Store{"in memory": store.NewMemory(), "over Redis": store.New(redistest.Start(t).Pool())} {
			for _, revoke := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, revoked %t", kind, revoke), func(t *testing.T) {
					m := authtest.OwnManager(home)
					sim := wechattest.NewServer(wechattest.WithAccount(
						wechattest.Account{AppID: wechattest.DefaultAppID, Secret: wechattest.DefaultSecret, Kind: wechattest.OfficialAccount},
						wechattest.Account{AppID: authtest.ShopB, Secret: "secret-of-b", Kind: wechattest.OfficialAccount}))
					defer sim.Close()
					s := authtest.NewSite(t, wechatauth.WithEndpoints(sim.Endpoints()), wechatauth.WithSessionManager(m))
					other, err := wechatauth.New(wechatauth.WithApp(authtest.ShopB, "secret-of-b"), wechatauth.WithBaseURL(s.Base.String()), wechatauth.WithEndpoints(sim.Endpoints()),
						wechatauth.WithPathPrefix("/other/"), wechatauth.WithSessionManager(m), wechatauth.WithOnLogin(func(ctx context.Context, _ wechatauth.Identity) error {
							if !revoke {
								return nil
							}
							_, err := s.Auth.RevokeUser(ctx, wechattest.DefaultAppID, authtest.AliceOpenID)
							return err
						}))
					require.NoError(t, err)
					mux := s.Routes().(*http.ServeMux)
					mux.Handle("/other/", other)
					mux.Handle("/b", other.RequireWeChat(http.HandlerFunc(authtest.Echo)))
					s.Server.Config.Handler = mux
					b := s.Browser()
					b.VisitForToken("/a")
					require.Contains(t, b.Visit("/b").Text, "logged-in=true")
					assert.Contains(t, b.Step("/public").Text, fmt.Sprintf("logged-in=%t", !revoke))
					assert.Contains(t, b.Step("/b").Text, "logged-in=true", "the login itself is kept")
				})
			}
		}
	})

	// The endpoints of one gate may be served behind another gate of the same
	// manager.
	t.Run("T79 login inside another gate", func(t *testing.T) {
		for kind, opts := range authtest.Keepers(t) {
			if kind == "own manager, a store that does least" {
				continue // has no index
			}
			t.Run(kind, func(t *testing.T) {
				s := authtest.NewSite(t, opts()...)
				outer, err := wechatauth.New(wechatauth.WithApp(authtest.ShopB, "secret-of-b"), wechatauth.WithBaseURL(s.Base.String()),
					wechatauth.WithPathPrefix("/other/"), wechatauth.WithLogger(s.Log), wechatauth.WithSessionManager(s.Auth.Sessions()))
				require.NoError(t, err)
				s.Server.Config.Handler = outer.LoadWeChat(s.Server.Config.Handler)
				b := s.Browser()
				b.VisitForToken("/a")
				n, err := s.Auth.RevokeUser(t.Context(), wechattest.DefaultAppID, authtest.AliceOpenID)
				require.NoError(t, err)
				assert.Equal(t, 1, n)
				assert.Contains(t, b.Step("/public").Text, "logged-in=false")
			})
		}
	})

	t.Run("T79 before the response to a login inside another gate", func(t *testing.T) {
		for kind, opts := range authtest.Keepers(t) {
			if kind == "own manager, a store that does least" {
				continue // has no index
			}
			for _, before := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, a session before %t", kind, before), func(t *testing.T) {
					end := &revoking{}
					s := authtest.NewSite(t, append(opts(), wechatauth.WithObserver(end))...)
					outer, err := wechatauth.New(wechatauth.WithApp(authtest.ShopB, "secret-of-b"), wechatauth.WithBaseURL(s.Base.String()),
						wechatauth.WithPathPrefix("/other/"), wechatauth.WithLogger(s.Log), wechatauth.WithSessionManager(s.Auth.Sessions()))
					require.NoError(t, err)
					b := s.Browser()
					if before {
						b = s.Holding(s.SessionCookie(), s.SessionWith("cart", "book"))
					}
					s.Server.Config.Handler = outer.LoadWeChat(s.Server.Config.Handler)
					end.then = func() {
						n, err := s.Auth.RevokeUser(t.Context(), wechattest.DefaultAppID, authtest.AliceOpenID)
						assert.NoError(t, err)
						assert.Equal(t, 1, n)
					}
					b.Step(b.Authorize("/a"))
					assert.Contains(t, b.Step("/public").Text, "logged-in=false")
				})
			}
		}
	})
}

func TestBearer(t *testing.T) {
	t.Run("T87 not accepted as a cookie behind nested gates", func(t *testing.T) {
		wraps := map[string]func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler{
			"one gate": func(_ *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler { return a.LoadWeChat(h) },
			"two gates": func(_ *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				return a.LoadWeChat(a.LoadWeChat(h))
			},
			"a handler that reads between": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				inner := a.LoadWeChat(h)
				return a.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.Get(r.Context(), "x"); inner.ServeHTTP(w, r) }))
			},
			"LoadAndSave": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				return m.LoadAndSave(a.LoadWeChat(h))
			},
			"LoadAndSave and two gates": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				return m.LoadAndSave(a.LoadWeChat(a.LoadWeChat(h)))
			},
			"LoadAndSave between two gates": func(m *scs.SessionManager, a *wechatauth.Auth, h http.Handler) http.Handler {
				return a.LoadWeChat(m.LoadAndSave(a.LoadWeChat(h)))
			},
		}
		for kind, opts := range authtest.Keepers(t) {
			t.Run(kind, func(t *testing.T) {
				s := authtest.NewMiniSite(t, opts()...)
				bearer, cookie := s.MiniLogin(authtest.Person(0)), s.Browser().VisitForToken("/a")
				for name, wrap := range wraps {
					s.Server.Config.Handler = wrap(s.Auth.Sessions(), s.Auth, http.HandlerFunc(authtest.Echo))
					asCookie := s.Holding(s.SessionCookie(), strings.TrimPrefix(bearer, session.BearerPrefix)).Step("/public")
					assert.Contains(t, asCookie.Text, "logged-in=false", name)
					assert.Contains(t, s.Request(http.MethodGet, "/public", session.BearerPrefix+cookie, "").Text, "logged-in=false", name)
					assert.Contains(t, s.Request(http.MethodGet, "/public", bearer, "").Text, "logged-in=true", name)
					assert.Contains(t, s.Holding(s.SessionCookie(), cookie).Step("/public").Text, "logged-in=true", name)
				}
			})
		}
	})

	// A gate without a mini program accepts no bearer token from a gate around
	// it.
	t.Run("T87 not inherited by a gate without a mini program", func(t *testing.T) {
		m := authtest.OwnManager(store.NewMemory())
		outer := authtest.NewMiniSite(t, wechatauth.WithSessionManager(m))
		inner, err := wechatauth.New(wechatauth.WithApp(authtest.MiniApp, wechattest.DefaultMiniProgramSecret), wechatauth.WithBaseURL(outer.Base.String()),
			wechatauth.WithEndpoints(outer.Sim.Endpoints()), wechatauth.WithPathPrefix("/inner/"), wechatauth.WithSessionManager(m))
		require.NoError(t, err)
		token := outer.MiniLogin(authtest.Person(0))
		outer.Server.Config.Handler = outer.Auth.RequireWeChat(inner.LoadWeChat(http.HandlerFunc(authtest.Echo)))
		assert.Contains(t, outer.Request(http.MethodGet, "/a", token, "").Text, "logged-in=false")
	})
}

func TestWithSessionManager(t *testing.T) {
	t.Run("T93 unsafe cookie settings", func(t *testing.T) {
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
				m := authtest.OwnManager(store.NewMemory())
				m.Cookie.Secure = true
				c.set(&m.Cookie)
				_, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("https://shop.example.com"), wechatauth.WithSessionManager(m))
				if c.says == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, c.says)
				assert.ErrorContains(t, err, "WithSessionManager: Cookie: ")
			})
		}
	})
}

func TestCacheControl(t *testing.T) {
	t.Run("T94 public page with a session cookie", func(t *testing.T) {
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
			for how, wrap := range authtest.Loaders {
				t.Run(name+", "+how, func(t *testing.T) {
					s := authtest.NewSite(t, wechatauth.WithSessionManager(authtest.OwnManager(store.NewMemory())))
					s.Server.Config.Handler = wrap(s.Auth.Sessions(), s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/cart" {
							s.Auth.Sessions().Put(r.Context(), "cart", "1")
							w.Header()["Cache-Control"] = lines
							for _, name := range ofSharedCaches {
								w.Header()[name] = []string{"max-age=60"}
							}
							_ = s.Auth.Sessions().RenewToken(r.Context())
						}
						authtest.Echo(w, r)
					}))
					b := s.Browser()
					b.Visit("/a")
					got := b.Step("/cart")
					require.NotEmpty(t, got.SetOf(s.SessionCookie()))
					var directives []string
					for _, line := range got.Header["Cache-Control"] {
						for _, d := range directive.FindAllString(line, -1) {
							directives = append(directives, strings.ToLower(strings.TrimSpace(d)))
						}
					}
					assert.Contains(t, directives, "private")
					for _, d := range directives {
						assert.NotEqual(t, "public", d)
						assert.False(t, strings.HasPrefix(d, "s-maxage"), d)
					}
					for _, name := range ofSharedCaches {
						assert.Empty(t, got.Header.Get(name), name)
					}
					if strings.Contains(strings.Join(lines, ","), "max-age=31536000") {
						assert.Contains(t, directives, "immutable", "directives for browsers stay")
					}
				})
			}
		}
	})
}

// ofSharedCaches are headers that only shared caches read, before Cache-Control.
// Handlers may write them in any case.
var ofSharedCaches = []string{
	"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Akamai-Cache-Control", "X-LiteSpeed-Cache-Control",
	"Surrogate-Control", "Edge-Control", "X-Accel-Expires", "x-accel-expires",
}

// A directive is one of a Cache-Control line, including commas inside of
// quotes.
var directive = regexp.MustCompile(`(?:[^,"]|"[^"]*")+`)

// tokenForm matches a session token.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// dump returns everything that a reader of Redis sees: keys and values.
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

func TestRedisReader(t *testing.T) {
	t.Run("T98 finds no valid token", func(t *testing.T) {
		for kind, opts := range map[string][]wechatauth.Option{
			"plain": nil, "encrypted": {wechatauth.WithSessionEncryption(authtest.SessionKeyForTests)},
		} {
			t.Run(kind, func(t *testing.T) {
				server := redistest.Start(t)
				s := authtest.NewScanSiteWith(t, func(p *redis.Pool) wechatauth.Option { return wechatauth.WithRedis(server.Pool()) },
					append(opts, wechatauth.WithMiniProgram(authtest.MiniApp, wechattest.DefaultMiniProgramSecret), wechatauth.WithTokens(0))...)
				s.Handle("/renew", func(_ http.ResponseWriter, r *http.Request) {
					s.Auth.Sessions().Put(r.Context(), "cart", "book")
					assert.NoError(t, s.Auth.Sessions().RenewToken(r.Context()))
				})
				m := s.Auth.Sessions()
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
					for _, b := range all { // the stored values open nothing either
						for i := 0; i+session.TokenLength <= len(b); i++ {
							if word := string(b[i : i+session.TokenLength]); tokenForm.MatchString(word) {
								assert.Contains(t, s.Holding(s.SessionCookie(), word).Step("/public").Text, "logged-in=false", after)
							}
						}
					}
				}
				b := s.Browser()
				tokens["the login's"] = b.VisitForToken("/a")
				look("a login")
				b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
				tokens["the second login's"] = b.Cookie(s.SessionCookie()).Value
				look("a login of the same user, whose old token leads to the new one")
				b.Step("/renew")
				tokens["the renewed session's"] = b.Cookie(s.SessionCookie()).Value
				look("RenewToken")
				bearer := s.MiniLogin(authtest.Person(0))
				tokens["the mini program's"] = strings.TrimPrefix(bearer, session.BearerPrefix)
				look("a mini program's login")
				s.Ticket(bearer, "/a")
				look("an entry to the web-view")
				computer := s.Computer()
				path, _ := s.Show(computer, "/a")
				phone := s.PhoneOf(authtest.Person(1))
				s.Scan(phone, path)
				if c := phone.Cookie(s.SessionCookie()); c != nil {
					tokens["the phone's"] = c.Value
				}
				look("a scan")
				n := s.Confirm(phone, path)
				look("a confirmed scan")
				require.Contains(t, computer.Enter("/a", n).Text, "logged-in=true")
				tokens["the scanned browser's"] = computer.Cookie(s.SessionCookie()).Value
				look("a completed scan login")

				ended, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, authtest.AliceOpenID)
				require.NoError(t, err)
				assert.Positive(t, ended, "the index has the hashes")
				assert.Contains(t, b.Step("/public").Text, "logged-in=false")
			})
		}
	})
}

// A revoking observer revokes a user at the end of a login, before the
// response.
type revoking struct{ then func() }

func (o *revoking) Observe(_ context.Context, e wechatauth.Event) {
	if e.Kind == wechatauth.EventLoginFinished {
		o.then()
	}
}
