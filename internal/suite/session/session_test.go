package session

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A faulty store is a memory store that fails writes while broken is set.
type faulty struct {
	*store.Memory
	broken atomic.Bool
}

func (f *faulty) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if f.broken.Load() {
		return authtest.ErrBroken
	}
	return f.Memory.CommitCtx(ctx, token, b, expiry)
}

func (f *faulty) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	if f.broken.Load() {
		return false, authtest.ErrBroken
	}
	return f.Memory.UpdateCtx(ctx, token, b, expiry)
}

func TestInFlight_Logout(t *testing.T) {
	for name, opts := range map[string][]wechatauth.Option{
		"in memory":                nil,
		"in memory, idle timeout":  {wechatauth.WithIdleTimeout(time.Hour)},
		"over Redis":               {wechatauth.WithRedis(redistest.Start(t).Pool())},
		"over Redis, idle timeout": {wechatauth.WithRedis(redistest.Start(t).Pool()), wechatauth.WithIdleTimeout(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, opts...)
			entered, release := make(chan struct{}), make(chan struct{})
			s.Handle("/slow", func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				<-release
				s.Auth.Sessions().Put(r.Context(), "seen", "yes")
				authtest.Echo(w, r)
			})
			b := s.Browser()
			b.Visit("/a")
			thief := s.Browser()
			thief.SetCookie(s.SessionCookie(), b.Cookie(s.SessionCookie()).Value)

			slow := make(chan authtest.Response)
			go func() { slow <- thief.Step("/slow") }()
			<-entered
			b.Post("/wechat/logout", url.Values{"next": {"/public"}})
			close(release)
			late := <-slow

			assert.Equal(t, http.StatusOK, late.StatusCode, "the request in flight gets its response")
			assert.Empty(t, late.Header["Set-Cookie"])
			assert.Contains(t, thief.Visit("/public").Text, "logged-in=false")
		})
	}
}

func TestInFlight_Login(t *testing.T) {
	for name, opts := range map[string][]wechatauth.Option{
		"without idle timeout": nil,
		"with idle timeout":    {wechatauth.WithIdleTimeout(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, opts...)
			entered, release := make(chan struct{}), make(chan struct{})
			s.Handle("/slow", func(w http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().Put(r.Context(), "n", "1")
				if r.URL.RawQuery != "" {
					close(entered)
					<-release
				}
				authtest.Echo(w, r)
			})
			b := s.Browser()
			b.Visit("/slow")
			require.NotNil(t, b.Cookie(s.SessionCookie()), "an anonymous session")
			slow := make(chan authtest.Response)
			go func() { slow <- b.Step("/slow?wait") }()
			<-entered
			b.Visit("/a")
			close(release)
			late := <-slow

			assert.Empty(t, late.Header["Set-Cookie"])
			assert.Contains(t, b.Visit("/public").Text, "logged-in=true")
		})
	}
}

func TestGrace_SameUser(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	b.Visit("/a")
	old := b.Cookie(s.SessionCookie()).Value
	b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
	require.NotEqual(t, old, b.Cookie(s.SessionCookie()).Value, "a wider scope is a new token")

	late := s.Browser()
	late.SetCookie(s.SessionCookie(), old)
	got := late.Step("/b")
	assert.Contains(t, got.Text, "logged-in=true")
	assert.Empty(t, got.Header["Set-Cookie"], "it could arrive after the new cookie")

	s.Clock.Advance(session.RenewedTTL + time.Second)
	assert.Equal(t, http.StatusUnauthorized, late.Fetch(http.MethodGet, "/b").StatusCode, "the grace period is over")
	assert.Contains(t, b.Visit("/b").Text, "logged-in=true")
}

func TestGrace_SessionEnds(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	b.Visit("/a")
	old := b.Cookie(s.SessionCookie()).Value
	b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
	b.Post("/wechat/logout", url.Values{"next": {"/public"}})
	late := s.Browser()
	late.SetCookie(s.SessionCookie(), old)
	assert.Equal(t, http.StatusUnauthorized, late.Fetch(http.MethodGet, "/b").StatusCode)
}

