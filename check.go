package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/store"
)

// CheckError is what Auth.Check has found: everything at once.
type CheckError struct {
	// Findings are never empty. Each says in one line what is wrong and what to
	// do, in English and in Chinese.
	Findings []*store.Finding
}

// Error has one line of English for each finding.
func (e *CheckError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = "wechatauth: " + f.English
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the findings, for errors.Is and errors.As.
func (e *CheckError) Unwrap() []error {
	all := make([]error, len(e.Findings))
	for i, f := range e.Findings {
		all[i] = f
	}
	return all
}

// Check looks at what New cannot see without a network: whether the session
// store can be reached and written and will keep what it is given, whether its
// clock is ours, and whether WeChat knows the AppIDs and AppSecrets. It looks
// again at the cookie of an application's own session manager, which may have
// changed since New, and at what WeChat would refuse of the base URL. It spends
// nothing and disturbs no login. The error is a *CheckError with all findings;
// nil means that nothing was found. What could not be looked at, because Redis
// grants too little, is no finding: it is noted in the log. So is an own manager
// that does not hash tokens in the store.
//
// Call it at start-up, or from a health check that is not asked too often: it
// makes one call to WeChat for each account. With WithAccounts it looks at the
// accounts that the resolver lists (see AccountResolver).
//
// What it cannot see is WeChat's console: CallbackDomain, and CallbackDomains of
// many accounts, is what has to stand there.
func (a *Auth) Check(ctx context.Context) error {
	all := a.home.checkSettings()
	all = append(all, findingsOf(a.sessions.Check(ctx))...)
	var findings []*store.Finding
	for _, f := range all {
		if f.Note {
			a.logger.Info("wechatauth: check: " + f.English)
			continue
		}
		findings = append(findings, f)
	}
	for _, g := range a.checkedGates(ctx) {
		findings = append(findings, g.checkAccounts(ctx)...)
	}
	if len(findings) == 0 {
		return nil
	}
	return &CheckError{findings}
}

// CallbackDomain is what has to be entered in WeChat's consoles, exactly so:
// for an official account as 网页授权域名, for a website
// application as 授权回调域. It is the host of the base URL, or of the relay
// (WithRelay), without scheme, port and path. Accounts of ByHost have hosts of
// their own: see CallbackDomains. Where a third-party platform logs in for the
// account (WithComponent), it is the platform's 公众号开发域名 that has to have it.
func (a *Auth) CallbackDomain() string { return a.home.callbackDomain() }

func (g *gate) callbackDomain() string {
	host := g.redirectURI()
	if _, rest, found := strings.Cut(host, "://"); found {
		host = rest
	}
	host, _, _ = strings.Cut(host, "/")
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host
}

// CallbackDomains is CallbackDomain for each AppID that has one: the official
// accounts and website applications, those that the resolver of WithAccounts
// lists too.
func (a *Auth) CallbackDomains() map[string]string {
	domains := map[string]string{}
	for _, g := range a.checkedGates(context.Background()) {
		for _, acc := range []account{g.official, g.website} {
			if acc.client != nil {
				domains[acc.appID] = g.callbackDomain()
			}
		}
	}
	return domains
}

// checkSettings looks at what needs no network.
func (g *gate) checkSettings() (found []*store.Finding) {
	if g.sessions.Owned() {
		for _, err := range session.CheckManager(g.sessions.SessionManager(), g.base) {
			found = append(found, &store.Finding{
				English: err.Error(), Chinese: "会话管理器的设置与 WithBaseURL 不符，登录后会话无法保持：" + err.Error(), Err: err,
			})
		}
		if !g.sessions.SessionManager().HashTokenInStore {
			found = append(found, &store.Finding{
				English: "WithSessionManager: the keys of the session store are the session tokens, so whoever reads the store can take over every session; set HashTokenInStore, which ends the sessions from before",
				Chinese: "WithSessionManager：会话存储的键就是会话令牌，能读取存储的人可以接管所有会话；请设置 HashTokenInStore（此前的会话将失效）。",
				Note:    true,
			})
		}
	}
	if g.official.client != nil && g.openOrigin() == client.DefaultOpen && g.base.Port() != "" {
		found = append(found, &store.Finding{
			English: fmt.Sprintf("WithBaseURL: WeChat sends nobody back to %s: its console takes no port (10003); use the https address that leads here, or a simulated WeChat (WithEndpoints)", g.base),
			Chinese: fmt.Sprintf("WithBaseURL：微信不会跳转回 %s，后台的网页授权域名不能带端口（10003）；请改用能访问到本服务的 https 地址，或使用模拟微信（WithEndpoints）。", g.base),
		})
	}
	return found
}

// checkedGates are those whose accounts Check looks at.
func (a *Auth) checkedGates(ctx context.Context) (gates []*gate) {
	if a.tenants == nil {
		return []*gate{a.home}
	}
	accounts, _, _ := listed(a.tenants.resolver)
	for appID := range accounts {
		if g, err := a.tenantOf(ctx, appID); err == nil { // New has told of others
			gates = append(gates, g)
		}
	}
	slices.SortFunc(gates, func(x, y *gate) int { return strings.Compare(x.official.appID, y.official.appID) })
	return gates
}

func (g *gate) checkAccounts(ctx context.Context) (found []*store.Finding) {
	for option, acc := range map[string]account{"WithApp": g.official, "WithWebsiteApp": g.website, "WithMiniProgram": g.mini} {
		if acc.client == nil {
			continue
		}
		if g.path != "" {
			option = "WithAccounts: " + acc.appID
		}
		found = append(found, checkAccount(ctx, option, acc)...)
	}
	slices.SortFunc(found, func(x, y *store.Finding) int { return strings.Compare(x.English, y.English) })
	return found
}

// checkAccount asks for the exchange of a code that no one ever had. As far as
// is known WeChat looks at AppID and AppSecret first, and then does not know the
// code.
func checkAccount(ctx context.Context, option string, acc account) (found []*store.Finding) {
	if !appIDShape.MatchString(acc.appID) {
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: %s does not look like an AppID (wx and 16 hex digits); the original id (gh_…) is another thing", option, acc.appID),
			Chinese: fmt.Sprintf("%s：%s 不像 AppID（wx 加 16 位十六进制数）；请注意原始 ID（gh_…）不是 AppID。", option, acc.appID),
		})
	}
	var err error
	if acc.channel == ChannelMiniProgram {
		_, err = acc.client.Code2Session(ctx, "wechatauth-check")
	} else {
		_, err = acc.client.Exchange(ctx, "wechatauth-check")
	}
	var we *client.Error
	switch {
	case err == nil || reasonOf(err) == ReasonCodeExpired || reasonOf(err) == ReasonCodeUsed:
	case errors.As(err, &we) && we.Kind() == client.KindConfiguration:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat refuses the account: %v; check AppID, AppSecret and the IP list (IP白名单) in WeChat's console", option, err),
			Chinese: fmt.Sprintf("%s：微信拒绝了该账号（%v）：%s请在微信后台核对 AppID、AppSecret 和 IP 白名单。", option, err, we.Text(client.LangZhCN)),
			Err:     err,
		})
	case errors.As(err, &we) && we.Kind() == client.KindRateLimited:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat takes no more calls of this account: %v; look for a loop of logins, limit the requests to POST mini/login in the proxy in front, and check again later (45011: in a minute, 45009: tomorrow)", option, err),
			Chinese: fmt.Sprintf("%s：微信限制了该账号的调用（%v）：请检查是否有循环登录，并在前置代理上限制 POST mini/login 的频率，稍后再检查（45011 等一分钟，45009 等到次日）。", option, err),
			Err:     err,
		})
	case errors.As(err, &we) && we.Kind() == client.KindBusy:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat is busy: %v; nothing is wrong here, check again in a moment", option, err),
			Chinese: fmt.Sprintf("%s：微信系统繁忙（%v）；本端无需处理，请稍后再检查。", option, err),
			Err:     err,
		})
	default:
		found = append(found, &store.Finding{
			English: fmt.Sprintf("%s: WeChat's API did not answer as it should: %v; check the way out to the network", option, err),
			Chinese: fmt.Sprintf("%s：微信接口没有正常应答（%v）；请检查出网网络（DNS、代理、防火墙）。", option, err),
			Err:     err,
		})
	}
	return found
}

// findingsOf are the findings of a store's check.
func findingsOf(err error) (found []*store.Finding) {
	switch e := err.(type) {
	case nil:
	case *store.Finding:
		found = append(found, e)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			found = append(found, findingsOf(one)...)
		}
	default: // another's store
		found = append(found, &store.Finding{English: err.Error(), Chinese: err.Error(), Err: err})
	}
	return found
}
