package wecom

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
)

// A rejected token is replaced once, whatever errcode WeCom uses for it, and the
// code is sent with the next token.
func TestToken_RetriedOnce(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			p := newPeer(t, func(_ string, n int) string {
				if n == 1 {
					return errorBody(code)
				}
				return `{"errcode":0,"errmsg":"ok","userid":"ZhangSan"}`
			})
			c := p.client(t)
			user, err := c.UserInfo(t.Context(), testCode)
			require.NoError(t, err)
			assert.Equal(t, "ZhangSan", user.UserID)
			assert.Equal(t, []string{
				"GET /cgi-bin/gettoken?corpid=" + testCorpID + "&corpsecret=" + testSecret,
				"GET /cgi-bin/auth/getuserinfo?access_token=" + testToken + "1&code=" + testCode,
				"GET /cgi-bin/gettoken?corpid=" + testCorpID + "&corpsecret=" + testSecret,
				"GET /cgi-bin/auth/getuserinfo?access_token=" + testToken + "2&code=" + testCode,
			}, p.requests)
		})
	}
}

// If WeCom rejects every token, a call ends after the second, and the next ones
// get no other token for a minute.
func TestToken_NoLoop(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		p := newPeer(t, always(errorBody(code)))
		c := p.client(t)
		for range 5 {
			_, err := c.UserInfo(t.Context(), testCode)
			e := failure(t, err)
			assert.Equal(t, code, e.Code)
			assert.Equal(t, client.KindConfiguration, e.Kind())
			assert.ErrorIs(t, err, client.ErrTokenInvalid)
			assertNoSecrets(t, err)
		}
		assert.Equal(t, map[string]int{"gettoken": 2, "auth/getuserinfo": 6}, p.counts, code)
	}
}

// A wrong secret is sent once a minute, because WeCom bans servers that repeat it.
func TestToken_WrongSecret(t *testing.T) {
	for _, code := range []int{40001, 40013, 40091, 45009, 50003} {
		p := newPeer(t, always(""))
		p.gettoken = errorBody(code)
		c := p.client(t)
		now := time.Unix(1_700_000_000, 0)
		c.tokens.cached.Now = func() time.Time { return now }
		for range 5 {
			_, err := c.UserInfo(t.Context(), testCode)
			assert.Equal(t, code, failure(t, err).Code)
			assert.Equal(t, "cgi-bin/gettoken", failure(t, err).Endpoint)
			assertNoSecrets(t, err)
		}
		assert.Equal(t, map[string]int{"gettoken": 1}, p.counts, code)
		now = now.Add(rejectedTime)
		p.gettoken = ""
		p.reply = always(`{"errcode":0,"userid":"ZhangSan"}`)
		_, err := c.UserInfo(t.Context(), testCode)
		assert.NoError(t, err)
	}
}

// A temporary failure of gettoken is not remembered.
func TestToken_TemporaryFailure(t *testing.T) {
	p := newPeer(t, always(`{"errcode":0,"userid":"ZhangSan"}`))
	c := p.client(t)
	for _, body := range []string{errorBody(-1), `{"errcode":0,"errmsg":"ok"}`, `<html>`, `{"errcode":0,"access_token":7}`} {
		p.gettoken = body
		_, err := c.UserInfo(t.Context(), testCode)
		assertNoSecrets(t, err)
		assert.Equal(t, "cgi-bin/gettoken", failure(t, err).Endpoint)
	}
	p.gettoken = ""
	_, err := c.UserInfo(t.Context(), testCode)
	assert.NoError(t, err)
}

type cacheFunc func(key string, stale client.Secret, fetch func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error)

func (f cacheFunc) Token(_ context.Context, key string, stale client.Secret, fetch func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error) {
	return f(key, stale, fetch)
}

// The key of a cache is that of the app: two apps of a company have two.
func TestTokenCache_Key(t *testing.T) {
	keys := map[string]bool{}
	cache := cacheFunc(func(key string, _ client.Secret, _ func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error) {
		keys[key] = true
		assert.NotContains(t, key, testCorpID)
		return client.NewSecret("cached"), time.Hour, nil
	})
	p := newPeer(t, always(`{"errcode":0,"userid":"ZhangSan"}`))
	for _, app := range []struct{ corp, secret string }{{testCorpID, testSecret}, {testCorpID, testSecret}, {testCorpID, "another" + testSecret}, {"ww1234567890abcdee", testSecret}} {
		c, err := New(app.corp, testAgentID, app.secret, WithTokenCache(cache), WithEndpoints(Endpoints{Open: p.URL, Login: p.URL, API: p.URL}))
		require.NoError(t, err)
		_, err = c.UserInfo(t.Context(), testCode)
		require.NoError(t, err)
	}
	assert.Len(t, keys, 3)
	assert.Equal(t, map[string]int{"auth/getuserinfo": 4}, p.counts)
}

// A cache that fails makes a call fail, and its text is redacted.
func TestTokenCache_Error(t *testing.T) {
	down := errors.New("redis://:" + testSecret + "@redis.internal is down")
	p := newPeer(t, always(""))
	c := p.client(t, WithTokenCache(cacheFunc(func(string, client.Secret, func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error) {
		return client.Secret{}, 0, down
	})))
	_, err := c.UserInfo(t.Context(), testCode)
	assert.ErrorIs(t, err, down)
	assert.Equal(t, client.KindRetry, failure(t, err).Kind())
	assertNoSecrets(t, err)

	c = p.client(t, WithTokenCache(cacheFunc(func(string, client.Secret, func(context.Context) (client.Secret, time.Duration, error)) (client.Secret, time.Duration, error) {
		panic(testSecret)
	})))
	_, err = c.UserInfo(t.Context(), testCode)
	assert.Equal(t, client.KindRetry, failure(t, err).Kind())
	assertNoSecrets(t, err)
	assert.Empty(t, p.requests)
}
