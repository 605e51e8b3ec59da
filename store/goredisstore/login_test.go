package goredisstore_test

import (
	"testing"

	"github.com/wechatauth/wechatauth/internal/suite/stores"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

func TestLogin(t *testing.T) {
	client.Everywhere(t, func(t *testing.T, config storetest.Config) {
		stores.LogInAndOut(t, client.Open(t, config), client.Open(t, config))
	})
}
