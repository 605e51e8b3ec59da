package client

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Token is the result of [Client.Exchange] and [Client.Refresh]:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsaccesstoken.html.
type Token struct {
	AccessToken  Secret        // for UserInfo and CheckToken; not an account token
	RefreshToken Secret        // for Refresh; zero if WeChat sent none
	ExpiresIn    time.Duration // of AccessToken: usually 2 hours, at most 30 days, 0 if WeChat sent none
	OpenID       string        // identifies the user for this AppID; never empty, [A-Za-z0-9_-]{1,64}
	UnionID      string        // identifies the user for the open-platform account; "" if there is none
	Scope        Scope         // as granted, comma-separated
	Snapshot     bool          // virtual user in snapshot mode: do not log in this user, and do not store the ids
}

// HasScope reports whether s is one of the granted scopes.
func (t *Token) HasScope(s Scope) bool {
	granted := strings.Split(string(t.Scope), ",")
	return slices.ContainsFunc(granted, func(g string) bool { return strings.TrimSpace(g) == string(s) })
}

// Exchange exchanges the code of a callback for a [Token]:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsaccesstoken.html.
// A code is valid for five minutes (ten for website applications) and for one
// use. Exchange sends it at most once, even if the connection fails, because a
// second use fails with [ErrCodeUsed] and the login is lost. If the code
// has expired, was never issued or is for another AppID, the error matches
// [ErrCodeInvalid].
func (c *Client) Exchange(ctx context.Context, code string) (*Token, error) {
	req := request{endpoint: "sns/oauth2/access_token", once: true, query: url.Values{
		"appid":      {c.appID},
		"code":       {code},
		"grant_type": {"authorization_code"},
	}}
	if c.component != nil {
		req.endpoint = "sns/oauth2/component/access_token"
	}
	if !isCode(code) {
		return nil, req.notSentError(KindRestart, ErrCodeInvalid)
	}
	obj, err := c.callAsApp(ctx, req)
	if err != nil {
		return nil, err
	}
	return obj.token()
}

// Refresh renews an access token:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsrefreshtoken.html.
// WeChat extends the access token or, if it has expired, issues a new one. Use
// the refresh token of the result from then on. A refresh token is valid for 30
// days, which refreshing does not extend. If it has expired or the user has
// changed their password, the error matches [ErrTokenInvalid] and has Kind
// [KindRestart]; the user must log in again.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (*Token, error) {
	req, call := request{endpoint: "sns/oauth2/refresh_token"}, c.call // needs no AppSecret
	if c.component != nil {
		req.endpoint, call = "sns/oauth2/component/refresh_token", c.callAsApp
	}
	req.query = url.Values{
		"appid":         {c.appID},
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken},
	}
	if !isToken(refreshToken) {
		return nil, req.notSentError(KindRestart, ErrTokenInvalid)
	}
	obj, err := call(ctx, req)
	if err != nil {
		return nil, err
	}
	return obj.token()
}

// CheckToken checks with WeChat that accessToken is valid and belongs to
// openID:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsauth.html.
// It does not check which AppID the token was issued for, so it does not
// authenticate the sender of a token.
func (c *Client) CheckToken(ctx context.Context, accessToken, openID string) error {
	req, err := userRequest("sns/auth", accessToken, openID)
	if err != nil {
		return err
	}
	obj, err := c.call(ctx, req)
	if err != nil {
		return err
	}
	return obj.requireErrcode()
}

// userRequest returns a request that is authenticated by a user's access token.
func userRequest(endpoint, accessToken, openID string) (request, error) {
	req := request{endpoint: endpoint, query: url.Values{
		"access_token": {accessToken},
		"openid":       {openID},
	}}
	if !isToken(accessToken) {
		return request{}, req.notSentError(KindRestart, ErrTokenInvalid)
	}
	if !isIdentifier(openID) {
		return request{}, req.notSentError(KindRestart, ErrOpenIDInvalid)
	}
	return req, nil
}

const maxExpiresIn = 30 * 24 * time.Hour

func (o *jsonObject) token() (*Token, error) {
	t := &Token{}
	err := firstError(
		o.requireToken("access_token", &t.AccessToken),
		o.optionalToken("refresh_token", &t.RefreshToken),
		o.requireIdentifier("openid", &t.OpenID),
		o.optionalIdentifier("unionid", &t.UnionID),
	)
	if err != nil {
		return nil, o.badResponse(err)
	}
	t.ExpiresIn = o.seconds("expires_in", maxExpiresIn)
	t.Scope = o.scope()
	t.Snapshot = o.flag("is_snapshotuser")
	return t, nil
}

// scope removes spaces, whose absence is not documented.
func (o *jsonObject) scope() Scope {
	if s := strings.ReplaceAll(o.text("scope"), " ", ""); isToken(s) {
		return Scope(s)
	}
	return ""
}