func TestRevokeUser(t *testing.T) {
	for name, opts := range map[string][]wechatauth.Option{
		"in memory":  nil,
		"over Redis": {wechatauth.WithRedis(redistest.Start(t).Pool())},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, opts...)
			var openID string
			s.Handle("/id", func(w http.ResponseWriter, r *http.Request) {
				id, _ := wechatauth.IdentityFromContext(r.Context())
				openID = id.OpenID
			})
			phone, computer, other := s.Browser(), s.Browser(), s.Browser()
			phone.Visit("/a")
			computer.Visit("/a")
			s.Sim.SetPerson(wechattest.DefaultPeople()[1].Name)
			other.Visit("/a")
			phone.Visit("/id")

			n, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, openID)

			require.NoError(t, err)
			assert.Equal(t, 2, n)
			assert.Equal(t, http.StatusUnauthorized, phone.Fetch(http.MethodGet, "/a").StatusCode)
			assert.Equal(t, http.StatusUnauthorized, computer.Fetch(http.MethodGet, "/a").StatusCode)
			assert.Equal(t, http.StatusOK, other.Fetch(http.MethodGet, "/a").StatusCode)
		})
	}
}

// A replica that missed a revocation would restore the sessions if it became the
// primary.
func TestRevokeUser_Replica(t *testing.T) {
	ctx := context.Background()
	primary, replica := redistest.Start(t, "--repl-diskless-sync-delay", "0"), redistest.Start(t)
	replica.Do("REPLICAOF", "127.0.0.1", primary.Port())
	require.Eventually(t, func() bool {
		return strings.Contains(primary.Info("replication")["slave0"], "state=online")
	}, authtest.Patience, time.Millisecond)
	s := authtest.NewSite(t, wechatauth.WithStore(store.New(primary.Pool(), store.WithReplicaAcks(1), store.WithTimeout(2*time.Second))), wechatauth.WithTokens(0))
	var openID string
	s.Handle("/id", func(_ http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		openID = id.OpenID
	})
	b := s.Browser()
	b.Visit("/a")
	b.Visit("/id")
	tokensKept := func() bool {
		_, kept, err := store.New(primary.Pool()).Mark(ctx, "tokens "+wechattest.DefaultAppID+" "+openID)
		require.NoError(t, err)
		return kept
	}
	require.True(t, tokensKept())

	replica.Freeze()
	n, err := s.Auth.RevokeUser(ctx, wechattest.DefaultAppID, openID)
	require.ErrorContains(t, err, "the sessions are deleted, but 0 of 1 replicas have confirmed it: a failover may restore them")
	assert.Equal(t, 1, n)
	assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
	assert.False(t, tokensKept(), "tokens are deleted in any case")

	replica.Thaw()
	require.Eventually(t, func() bool {
		_, err := s.Auth.RevokeUser(ctx, wechattest.DefaultAppID, openID)
		return err == nil
	}, authtest.Patience, time.Millisecond)
	assert.Empty(t, replica.Do("KEYS", "scs:session:*"))
}

func TestRevokeUser_StoreFails(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithStore(authtest.PlainStore{Store: store.NewMemory()}))
	_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, "o123")
	assert.ErrorIs(t, err, store.ErrNoIndex)
}

func TestLogin_NotSaved(t *testing.T) {
	// The code is used by then and the login is not saved. The response is a
	// 503 with a button, and a reload redirects to WeChat again, which the user
	// does not notice.
	t.Run("T64 user logs in again", func(t *testing.T) {
		for name, c := range map[string]struct {
			next      func(b *authtest.Browser, callback string) authtest.Response
			exchanges int
		}{
			"a reload of the callback": {func(b *authtest.Browser, callback string) authtest.Response { return b.Visit(callback) }, 3}, // one of them finds the code used
			"a visit of a page":        {func(b *authtest.Browser, _ string) authtest.Response { return b.Visit("/orders") }, 2},
			"the button": {func(b *authtest.Browser, _ string) authtest.Response {
				return b.Visit("/wechat/login?next=%2Forders&again=1")
			}, 2},
		} {
			t.Run(name, func(t *testing.T) {
				f := &faulty{}
				s := authtest.NewSite(t, authtest.OnClock(func(now func() time.Time) wechatauth.Option {
					f.Memory = store.NewMemory(store.WithClock(now))
					return wechatauth.WithStore(f)
				}))
				s.Wait = func(ctx context.Context, _ time.Duration) error { return context.DeadlineExceeded }
				b := s.Browser()
				callback := b.Authorize("/orders")
				f.broken.Store(true)
				failed := b.Step(callback)
				require.Equal(t, http.StatusServiceUnavailable, failed.StatusCode)
				assert.NotEmpty(t, failed.Header.Get("Retry-After"))
				assert.Contains(t, failed.Text, `href="/wechat/login?next=%2Forders&amp;again=1"`)
				assert.Empty(t, failed.Header["Set-Cookie"], "the response sets no cookie")
				f.broken.Store(false)
				s.Clock.Advance(authtest.FailureTTL + time.Second)

				got := c.next(b, callback)

				assert.Contains(t, got.Text, "url=/orders logged-in=true")
				assert.Equal(t, c.exchanges, s.Exchanges())
			})
		}
	})
}

