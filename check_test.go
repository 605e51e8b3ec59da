package wechatauth

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestCheckFindsNothingWhereAllIsWell(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()), WithWebsiteApp(wechattest.DefaultWebsiteAppID, wechattest.DefaultWebsiteSecret))
	assert.NoError(t, s.auth.Check(context.Background()))
}

func TestCheckTellsEveryFindingAtOnceAndWhatToDo(t *testing.T) {
	redis := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	s := newSite(t, WithRedis(redis.Pool()), WithApp(wechattest.DefaultAppID, "another-secret-for-tests"))
	s.clock.Advance(time.Hour)

	err := s.auth.Check(context.Background())

	require.Error(t, err)
	text := err.Error()
	assert.Contains(t, text, "clocks of Redis and of this machine")
	assert.Contains(t, text, "allkeys-lru")
	assert.Contains(t, text, "IP白名单")
	assert.NotContains(t, text, "another-secret-for-tests")
	assert.Len(t, strings.Split(text, "\n"), 3)
}

func TestWhatCheckMayNotSeeOfRedisIsNotedInTheLogAndNoFinding(t *testing.T) {
	redis := redistest.Start(t)
	redis.Do("ACL", "SETUSER", "default", "-time", "-config")
	s := newSite(t, WithRedis(redis.Pool()))
	require.NoError(t, s.auth.Check(context.Background()))
	assert.Contains(t, s.logs.String(), "the clock of Redis could not be seen")
	assert.Contains(t, s.logs.String(), "the eviction policy of Redis could not be seen")
}

func TestCheckNotesTokensThatAreNotHashedInTheStore(t *testing.T) {
	const note = "the keys of the session store are the session tokens"
	for _, hashed := range []bool{false, true} {
		m := scs.New()
		m.Cookie.Secure, m.HashTokenInStore = true, hashed
		s := newTLSSite(t, WithSessionManager(m))
		require.NoError(t, s.auth.Check(context.Background()))
		assert.Equal(t, !hashed, strings.Contains(s.logs.String(), note))
	}
	s := newTLSSite(t)
	require.NoError(t, s.auth.Check(context.Background()))
	assert.NotContains(t, s.logs.String(), note)
}

func TestCheckTellsThatRedisOrWeChatIsAway(t *testing.T) {
	redis := redistest.Start(t)
	s := newSite(t, WithRedis(redis.Pool()))
	redis.Stop()
	s.sim.Close()
	err := s.auth.Check(context.Background())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "Redis cannot be written")
	assert.Contains(t, err.Error(), "WeChat's API did not answer")
}

func TestCheckLooksAtEveryAccountOfAWallWithMany(t *testing.T) {
	sim := wechattest.NewServer()
	defer sim.Close()
	auth, err := New(
		WithBaseURL("https://m.example.com"), WithEndpoints(sim.Endpoints()),
		WithAccounts(byPathPrefix(map[string]Account{
			"/a/": {AppID: wechattest.DefaultAppID, Secret: wechattest.DefaultSecret},
			"/b/": {AppID: "wx00000000000000f7", Secret: "secret-for-tests"},
		})),
	)
	require.NoError(t, err)
	var found *CheckError
	require.ErrorAs(t, auth.Check(context.Background()), &found)
	require.Len(t, found.Findings, 1)
	assert.Contains(t, found.Findings[0].English, "wx00000000000000f7: WeChat refuses the account")
	assert.ErrorIs(t, found, client.ErrAppID)
}

func TestCheckTellsThatWeChatIsBusyOrLimitsTheAccount(t *testing.T) {
	for _, tt := range []struct {
		code             int
		english, chinese string
	}{
		{45009, "in the proxy in front", "次日"},
		{45011, "check again later", "限制了该账号的调用"},
		{-1, "WeChat is busy", "繁忙"},
	} {
		s := newSite(t)
		s.sim.Fail("sns/oauth2/access_token", wechattest.Errcode(tt.code), wechattest.Errcode(tt.code))
		var found *CheckError
		require.ErrorAs(t, s.auth.Check(context.Background()), &found)
		require.Len(t, found.Findings, 1, "%v", found)
		assert.Contains(t, found.Findings[0].English, tt.english)
		assert.Contains(t, found.Findings[0].Chinese, tt.chinese)
		assert.NotContains(t, found.Findings[0].English, "network")
		assert.NotContains(t, found.Findings[0].Chinese, "网络")
	}
}

func TestCheckTellsWhatIsNoAppID(t *testing.T) {
	const upper = "WX00000000000000A1"
	sim := wechattest.NewServer()
	defer sim.Close()
	auth, err := New(WithApp(upper, testSecret), WithBaseURL("https://m.example.com"), WithEndpoints(sim.Endpoints()))
	require.NoError(t, err)
	var found *CheckError
	require.ErrorAs(t, auth.Check(context.Background()), &found)
	assert.Contains(t, found.Error(), "WithApp: "+upper+" does not look like an AppID")
	assert.Contains(t, found.Error(), "gh_")
	for _, f := range found.Findings {
		assert.NotContains(t, f.Chinese, testSecret)
	}
	assert.Contains(t, found.Findings[0].Chinese+found.Findings[1].Chinese, upper+" 不像 AppID")
}

func TestCheckLooksAtTheCookieOfTheApplicationsManagerAgain(t *testing.T) {
	m := scs.New()
	m.Cookie.Secure = true
	m.Store = store.NewMemory()
	s := wechattest.NewServer()
	defer s.Close()
	auth, err := New(WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret), WithBaseURL("https://m.example.com"), WithEndpoints(s.Endpoints()), WithSessionManager(m))
	require.NoError(t, err)
	require.NoError(t, auth.Check(context.Background()))
	m.Cookie.SameSite = http.SameSiteStrictMode
	err = auth.Check(context.Background())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "SameSite")
	assert.Contains(t, err.(*CheckError).Findings[0].Chinese, "会话")
}

func TestCheckTellsThatWeChatTakesNoPort(t *testing.T) {
	auth, err := New(WithApp(testAppID, testSecret), WithBaseURL("http://127.0.0.1:8080"))
	require.NoError(t, err)
	found := auth.home.checkSettings()
	require.Len(t, found, 1)
	assert.Contains(t, found[0].English, "10003")
}

func TestTheCallbackDomainIsWhatWeChatsConsoleTakes(t *testing.T) {
	for want, opts := range map[string][]Option{
		"m.example.com":    right(),
		"127.0.0.1":        right(WithBaseURL("http://127.0.0.1:8080")),
		"auth.example.com": right(WithRelay("https://auth.example.com/relay", []byte("0123456789abcdefghijklmnopqrstuv"))),
	} {
		auth, err := New(opts...)
		require.NoError(t, err)
		assert.Equal(t, want, auth.CallbackDomain())
	}
}

func TestEachAccountOfManyHasItsCallbackDomain(t *testing.T) {
	const a, b = "wx00000000000000a1", "wx00000000000000f7"
	many, err := New(WithBaseURL("https://example.com"), WithAccounts(byHost(
		Account{AppID: a, Secret: testSecret, BaseURL: "https://a.example.com", WebsiteAppID: "wx00000000000000b2", WebsiteSecret: testSecret},
		Account{AppID: b, Secret: testSecret, BaseURL: "https://b.example.com"},
	)))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		a: "a.example.com", "wx00000000000000b2": "a.example.com", b: "b.example.com",
	}, many.CallbackDomains())

	one, err := New(right()...)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{testAppID: one.CallbackDomain()}, one.CallbackDomains())
}
