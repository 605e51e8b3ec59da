package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/store"
)

// appIDShape is what AppIDs have looked like so far; WeChat promises nothing.
var appIDShape = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

// Check looks at what New cannot see without a network: whether the session
// store can be reached and written and will keep what it is given, and whether
// WeChat knows the AppIDs and AppSecrets. It spends nothing and disturbs no
// login. The error joins all findings, one line each, each saying what to do;
// nil means that nothing was found. Call it at start-up, or from a health
// check that is not asked too often: it makes one call to WeChat per account.
//
// What it cannot see is WeChat's console: there, the host of the base URL has
// to be entered as 网页授权域名, without scheme and path.
func (a *Auth) Check(ctx context.Context) error {
	errs := []error{a.checkStore(ctx)}
	if a.official.client != nil {
		errs = append(errs, a.checkAccount(ctx, "WithApp", a.official))
	}
	if a.website.client != nil {
		errs = append(errs, a.checkAccount(ctx, "WithWebsiteApp", a.website))
	}
	if err := errors.Join(errs...); err != nil {
		return prefixLines(err)
	}
	return nil
}

func (a *Auth) checkStore(ctx context.Context) error {
	c, ok := a.sessions.backing.(store.Checker)
	if !ok {
		return nil
	}
	return c.Check(ctx)
}

// checkAccount asks for the exchange of a code that no one ever had: WeChat
// looks at AppID and AppSecret first, and then does not know the code.
func (a *Auth) checkAccount(ctx context.Context, option string, acc account) error {
	var errs []error
	if !appIDShape.MatchString(acc.appID) {
		errs = append(errs, fmt.Errorf("%s: %s does not look like an AppID (wx and 16 hex digits); the original id (gh_…) is another thing", option, acc.appID))
	}
	_, err := acc.client.Exchange(ctx, "wechatauth-check")
	var we *client.Error
	switch {
	case err == nil || reasonOf(err) == ReasonCodeExpired || reasonOf(err) == ReasonCodeUsed:
	case errors.As(err, &we) && we.Kind() == client.KindConfiguration:
		errs = append(errs, fmt.Errorf("%s: WeChat refuses the account: %w; check AppID, AppSecret and the IP list (IP白名单) in WeChat's console", option, err))
	default:
		errs = append(errs, fmt.Errorf("%s: WeChat's API did not answer as it should: %w; check the way out to the network", option, err))
	}
	return errors.Join(errs...)
}
