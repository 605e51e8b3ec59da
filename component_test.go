package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// tokenOf is a source of one token.
type tokenOf string

func (t tokenOf) ComponentToken(context.Context) (client.Secret, error) {
	if t == "" {
		return client.Secret{}, errors.New("no token in this test")
	}
	return client.NewSecret(string(t)), nil
}

func TestAPlatformLogsInOnBehalfOfAnAccountAndItsMiniProgram(t *testing.T) {
	s := newSite(t)
	token := s.sim.ComponentToken(wechattest.DefaultComponentAppID)
	auth, err := New(
		WithApp(wechattest.DefaultAppID, ""), WithMiniProgram(miniApp, ""),
		WithComponent(wechattest.DefaultComponentAppID, tokenOf(token)),
		WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv")),
		WithBaseURL(s.auth.base.String()), WithEndpoints(s.sim.Endpoints()))
	require.NoError(t, err)
	s.auth = auth
	s.server.Config.Handler = s.routes()
	b := s.browser()

	toWeChat := b.step("/a")
	location := toWeChat.Header.Get("Location")
	u, err := url.Parse(location)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(u.RawQuery, "&component_appid="+wechattest.DefaultComponentAppID), "last, in the documented order: %s", location)

	assert.Contains(t, b.visit("/a").body, "logged-in=true")
	assert.Equal(t, 1, s.sim.Count("/sns/oauth2/component/access_token"))
	assert.Zero(t, s.exchanges())

	got := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
	assert.Equal(t, http.StatusOK, got.StatusCode, got.body)
	assert.Equal(t, 1, s.sim.Count("/sns/component/jscode2session"))
}
