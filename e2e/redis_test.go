package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/internal/redistest"
)

func TestRedis_Restart(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	tb := openBrowser(t).tab()
	before := startQuickstart(t, "-redis", redis.URL())
	tb.open(before.url + "/public")
	assert.EqualValues(t, 0, redis.Do("DBSIZE"), "an anonymous user costs no memory")
	tb.open(before.url + "/")
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
	before.stop()

	// Cookies do not depend on ports: the new program has another port on the
	// same host.
	after := startQuickstart(t, "-redis", redis.URL())
	assert.Equal(t, shown{200, after.url + "/"}, tb.open(after.url+"/"))
	assert.Equal(t, openIDOf(person), tb.text("#openid"))
	assert.Zero(t, tb.asked(after.sim), "no second login")

	tb.click(logoutButton)
	assert.Equal(t, shown{401, after.url + "/"}, tb.open(after.url+"/"))
	tb.forgive("status of 401")
}
