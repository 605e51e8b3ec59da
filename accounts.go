package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/internal/siteurl"
)

// gateFor returns the gate of the request's account.
func (a *Auth) gateFor(r *http.Request) (*gate, error) {
	if a.gates == nil {
		return a.home, nil
	}
	if appID, ok := a.endpointIn(r.URL.Path); ok && appID != "" {
		return a.gateByAppID(r.Context(), appID)
	}
	appID, err := a.gates.resolver.ResolveAppID(r)
	if err != nil {
		return nil, err
	}
	return a.gateByAppID(r.Context(), appID)
}

// maxGates bounds the memory of a process. When it is reached, all gates are
// dropped, and each is created again when a request needs it.
const maxGates = 10_000

func (a *Auth) gateByAppID(ctx context.Context, appID string) (*gate, error) {
	account, err := a.gates.resolver.Account(ctx, appID)
	if err != nil {
		return nil, err
	}
	if account.AppID != appID {
		return nil, fmt.Errorf("the account of %s calls itself %s", redact.Clean(appID), redact.Clean(account.AppID))
	}
	text := account.text()
	a.gates.mu.RLock()
	held, ok := a.gates.gates[appID]
	a.gates.mu.RUnlock()
	if ok && held.account == text && held.brand == account.Brand {
		if account.Pages == nil {
			account.Pages = a.gates.config.pages
		}
		held.pages.Store(&account.Pages)
		held.platformToken.Store(&account.PlatformToken)
		return held.gate, nil
	}
	g, err := a.newGate(account)
	if err != nil {
		return nil, err
	}
	a.gates.mu.Lock()
	defer a.gates.mu.Unlock()
	if len(a.gates.gates) >= maxGates {
		clear(a.gates.gates)
	}
	a.gates.gates[appID] = cachedGate{g, text, account.Brand}
	return g, nil
}

// gateOfUser returns the gate that accepts identities of this AppID, or nil if
// there is none yet.
func (a *Auth) gateOfUser(appID string) *gate {
	if a.gates == nil {
		if slices.Contains(a.home.audience.AppIDs, appID) {
			return a.home
		}
		return nil
	}
	a.gates.mu.RLock()
	defer a.gates.mu.RUnlock()
	for _, t := range a.gates.gates {
		if slices.Contains(t.audience.AppIDs, appID) {
			return t.gate
		}
	}
	return nil
}

// newGate returns a gate for one account.
func (a *Auth) newGate(account Account) (*gate, error) {
	c, err := a.gates.config.ofAccount(account)
	if err != nil {
		return nil, err
	}
	g := &gate{Auth: a, path: "/" + account.AppID}
	if err := g.setAccounts(c); err != nil {
		return nil, err
	}
	return g, g.setFlows(c)
}

// setAccounts sets the fields that depend on the account, above all its clients. It
// skips errors that validate reports, so that each invalid option has one line.
func (g *gate) setAccounts(c *config) error {
	if g.base, _ = siteurl.Parse(c.baseURL, c.sandbox); g.base != nil {
		g.site, g.brand = g.base.String(), Brand(page.Brand(c.brand).At(g.base))
	}
	g.audience, g.unsaved = c.audience(), g.rejectUnsaved
	g.pages.Store(&c.pages)
	g.platformToken.Store(&c.platformToken)
	var opts []client.Option
	var errs []error
	use := func(option string, opt client.Option) {
		if _, err := client.New("wx", "any", opt); err != nil { // the option alone
			errs = append(errs, fmt.Errorf("%s: %w", option, err))
			return
		}
		opts = append(opts, opt)
	}
	if c.endpoints != (client.Endpoints{}) {
		use("WithEndpoints", client.WithEndpoints(c.endpoints))
	}
	if c.httpClient != nil {
		use("WithHTTPClient", client.WithHTTPClient(c.httpClient))
	}
	if observe := c.clientObserver(); observe != nil {
		opts = append(opts, client.WithObserver(observe))
	}
	open := func(option, appID, secret string, channel Channel, opts []client.Option) account {
		if appID == "" || (secret == "" && c.platformToken == nil) {
			return account{} // there is none, or validate has said what is missing
		}
		made, err := client.New(appID, secret, opts...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", option, err))
			return account{}
		}
		return account{appID: appID, channel: channel, client: made}
	}
	g.official = open("WithApp", c.appID, c.secret, ChannelWeChat, g.clientOptions(c, c.secret, opts))
	g.mini = open("WithMiniProgram", c.miniAppID, c.miniSecret, ChannelMiniProgram, g.clientOptions(c, c.miniSecret, opts))
	if c.websiteSecret != "" {
		g.website = open("WithWebsiteApp", c.websiteAppID, c.websiteSecret, ChannelWebsite, opts)
	}
	return errors.Join(errs...)
}

