package client

import (
	"context"
	"errors"
	"net/url"
)

// MiniSession is the answer to [Client.Code2Session].
type MiniSession struct {
	OpenID     string // the user, for this mini program; never empty, [A-Za-z0-9_-]{1,64}
	UnionID    string // the user, for the open-platform account; "" if there is none
	SessionKey Secret // for Decrypt and VerifySignature; never send it to the mini program
}

// Code2Session turns the code of wx.login into a [MiniSession]:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_code2session.html.
// A code lives five minutes, works once and is sent at most once.
func (c *Client) Code2Session(ctx context.Context, jsCode string) (*MiniSession, error) {
	req := request{endpoint: "sns/jscode2session", once: true, query: url.Values{
		"appid":      {c.appID},
		"js_code":    {jsCode},
		"grant_type": {"authorization_code"},
	}}
	if c.component != nil {
		req.endpoint = "sns/component/jscode2session"
	}
	if !isCode(jsCode) {
		return nil, req.unsent(KindRestart, ErrCodeInvalid)
	}
	ans, err := c.callAsApp(ctx, req)
	if err != nil {
		return nil, err
	}
	return ans.miniSession()
}

func (a *answer) miniSession() (*MiniSession, error) {
	s := &MiniSession{}
	err := firstError(
		a.requireIdentifier("openid", &s.OpenID),
		a.requireToken("session_key", &s.SessionKey),
		a.optionalIdentifier("unionid", &s.UnionID),
	)
	if err != nil {
		return nil, a.refused(err)
	}
	return s, nil
}

// CheckSession asks WeChat whether sessionKey is still the user's valid one; if
// not, the error is [ErrSessionKeyInvalid]:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_checksessionkey.html.
// It needs an account token ([WithAccountToken]).
func (c *Client) CheckSession(ctx context.Context, openID, sessionKey string) error {
	req, err := sessionRequest("wxa/checksession", openID, sessionKey)
	if err != nil {
		return err
	}
	ans, err := c.callAsAccount(ctx, req)
	if err != nil {
		return err
	}
	return ans.confirmed()
}

// ResetSession makes WeChat replace the user's session_key: the old one is dead
// at once, the new one inherits its expiry:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_resetusersessionkey.html.
// It is sent at most once, for a lost answer loses the key. An answer about
// another user is refused; UnionID is empty. It needs an account token
// ([WithAccountToken]).
func (c *Client) ResetSession(ctx context.Context, openID, sessionKey string) (*MiniSession, error) {
	req, err := sessionRequest("wxa/resetusersessionkey", openID, sessionKey)
	if err != nil {
		return nil, err
	}
	req.once = true
	ans, err := c.callAsAccount(ctx, req)
	if err != nil {
		return nil, err
	}
	s, err := ans.miniSession()
	if err != nil {
		return nil, err
	}
	if s.OpenID != openID {
		return nil, ans.refused(errors.New("is about another user"))
	}
	return s, nil
}

// sessionRequest proves that the caller has the session_key without sending it.
func sessionRequest(endpoint, openID, sessionKey string) (request, error) {
	req := request{endpoint: endpoint, query: url.Values{
		"openid":     {openID},
		"signature":  {signEmpty(sessionKey)},
		"sig_method": {"hmac_sha256"},
	}}
	if !isIdentifier(openID) {
		return request{}, req.unsent(KindRestart, ErrOpenIDInvalid)
	}
	if sessionKey == "" {
		return request{}, req.unsent(KindRestart, ErrSessionKeyInvalid)
	}
	return req, nil
}
