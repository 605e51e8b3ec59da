package client

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testPlatform = "wx0000000000000002"

func platformClient(t *testing.T, p *fakePeer, token func(context.Context) (Secret, error)) *Client {
	t.Helper()
	c, err := New(testAppID, "", WithEndpoints(Endpoints{Open: p.URL, API: p.URL}), WithComponent(testPlatform, token))
	require.NoError(t, err)
	return c
}

func TestWithComponent(t *testing.T) {
	p := newFakePeer(t, always(`{"access_token":"T","expires_in":7200,"refresh_token":"R","openid":"`+testOpenID+
		`","scope":"snsapi_base","session_key":"`+testKey+`","is_snapshotuser":1,"nickname":"N"}`))
	c := platformClient(t, p, func(context.Context) (Secret, error) { return NewSecret("CT"), nil })
	token, err := c.Exchange(t.Context(), testCode)
	require.NoError(t, err)
	assert.True(t, token.Snapshot)
	_, err = c.Refresh(t.Context(), testFresh)
	require.NoError(t, err)
	_, err = c.Code2Session(t.Context(), testCode)
	require.NoError(t, err)
	_, err = c.UserInfo(t.Context(), testToken, testOpenID, LangEN)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"GET /sns/oauth2/component/access_token?appid=" + testAppID + "&code=" + testCode +
			"&component_access_token=CT&component_appid=" + testPlatform + "&grant_type=authorization_code",
		"GET /sns/oauth2/component/refresh_token?appid=" + testAppID + "&component_access_token=CT&component_appid=" +
			testPlatform + "&grant_type=refresh_token&refresh_token=" + testFresh,
		"GET /sns/component/jscode2session?appid=" + testAppID + "&component_access_token=CT&component_appid=" +
			testPlatform + "&grant_type=authorization_code&js_code=" + testCode,
		"GET /sns/userinfo?access_token=" + testToken + "&lang=en&openid=" + testOpenID,
	}, p.requests())
}

func TestWithComponent_NoToken(t *testing.T) {
	p := newFakePeer(t, always(tokenResponse))
	down := errors.New("ticket has not arrived")
	_, err := platformClient(t, p, func(context.Context) (Secret, error) { return Secret{}, down }).Exchange(t.Context(), testCode)
	assert.ErrorIs(t, err, down)
	assert.EqualError(t, err, "wechat: sns/oauth2/component/access_token: no component_access_token: ticket has not arrived")
	assert.Equal(t, KindRetry, kindOf(t, err))
	_, err = platformClient(t, p, func(context.Context) (Secret, error) { return NewSecret("a b"), nil }).Exchange(t.Context(), testCode)
	assert.ErrorIs(t, err, ErrComponent)
	err = platformClient(t, p, func(context.Context) (Secret, error) { return NewSecret("CT"), nil }).CheckSession(t.Context(), testOpenID, testKey)
	assert.Equal(t, KindConfiguration, kindOf(t, err))
	assert.EqualError(t, err, "wechat: wxa/checksession: not sent: no account token: set WithAccountToken")
	assert.Empty(t, p.requests())
}
