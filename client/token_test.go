package client

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const tokenResponse = `{"access_token":"` + testToken + `","expires_in":7200,"refresh_token":"` + testFresh +
	`","openid":"` + testOpenID + `","scope":"snsapi_userinfo","unionid":"oTESTunionid"}`

func TestClient_Exchange(t *testing.T) {
	p := newFakePeer(t, always(tokenResponse))
	token, err := p.client(t).Exchange(t.Context(), testCode)
	require.NoError(t, err)
	assert.Equal(t, &Token{
		AccessToken: NewSecret(testToken), RefreshToken: NewSecret(testFresh), ExpiresIn: 2 * time.Hour,
		OpenID: testOpenID, UnionID: "oTESTunionid", Scope: ScopeUserInfo,
	}, token)
	assert.Equal(t, []string{"GET /sns/oauth2/access_token?appid=" + testAppID + "&code=" + testCode +
		"&grant_type=authorization_code&secret=" + testSecret}, p.requests())
}

func TestClient_Refresh(t *testing.T) {
	p := newFakePeer(t, always(tokenResponse))
	token, err := p.client(t).Refresh(t.Context(), testFresh)
	require.NoError(t, err)
	assert.Equal(t, testToken, token.AccessToken.Reveal())
	assert.Equal(t, []string{"GET /sns/oauth2/refresh_token?appid=" + testAppID +
		"&grant_type=refresh_token&refresh_token=" + testFresh}, p.requests())
}

func TestClient_CheckToken(t *testing.T) {
	call := func(response string) error {
		return newFakePeer(t, always(response)).client(t).CheckToken(t.Context(), testToken, testOpenID)
	}
	assert.NoError(t, call(`{"errcode":0,"errmsg":"ok"}`))
	assert.ErrorIs(t, call(`{"errcode":40003,"errmsg":"invalid openid"}`), ErrOpenIDInvalid)
	assert.ErrorIs(t, call(`{}`), ErrBadResponse)
	assert.ErrorIs(t, call(`{"errcode":null}`), ErrBadResponse)
}

func TestToken_HasScope(t *testing.T) {
	token := &Token{Scope: "snsapi_base, snsapi_userinfo"}
	assert.True(t, token.HasScope(ScopeBase))
	assert.True(t, token.HasScope(ScopeUserInfo))
	assert.False(t, token.HasScope(ScopeLogin))
	assert.False(t, token.HasScope("snsapi"))
	assert.False(t, (&Token{}).HasScope(ScopeBase))
}

func TestClient_InvalidArguments(t *testing.T) {
	p := newFakePeer(t, always(tokenResponse))
	c := p.client(t)
	for name, call := range map[string]func() error{
		"no code":            func() error { _, err := c.Exchange(t.Context(), ""); return err },
		"code with a space":  func() error { _, err := c.Exchange(t.Context(), "a b"); return err },
		"code of 513 bytes":  func() error { _, err := c.Exchange(t.Context(), string(make([]byte, 513))); return err },
		"no js_code":         func() error { _, err := c.Code2Session(t.Context(), ""); return err },
		"no phone code":      func() error { _, err := c.PhoneNumber(t.Context(), ""); return err },
		"no refresh token":   func() error { _, err := c.Refresh(t.Context(), ""); return err },
		"no access token":    func() error { return c.CheckToken(t.Context(), "", testOpenID) },
		"openid with spaces": func() error { _, err := c.UserInfo(t.Context(), testToken, "o 1", LangEN); return err },
		"no session_key":     func() error { return c.CheckSession(t.Context(), testOpenID, "") },
		"reset: no openid":   func() error { _, err := c.ResetSession(t.Context(), "", testKey); return err },
	} {
		var e *Error
		require.True(t, errors.As(call(), &e), name)
		assert.Equal(t, KindRestart, e.Kind(), name)
		assert.Zero(t, e.HTTPStatus, name)
	}
	assert.Empty(t, p.requests())
}

func TestClient_ErrorResponse(t *testing.T) {
	p := newFakePeer(t, always(`{"errcode":40029,"errmsg":"invalid code, rid: 65c17d8c-5cf05990-781aabe9"}`))
	_, err := p.client(t).Exchange(t.Context(), testCode)
	var e *Error
	require.True(t, errors.As(err, &e))
	assert.Equal(t, &Error{Code: 40029, Message: "invalid code", RID: "65c17d8c-5cf05990-781aabe9",
		Endpoint: "sns/oauth2/access_token", HTTPStatus: http.StatusOK}, e)
	assert.EqualError(t, err, "wechat: sns/oauth2/access_token: errcode 40029: invalid code, rid 65c17d8c-5cf05990-781aabe9")
	assert.Equal(t, KindRestart, e.Kind())
	assert.ErrorIs(t, err, ErrCodeInvalid)
	assert.NotErrorIs(t, err, ErrCodeUsed)
}