// A save that only the operator can make possible is tried once: the user does
// not wait for a retry that cannot succeed.
func TestLogin_SaveRejected(t *testing.T) {
	for reply, cure := range map[string]string{
		"NOPERM User app has no permissions to run the 'set' command": "grant +set",
		"NOPERM No permissions to access a key":                       "grant the pattern of the key",
		"ERR unsupported command 'SET'":                               "does not offer what the store needs",
		"ERR command 'set' not support for normal user":               "does not offer what the store needs",
		"ERR this command is not allowed":                             "does not offer what the store needs",
		"ERR illegal address: 192.0.2.1:4711":                         "allowlist",
	} {
		t.Run(reply, func(t *testing.T) {
			proxy, err := faultproxy.StartReplies(redistest.Start(t).Addr())
			require.NoError(t, err)
			t.Cleanup(proxy.Close)
			pool, err := store.NewPool("redis://" + proxy.Addr())
			require.NoError(t, err)
			t.Cleanup(func() { pool.Close() })
			s := authtest.NewSite(t, wechatauth.WithStore(store.New(pool, store.WithTimeout(authtest.Patience))))
			var saves, pauses atomic.Int64
			s.Wait = func(context.Context, time.Duration) error {
				if pauses.Add(1) == 3 {
					return context.DeadlineExceeded
				}
				return nil
			}
			proxy.Reject(func(command []string) string {
				if command[0] != "SET" || !strings.HasPrefix(command[1], "scs:session:") {
					return ""
				}
				saves.Add(1)
				return reply
			})
			b := s.Browser()

			failed := b.Step(b.Authorize("/orders"))

			require.Equal(t, http.StatusServiceUnavailable, failed.StatusCode)
			assert.NotEmpty(t, failed.Header.Get("Retry-After"))
			assert.Equal(t, string(wechatauth.ReasonStoreUnavailable), authtest.ReasonOf(failed))
			assert.EqualValues(t, 1, saves.Load(), "attempts to save the session")
			assert.Zero(t, pauses.Load())
			assert.Contains(t, s.Logs.String(), cure)

			proxy.Reject(nil)
			assert.Contains(t, b.Visit("/orders").Text, "url=/orders logged-in=true")
		})
	}
}

func TestCorruptRecord(t *testing.T) {
	t.Run("T67 anonymous and deleted", func(t *testing.T) {
		own := func(pool *redis.Pool) []wechatauth.Option {
			m := scs.New()
			m.Store = store.New(pool)
			return []wechatauth.Option{wechatauth.WithSessionManager(m)}
		}
		ours := func(pool *redis.Pool) []wechatauth.Option { return []wechatauth.Option{wechatauth.WithRedis(pool)} }
		idle := func(pool *redis.Pool) []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithRedis(pool), wechatauth.WithIdleTimeout(time.Hour)}
		}
		for name, with := range map[string]func(*redis.Pool) []wechatauth.Option{"ours": ours, "with an idle timeout": idle, "the application's manager": own} {
			for kind, damage := range damages {
				t.Run(name+", "+kind, func(t *testing.T) {
					server := redistest.Start(t)
					s := authtest.NewSite(t, with(server.Pool())...)
					b := s.Browser()
					spoil := func() (key string) {
						key = s.StoredAt(b.Cookie(s.SessionCookie()).Value)
						damage(server, key)
						return key
					}
					b.Visit("/a")

					key := spoil()
					page := b.Step("/public")
					assert.Equal(t, http.StatusOK, page.StatusCode)
					assert.Contains(t, page.Text, "logged-in=false")
					assert.Nil(t, b.Cookie(s.SessionCookie()), "the cookie is deleted with the record")
					assert.Zero(t, server.Do("EXISTS", key))
					assert.Equal(t, 1, strings.Count(s.Logs.String(), "session_corrupt"))

					b.Visit("/a")
					key = spoil()
					script := b.Fetch(http.MethodGet, "/a")
					assert.Equal(t, http.StatusUnauthorized, script.StatusCode)
					assert.Contains(t, script.Text, "session_corrupt")
					assert.Zero(t, server.Do("EXISTS", key))

					assert.Contains(t, b.Visit("/a").Text, "logged-in=true", "a login replaces it")
				})
			}
		}
	})
}

