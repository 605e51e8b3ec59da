package session

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
)

// The guarantees of scs hold with our stores and our loading and saving. Scs's
// own tests, of v2.9.0, access its unexported session data, so each is rewritten
// here as a sub-test of TestSCS:
//
//	session_test.go
//	TestEnable                  value is kept, Vary
//	TestLifetime                lifetime
//	TestIdleTimeout             idle timeout
//	TestDestroy                 Destroy
//	TestRenewToken              RenewToken
//	TestRememberMe              RememberMe
//	TestIterate                 Iterate
//
//	session_go120_test.go
//	TestFlusher, TestHijacker   Flush and Hijack
//
//	data_test.go
//	TestSessionDataFromContext  context without a session
//	TestSessionManager_Load
//	  happy path, with empty token, with unfound token, with preexisting
//	  session data, with error finding token
//	                            Load
//	  with error decoding found token
//	                            corrupt record
//	  with token hashing        HashTokenInStore
//	TestSessionManager_Commit
//	  happy path, with empty token
//	                            values of every type, by stored
//	  with expired deadline     SetDeadline, deadline with an idle timeout
//	  with error committing     Load
//	  with token hashing        HashTokenInStore
//	TestPut, TestGet            Put
//	TestGetString, …Bool, …Int, …Float, …Bytes, …Time
//	                            values of every type
//	TestPop, TestPopString, …Bool, …Int, …Float, …Bytes, …Time
//	                            Pop
//	TestRemove, TestClear, TestExists, TestKeys, TestStatus
//	                            Remove, Clear, Exists, Keys and Status

// A shop is a site whose handlers use scs sessions, over one kind of store.
type shop struct {
	*authtest.Site
	m     *scs.SessionManager
	redis *redistest.Server // nil in memory
}

