package wechatauth

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/internal/siteurl"
)

// Auth is the gate with everything that belongs to it: the middleware, the
// endpoints and the sessions. Make it with New. Safe for concurrent use.
type Auth struct {
	settings
	sessions *session.Manager
	consents *consents
	looks    *scan.Looks
	origin   *http.CrossOriginProtection

	home    *gate    // that of the only account; with WithAccounts, of none
	tenants *tenants // nil without WithAccounts
}

// settings are what the options say of all accounts.
type settings struct {
	prefix        string // "/wechat/"
	scope         client.Scope
	environments  environment.Policy
	scanPlace     func(*http.Request) string
	scanLook      time.Duration // how long one look at the store may take
	tokens        bool
	profileMaxAge time.Duration
	snapshot      SnapshotPolicy
	verifyFiles   map[string]string // content by name

	pageVisit    func(*http.Request) bool
	errorHandler func(http.ResponseWriter, *http.Request, Failure)
	onLogin      hook
	observer     Observer
	logger       *slog.Logger
	now          func() time.Time
}

// A gate is one official account with what belongs to it, and serves the
// endpoints. What it shares with other accounts is in Auth.
type gate struct {
	*Auth
	base *url.URL // scheme and host
	site string   // base as text
	path string   // "/" and the AppID in the endpoints' paths, where there are many accounts

	official account
	website  account // its client is nil without WithWebsiteApp
	mini     account // its client is nil without WithMiniProgram
	audience session.Audience

	authorizePages map[client.Scope]authorizePage // of the official account
	relay          *relay                         // nil without WithRelay
	pages          atomic.Pointer[Pages]          // nil for those of this library

	cookies *flow.Jar
	keys    *seal.Ring // for what the store keeps, which never sees it
	claims  *singleflight.Group
	failed  func(http.ResponseWriter, *http.Request, error) // respondUnsaved
}

// account is one of the AppIDs that visitors can log in to.
type account struct {
	appID   string
	channel Channel
	client  *client.Client
}

// New checks the options together and returns the gate. The error has one
// line for each wrong option, which says what to set. It opens no connection:
// an application can start while Redis or WeChat is away.
func New(opts ...Option) (*Auth, error) {
	c := &config{
		settings: settings{
			prefix: DefaultPathPrefix, scope: client.ScopeBase,
			pageVisit: IsPageVisit, logger: slog.Default(), now: time.Now, scanLook: scan.Budget,
		},
		wait: singleflight.Sleep, sealer: func(s cookie.Sealer) cookie.Sealer { return s },
	}
	var errs []error
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("option %d is nil; leave it out instead", i+1))
			continue
		}
		opt(c)
	}
	if c.pageVisit == nil {
		c.pageVisit = IsPageVisit
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	a := &Auth{
		settings: c.settings,
		looks:    &scan.Looks{},
		consents: &consents{ask: hook(c.authorize).quiet(), interval: c.authorizeInterval, now: c.now, until: map[string]time.Time{}},
	}
	a.environments, a.onLogin = maps.Clone(c.environments), c.onLogin.quiet()
	a.home = &gate{Auth: a}
	if err := errors.Join(append(errs, c.validate(), a.home.setAccounts(c))...); err != nil {
		return nil, prefixLines(err)
	}
	if err := errors.Join(a.setSessions(c), a.home.setFlows(c), a.setOrigin(c)); err != nil {
		return nil, prefixLines(err)
	}
	if c.accountsSet {
		a.tenants = &tenants{resolver: c.accounts, config: *c, gates: map[string]tenant{}}
		return a, a.openListed()
	}
	return a, nil
}

// setOrigin accepts forms of the host that a request came to, and no others.
// Behind a proxy that rewrites Host, that host is the base URL's. If accounts
// have hosts of their own, the proxy must pass Host on: the base URL of the
// account in the path says nothing about where a form was posted to.
func (a *Auth) setOrigin(c *config) error {
	a.origin = http.NewCrossOriginProtection()
	if c.accountsSet && !onOneHost(c.accounts) {
		return nil
	}
	if err := a.origin.AddTrustedOrigin(a.home.site); err != nil {
		return fmt.Errorf("WithBaseURL: %w", err)
	}
	return nil
}

