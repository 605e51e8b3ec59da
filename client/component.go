package client

import (
	"context"
	"errors"
	"fmt"
)

// component is the third-party platform through which a client makes calls.
type component struct {
	appID string
	token func(context.Context) (Secret, error)
}

// WithComponent makes the client act for an account that has authorized a
// third-party platform. Exchange, Refresh and Code2Session then send the
// platform's AppID and component_access_token instead of the AppSecret:
// https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Official_Accounts/official_account_website_authorization.html.
//
// token is called once for each call of WeChat's API. It should cache the
// token, which is valid for two hours, and must be safe for concurrent use. If
// it returns an error, the call returns an [*Error] that matches it with
// errors.Is and errors.As. A call does not wait for token beyond its own
// deadline. Calls that need an account token use the authorizer_access_token
// from [WithAccountToken].
func WithComponent(componentAppID string, token func(ctx context.Context) (Secret, error)) Option {
	return func(c *Client) {
		if err := checkAppID(componentAppID); err != nil {
			c.addError(fmt.Errorf("WithComponent: AppID %w", err))
			return
		}
		if token == nil {
			c.addError(errors.New("WithComponent: nil token function"))
			return
		}
		c.component = &component{appID: componentAppID, token: token}
	}
}

// callAsApp makes a call that is authenticated as the application's, with the
// AppSecret or with the platform's token.
func (c *Client) callAsApp(ctx context.Context, req request) (*jsonObject, error) {
	if c.component == nil {
		req.query.Set("secret", c.secret())
		return c.call(ctx, req)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	token, err := callSupplier(ctx, func() (Secret, error) { return c.component.token(ctx) })
	if err != nil {
		return nil, c.tokenError(req, "component_access_token", err)
	}
	if !isToken(token.Reveal()) {
		return nil, req.notSentError(KindConfiguration, ErrComponent)
	}
	req.query.Set("component_appid", c.component.appID)
	req.query.Set("component_access_token", token.Reveal())
	return c.call(ctx, req)
}
