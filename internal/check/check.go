// Package check phrases the findings of Auth.Check, in English and in Chinese.
package check

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
)

// LooksLikeAppID reports whether s has the form of all AppIDs seen so far.
// WeChat does not guarantee it.
func LooksLikeAppID(s string) bool { return appIDShape.MatchString(s) }

var appIDShape = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

// Manager checks an application's own session manager again, because it may
// have changed since New.
func Manager(m *session.Manager, base *url.URL) (found []*store.Finding) {
	for _, err := range session.CheckManager(m.SessionManager(), base) {
		found = append(found, &store.Finding{
			English: err.Error(), Chinese: "会话管理器的设置与 WithBaseURL 不符，登录后会话无法保持：" + err.Error(), Err: err,
		})
	}
	if !m.SessionManager().HashTokenInStore {
		found = append(found, &store.Finding{
			English: "WithSessionManager: the keys of the session store are the session tokens, so an attacker who can read the store can take over every session; set HashTokenInStore, which ends existing sessions",
			Chinese: "WithSessionManager：会话存储的键就是会话令牌，能读取存储的攻击者可以接管所有会话；请设置 HashTokenInStore（此前的会话将失效）。",
			Note:    true,
		})
	}
	return found
}

// Port returns the finding for a base URL with a port, which WeChat rejects.
func Port(base *url.URL) *store.Finding {
	return &store.Finding{
		English: fmt.Sprintf("WithBaseURL: WeChat does not redirect to %s: its console accepts no port (10003); use the https URL of this site, or the WeChat simulator (WithEndpoints)", base),
		Chinese: fmt.Sprintf("WithBaseURL：微信不会跳转回 %s，后台的网页授权域名不能带端口（10003）；请改用可以访问本服务的 https 地址，或使用微信模拟器（WithEndpoints）。", base),
	}
}

// Account tests an account with WeChat: exchange is called with a code that was
// never issued. As far as is known, WeChat checks AppID and AppSecret first and
// only then rejects the code.
func Account(ctx context.Context, option, appID string, exchange func(ctx context.Context, code string) error) (found []*store.Finding) {
	if !LooksLikeAppID(appID) {
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: %s does not look like an AppID (wx and 16 hex digits); the original id (gh_…) is another thing", option, appID),
			Chinese: fmt.Sprintf("%s：%s 不像 AppID（AppID 为 wx 加 16 位十六进制数）；请注意，原始 ID（gh_…）不是 AppID。", option, appID),
		})
	}
	err := exchange(ctx, "wechatauth-check")
	var we *client.Error
	switch {
	case err == nil || errors.As(err, &we) && we.Kind() == client.KindRestart:
	case errors.As(err, &we) && we.Kind() == client.KindConfiguration:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat rejects the account: %v; check AppID, AppSecret and the IP list (IP白名单) in WeChat's console", option, err),
			Chinese: fmt.Sprintf("%s：微信拒绝了该账号（%v）：%s请在微信后台核对 AppID、AppSecret 和 IP 白名单。", option, err, we.Text(client.LangZhCN)),
			Err:     err,
		})
	case errors.As(err, &we) && we.Kind() == client.KindRateLimited:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat takes no more calls of this account: %v; look for a loop of logins, limit the requests to POST mini/login in the proxy in front, and check again later (45011: in a minute, 45009: tomorrow)", option, err),
			Chinese: fmt.Sprintf("%s：微信限制了该账号的调用（%v）：请检查是否有循环跳转，并在前置代理上限制 POST mini/login 的请求频率，稍后重新检查（45011 请等待一分钟，45009 请等到次日）。", option, err),
			Err:     err,
		})
	case errors.As(err, &we) && we.Kind() == client.KindBusy:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat is busy: %v; nothing is wrong here, check again in a moment", option, err),
			Chinese: fmt.Sprintf("%s：微信系统繁忙（%v）；无需处理，请稍后重新检查。", option, err),
			Err:     err,
		})
	default:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat's API did not respond as expected: %v; check outbound network access", option, err),
			Chinese: fmt.Sprintf("%s：微信接口没有正常响应（%v）；请检查出口网络（DNS、代理、防火墙）。", option, err),
			Err:     err,
		})
	}
	return found
}

// Findings returns the findings of a store's check.
func Findings(err error) (found []*store.Finding) {
	switch e := err.(type) {
	case nil:
	case *store.Finding:
		found = append(found, e)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			found = append(found, Findings(one)...)
		}
	default: // another's store
		found = append(found, &store.Finding{English: err.Error(), Chinese: err.Error(), Err: err})
	}
	return found
}