// inEveryShop runs the test over each store. LoadWeChat loads and saves in the
// same way with the application's manager and with the middleware's.
func inEveryShop(t *testing.T, test func(t *testing.T, s *shop), opts ...wechatauth.Option) {
	server := redistest.Start(t)
	own := func() wechatauth.Option {
		m := scs.New()
		m.Store = store.New(server.Pool(), store.WithTimeout(authtest.Patience), store.WithPrefix("own:"))
		return wechatauth.WithSessionManager(m)
	}
	for name, kind := range map[string]struct {
		redis *redistest.Server
		opts  func() []wechatauth.Option
	}{
		"in memory":  {nil, func() []wechatauth.Option { return nil }},
		"over Redis": {server, func() []wechatauth.Option { return []wechatauth.Option{wechatauth.WithRedis(server.Pool())} }},
		"sealed, over Redis": {server, func() []wechatauth.Option {
			return []wechatauth.Option{wechatauth.WithRedis(server.Pool()), wechatauth.WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv"))}
		}},
		"own manager over Redis": {server, func() []wechatauth.Option { return []wechatauth.Option{own()} }},
	} {
		if name == "own manager over Redis" && len(opts) > 0 {
			continue // it sets its own lifetimes
		}
		t.Run(name, func(t *testing.T) {
			if kind.redis != nil {
				kind.redis.Do("FLUSHALL")
			}
			s := &shop{Site: authtest.NewSite(t, append(kind.opts(), opts...)...), redis: kind.redis}
			s.m = s.Auth.Sessions()
			s.serve()
			test(t, s)
		})
	}
}

// serve has the pages of scs's tests, all of which load and save the session.
func (s *shop) serve(more ...func(mux map[string]http.HandlerFunc)) {
	pages := map[string]http.HandlerFunc{
		"/put": func(_ http.ResponseWriter, r *http.Request) {
			s.m.Put(r.Context(), "foo", "bar"+r.URL.RawQuery)
		},
		"/get": func(w http.ResponseWriter, r *http.Request) {
			value, ok := s.m.Get(r.Context(), "foo").(string)
			if !ok {
				http.Error(w, "none", http.StatusNotFound)
				return
			}
			fmt.Fprint(w, value)
		},
		"/destroy": func(w http.ResponseWriter, r *http.Request) { assert.NoError(s.T, s.m.Destroy(r.Context())) },
		"/renew":   func(w http.ResponseWriter, r *http.Request) { assert.NoError(s.T, s.m.RenewToken(r.Context())) },
		"/clear":   func(w http.ResponseWriter, r *http.Request) { assert.NoError(s.T, s.m.Clear(r.Context())) },
		"/remember": func(w http.ResponseWriter, r *http.Request) {
			s.m.RememberMe(r.Context(), r.URL.RawQuery == "yes")
			s.m.Put(r.Context(), "foo", "bar")
		},
	}
	for _, f := range more {
		f(pages)
	}
	mux := s.Routes().(*http.ServeMux)
	for path, page := range pages {
		mux.Handle(path, s.Auth.LoadWeChat(page))
	}
	s.Server.Config.Handler = mux
}

func (s *shop) token(b *authtest.Browser) string {
	if c := b.Cookie(s.SessionCookie()); c != nil {
		return c.Value
	}
	return ""
}

// given returns the session cookie that a response sets, or nil.
func (s *shop) given(got authtest.Response) *http.Cookie {
	for _, c := range got.Cookies() {
		if c.Name == s.SessionCookie() {
			return c
		}
	}
	return nil
}

// pass advances the clocks of the application and of Redis.
func (s *shop) pass(t *testing.T, d time.Duration) {
	s.Clock.Advance(d)
	if s.redis == nil {
		return
	}
	keys, err := redis.Strings(s.redis.Do("KEYS", "*"), nil)
	require.NoError(t, err)
	for _, key := range keys {
		left := time.Duration(s.redis.Do("PTTL", key).(int64)) * time.Millisecond
		require.Positive(t, left, "a key without an expiry")
		s.redis.Do("PEXPIRE", key, (left - d).Milliseconds())
	}
}

func TestSCS(t *testing.T) {
	t.Run("value is kept", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			b := s.Browser()
			put := b.Step("/put")
			require.NotNil(t, s.given(put))
			first := s.token(b)
			assert.Len(t, first, session.TokenLength)

			got := b.Step("/get")
			assert.Equal(t, "bar", got.Text)
			assert.Nil(t, s.given(got), "reading sets no cookie")
			b.Step("/put?again")
			assert.Equal(t, first, s.token(b), "the token is kept")
			assert.Equal(t, "baragain", b.Step("/get").Text)
			assert.Equal(t, http.StatusNotFound, s.Browser().Step("/get").StatusCode, "no other browser has it")
		})
	})

	t.Run("Vary", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			b := s.Browser()
			for _, page := range []string{"/get", "/put", "/get", "/destroy", "/get"} {
				assert.Equal(t, 1, varies(b.Step(page).Header), page)
			}
			put := s.Browser().Step("/put")
			assert.Contains(t, put.Header["Cache-Control"], `no-cache="Set-Cookie"`)
		})
	})

	t.Run("lifetime", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			b := s.Browser()
			b.Step("/put")
			for range 5 {
				s.pass(t, 11*time.Minute)
				require.Equal(t, "bar", b.Step("/get").Text)
				b.Step("/put") // does not move the deadline
			}
			s.pass(t, 6*time.Minute)
			assert.Equal(t, http.StatusNotFound, b.Step("/get").StatusCode)
		}, wechatauth.WithLifetime(time.Hour))
	})

	t.Run("idle timeout", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			b := s.Browser()
			b.Step("/put")
			for range 3 {
				s.pass(t, 8*time.Minute)
				require.Equal(t, "bar", b.Step("/get").Text, "used in time")
			}
			s.pass(t, 11*time.Minute)
			assert.Equal(t, http.StatusNotFound, b.Step("/get").StatusCode)
		}, wechatauth.WithIdleTimeout(10*time.Minute), wechatauth.WithLifetime(time.Hour))
	})

	t.Run("deadline with an idle timeout", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			b := s.Browser()
			b.Step("/put")
			for range 6 {
				s.pass(t, 9*time.Minute)
				require.Equal(t, "bar", b.Step("/get").Text)
			}
			s.pass(t, 7*time.Minute)
			assert.Equal(t, http.StatusNotFound, b.Step("/get").StatusCode)
		}, wechatauth.WithIdleTimeout(10*time.Minute), wechatauth.WithLifetime(time.Hour))
	})

	t.Run("Destroy", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			b, copied := s.Browser(), s.Browser()
			b.Step("/put")
			copied.SetCookie(s.SessionCookie(), s.token(b))

			gone := s.given(b.Step("/destroy"))
			require.NotNil(t, gone)
			assert.Empty(t, gone.Value)
			assert.Negative(t, gone.MaxAge)
			assert.Equal(t, int64(1), gone.Expires.Unix())
			assert.Equal(t, http.StatusNotFound, b.Step("/get").StatusCode)
			assert.Equal(t, http.StatusNotFound, copied.Step("/get").StatusCode, "the record is gone too")
		})
	})

	t.Run("RenewToken", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			b, copied := s.Browser(), s.Browser()
			b.Step("/put")
			old := s.token(b)
			copied.SetCookie(s.SessionCookie(), old)

			b.Step("/renew")
			assert.NotEqual(t, old, s.token(b))
			assert.Equal(t, "bar", b.Step("/get").Text)
			assert.Equal(t, http.StatusNotFound, copied.Step("/get").StatusCode)
		})
	})

	t.Run("RememberMe", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			s.m.Cookie.Persist = false
			b := s.Browser()
			lasts := func(got authtest.Response) bool {
				c := s.given(got)
				require.NotNil(t, c, "a change of the cookie sends it")
				assert.Equal(t, c.MaxAge > 0, !c.Expires.IsZero())
				return c.MaxAge > 0
			}
			assert.False(t, lasts(b.Step("/put")))
			assert.True(t, lasts(b.Step("/remember?yes")))
			assert.False(t, lasts(b.Step("/remember?no")))
		})
	})

	t.Run("persistent cookie", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			c := s.given(s.Browser().Step("/put"))
			assert.InDelta(t, s.m.Lifetime.Seconds(), float64(c.MaxAge), 60, "scs counts it by the real clock")
		})
	})

	t.Run("Iterate", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			for n := range 3 {
				s.Browser().Step(fmt.Sprintf("/put?%d", n))
			}
			var found []string
			require.NoError(t, s.m.Iterate(context.Background(), func(ctx context.Context) error {
				found = append(found, s.m.GetString(ctx, "foo"))
				return nil
			}))
			slices.Sort(found)
			assert.Equal(t, []string{"bar0", "bar1", "bar2"}, found)

			if !s.m.HashTokenInStore { // scs hashes the keys it finds once more
				require.NoError(t, s.m.Iterate(context.Background(), s.m.Destroy), "Iterate ends all of them")
			} else {
				s.forgetAll(t)
			}
			found = nil
			require.NoError(t, s.m.Iterate(context.Background(), func(context.Context) error { found = append(found, "one"); return nil }))
			assert.Empty(t, found)

			s.Browser().Step("/put")
			stop := errors.New("stop")
			assert.ErrorIs(t, s.m.Iterate(context.Background(), func(context.Context) error { return stop }), stop)
		})
	})

	t.Run("Flush and Hijack", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			s.serve(func(pages map[string]http.HandlerFunc) {
				pages["/flush"] = func(w http.ResponseWriter, r *http.Request) {
					s.m.Put(r.Context(), "foo", "flushed")
					w.(http.Flusher).Flush()
					fmt.Fprint(w, "later")
				}
				pages["/hijack"] = func(w http.ResponseWriter, r *http.Request) {
					conn, _, err := w.(http.Hijacker).Hijack()
					if assert.NoError(t, err) {
						fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
						conn.Close()
					}
				}
			})
			b := s.Browser()
			got := b.Step("/flush")
			assert.Equal(t, "later", got.Text)
			assert.NotNil(t, s.given(got), "the cookie was sent with the headers")
			assert.Equal(t, "flushed", b.Step("/get").Text)
			assert.Equal(t, "ok", b.Step("/hijack").Text)
		})
	})

	t.Run("values of every type", func(t *testing.T) {
		gob.Register(time.Time{}) // scs requires it too
		noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
		inEveryShop(t, func(t *testing.T, s *shop) {
			ctx, token := s.stored(t, map[string]any{
				"string": "s", "bool": true, "int": 1, "int64": int64(2), "int32": int32(3),
				"float": 4.5, "bytes": []byte("b"), "time": noon,
			})
			assert.Equal(t, token, s.m.Token(ctx))
			assert.Equal(t, scs.Unmodified, s.m.Status(ctx))
			assert.Equal(t, []string{"bool", "bytes", "float", "int", "int32", "int64", "string", "time"}, s.m.Keys(ctx))

			assert.Equal(t, "s", s.m.GetString(ctx, "string"))
			assert.True(t, s.m.GetBool(ctx, "bool"))
			assert.Equal(t, 1, s.m.GetInt(ctx, "int"))
			assert.Equal(t, int64(2), s.m.GetInt64(ctx, "int64"))
			assert.Equal(t, int32(3), s.m.GetInt32(ctx, "int32"))
			assert.Equal(t, 4.5, s.m.GetFloat(ctx, "float"))
			assert.Equal(t, []byte("b"), s.m.GetBytes(ctx, "bytes"))
			assert.True(t, noon.Equal(s.m.GetTime(ctx, "time")))
			assert.Equal(t, scs.Unmodified, s.m.Status(ctx), "reading changes nothing")

			for _, absent := range []string{"absent", "string"} { // missing, or of another type
				assert.False(t, s.m.GetBool(ctx, absent))
				assert.Zero(t, s.m.GetInt(ctx, absent))
				assert.Zero(t, s.m.GetInt64(ctx, absent))
				assert.Zero(t, s.m.GetInt32(ctx, absent))
				assert.Zero(t, s.m.GetFloat(ctx, absent))
				assert.Nil(t, s.m.GetBytes(ctx, absent))
				assert.True(t, s.m.GetTime(ctx, absent).IsZero())
			}
			assert.Empty(t, s.m.GetString(ctx, "int"))
			assert.Nil(t, s.m.Get(ctx, "absent"))
		})
	})

	t.Run("Pop", func(t *testing.T) {
		gob.Register(time.Time{})
		inEveryShop(t, func(t *testing.T, s *shop) {
			for name, c := range map[string]struct {
				value any
				pop   func(ctx context.Context, key string) any
			}{
				"Pop":       {"s", func(ctx context.Context, key string) any { return s.m.Pop(ctx, key) }},
				"PopString": {"s", func(ctx context.Context, key string) any { return s.m.PopString(ctx, key) }},
				"PopBool":   {true, func(ctx context.Context, key string) any { return s.m.PopBool(ctx, key) }},
				"PopInt":    {1, func(ctx context.Context, key string) any { return s.m.PopInt(ctx, key) }},
				"PopFloat":  {1.5, func(ctx context.Context, key string) any { return s.m.PopFloat(ctx, key) }},
				"PopBytes":  {[]byte("b"), func(ctx context.Context, key string) any { return s.m.PopBytes(ctx, key) }},
				"PopTime":   {time.Unix(1, 0).UTC(), func(ctx context.Context, key string) any { return s.m.PopTime(ctx, key).UTC() }},
			} {
				ctx, token := s.stored(t, map[string]any{"it": c.value, "other": "stays"})
				assert.Equal(t, c.value, c.pop(ctx, "it"), name)
				assert.Equal(t, scs.Modified, s.m.Status(ctx), name)
				assert.False(t, s.m.Exists(ctx, "it"), name)
				_, _, err := s.m.Commit(ctx)
				require.NoError(t, err)

				ctx = s.session(t, token)
				assert.Equal(t, []string{"other"}, s.m.Keys(ctx), name)
				assert.Nil(t, s.m.Pop(ctx, "it"), name)
				assert.Equal(t, scs.Unmodified, s.m.Status(ctx), "%s: there was nothing to pop", name)
			}
		})
	})

	t.Run("Remove, Clear, Exists, Keys and Status", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			ctx, token := s.stored(t, map[string]any{"a": "1", "b": "2", "c": "3"})
			assert.True(t, s.m.Exists(ctx, "a"))
			assert.False(t, s.m.Exists(ctx, "z"))
			s.m.Remove(ctx, "z")
			assert.Equal(t, scs.Unmodified, s.m.Status(ctx))
			s.m.Remove(ctx, "a")
			assert.Equal(t, scs.Modified, s.m.Status(ctx))
			assert.Equal(t, []string{"b", "c"}, s.m.Keys(ctx))

			require.NoError(t, s.m.Clear(ctx))
			assert.Empty(t, s.m.Keys(ctx))
			_, _, err := s.m.Commit(ctx)
			require.NoError(t, err)
			ctx = s.session(t, token)
			assert.Equal(t, token, s.m.Token(ctx), "an empty session is a session")
			assert.Empty(t, s.m.Keys(ctx))
			require.NoError(t, s.m.Clear(ctx))
			assert.Equal(t, scs.Unmodified, s.m.Status(ctx), "there was nothing to clear")
			s.m.Put(ctx, "d", "4")
			assert.Equal(t, []string{"d"}, s.m.Keys(ctx))

			require.NoError(t, s.m.Destroy(ctx))
			assert.Equal(t, scs.Destroyed, s.m.Status(ctx))
			assert.Empty(t, s.m.Keys(ctx))
		})
	})

	t.Run("Load", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			_, token := s.stored(t, map[string]any{"foo": "bar"})
			assert.Equal(t, token, s.m.Token(s.session(t, token)))
			assert.Empty(t, s.m.Token(s.session(t, "")), "no token")
			assert.Empty(t, s.m.Token(s.session(t, strings.Repeat("x", session.TokenLength))), "an unknown token is not adopted")
			assert.Empty(t, s.m.Token(s.session(t, "example")), "an invalid token is not looked up")

			loaded := s.session(t, token)
			again, err := s.m.Load(loaded, strings.Repeat("x", session.TokenLength))
			require.NoError(t, err)
			assert.Equal(t, loaded, again, "a context with a session keeps it")
			assert.Panics(t, func() { s.m.Get(context.Background(), "foo") }, "a context without one panics")

			if s.redis == nil {
				return
			}
			s.redis.Stop()
			_, err = s.m.Load(context.Background(), token)
			assert.Error(t, err)
			_, _, err = s.m.Commit(loaded)
			assert.Error(t, err)
			// Destroy takes effect when the session is saved: see
			// TestDestroy_NotDeleted.
			s.redis.Restart()
		})
	})

	t.Run("context without a session", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			for name, ctx := range map[string]context.Context{
				"no session":           context.Background(),
				"of another manager's": s.elsewhere(t),
			} {
				for call, f := range map[string]func(){
					"Get":        func() { s.m.Get(ctx, "foo") },
					"Put":        func() { s.m.Put(ctx, "foo", "bar") },
					"Commit":     func() { _, _, _ = s.m.Commit(ctx) },
					"RenewToken": func() { _ = s.m.RenewToken(ctx) },
					"Destroy":    func() { _ = s.m.Destroy(ctx) },
				} {
					assert.PanicsWithValue(t, "scs: no session data in context", f, "%s, %s", name, call)
				}
			}
		})
	})

	t.Run("corrupt record", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			token := strings.Repeat("n", session.TokenLength)
			for _, record := range []string{"", "no session"} {
				require.NoError(t, s.m.Store.Commit(s.StoreKey(token), []byte(record), s.Clock.Now().Add(time.Hour)))
				_, err := s.m.Load(context.Background(), token)
				assert.Error(t, err, "%q", record)
			}
		})
	})

	t.Run("Put", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			ctx := s.session(t, "")
			assert.Equal(t, scs.Unmodified, s.m.Status(ctx))
			s.m.Put(ctx, "foo", "bar")
			assert.Equal(t, "bar", s.m.Get(ctx, "foo"))
			assert.Equal(t, scs.Modified, s.m.Status(ctx))
		})
	})

	t.Run("SetDeadline", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			ctx, token := s.stored(t, map[string]any{"foo": "bar"})
			until := s.Clock.Now().Add(time.Minute).UTC().Truncate(time.Second)
			s.m.SetDeadline(ctx, until)
			assert.Equal(t, scs.Modified, s.m.Status(ctx))
			_, expiry, err := s.m.Commit(ctx)
			require.NoError(t, err)
			assert.True(t, until.Equal(expiry))
			ctx = s.session(t, token)
			assert.True(t, until.Equal(s.m.Deadline(ctx)))

			s.m.SetDeadline(ctx, s.Clock.Now().Add(-time.Hour))
			if _, _, err = s.m.Commit(ctx); err != nil {
				require.ErrorIs(t, err, session.ErrGone)
			}
			assert.Empty(t, s.m.Token(s.session(t, token)))
		})
	})

	t.Run("MergeSession", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			_, lost := s.stored(t, map[string]any{"cart": "full"})
			ctx, token := s.stored(t, map[string]any{"foo": "bar"})
			require.NoError(t, s.m.MergeSession(ctx, lost))
			require.NoError(t, s.m.MergeSession(ctx, strings.Repeat("x", session.TokenLength)), "an unknown session is ignored")
			require.NoError(t, s.m.MergeSession(ctx, token), "merging a session with itself does nothing")
			_, _, err := s.m.Commit(ctx)
			require.NoError(t, err)

			assert.Equal(t, []string{"cart", "foo"}, s.m.Keys(s.session(t, token)))
			assert.Empty(t, s.m.Token(s.session(t, lost)), "the other session is gone")
		})
	})

	t.Run("HashTokenInStore", func(t *testing.T) {
		inEveryShop(t, func(t *testing.T, s *shop) {
			s.m.HashTokenInStore = true
			b, copied := s.Browser(), s.Browser()
			b.Step("/put")
			if s.redis != nil {
				keys, err := redis.Strings(s.redis.Do("KEYS", "*"), nil)
				require.NoError(t, err)
				require.Len(t, keys, 1)
				assert.NotContains(t, keys[0], s.token(b))
				assert.Contains(t, keys[0], session.HashToken(s.token(b)))
				copied.SetCookie(s.SessionCookie(), session.HashToken(s.token(b)))
				assert.Equal(t, http.StatusNotFound, copied.Step("/get").StatusCode, "the stored value is not a valid cookie")
			}
			assert.Equal(t, "bar", b.Step("/get").Text)
			b.Step("/renew")
			assert.Equal(t, "bar", b.Step("/get").Text)
			b.Step("/put?again")
			assert.Equal(t, "baragain", b.Step("/get").Text)
			copied.SetCookie(s.SessionCookie(), s.token(b))
			b.Step("/destroy")
			assert.Equal(t, http.StatusNotFound, copied.Step("/get").StatusCode)

			// A login, its logout and its revocation.
			user := s.Browser()
			require.Contains(t, user.Visit("/a").Text, "logged-in=true")
			n, err := s.Auth.RevokeUser(context.Background(), s.AppID, authtest.AliceOpenID)
			require.NoError(t, err)
			assert.Equal(t, 1, n)
			assert.Equal(t, http.StatusUnauthorized, user.Fetch(http.MethodGet, "/a").StatusCode)
		})
	})

	t.Run("ErrorFunc", func(t *testing.T) {
		server := redistest.Start(t)
		m := scs.New()
		m.Store = store.New(server.Pool(), store.WithTimeout(authtest.Patience))
		calls := 0
		m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
			calls++
			assert.Error(t, err)
			http.Error(w, "own", http.StatusTeapot)
		}
		s := authtest.NewSite(t, wechatauth.WithSessionManager(m))
		mux := s.Routes().(*http.ServeMux)
		mux.Handle("/own", m.LoadAndSave(http.HandlerFunc(authtest.Echo)))
		s.Server.Config.Handler = mux
		b := s.Browser()
		b.Visit("/a")
		server.Stop()

		assert.Equal(t, http.StatusTeapot, b.Step("/own").StatusCode)
		assert.Equal(t, 1, calls)
		assert.Equal(t, http.StatusServiceUnavailable, b.Step("/a").StatusCode, "the middleware responds itself")
		assert.Equal(t, 1, calls)
	})
}

