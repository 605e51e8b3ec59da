package wechatauth

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAReturnTargetStaysOnTheOwnOrigin(t *testing.T) {
	for _, raw := range []string{"", "//evil.com", `/\evil.com`, "/%2fevil.com", "/%252fevil.com", "/a%00b", "https://evil.com", "/wechat/callback?code=1", "/wechat%2fcallback", "/WeChat/logout/", "/..//evil.com", "/%u002fevil.com", "/\u2044evil.com"} {
		_, ok := returnTarget(raw, "/wechat/")
		assert.False(t, ok, "%q", raw)
	}
	for _, raw := range []string{"/", "/a?u=//evil.com", "/a///b", "/wechatcallback", "/wechat-shop/x", "/wechat/callbackery", "/?", "/#/spa/route", "/a%2Fb", "/a%25zz"} {
		target, ok := returnTarget(raw, "/wechat/")
		assert.True(t, ok, "%q", raw)
		assert.Equal(t, raw, target)
	}
}
