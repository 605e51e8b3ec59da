package client

import (
	"context"
	"errors"
	"net/url"
)

// A MiniSession is the result of [Client.Code2Session].
type MiniSession struct {
	OpenID     string // identifies the user for this mini program; never empty, [A-Za-z0-9_-]{1,64}
	UnionID    string // identifies the user for the open-platform account; "" if there is none
	SessionKey Secret // for Decrypt and VerifySignature; never send it to the mini program
}

// Code2Session exchanges the code from wx.login for a [MiniSession]:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_code2session.html.
// A code is valid for five minutes and for one use. Code2Session sends it at
// most once.
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
		return nil, req.notSentError(KindRestart, ErrCodeInvalid)
	}
	obj, err := c.callAsApp(ctx, req)
	if err != nil {
		return nil, err
	}
	return obj.miniSession()
}

func (o *jsonObject) miniSession() (*MiniSession, error) {
	s := &MiniSession{}
	err := firstError(
		o.requireIdentifier("openid", &s.OpenID),
		o.requireToken("session_key", &s.SessionKey),
		o.optionalIdentifier("unionid", &s.UnionID),
	)
	if err != nil {
		return nil, o.badResponse(err)
	}
	return s, nil
}

// CheckSession checks with WeChat that sessionKey is still valid for the user.
// If it is not, the error matches [ErrSessionKeyInvalid]:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_checksessionkey.html.
// It requires an account token; see [WithAccountToken].
func (c *Client) CheckSession(ctx context.Context, openID, sessionKey string) error {
	req, err := sessionRequest("wxa/checksession", openID, sessionKey)
	if err != nil {
		return err
	}
	obj, err := c.callAsAccount(ctx, req)
	if err != nil {
		return err
	}
	return obj.requireErrcode()
}

// ResetSession makes WeChat replace the user's session_key. The old key is
// invalid immediately; the new one expires when the old one would have:
// https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_resetusersessionkey.html.
// The request is sent at most once, because if the response is lost, so is the
// new key. A response for another user is an error. The result has no UnionID.
// It requires an account token; see [WithAccountToken].
func (c *Client) ResetSession(ctx context.Context, openID, sessionKey string) (*MiniSession, error) {
	req, err := sessionRequest("wxa/resetusersessionkey", openID, sessionKey)
	if err != nil {
		return nil, err
	}
	req.once = true
	obj, err := c.callAsAccount(ctx, req)
	if err != nil {
		return nil, err
	}
	s, err := obj.miniSession()
	if err != nil {
		return nil, err
	}
	if s.OpenID != openID {
		return nil, obj.badResponse(errors.New("is for another user"))
	}
	return s, nil
}

// sessionRequest returns a request that proves possession of the session_key
// without sending it.
func sessionRequest(endpoint, openID, sessionKey string) (request, error) {
	req := request{endpoint: endpoint, query: url.Values{
		"openid":     {openID},
		"signature":  {signEmpty(sessionKey)},
		"sig_method": {"hmac_sha256"},
	}}
	if !isIdentifier(openID) {
		return request{}, req.notSentError(KindRestart, ErrOpenIDInvalid)
	}
	if sessionKey == "" {
		return request{}, req.notSentError(KindRestart, ErrSessionKeyInvalid)
	}
	return req, nil
}
