package leak

import (
	"context"
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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// dump returns everything that a reader of Redis finds.
func (x *leakSite) dump() string {
	x.T.Helper()
	var all strings.Builder
	for cursor := "0"; ; {
		reply, err := redis.Values(x.control.Do("SCAN", cursor, "COUNT", 1000))
		require.NoError(x.T, err)
		keys, err := redis.Strings(reply[1], nil)
		require.NoError(x.T, err)
		for _, key := range keys {
			fmt.Fprintf(&all, "%s = %s\n", key, x.valueOf(key))
		}
		if cursor, err = redis.String(reply[0], nil); err != nil || cursor == "0" {
			return all.String()
		}
	}
}

func (x *leakSite) valueOf(key string) string {
	kind, err := redis.String(x.control.Do("TYPE", key))
	require.NoError(x.T, err)
	if kind == "zset" {
		members, err := redis.Strings(x.control.Do("ZRANGE", key, 0, -1))
		require.NoError(x.T, err)
		return strings.Join(members, " ")
	}
	value, err := redis.String(x.control.Do("GET", key))
	require.NoError(x.T, err, "%s is a %s", key, kind)
	return value
}

// everything does everything that leaves data in Redis: logins, one after
// another, with and without the profile, in a browser and by the mini program,
// and ends none of them.
func (x *leakSite) everything() {
	first, second := x.pendingCallback(), x.pendingCallback()
	x.get(first)
	x.get(second) // the same user again: a new token
	x.get("/a?put=1")
	x.get("/profile")
	x.submit(x.b, "/wechat/upgrade", url.Values{"next": {"/profile"}})
	x.miniProgram()
	x.get("/a?token=1")
}

func TestLeakStore(t *testing.T) {
	t.Run("T45 no tokens or secrets", func(t *testing.T) {
		x := newLeakSite(t, patienceForRedis)
		x.everything()
		found := x.dump()
		require.Contains(t, found, "scs:session:")
		require.Contains(t, found, "wechat:mark:")
		for _, k := range []kind{theToken, theSecret, theKey} {
			require.NotEmpty(t, x.canaries.one(k), "%s", k)
		}
		assert.Empty(t, x.canaries.hits(found, theSession, theUser, theNickname))

		// The same holds for the content of our cookies.
		for _, c := range x.b.Client.Jar.Cookies(x.Base) {
			for _, place := range []string{"flow", "trail", "ticket", "snapshot"} {
				plain, _ := x.Cookies.Ring.Open(c.Value, append([]string{place, c.Name}, x.Cookies.Bound...)...)
				assert.Empty(t, x.canaries.hits(string(plain), theState, theUser, theNickname), c.Name)
			}
		}
	})

	t.Run("T44 hashed and encrypted", func(t *testing.T) {
		x := sealedSite(t)
		for range 10 {
			x.b = x.person()
			x.everything()
		}
		found := x.dump()
		require.GreaterOrEqual(t, strings.Count(found, "scs:session:"), 10)
		require.NotEmpty(t, x.canaries.one(theSession))
		assert.Empty(t, x.canaries.hits(found))
	})

	t.Run("T44 encrypted", func(t *testing.T) {
		x := newLeakSite(t, patienceForRedis, wechatauth.WithSessionEncryption(authtest.SessionKeyForTests))
		x.everything()
		found := x.dump()
		require.Contains(t, found, "scs:session:")
		assert.Empty(t, x.canaries.hits(found, theSession))
	})

	t.Run("T44 web-view ticket", func(t *testing.T) {
		seen := &keysSeen{SwitchableStore: authtest.NewSwitchableStore()}
		x := newLeakSite(t, 0, wechatauth.WithStore(seen))
		x.everything()
		require.NotEmpty(t, x.canaries.one(theTicket))
		assert.NotEmpty(t, seen.keys)
		assert.Empty(t, x.canaries.hits(strings.Join(seen.keys, "\n"), theUser), "not even in the name of a mark")
	})

	t.Run("T40 error of another index", func(t *testing.T) {
		s := authtest.NewSite(t, wechatauth.WithStore(talkativeStore{store.NewMemory()}), wechatauth.WithTokens(0), wechatauth.WithMiniProgram(wechattest.DefaultMiniProgramAppID, wechattest.DefaultMiniProgramSecret))
		var tokens, sessionKey error
		s.Server.Config.Handler = s.Auth.RequireWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mini, err := s.Auth.MiniProgram(r.Context())
			if err != nil {
				_, tokens = s.Auth.AccessToken(r.Context())
				return
			}
			sessionKey = mini.VerifySignature(r.Context(), "{}", "")
		}))
		openID := wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0))

		s.Browser().Visit("/a")
		assert.Contains(t, s.Logs.String(), openID[:6]+"…", "the error is logged")
		_, err := s.Auth.RevokeUser(context.Background(), wechattest.DefaultAppID, openID)
		require.ErrorContains(t, err, "list sessions of")
		assert.NotContains(t, err.Error(), openID)
		assert.NotContains(t, s.Logs.String(), openID)
		require.ErrorContains(t, tokens, "get tokens")
		assert.NotContains(t, tokens.Error(), openID)
		s.Request(http.MethodGet, "/a", s.MiniLogin(authtest.Person(0)), "")
		require.ErrorContains(t, sessionKey, "get session_key")
		assert.NotContains(t, sessionKey.Error(), wechattest.OpenID(wechattest.DefaultMiniProgramAppID, authtest.Person(0)))
	})
}

// sealedSite returns a site whose sessions are encrypted and stored under
// hashed tokens.
func sealedSite(t *testing.T) *leakSite {
	redisOnly := redisForLeaks(t)
	sealed, err := store.Encrypt(quickStore(t, redisOnly.redisURL(), patienceForRedis), authtest.SessionKeyForTests)
	require.NoError(t, err)
	m := scs.New()
	m.Store, m.HashTokenInStore = sealed, true
	x := newLeakSiteOver(t, 0, wechatauth.WithSessionManager(m))
	x.redis, x.control = redisOnly.redis, redisOnly.control
	return x
}

// keysSeen records the names of marks.
type keysSeen struct {
	*authtest.SwitchableStore
	mu   sync.Mutex
	keys []string
}

func (s *keysSeen) see(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

func (s *keysSeen) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	s.see(key)
	return s.SwitchableStore.PutMarkNX(ctx, key, value, ttl)
}

func (s *keysSeen) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.see(key)
	return s.SwitchableStore.PutMark(ctx, key, value, ttl)
}

// A talkativeStore repeats the users and the keys of marks in its errors.
type talkativeStore struct{ *store.Memory }

func (s talkativeStore) SessionsOf(_ context.Context, user string) ([]string, error) {
	return nil, fmt.Errorf("list sessions of %q", user)
}

func (s talkativeStore) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if strings.HasPrefix(key, "tokens") {
		return fmt.Errorf("put %s", key)
	}
	return s.Memory.PutMark(ctx, key, value, ttl)
}

func (s talkativeStore) Mark(ctx context.Context, key string) ([]byte, bool, error) {
	if strings.Contains(key, " wx") { // of a user, not of a login
		return nil, false, fmt.Errorf("get %s", key)
	}
	return s.Memory.Mark(ctx, key)
}
