package client

import (
	"context"
	"errors"
	"fmt"
)

// component is the third-party platform that a client calls through.
type component struct {
	appID string
	token func(context.Context) (Secret, error)
}

// WithComponent makes the client speak for an account that has authorized a
// third-party platform. Exchange, Refresh and Code2Session then carry the
// platform's AppID and its component_access_token, which token returns for each
// call (it should keep the token, WeChat's lives two hours), and no AppSecret:
// https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Official_Accounts/official_account_website_authorization.html.
// An error of token makes the call fail with an [*Error] that matches it with
// errors.Is and errors.As; a call does not wait for token beyond its own end.
// Calls that need an account token take the authorizer_access_token from
// [WithAccountToken].
func WithComponent(componentAppID string, token func(ctx context.Context) (Secret, error)) Option {
	return func(c *Client) {
		if err := checkAppID(componentAppID); err != nil {
			c.refuse(fmt.Errorf("WithComponent: AppID: %w", err))
			return
		}
		if token == nil {
			c.refuse(errors.New("WithComponent: the token function is nil"))
			return
		}
		c.component = &component{appID: componentAppID, token: token}
	}
}

// callAsApp makes a call that has to prove that it comes from the application:
// with the AppSecret, or with the platform's token.
func (c *Client) callAsApp(ctx context.Context, req request) (*answer, error) {
	if c.component == nil {
		req.query.Set("secret", c.secret())
		return c.call(ctx, req)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	token, err := supplied(ctx, func() (Secret, error) { return c.component.token(ctx) })
	if err != nil {
		return nil, c.noToken(req, "component_access_token", err)
	}
	if !isToken(token.Reveal()) {
		return nil, req.unsent(KindConfiguration, ErrComponent)
	}
	req.query.Set("component_appid", c.component.appID)
	req.query.Set("component_access_token", token.Reveal())
	return c.call(ctx, req)
}
