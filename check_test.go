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
		WithAccounts(ByPathPrefix(map[string]Account{
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
	found := auth.checkSettings()
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
