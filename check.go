package wechatauth

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/check"
	"github.com/wechatauth/wechatauth/internal/site"
	"github.com/wechatauth/wechatauth/store"
)

// A CheckError contains all problems that [Auth.Check] or [Auth.CheckSite]
// found.
type CheckError struct {
	// Findings has at least one element. Each describes in one line what is
	// wrong and what to do, in English and in Chinese.
	Findings []*store.Finding
}

// Error returns one line of English for each finding.
func (e *CheckError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = "wechatauth: " + f.English
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the findings, for errors.Is and errors.As.
func (e *CheckError) Unwrap() []error {
	all := make([]error, len(e.Findings))
	for i, f := range e.Findings {
		all[i] = f
	}
	return all
}

// Check looks for problems that New cannot find without a network. It tests
// whether the session store can be reached, stores values and returns them;
// whether the store's clock agrees; and whether WeChat accepts the AppIDs and
// AppSecrets. It also checks the cookie of the application's own session
// manager again, which may have changed since New, and whether WeChat would
// reject the base URL. It uses up no code and does not affect logins. Check
// returns nil if it finds no problems, and otherwise a *CheckError with all of
// them. It logs what Redis does not permit it to check, and a session manager
// that does not hash tokens in the store.
//
// Call it at startup, or from a health check that runs rarely: it makes one
// call to WeChat for each account, with WithAccounts for each that the resolver
// lists (see [AccountResolver]). It cannot check WeChat's console:
// [Auth.CallbackDomain], and [Auth.CallbackDomains] for many accounts, return
// what must be entered there.
func (a *Auth) Check(ctx context.Context) error {
	all := append(a.home.checkSettings(), check.Findings(a.sessions.Check(ctx))...)
	for _, g := range a.checkedGates(ctx) {
		all = append(all, g.checkAccounts(ctx)...)
	}
	return a.checkError(all)
}

// checkError returns the findings as an error, and logs those that are notes.
func (a *Auth) checkError(all []*store.Finding) error {
	var findings []*store.Finding
	for _, f := range all {
		if f.Note {
			a.logger.Info("wechatauth: check: " + f.English)
			continue
		}
		findings = append(findings, f)
	}
	if len(findings) == 0 {
		return nil
	}
	return &CheckError{findings}
}

// CheckSite looks for problems between users and the middleware. It requests
// the endpoints below the base URL as a browser does, and tests whether they
// are mounted there; whether the servers on the way pass path, query, host,
// scheme, forms and large headers; whether they pass cookies in both
// directions; whether they cache responses; and whether the process that
// responds has the same keys and clock. Each finding names what to change in
// nginx, in Caddy and in a CDN. CheckSite returns nil if it finds no problems,
// and otherwise a *CheckError with all of them.
//
// The server must be running: call it from another process, or after the server
// has begun to listen. It takes the way that this machine takes to the base URL;
// the command wechatcheck does the same from anywhere (-site). It starts a few
// logins, cancels one and posts a form as another site, without a call to
// WeChat; observers and the log of the application have them as
// [EventLoginStarted], [ReasonRefusedByUser] and [ReasonCrossOrigin].
// With WithAccounts, it checks each base URL once, with one of the accounts that
// the resolver lists (see [AccountResolver]). It uses the Transport of
// WithHTTPClient.
func (a *Auth) CheckSite(ctx context.Context) error {
	var all []*store.Finding
	checked := map[string]bool{}
	for _, g := range a.checkedGates(ctx) {
		authorize, err := url.Parse(g.official.client.AuthorizeURL(g.redirectURI(), g.scope, "x"))
		if err != nil || checked[g.site] {
			continue
		}
		checked[g.site] = true
		s := site.Site{Base: g.base, Prefix: g.prefix, Account: g.path, Authorize: authorize, Cookies: g.cookies}
		if a.httpClient != nil {
			s.Transport = a.httpClient.Transport
		}
		all = append(all, s.Check(ctx)...)
	}
	if len(checked) == 0 {
		all = append(all, site.Unlisted())
	}
	return a.checkError(all)
}

// CallbackDomain returns the domain to enter in WeChat's console: as 网页授权域名 for
// an official account, as 授权回调域 for a website application. It is the host of
// the base URL or of the relay (WithRelay), without scheme, port and path.
// Accounts of ByHost have different hosts: see CallbackDomains. That of an
// account with PlatformAppID must be entered as the platform's 公众号开发域名.
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

// CallbackDomains returns the CallbackDomain of each AppID that has one: of
// official accounts and website applications, including those that the resolver
// of WithAccounts lists.
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

// checkSettings checks the settings that need no network.
func (g *gate) checkSettings() (found []*store.Finding) {
	if g.sessions.IsApplications() {
		found = check.Manager(g.sessions, g.base)
	}
	if g.official.client != nil && g.openOrigin() == client.DefaultOpen && g.base.Port() != "" {
		found = append(found, check.Port(g.base))
	}
	return found
}

// checkedGates returns the gates of all accounts that are known without a request.
func (a *Auth) checkedGates(ctx context.Context) (gates []*gate) {
	if a.gates == nil {
		return []*gate{a.home}
	}
	accounts, _, _ := listed(a.gates.resolver)
	for appID := range accounts {
		if g, err := a.gateByAppID(ctx, appID); err == nil { // New has returned the errors of the others
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
		exchange := func(ctx context.Context, code string) error { _, err := acc.client.Exchange(ctx, code); return err }
		if acc.channel == ChannelMiniProgram {
			exchange = func(ctx context.Context, code string) error { _, err := acc.client.Code2Session(ctx, code); return err }
		}
		found = append(found, check.Account(ctx, option, acc.appID, exchange)...)
	}
	slices.SortFunc(found, func(x, y *store.Finding) int { return strings.Compare(x.English, y.English) })
	return found
}
