package wechatauth

import (
	"context"
	"errors"

	"github.com/wechatauth/wechatauth/client"
)

// ComponentTokenSource supplies the component_access_token of a third-party
// platform (第三方平台), which WeChat renews every two hours from a ticket that
// it pushes to the platform. It is asked for each login, so it keeps the token;
// it must be safe for concurrent use. Whoever runs a platform has a service
// for this already.
type ComponentTokenSource interface {
	// ComponentToken returns a token that is valid now. An error fails the
	// login that needs it, not the program.
	ComponentToken(ctx context.Context) (client.Secret, error)
}

// WithComponent logs in on behalf of accounts that have authorized a
// third-party platform: official accounts and mini programs without an
// AppSecret of their own, given with an empty one in WithApp, WithMiniProgram
// or WithAccounts. The host of the base URL has to be the platform's
// 公众号开发域名. WithFlowKeys is required, since there is no AppSecret to derive
// keys from.
func WithComponent(componentAppID string, source ComponentTokenSource) Option {
	return func(c *config) { c.componentAppID, c.component, c.componentSet = componentAppID, source, true }
}

func (c *config) validateComponent() error {
	if !c.componentSet {
		return nil
	}
	var errs []error
	if c.componentAppID == "" || c.component == nil {
		errs = append(errs, errors.New("WithComponent: set the platform's AppID and the source of its token; both are required"))
	}
	if !c.flowKeysSet {
		errs = append(errs, errors.New("WithComponent: set WithFlowKeys too; there is no AppSecret to derive keys from"))
	}
	return errors.Join(errs...)
}

// forAccount returns the client options of an account: through the platform
// where it has no secret of its own.
func (c *config) forAccount(secret string, opts []client.Option) []client.Option {
	if !c.componentSet || c.component == nil || secret != "" {
		return opts
	}
	return append(opts[:len(opts):len(opts)], client.WithComponent(c.componentAppID, c.component.ComponentToken))
}