// prefixLines names the package on each line, because start-up errors of many
// packages end up in one log.
func prefixLines(err error) error {
	lines := strings.Split(err.Error(), "\n")
	return errors.New("wechatauth: " + strings.Join(lines, "\nwechatauth: "))
}

// setAccounts makes the clients. What validate reports is passed over, so that
// each wrong option has one line.
func (g *gate) setAccounts(c *config) error {
	if g.base, _ = siteurl.Parse(c.baseURL); g.base != nil {
		g.site = g.base.String()
	}
	g.audience, g.failed = c.audience(), g.respondUnsaved
	g.pages.Store(&c.pages)
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
	if told := c.tellsOfWeChat(); told != nil {
		opts = append(opts, client.WithObserver(told))
	}
	open := func(option, appID, secret string, channel Channel, opts []client.Option) account {
		if appID == "" || (secret == "" && len(c.forAccount(secret, nil)) == 0) {
			return account{} // there is none, or validate has said what is missing
		}
		made, err := client.New(appID, secret, opts...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", option, err))
			return account{}
		}
		return account{appID: appID, channel: channel, client: made}
	}
	g.official = open("WithApp", c.appID, c.secret, ChannelWeChat, c.forAccount(c.secret, opts))
	g.mini = open("WithMiniProgram", c.miniAppID, c.miniSecret, ChannelMiniProgram, c.forAccount(c.miniSecret, opts))
	if c.websiteSecret != "" {
		g.website = open("WithWebsiteApp", c.websiteAppID, c.websiteSecret, ChannelWebsite, opts)
	}
	return errors.Join(errs...)
}

func (g *gate) setFlows(c *config) error {
	secrets := c.flowKeys
	if c.appID == "" {
		return nil // as above
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
		ring, err := seal.New("relay", c.relayKey)
		if err != nil {
			return err
		}
		g.relay = &relay{url: c.relayURL, ring: ring}
	}
	g.cookies = flow.NewJar(&cookie.Jar{
		Ring: c.sealer(ring), Secure: g.base.Scheme == "https", Bound: []string{c.appID, g.callbackURL()}, Now: c.now,
	}, cookiePrefix(g.base), g.cookieTag(c.appID))
	g.setAuthorizePages()
	g.claims = &singleflight.Group{Marks: g.sessions.Marks(), Wait: c.wait}
	return nil
}

func cookiePrefix(base *url.URL) string { return flow.Prefix(base.Scheme == "https") }

// cookieTag ends the names of an account's cookies. It is empty for a gate that
// is no single account's.
func (g *gate) cookieTag(appID string) string { return flow.Tag(appID, g.endpoint("callback")) }

// endpoint returns the path of one of our endpoints.
func (g *gate) endpoint(name string) string { return g.prefix + name + g.path }

func (g *gate) callbackURL() string { return g.absolute(g.endpoint("callback")) }

// absolute returns the URL of a path on our host, and an absolute target as it is.
func (g *gate) absolute(target string) string {
	if strings.HasPrefix(target, g.site) {
		return target
	}
	return g.site + target
}

// loginURL is the endpoint that begins a login and returns to target. again
// marks a visitor's own wish to try once more, which ends the counting of
// repeated logins.
func (g *gate) loginURL(target string, again bool) string {
	u := g.endpoint("login") + "?next=" + url.QueryEscape(target)
	if again {
		u += "&again=1"
	}
	return u
}

// Sessions returns the session manager, for the application's own values:
// behind RequireWeChat and LoadWeChat every scs call works with the request's
// context, and what is put is saved before the answer's headers leave. So
// do RenewToken and Destroy take effect: call them before the answer begins. If
// the store fails then, the answer is a 503 and the old session lives on. What a
// handler put that panics is not saved; a session that it ended is ended.
//
// The gate loads and saves, so leave LoadAndSave of this manager away. A cookie
// that it sends during a login may arrive after the login's.
func (a *Auth) Sessions() *scs.SessionManager { return a.sessions.SessionManager() }