// damages has the ways to damage a record in Redis.
var damages = map[string]func(server *redistest.Server, key string){
	"overwritten":     func(server *redistest.Server, key string) { server.Do("SET", key, "garbage", "EX", 600) },
	"of another type": func(server *redistest.Server, key string) { server.Do("DEL", key); server.Do("LPUSH", key, "x") },
	"grown": func(server *redistest.Server, key string) {
		server.Do("SET", key, make([]byte, 2<<20), "KEEPTTL")
	},
}

// During a key rotation, an instance reads records whose key it does not have
// yet. It must not delete them.
func TestCorruptRecord_UnknownKey(t *testing.T) {
	old, young := []byte("0123456789abcdefghijklmnopqrstuv"), []byte("vutsrqponmlkjihgfedcba9876543210")
	for kind, damage := range map[string]func(server *redistest.Server, key string){
		"sealed with a future key": func(*redistest.Server, string) {},
		"overwritten":              func(server *redistest.Server, key string) { server.Do("SETRANGE", key, 3, "\xff\x00") },
		"not sealed":               func(server *redistest.Server, key string) { server.Do("SET", key, "garbage", "EX", 600) },
	} {
		t.Run(kind, func(t *testing.T) {
			server := redistest.Start(t)
			there := authtest.NewSite(t, wechatauth.WithRedis(server.Pool()), wechatauth.WithSessionEncryption(young, old))
			here := authtest.NewSite(t, wechatauth.WithRedis(server.Pool()), wechatauth.WithSessionEncryption(old))
			member := there.Browser()
			member.Visit("/a")
			token := member.Cookie(there.SessionCookie()).Value
			key := there.StoredAt(token)
			damage(server, key)

			b := here.Browser()
			b.SetCookie(here.SessionCookie(), token)
			page := b.Step("/public")
			assert.Equal(t, http.StatusOK, page.StatusCode)
			assert.Contains(t, page.Text, "logged-in=false")
			assert.NotNil(t, b.Cookie(here.SessionCookie()))
			assert.Equal(t, 1, strings.Count(here.Logs.String(), "session_corrupt"), "it is reported")
			assert.Equal(t, int64(1), server.Do("EXISTS", key), "it is not deleted")
			assert.Contains(t, b.Fetch(http.MethodGet, "/a").Text, "session_unknown")

			if kind == "sealed with a future key" {
				assert.Contains(t, member.Step("/a").Text, "logged-in=true", "the instance with the key accepts it")
			}
			assert.Contains(t, b.Visit("/a").Text, "logged-in=true", "a login replaces it")
		})
	}
}

// A value that is not sealed at all is deleted: no key could open it.
func TestCorruptRecord_Sealed(t *testing.T) {
	for _, kind := range []string{"of another type", "grown"} {
		server := redistest.Start(t)
		s := authtest.NewSite(t, wechatauth.WithRedis(server.Pool()), wechatauth.WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv")))
		b := s.Browser()
		b.Visit("/a")
		key := s.StoredAt(b.Cookie(s.SessionCookie()).Value)
		damages[kind](server, key)
		assert.Contains(t, b.Step("/public").Text, "logged-in=false")
		assert.Nil(t, b.Cookie(s.SessionCookie()), kind)
		assert.Zero(t, server.Do("EXISTS", key), kind)
		assert.Equal(t, 1, strings.Count(s.Logs.String(), "session_corrupt"), kind)
	}
}

// If scs loads the session itself, an error would be a 500 response until the
// key expires.
func TestCorruptRecord_LoadAndSave(t *testing.T) {
	server := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(server.Pool()))
	inner := s.Server.Config.Handler
	b := s.Browser()
	b.Visit("/a")
	key := s.StoredAt(b.Cookie(s.SessionCookie()).Value)
	s.Server.Config.Handler = s.Auth.Sessions().LoadAndSave(inner)
	for _, kind := range []string{"of another type", "grown"} {
		damages[kind](server, key)
		got := b.Step("/public")
		assert.Equal(t, http.StatusOK, got.StatusCode, kind)
		assert.Contains(t, got.Text, "logged-in=false")
	}
}

