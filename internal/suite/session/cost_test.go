package session

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A tollgate counts the round trips to Redis: redigo writes once for each
// command, or for several that it sends together, and then reads.
type tollgate struct {
	trips atomic.Int64
}

type tolled struct {
	net.Conn
	gate *tollgate
}

func (c tolled) Write(b []byte) (int, error) {
	c.gate.trips.Add(1)
	return c.Conn.Write(b)
}

// pool returns a pool that dials the server through the tollgate. Its one
// connection is open.
func (g *tollgate) pool(t *testing.T, server *redistest.Server) *redis.Pool {
	pool, err := store.NewPool(server.URL(), redis.DialReadTimeout(authtest.Patience),
		redis.DialContextFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return tolled{c, g}, err
		}))
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	c := pool.Get()
	defer c.Close()
	_, err = c.Do("PING")
	require.NoError(t, err)
	return pool
}

// cost counts the round trips of f.
func (g *tollgate) cost(f func()) int64 {
	before := g.trips.Load()
	f()
	return g.trips.Load() - before
}

// TestRoundTrips checks the numbers in README and docs.
func TestRoundTrips(t *testing.T) {
	server, gate := redistest.Start(t), &tollgate{}
	pool := gate.pool(t, server)
	for kind, opts := range map[string][]wechatauth.Option{
		"plain":  nil,
		"idle":   {wechatauth.WithIdleTimeout(time.Hour)},
		"sealed": {wechatauth.WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv"))},
	} {
		t.Run(kind, func(t *testing.T) {
			s := authtest.NewSite(t, append(opts, wechatauth.WithRedis(pool))...)
			mux := s.Routes().(*http.ServeMux)
			mux.Handle("/cart", s.Auth.LoadWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s.Auth.Sessions().Put(r.Context(), "cart", "full")
			})))
			s.Server.Config.Handler = mux
			login := func(b *authtest.Browser) int64 {
				callback := b.Authorize("/a")
				return gate.cost(func() { require.Equal(t, http.StatusSeeOther, b.Step(callback).StatusCode) })
			}

			b := s.Browser()
			assert.Zero(t, gate.cost(func() { b.Step("/a"); b.Fetch(http.MethodGet, "/a") }), "an anonymous visit")
			assert.LessOrEqual(t, login(b), int64(3), "a first login")
			assert.Equal(t, int64(1), gate.cost(func() { require.Equal(t, http.StatusOK, b.Step("/a").StatusCode) }), "a request of a logged-in user")
			assert.Equal(t, int64(1), gate.cost(func() {
				require.Equal(t, http.StatusOK, b.Post("/wechat/logout", url.Values{"next": {"/public"}}).StatusCode)
			}), "a logout")

			b = s.Browser()
			assert.Equal(t, int64(1), gate.cost(func() { b.Step("/cart") }), "a first value")
			assert.LessOrEqual(t, login(b), int64(4), "a login in a session that has values")
			consent := b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}})
			assert.LessOrEqual(t, gate.cost(func() { require.Equal(t, http.StatusOK, b.Allow(consent).StatusCode) }), int64(4+1), "another login of the same user, and the page")
			require.Equal(t, http.StatusOK, b.Step("/a").StatusCode)
		})
	}
}

func TestRevokeUser_RoundTrips(t *testing.T) {
	server, gate := redistest.Start(t), &tollgate{}
	s := authtest.NewSite(t, wechatauth.WithRedis(gate.pool(t, server)))
	stranger := s.Browser()
	s.Sim.SetPerson(wechattest.DefaultPeople()[1].Name)
	stranger.Visit("/a")
	s.Sim.SetPerson(wechattest.DefaultPeople()[0].Name)
	var browsers []*authtest.Browser
	for range 3 {
		b := s.Browser()
		b.Visit("/a")
		browsers = append(browsers, b)
	}
	trips := gate.cost(func() {
		n, err := s.Auth.RevokeUser(context.Background(), s.AppID, authtest.AliceOpenID)
		require.NoError(t, err)
		assert.Equal(t, 3, n)
	})
	assert.Equal(t, int64(7), trips, "four for the sessions, three for other stored values")
	for _, b := range browsers {
		assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, "/a").StatusCode)
	}
	assert.Equal(t, http.StatusOK, stranger.Fetch(http.MethodGet, "/a").StatusCode)
}

func TestSessionSize(t *testing.T) {
	for kind, opts := range map[string][]wechatauth.Option{
		"plain":  nil,
		"sealed": {wechatauth.WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv"))},
	} {
		t.Run(kind, func(t *testing.T) {
			server := redistest.Start(t)
			s := authtest.NewSite(t, append(opts, wechatauth.WithRedis(server.Pool()))...)
			s.Sim.SetQuirk(wechattest.BaseUnionID, true)
			var id wechatauth.Identity
			mux := s.Routes().(*http.ServeMux)
			mux.Handle("/who", s.Auth.RequireWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				id, _ = wechatauth.IdentityFromContext(r.Context())
			})))
			s.Server.Config.Handler = mux
			b := s.Browser()
			b.Visit("/who")
			require.NotEmpty(t, id.OpenID)
			require.NotEmpty(t, id.UnionID)
			require.False(t, id.LoginAt.IsZero())
			bytes := server.Do("MEMORY", "USAGE", s.StoredAt(b.Cookie(s.SessionCookie()).Value)).(int64)
			indexes, err := redis.Strings(server.Do("KEYS", "wechat:user:*"), nil)
			require.NoError(t, err)
			require.Len(t, indexes, 1)
			index := server.Do("MEMORY", "USAGE", indexes[0]).(int64)
			t.Logf("a session with openid, unionid and time: %d bytes, %d of them the index's", bytes+index, index)
			assert.LessOrEqual(t, bytes+index, int64(512), "with its user's index")
		})
	}
}
