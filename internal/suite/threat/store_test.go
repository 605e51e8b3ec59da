package threat

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// poolTo returns a pool for a Redis at addr with the settings of store.NewPool.
func poolTo(t *testing.T, addr string) *redis.Pool {
	t.Helper()
	pool, err := store.NewPool("redis://"+addr, redis.DialReadTimeout(authtest.Patience))
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	return pool
}

func TestRedisConn(t *testing.T) {
	t.Run("T83 survives a deadline of the caller", func(t *testing.T) {
		server := redistest.Start(t)
		pool := poolTo(t, server.Addr())
		s := authtest.NewSite(t, wechatauth.WithRedis(pool))
		routes := s.Routes()
		s.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				ctx, cancel := context.WithTimeout(r.Context(), 30*time.Millisecond)
				defer cancel()
				r = r.WithContext(ctx)
			}
			routes.ServeHTTP(w, r)
		})
		alice, stranger := s.LoggedIn(authtest.AliceOpenID), s.Browser()
		stranger.SetCookie(s.SessionCookie(), strings.Repeat("A", 43))
		resting := make([]redis.Conn, 39)
		for i := range resting {
			resting[i] = pool.Get()
			_, err := resting[i].Do("PING")
			require.NoError(t, err)
		}
		for _, c := range resting {
			c.Close()
		}

		server.Freeze()
		stranger.Post("/public", url.Values{"a": {"b"}})
		server.Thaw()
		require.Contains(t, alice.Step("/public").Text, authtest.AliceOpenID, "the store counts as down")
		require.Contains(t, alice.Step("/a").Text, authtest.AliceOpenID)
		assert.GreaterOrEqual(t, pool.ActiveCount(), 38)
	})
}

func TestRevokeUser_Context(t *testing.T) {
	t.Run("T91 ends and counts", func(t *testing.T) {
		ctx := context.Background()
		server := redistest.Start(t)
		proxy, err := faultproxy.StartReplies(server.Addr())
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		index := store.New(poolTo(t, proxy.Addr()))
		s := authtest.NewSite(t, wechatauth.WithStore(index))
		user := wechattest.DefaultAppID + " " + authtest.AliceOpenID
		const sessions, ended, together = 250, 30, 100
		for i := range sessions {
			key := fmt.Sprintf("%043d", i)
			require.NoError(t, index.AddSession(ctx, user, key, s.Clock.Now().Add(time.Hour)))
			if i >= ended {
				require.NoError(t, s.Auth.Sessions().Store.Commit(key, []byte("record"), s.Clock.Now().Add(time.Hour)))
			}
		}

		over, cancel := context.WithCancel(ctx)
		cancel()
		n, err := s.Auth.RevokeUser(over, wechattest.DefaultAppID, authtest.AliceOpenID)
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, n)

		during, cancel := context.WithCancel(ctx)
		defer cancel()
		deleted := 0
		proxy.Edit(func(command []string, reply []byte) []byte {
			if command[0] == "DEL" {
				deleted++
				cancel()
			}
			return reply
		})
		first, err := s.Auth.RevokeUser(during, wechattest.DefaultAppID, authtest.AliceOpenID)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, together, deleted)

		proxy.Edit(nil)
		second, err := s.Auth.RevokeUser(ctx, wechattest.DefaultAppID, authtest.AliceOpenID)
		require.NoError(t, err)
		assert.Equal(t, sessions-ended, first+second)
		third, err := s.Auth.RevokeUser(ctx, wechattest.DefaultAppID, authtest.AliceOpenID)
		require.NoError(t, err)
		assert.Zero(t, third)
	})
}

// A proxy between the gate and Redis sends one reply twice.
func TestRedisConn_DuplicateReply(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faultproxy.StartReplies(server.Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	for name, opts := range map[string][]wechatauth.Option{
		"plain":  nil,
		"idle":   {wechatauth.WithIdleTimeout(time.Hour)},
		"sealed": {wechatauth.WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv"))},
	} {
		for _, late := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", before the next reply"}[late], func(t *testing.T) {
				proxy.Edit(nil)
				s := authtest.NewSite(t, append(opts, wechatauth.WithRedis(poolTo(t, proxy.Addr())))...)
				openID := map[*authtest.Browser]string{}
				var alice, bob *authtest.Browser
				for i, b := range []**authtest.Browser{&alice, &bob} {
					s.Sim.SetPerson(wechattest.DefaultPeople()[i].Name)
					*b = s.Browser()
					(*b).Visit("/a")
					openID[*b] = wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[i].Name)
					require.Contains(t, (*b).Step("/a").Text, openID[*b])
				}
				keys := server.Do("DBSIZE")
				var extra []byte
				times := 0
				proxy.Edit(func(command []string, reply []byte) []byte {
					times++
					switch {
					case times == 1 && late:
						extra = reply
					case times == 1:
						return append(slices.Clone(reply), reply...)
					case times == 2 && late:
						return append(extra, reply...)
					}
					return reply
				})
				alice.Step("/a")
				for range 3 {
					for _, page := range []string{"/a", "/public"} {
						got := bob.Step(page)
						assert.Equal(t, http.StatusOK, got.StatusCode)
						assert.Contains(t, got.Text, openID[bob])
						assert.NotContains(t, got.Text, openID[alice])
					}
				}
				assert.Contains(t, alice.Step("/a").Text, openID[alice])
				assert.Equal(t, keys, server.Do("DBSIZE"))
			})
		}
	}
}
