package wechatauth

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

// pool leads to the server through the tollgate. Its one connection is open.
func (g *tollgate) pool(t *testing.T, server *redistest.Server) *redis.Pool {
	pool, err := store.NewPool(server.URL(), redis.DialReadTimeout(patience),
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

// cost counts the round trips of what f does.
func (g *tollgate) cost(f func()) int64 {
	before := g.trips.Load()
	f()
	return g.trips.Load() - before
}

// TestWhatVisitorsCostInRoundTrips holds the numbers that README and docs name.
func TestWhatVisitorsCostInRoundTrips(t *testing.T) {
	server, gate := redistest.Start(t), &tollgate{}
	pool := gate.pool(t, server)
	for kind, opts := range map[string][]Option{
		"plain":  nil,
		"idle":   {WithIdleTimeout(time.Hour)},
		"sealed": {WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv"))},
	} {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, append(opts, WithRedis(pool))...)
			mux := s.routes().(*http.ServeMux)
			mux.Handle("/cart", s.auth.LoadWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s.auth.Sessions().Put(r.Context(), "cart", "full")
			})))
			s.server.Config.Handler = mux
			login := func(b *browser) int64 {
				callback := b.authorize("/a")
				return gate.cost(func() { require.Equal(t, http.StatusSeeOther, b.step(callback).StatusCode) })
			}

			b := s.browser()
			assert.Zero(t, gate.cost(func() { b.step("/a"); b.fetch(http.MethodGet, "/a") }), "an anonymous visit")
			assert.LessOrEqual(t, login(b), int64(3), "a first login")
			assert.Equal(t, int64(1), gate.cost(func() { require.Equal(t, http.StatusOK, b.step("/a").StatusCode) }), "a request of a visitor who is logged in")
			assert.Equal(t, int64(1), gate.cost(func() {
				require.Equal(t, http.StatusOK, b.post("/wechat/logout", url.Values{"next": {"/public"}}).StatusCode)
			}), "a logout")

			b = s.browser()
			assert.Equal(t, int64(1), gate.cost(func() { b.step("/cart") }), "a first value")
			assert.LessOrEqual(t, login(b), int64(4), "a login in a session that has values")
			consent := b.post("/wechat/upgrade", url.Values{"next": {"/profile"}})
			assert.LessOrEqual(t, gate.cost(func() { require.Equal(t, http.StatusOK, b.allow(consent).StatusCode) }), int64(4+1), "another login of the same visitor, and the page")
			require.Equal(t, http.StatusOK, b.step("/a").StatusCode)
		})
	}
}

func TestRevokeUser_roundTrips(t *testing.T) {
	server, gate := redistest.Start(t), &tollgate{}
	s := newSite(t, WithRedis(gate.pool(t, server)))
	stranger := s.browser()
	s.sim.Hold(wechattest.DefaultPeople()[1].Name)
	stranger.visit("/a")
	s.sim.Hold(wechattest.DefaultPeople()[0].Name)
	var browsers []*browser
	for range 3 {
		b := s.browser()
		b.visit("/a")
		browsers = append(browsers, b)
	}
	trips := gate.cost(func() {
		n, err := s.auth.RevokeUser(context.Background(), s.auth.home.official.appID, aliceOpenID)
		require.NoError(t, err)
		assert.Equal(t, 3, n)
	})
	assert.Equal(t, int64(6), trips, "three for the sessions, three for what is stored besides")
	for _, b := range browsers {
		assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, "/a").StatusCode)
	}
	assert.Equal(t, http.StatusOK, stranger.fetch(http.MethodGet, "/a").StatusCode)
}

func TestASessionTakesAtMost512BytesOfRedis(t *testing.T) {
	for kind, opts := range map[string][]Option{
		"plain":  nil,
		"sealed": {WithSessionEncryption([]byte("0123456789abcdefghijklmnopqrstuv"))},
	} {
		t.Run(kind, func(t *testing.T) {
			server := redistest.Start(t)
			s := newSite(t, append(opts, WithRedis(server.Pool()))...)
			s.sim.Switch(wechattest.BaseUnionID, true)
			var id Identity
			mux := s.routes().(*http.ServeMux)
			mux.Handle("/who", s.auth.RequireWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				id, _ = IdentityFromContext(r.Context())
			})))
			s.server.Config.Handler = mux
			b := s.browser()
			b.visit("/who")
			require.NotEmpty(t, id.OpenID)
			require.NotEmpty(t, id.UnionID)
			require.False(t, id.LoginAt.IsZero())
			bytes := server.Do("MEMORY", "USAGE", s.storedAt(b.cookie(s.sessionCookie()).Value)).(int64)
			indexes, err := redis.Strings(server.Do("KEYS", "wechat:user:*"), nil)
			require.NoError(t, err)
			require.Len(t, indexes, 1)
			index := server.Do("MEMORY", "USAGE", indexes[0]).(int64)
			t.Logf("a session with openid, unionid and time: %d bytes, %d of them the index's", bytes+index, index)
			assert.LessOrEqual(t, bytes+index, int64(512), "with its user's index")
		})
	}
}
