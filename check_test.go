package wechatauth

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
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
