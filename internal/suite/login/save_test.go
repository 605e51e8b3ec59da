package login

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
)

// The code is used by the time the session is saved, so a save is retried for
// three seconds, unless Redis denies it: that lasts until an operator acts.
func TestCallback_SaveDenied(t *testing.T) {
	server := redistest.Start(t)
	server.Do("ACL", "SETUSER", "wechat", "on", ">password-for-tests", "~*", "+@all", "-zadd")
	pool, err := store.NewPool("redis://wechat:password-for-tests@" + server.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	s := authtest.NewSite(t, wechatauth.WithRedis(pool))
	b := s.Browser()
	res := b.Step(b.Authorize("/a"))
	assert.Equal(t, "503 Service Unavailable", res.Status)
	stats, _ := server.Do("INFO", "commandstats").([]byte)
	_, zadd, _ := strings.Cut(string(stats), "cmdstat_zadd:")
	zadd, _, _ = strings.Cut(zadd, "\r\n")
	assert.Contains(t, zadd, "rejected_calls=1,")
}
