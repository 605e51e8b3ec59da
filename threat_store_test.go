package wechatauth

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

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// poolTo leads to a Redis at addr with the values of store.NewPool.
func poolTo(t *testing.T, addr string) *redis.Pool {
	t.Helper()
	pool, err := store.NewPool("redis://"+addr, redis.DialReadTimeout(patience))
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	return pool
}

func TestT83_AnOuterDeadlineThrowsNoConnectionAway(t *testing.T) {
	server := redistest.Start(t)
	pool := poolTo(t, server.Addr())
	s := newSite(t, WithRedis(pool))
	routes := s.routes()
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			ctx, cancel := context.WithTimeout(r.Context(), 30*time.Millisecond)
			defer cancel()
			r = r.WithContext(ctx)
		}
		routes.ServeHTTP(w, r)
	})
	alice, stranger := s.loggedIn(aliceOpenID), s.browser()
	stranger.setCookie(s.sessionCookie(), strings.Repeat("A", 43))
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
	stranger.post("/public", url.Values{"a": {"b"}})
	server.Thaw()
	require.Contains(t, alice.step("/public").body, aliceOpenID, "the store counts as silent")
	require.Contains(t, alice.step("/a").body, aliceOpenID)
	assert.GreaterOrEqual(t, pool.ActiveCount(), 38)
}

func TestT91_ARevocationEndsWithItsContextAndCountsTheLiving(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	proxy, err := faultproxy.StartReplies(server.Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	s := newSite(t, WithRedis(poolTo(t, proxy.Addr())))
	user := userKey(wechattest.DefaultAppID, aliceOpenID)
	const sessions, ended, together = 250, 30, 100
	for i := range sessions {
		key := fmt.Sprintf("%043d", i)
		require.NoError(t, s.auth.sessions.index.AddSession(ctx, user, key, s.clock.Now().Add(time.Hour)))
		if i >= ended {
			require.NoError(t, s.auth.sessions.manager.Store.Commit(key, []byte("record"), s.clock.Now().Add(time.Hour)))
		}
	}

	over, cancel := context.WithCancel(ctx)
	cancel()
	n, err := s.auth.RevokeUser(over, wechattest.DefaultAppID, aliceOpenID)
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, n)

	during, cancel := context.WithCancel(ctx)
	defer cancel()
	unlinked := 0
	proxy.Edit(func(command []string, reply []byte) []byte {
		if command[0] == "UNLINK" {
			unlinked++
			cancel()
		}
		return reply
	})
	first, err := s.auth.RevokeUser(during, wechattest.DefaultAppID, aliceOpenID)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, together, unlinked)

	proxy.Edit(nil)
	second, err := s.auth.RevokeUser(ctx, wechattest.DefaultAppID, aliceOpenID)
	require.NoError(t, err)
	assert.Equal(t, sessions-ended, first+second)
	third, err := s.auth.RevokeUser(ctx, wechattest.DefaultAppID, aliceOpenID)
	require.NoError(t, err)
	assert.Zero(t, third)
}

// A proxy between the gate and Redis sends one reply twice.
func TestAReplyOutOfStepIsNeverAnotherUsersSession(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faultproxy.StartReplies(server.Addr())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	for name, opts := range map[string][]Option{
		"plain":  nil,
		"idle":   {WithIdleTimeout(time.Hour)},
		"sealed": {WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv"))},
	} {
		for _, late := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", before the next reply"}[late], func(t *testing.T) {
				proxy.Edit(nil)
				s := newSite(t, append(opts, WithRedis(poolTo(t, proxy.Addr())))...)
				openID := map[*browser]string{}
				var alice, bob *browser
				for i, b := range []**browser{&alice, &bob} {
					s.sim.Hold(wechattest.DefaultPeople()[i].Name)
					*b = s.browser()
					(*b).visit("/a")
					openID[*b] = wechattest.OpenID(wechattest.DefaultAppID, wechattest.DefaultPeople()[i].Name)
					require.Contains(t, (*b).step("/a").body, openID[*b])
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
				alice.step("/a")
				for range 3 {
					for _, page := range []string{"/a", "/public"} {
						got := bob.step(page)
						assert.Equal(t, http.StatusOK, got.StatusCode)
						assert.Contains(t, got.body, openID[bob])
						assert.NotContains(t, got.body, openID[alice])
					}
				}
				assert.Contains(t, alice.step("/a").body, openID[alice])
				assert.Equal(t, keys, server.Do("DBSIZE"))
			})
		}
	}
}