func TestSave_Fails(t *testing.T) {
	for name, respond := range map[string]func(w http.ResponseWriter){
		"a page":               func(w http.ResponseWriter) { _, _ = w.Write([]byte("protected")) },
		"a redirect":           func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(302) },
		"a flush":              func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"nothing":              func(w http.ResponseWriter) {},
		"an early hint before": func(w http.ResponseWriter) { w.WriteHeader(103); _, _ = w.Write([]byte("protected")) },
		"a copy":               func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("protected")) },
		"a hijack": func(w http.ResponseWriter) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nprotected")
				_ = conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &faulty{Memory: store.NewMemory()}
			s := authtest.NewSite(t, wechatauth.WithStore(f))
			s.Handle("/put", func(w http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().Put(r.Context(), "a", "b")
				w.Header().Set("X-Handler", "was here")
				respond(w)
			})
			b := s.Browser()
			f.broken.Store(true)
			got := b.Step("/put")
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.NotContains(t, got.Text, "protected")
			assert.Empty(t, got.Header.Get("Location"))
			assert.Empty(t, got.Header.Get("X-Handler"))
			assert.Empty(t, got.Header["Set-Cookie"])
		})
	}
}

func TestSave_BeforeResponse(t *testing.T) {
	for name, respond := range map[string]func(w http.ResponseWriter){
		"Write":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(204) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"ReadFrom":    func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x")) },
		"early hints": func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(200) },
		"nothing":     func(w http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			s.Handle("/put", func(w http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().Put(r.Context(), "a", "b")
				respond(w)
			})
			s.Handle2("/get", func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(s.Auth.Sessions().GetString(r.Context(), "a")))
			})
			b := s.Browser()
			put := b.Step("/put")
			assert.Len(t, put.Header["Set-Cookie"], 1)
			assert.Equal(t, "b", b.Step("/get").Text)
		})
	}
}

func TestLoadAndSave_OwnManager(t *testing.T) {
	for form, wrap := range authtest.Loaders {
		t.Run(form, func(t *testing.T) {
			m := scs.New()
			m.Store = store.NewMemory()
			s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
			s.Server.Config.Handler = wrap(m, s.Auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m.Put(r.Context(), "visits", m.GetInt(r.Context(), "visits")+1)
				authtest.Echo(w, r)
			}))
			b := s.Browser()
			session := func(a authtest.Response) (n int) {
				for _, c := range a.Cookies() {
					if c.Name == m.Cookie.Name {
						n++
					}
				}
				return n
			}
			callback := b.Step(b.Authorize("/a"))
			assert.Equal(t, http.StatusSeeOther, callback.StatusCode)
			assert.Equal(t, 1, session(callback))
			page := b.Step("/a")
			assert.Contains(t, page.Text, "logged-in=true")
			if form == "no LoadAndSave" {
				assert.Equal(t, 0, session(page), "the browser has it already")
			} else {
				assert.Equal(t, 1, session(page), "scs sends it with every write")
			}
			b.Post("/wechat/logout", url.Values{})
			assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
		})
	}
}

func TestWithLifetime(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithLifetime(time.Hour))
	b := s.Browser()
	b.Visit("/a")
	s.Clock.Advance(59 * time.Minute)
	assert.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
	s.Clock.Advance(2 * time.Minute)
	assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
}

func TestWithIdleTimeout_Touch(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithIdleTimeout(time.Hour))
	b := s.Browser()
	b.Visit("/a")
	writes := func() (n int) {
		for _, command := range redis.Commands(func() {
			for range 20 {
				b.Step("/b")
			}
		}) {
			if !strings.HasPrefix(command, "GET") && !strings.HasPrefix(command, "PTTL") {
				n++
				assert.True(t, strings.HasPrefix(command, "PEXPIRE"), command)
			}
		}
		return n
	}
	assert.Zero(t, writes(), "nothing is due yet")

	// A twentieth of the timeout, three minutes, passes by Redis's clock.
	conn := redis.Pool().Get()
	defer conn.Close()
	key := s.StoredAt(b.Cookie(s.SessionCookie()).Value)
	_, err := conn.Do("PEXPIRE", key, (56 * time.Minute).Milliseconds())
	require.NoError(t, err)
	assert.Equal(t, 1, writes(), "one touch for twenty requests")
}