// session loads a session from the shop's store as a request does.
func (s *shop) session(t *testing.T, token string) context.Context {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if token != "" {
		r.AddCookie(&http.Cookie{Name: s.m.Cookie.Name, Value: token})
	}
	var ctx context.Context
	s.Auth.LoadWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })).ServeHTTP(httptest.NewRecorder(), r)
	require.NotNil(t, ctx)
	return ctx
}

// stored commits a session with values and loads it again.
func (s *shop) stored(t *testing.T, values map[string]any) (ctx context.Context, token string) {
	t.Helper()
	ctx = s.session(t, "")
	for key, value := range values {
		s.m.Put(ctx, key, value)
	}
	token, _, err := s.m.Commit(ctx)
	require.NoError(t, err)
	return s.session(t, token), token
}

// elsewhere returns the context of a handler behind another gate.
func (s *shop) elsewhere(t *testing.T) (ctx context.Context) {
	t.Helper()
	other := authtest.NewSite(t)
	other.Handle("/ctx", func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })
	other.Browser().Step("/ctx")
	require.NotNil(t, ctx)
	return ctx
}

// Merging reads another record during a request. The request's own record is
// still overwritten only if it exists.
func TestMergeSession_InFlight(t *testing.T) {
	inEveryShop(t, func(t *testing.T, s *shop) {
		_, lost := s.stored(t, map[string]any{"cart": "full"})
		ctx, token := s.stored(t, map[string]any{"foo": "bar"})
		_, err := guardOf(s.Auth).DeleteAndReportCtx(context.Background(), s.StoreKey(token))
		require.NoError(t, err, "a logout elsewhere")
		require.NoError(t, s.m.MergeSession(ctx, lost))
		_, _, err = s.m.Commit(ctx)
		assert.ErrorIs(t, err, session.ErrGone)
		assert.Empty(t, s.m.Token(s.session(t, token)), "it was restored")
	})
}

