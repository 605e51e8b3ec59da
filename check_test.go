package wechatauth_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestCheck(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret))
	assert.NoError(t, s.Auth.Check(context.Background()))
}

// TestCheck_everyFinding checks that Check reports all findings together, with
// what to do.
func TestCheck_everyFinding(t *testing.T) {
	redis := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()), wechatauth.WithApp(wechattest.DefaultAppID, "another-secret-for-tests"))
	s.Clock.Advance(time.Hour)

	err := s.Auth.Check(context.Background())

	require.Error(t, err)
	text := err.Error()
	assert.Contains(t, text, "clocks of Redis and of this machine")
	assert.Contains(t, text, "allkeys-lru")
	assert.Contains(t, text, "IP白名单")
	assert.NotContains(t, text, "another-secret-for-tests")
	assert.Len(t, strings.Split(text, "\n"), 3)
}

// TestCheck_hiddenSettings checks that Redis settings that Check may not read
// are logged and are not findings.
func TestCheck_hiddenSettings(t *testing.T) {
	redis := redistest.Start(t)
	redis.Do("ACL", "SETUSER", "default", "-time", "-config")
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	require.NoError(t, s.Auth.Check(context.Background()))
	assert.Contains(t, s.Logs.String(), "the clock of Redis could not be seen")
	assert.Contains(t, s.Logs.String(), "the eviction policy of Redis could not be seen")
}

// TestCheck_plainTokens checks that unhashed tokens in the store are noted.
func TestCheck_plainTokens(t *testing.T) {
	const note = "the keys of the session store are the session tokens"
	for _, hashed := range []bool{false, true} {
		m := scs.New()
		m.Cookie.Secure, m.HashTokenInStore = true, hashed
		s := authtest.NewTLSSite(t, wechatauth.WithSessionManager(m))
		require.NoError(t, s.Auth.Check(context.Background()))
		assert.Equal(t, !hashed, strings.Contains(s.Logs.String(), note))
	}
	s := authtest.NewTLSSite(t)
	require.NoError(t, s.Auth.Check(context.Background()))
	assert.NotContains(t, s.Logs.String(), note)
}

// TestCheck_unavailable covers Redis or WeChat being down.
func TestCheck_unavailable(t *testing.T) {
	redis := redistest.Start(t)
	s := authtest.NewSite(t, wechatauth.WithRedis(redis.Pool()))
	redis.Stop()
	s.Sim.Close()
	err := s.Auth.Check(context.Background())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "Redis cannot be written")
	assert.Contains(t, err.Error(), "WeChat's API did not respond")
}

// TestCheck_accounts checks every account of a middleware that has many.
func TestCheck_accounts(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	auth, err := wechatauth.New(
		wechatauth.WithBaseURL("https://m.example.com"), wechatauth.WithEndpoints(sim.Endpoints()),
		wechatauth.WithAccounts(authtest.ByPathPrefix(map[string]wechatauth.Account{
			"/a/": {AppID: wechattest.DefaultAppID, Secret: wechattest.DefaultSecret},
			"/b/": {AppID: "wx00000000000000f7", Secret: "secret-for-tests"},
		})),
	)
	require.NoError(t, err)
	var found *wechatauth.CheckError
	require.ErrorAs(t, auth.Check(context.Background()), &found)
	require.Len(t, found.Findings, 1)
	assert.Contains(t, found.Findings[0].English, "wx00000000000000f7: WeChat rejects the account")
	assert.ErrorIs(t, found, client.ErrAppID)
}

// TestCheck_busy covers WeChat being busy or limiting the account.
func TestCheck_busy(t *testing.T) {
	for _, tt := range []struct {
		code             int
		english, chinese string
	}{
		{45009, "in the proxy in front", "次日"},
		{45011, "check again later", "限制了该账号的调用"},
		{-1, "WeChat is busy", "繁忙"},
	} {
		s := authtest.NewSite(t)
		s.Sim.Fail("sns/oauth2/access_token", wechattest.Errcode(tt.code), wechattest.Errcode(tt.code))
		var found *wechatauth.CheckError
		require.ErrorAs(t, s.Auth.Check(context.Background()), &found)
		require.Len(t, found.Findings, 1, "%v", found)
		assert.Contains(t, found.Findings[0].English, tt.english)
		assert.Contains(t, found.Findings[0].Chinese, tt.chinese)
		assert.NotContains(t, found.Findings[0].English, "network")
		assert.NotContains(t, found.Findings[0].Chinese, "网络")
	}
}

