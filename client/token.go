package client

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Token is the answer to [Client.Exchange] and [Client.Refresh]:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsaccesstoken.html.
type Token struct {
	AccessToken  Secret        // for UserInfo and CheckToken; not an account token
	RefreshToken Secret        // for Refresh; zero if WeChat sent none
	ExpiresIn    time.Duration // of AccessToken: 2 h as a rule, 30 days at most, 0 if WeChat did not say
	OpenID       string        // the user, for this AppID; never empty, [A-Za-z0-9_-]{1,64}
	UnionID      string        // the user, for the open-platform account; "" if there is none
	Scope        Scope         // as granted, comma-separated
	Snapshot     bool          // a snapshot page's virtual user: never log it in, never store its ids
}

// HasScope reports whether s is among the granted scopes.
func (t *Token) HasScope(s Scope) bool {
	granted := strings.Split(string(t.Scope), ",")
	return slices.ContainsFunc(granted, func(g string) bool { return strings.TrimSpace(g) == string(s) })
}

// Exchange turns the code of a callback into a [Token]:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsaccesstoken.html.
// A code lives five minutes (ten for website applications) and works once; it
// is sent at most once, whatever happens to the connection, because the answer
// to a second use is [ErrCodeUsed] and the login is lost. A code that has
// expired, is of another AppID or was never one is [ErrCodeInvalid].
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
		return nil, req.unsent(KindRestart, ErrCodeInvalid)
	}
	ans, err := c.callAsApp(ctx, req)
	if err != nil {
		return nil, err
	}
	return ans.token()
}

// Refresh renews an access token: WeChat answers with the same one and a new
// life, or with a new one if it has expired. Keep the refresh token of the
// answer. Refresh tokens live 30 days, which refreshing does not extend; one that
// has expired, or died with a changed password, is [ErrTokenInvalid] of
// [KindRestart], and the user has to log in again:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsrefreshtoken.html.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (*Token, error) {
	req, call := request{endpoint: "sns/oauth2/refresh_token"}, c.call // takes no secret
	if c.component != nil {
		req.endpoint, call = "sns/oauth2/component/refresh_token", c.callAsApp
	}
	req.query = url.Values{
		"appid":         {c.appID},
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken},
	}
	if !isToken(refreshToken) {
		return nil, req.unsent(KindRestart, ErrTokenInvalid)
	}
	ans, err := call(ctx, req)
	if err != nil {
		return nil, err
	}
	return ans.token()
}

// CheckToken asks WeChat whether accessToken is alive and belongs to openID:
// https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsauth.html.
// It does not tell for which AppID the token was issued, so it is no proof of
// identity for a token that a stranger hands in.
func (c *Client) CheckToken(ctx context.Context, accessToken, openID string) error {
	req, err := userRequest("sns/auth", accessToken, openID)
	if err != nil {
		return err
	}
	ans, err := c.call(ctx, req)
	if err != nil {
		return err
	}
	return ans.confirmed()
}

// userRequest is a call that speaks for one user.
func userRequest(endpoint, accessToken, openID string) (request, error) {
	req := request{endpoint: endpoint, query: url.Values{
		"access_token": {accessToken},
		"openid":       {openID},
	}}
	if !isToken(accessToken) {
		return request{}, req.unsent(KindRestart, ErrTokenInvalid)
	}
	if !isIdentifier(openID) {
		return request{}, req.unsent(KindRestart, ErrOpenIDInvalid)
	}
	return req, nil
}

const maxExpiresIn = 30 * 24 * time.Hour

func (a *answer) token() (*Token, error) {
	t := &Token{}
	err := firstError(
		a.requireToken("access_token", &t.AccessToken),
		a.optionalToken("refresh_token", &t.RefreshToken),
		a.requireIdentifier("openid", &t.OpenID),
		a.optionalIdentifier("unionid", &t.UnionID),
	)
	if err != nil {
		return nil, a.refused(err)
	}
	t.ExpiresIn = a.seconds("expires_in", maxExpiresIn)
	t.Scope = a.scope()
	t.Snapshot = a.flag("is_snapshotuser")
	return t, nil
}

// scope drops the spaces that nobody promised to leave out.
func (a *answer) scope() Scope {
	if s := strings.ReplaceAll(a.text("scope"), " ", ""); isToken(s) {
		return Scope(s)
	}
	return ""
}