// The application may also renew the token, for example when a password
// changes, or extend a session.
func TestRevokeUser_MovedSession(t *testing.T) {
	for name, page := range map[string]string{"to another token": "/renew", "to a later deadline": "/extend"} {
		t.Run(name, func(t *testing.T) {
			inEveryShop(t, func(t *testing.T, s *shop) {
				s.serve(func(pages map[string]http.HandlerFunc) {
					pages["/extend"] = func(_ http.ResponseWriter, r *http.Request) {
						s.m.SetDeadline(r.Context(), s.Clock.Now().Add(90*24*time.Hour))
					}
				})
				b := s.Browser()
				require.Contains(t, b.Visit("/a").Text, "logged-in=true")
				b.Step(page)
				if page == "/extend" {
					s.pass(t, 60*24*time.Hour)
				}
				require.Equal(t, http.StatusOK, b.Fetch(http.MethodGet, "/a").StatusCode)
				_, err := s.Auth.RevokeUser(context.Background(), s.AppID, authtest.AliceOpenID)
				require.NoError(t, err)
				assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
			})
		})
	}
}

// forgetAll deletes every session of the shop's store.
func (s *shop) forgetAll(t *testing.T) {
	t.Helper()
	all, err := guardOf(s.Auth).AllCtx(context.Background())
	require.NoError(t, err)
	for key := range all {
		_, err := guardOf(s.Auth).DeleteAndReportCtx(context.Background(), key)
		require.NoError(t, err)
	}
}

// varies counts how often the response varies by Cookie.
func varies(h http.Header) (n int) {
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(field), "Cookie") {
				n++
			}
		}
	}
	return n
}