// Concurrent requests all find that a touch is due. Each instance touches once.
func TestWithIdleTimeout_Concurrent(t *testing.T) {
	const together = 6
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithIdleTimeout(time.Hour))
	b := s.Browser()
	b.Visit("/a")
	key := s.StoredAt(b.Cookie(s.SessionCookie()).Value)
	touches := func() (n int) {
		var loaded, done sync.WaitGroup // all load the session before the first of them saves it
		loaded.Add(together)
		s.Handle("/img", func(http.ResponseWriter, *http.Request) { loaded.Done(); loaded.Wait() })
		for _, command := range redis.Commands(func() {
			for range together {
				done.Go(func() { b.Step("/img") })
			}
			done.Wait()
		}) {
			if strings.HasPrefix(command, "PEXPIRE") {
				n++
			}
		}
		return n
	}
	assert.Zero(t, touches(), "nothing is due yet")
	for range 2 {
		redis.Do("PEXPIRE", key, (56 * time.Minute).Milliseconds())
		assert.Equal(t, 1, touches())
		s.Clock.Advance(time.Hour / 20)
	}
}

// The next request retries a touch that failed.
func TestWithSessionEncryption(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv")))
	b := s.Browser()
	assert.Contains(t, b.Visit("/a").Text, "logged-in=true")
	conn := redis.Pool().Get()
	defer conn.Close()
	record, err := conn.Do("GET", s.StoredAt(b.Cookie(s.SessionCookie()).Value))
	require.NoError(t, err)
	assert.NotContains(t, string(record.([]byte)), "snsapi_base")
}

func TestResponseWriter(t *testing.T) {
	s := authtest.NewSite(t)
	var failures []string
	s.Handle("/w", func(w http.ResponseWriter, r *http.Request) {
		for name, ok := range map[string]bool{
			"Flusher":       is[http.Flusher](w),
			"Hijacker":      is[http.Hijacker](w),
			"StringWriter":  is[io.StringWriter](w),
			"CloseNotifier": is[closeNotifier](w),
			"no Pusher":     !is[http.Pusher](w),
			"ReaderFrom":    is[io.ReaderFrom](w),
			"Unwrap":        is[interface{ Unwrap() http.ResponseWriter }](w),
		} {
			if !ok {
				failures = append(failures, name)
			}
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			failures = append(failures, err.Error())
		}
	})
	s.Browser().Step("/w")
	assert.Empty(t, failures)
}

// A readingFrom records that the inner writer reads by itself, as net/http's
// does to let the kernel send a file.
type readingFrom struct {
	http.ResponseWriter
	read *int64
}

func (w readingFrom) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, r)
	*w.read += n
	return n, err
}

func TestResponseWriter_ReadFrom(t *testing.T) {
	s := authtest.NewSite(t)
	s.Handle("/file", func(w http.ResponseWriter, r *http.Request) {
		s.Auth.Sessions().Put(r.Context(), "a", "b")
		_, err := io.Copy(w, io.LimitReader(strings.NewReader("a file"), 6)) // no WriterTo, as with a file
		assert.NoError(t, err)
	})
	routes, read := s.Server.Config.Handler, int64(0)
	s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		routes.ServeHTTP(readingFrom{w, &read}, r)
	})
	got := s.Browser().Step("/file")
	assert.Equal(t, "a file", got.Text)
	assert.Len(t, got.Header["Set-Cookie"], 1)
	assert.Equal(t, int64(6), read)
}

func is[T any](v any) bool { _, ok := v.(T); return ok }

func TestResponseWriter_Hijack(t *testing.T) {
	s := authtest.NewSite(t)
	s.Handle("/ws", func(w http.ResponseWriter, r *http.Request) {
		s.Auth.Sessions().Put(r.Context(), "a", "b")
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = buf.WriteString("HTTP/1.1 204 No Content\r\nX-Saved: yes\r\n\r\n")
		_ = buf.Flush()
		_ = conn.Close()
	})
	s.Handle2("/get", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(s.Auth.Sessions().GetString(r.Context(), "a")))
	})
	b := s.Browser()
	b.Visit("/a")
	assert.Equal(t, "yes", b.Step("/ws").Header.Get("X-Saved"))
	assert.Equal(t, "b", b.Step("/get").Text)
}