func TestCheck_malformedAppID(t *testing.T) {
	const upper = "WX00000000000000A1"
	sim := wechattest.NewServer()
	defer sim.Close()
	auth, err := wechatauth.New(wechatauth.WithApp(upper, authtest.TestSecret), wechatauth.WithBaseURL("https://m.example.com"), wechatauth.WithEndpoints(sim.Endpoints()))
	require.NoError(t, err)
	var found *wechatauth.CheckError
	require.ErrorAs(t, auth.Check(context.Background()), &found)
	assert.Contains(t, found.Error(), "WithApp: "+upper+" does not look like an AppID")
	assert.Contains(t, found.Error(), "gh_")
	for _, f := range found.Findings {
		assert.NotContains(t, f.Chinese, authtest.TestSecret)
	}
	assert.Contains(t, found.Findings[0].Chinese+found.Findings[1].Chinese, upper+" 不像 AppID")
}

// TestCheck_managerCookie checks that the cookie of the application's manager
// is checked again.
func TestCheck_managerCookie(t *testing.T) {
	m := scs.New()
	m.Cookie.Secure = true
	m.Store = store.NewMemory()
	s := wechattest.NewServer()
	defer s.Close()
	auth, err := wechatauth.New(wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), wechatauth.WithBaseURL("https://m.example.com"), wechatauth.WithEndpoints(s.Endpoints()), wechatauth.WithSessionManager(m))
	require.NoError(t, err)
	require.NoError(t, auth.Check(context.Background()))
	m.Cookie.SameSite = http.SameSiteStrictMode
	err = auth.Check(context.Background())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "SameSite")
	assert.Contains(t, err.(*wechatauth.CheckError).Findings[0].Chinese, "会话")
}

func TestCheck_port(t *testing.T) {
	auth, err := wechatauth.New(wechatauth.WithApp(authtest.TestAppID, authtest.TestSecret), wechatauth.WithBaseURL("http://127.0.0.1:8080"),
		wechatauth.WithHTTPClient(&http.Client{Transport: authtest.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, authtest.ErrFault })}))
	require.NoError(t, err)
	var found []string
	for _, f := range auth.Check(context.Background()).(*wechatauth.CheckError).Findings {
		if strings.Contains(f.English, "WithBaseURL") {
			found = append(found, f.English)
		}
	}
	require.Len(t, found, 1)
	assert.Contains(t, found[0], "10003")
}

func TestCallbackDomain(t *testing.T) {
	for want, opts := range map[string][]wechatauth.Option{
		"m.example.com":    authtest.RightOptions(),
		"127.0.0.1":        authtest.RightOptions(wechatauth.WithBaseURL("http://127.0.0.1:8080")),
		"auth.example.com": authtest.RightOptions(wechatauth.WithRelay("https://auth.example.com/relay", []byte("0123456789abcdefghijklmnopqrstuv"))),
	} {
		auth, err := wechatauth.New(opts...)
		require.NoError(t, err)
		assert.Equal(t, want, auth.CallbackDomain())
	}
}

func TestCallbackDomains(t *testing.T) {
	const a, b = "wx00000000000000a1", "wx00000000000000f7"
	many, err := wechatauth.New(wechatauth.WithBaseURL("https://example.com"), wechatauth.WithAccounts(authtest.ByHost(
		wechatauth.Account{AppID: a, Secret: authtest.TestSecret, BaseURL: "https://a.example.com", WebsiteAppID: "wx00000000000000b2", WebsiteSecret: authtest.TestSecret},
		wechatauth.Account{AppID: b, Secret: authtest.TestSecret, BaseURL: "https://b.example.com"},
	)))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		a: "a.example.com", "wx00000000000000b2": "a.example.com", b: "b.example.com",
	}, many.CallbackDomains())

	one, err := wechatauth.New(authtest.RightOptions()...)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{authtest.TestAppID: one.CallbackDomain()}, one.CallbackDomains())
}