// setFlows sets the keys of the account and the fields that seal with them: for
// pending logins, their results, and what a relay sends.
func (g *gate) setFlows(c *config) error {
	secrets := c.flowKeys
	if c.appID == "" {
		return nil // with WithAccounts, the home gate has none
	}
	if !c.flowKeysSet {
		secrets = [][]byte{[]byte(c.secret)}
	}
	ring, err := seal.New("flow", secrets...)
	if err != nil {
		return err
	}
	if c.sessionKeysSet {
		secrets = c.sessionKeys // so the AppSecret makes no record that logs anyone in
	}
	if g.keys, err = seal.New("kept", secrets...); err != nil {
		return err
	}
	if c.relaySet {
		ring, err := flow.RelayRing(c.relayKey)
		if err != nil {
			return err
		}
		g.relay = &flow.Relay{URL: c.relayURL, Ring: ring, Callback: g.callbackURL()}
	}
	g.cookies = flow.NewJar(&cookie.Jar{
		Ring: c.sealer(ring), Secure: g.base.Scheme == "https", Bound: []string{c.appID, g.callbackURL()}, Now: c.now,
	}, cookiePrefix(g.base), g.cookieTag(c.appID))
	g.setAuthorizePages()
	g.logins = &singleflight.Group{Marks: g.sessions.Marks(), Keys: g.keys, Now: c.now, Wait: c.wait}
	return nil
}

// cookieTag returns the suffix of the names of an account's cookies. It is empty for
// a gate without an account.
func (g *gate) cookieTag(appID string) string { return flow.Tag(appID, g.endpoint("callback")) }

func (g *gate) setAuthorizePages() {
	g.authorizePages = map[client.Scope]authorizePage{}
	if g.official.client == nil {
		return
	}
	for _, scope := range []client.Scope{client.ScopeBase, client.ScopeUserInfo} {
		state := flow.NewState()
		before, after, _ := strings.Cut(g.official.client.AuthorizeURL(g.redirectURI(), scope, state), state)
		g.authorizePages[scope] = authorizePage{before, after}
	}
}

// audience returns the AppIDs whose identities the gate accepts, and whether it
// accepts bearer tokens.
func (c *config) audience() session.Audience {
	appIDs := []string{c.appID}
	for _, more := range []string{c.websiteAppID, c.miniAppID} {
		if more != "" {
			appIDs = append(appIDs, more)
		}
	}
	return session.Audience{AppIDs: appIDs, Bearer: c.miniAppID != ""}
}

// clientOptions returns the options of the client of an account: those of the
// platform if it has no secret.
func (g *gate) clientOptions(c *config, secret string, opts []client.Option) []client.Option {
	if c.platformAppID == "" || secret != "" {
		return opts
	}
	token := func(ctx context.Context) (client.Secret, error) { return (*g.platformToken.Load())(ctx) }
	return append(opts[:len(opts):len(opts)], client.WithComponent(c.platformAppID, token))
}

// ofAccount returns the options for one account, and an error if any are invalid.
func (c *config) ofAccount(account Account) (*config, error) {
	one := *c
	one.appID, one.secret = account.AppID, account.Secret
	one.websiteAppID, one.websiteSecret = account.WebsiteAppID, account.WebsiteSecret
	one.miniAppID, one.miniSecret = account.MiniProgramAppID, account.MiniProgramSecret
	one.platformAppID, one.platformToken = account.PlatformAppID, account.PlatformToken
	if account.Endpoints != (client.Endpoints{}) {
		one.endpoints = account.Endpoints
	}
	if account.Brand != (Brand{}) {
		one.brand = account.Brand
	}
	err := errors.Join(one.validateAccount(), linesOf("WithBrand: ", page.Brand(account.Brand).Check()))
	if !siteurl.IsAppID(account.AppID) {
		err = errors.Join(err, errors.New("invalid AppID: must be \"wx\" followed by letters and digits"))
	}
	if account.Pages != nil {
		one.pages = account.Pages
	}
	if account.BaseURL == "" {
		return &one, err
	}
	one.baseURL = account.BaseURL
	base, wrong := siteurl.Parse(account.BaseURL, c.sandbox)
	wrong = linesOf("WithBaseURL: ", wrong)
	shared, unknown := siteurl.Parse(c.baseURL, c.sandbox)
	if wrong == nil && unknown == nil && base.Scheme != shared.Scheme {
		wrong = fmt.Errorf("the base URL of %s is not %s as that of WithBaseURL, whose cookies it shares", redact.Clean(account.AppID), shared.Scheme)
	}
	return &one, errors.Join(err, wrong)
}

// clientObserver returns the observer of the clients' calls, or nil.
func (c *config) clientObserver() func(context.Context, client.Call) {
	o, ok := c.observer.(CallObserver)
	if !ok {
		return nil
	}
	return func(ctx context.Context, call client.Call) {
		reported := Call{
			Service: "wechat", Name: call.Endpoint, AppID: call.AppID, Flow: flowOf(ctx),
			Duration: call.Duration, Err: call.Err,
		}
		var we *client.Error
		if errors.As(call.Err, &we) {
			reported.Errcode, reported.Class = we.Code, we.Kind().String()
		}
		o.ObserveCall(ctx, reported)
	}
}

// validateAccounts checks the accounts that are known at startup.
func (c *config) validateAccounts() (errs []error) {
	accounts, wrong, ok := listed(c.accounts)
	if !ok {
		return nil
	}
	for _, err := range wrong {
		errs = append(errs, linesOf("WithAccounts: ", err))
	}
	if len(accounts) == 0 {
		errs = append(errs, errors.New("WithAccounts: give at least one account"))
	}
	shared := *c
	shared.endpoints, shared.httpClient = client.Endpoints{}, nil // New checks these once
	for appID, account := range accounts {
		one, err := shared.ofAccount(account)
		if err == nil {
			err = new(gate).setAccounts(one)
		}
		if err != nil {
			errs = append(errs, linesOf("WithAccounts: "+redact.Clean(appID)+": ", err))
		}
	}
	return errs
}
