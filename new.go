package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/access"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/internal/siteurl"
	"github.com/wechatauth/wechatauth/store"
)

// New checks the options and returns an Auth. The error has one line for each
// invalid option, with what to set. New makes no network connections, so a
// program can start while Redis or WeChat is unavailable; [Auth.Check] tests
// both.
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
	if c.now == nil {
		c.now = time.Now
	}
	a := &Auth{
		settings:    c.settings,
		looks:       &scan.Looks{},
		accessCache: &access.Cache{Interval: c.accessInterval, Now: c.now},
	}
	a.environments, a.onLogin, a.accessCheck = maps.Clone(c.environments), c.onLogin.redacted(), c.accessCheck.redacted()
	a.home = &gate{Auth: a}
	if err := errors.Join(append(errs, c.validate(), a.home.setAccounts(c))...); err != nil {
		return nil, linesOf("wechatauth: ", err)
	}
	if err := errors.Join(a.setSessions(c), a.home.setFlows(c), a.setOrigin(c)); err != nil {
		return nil, linesOf("wechatauth: ", err)
	}
	if a.sandbox != "" {
		c.logger.Warn("wechatauth: WithSandbox: " + a.home.site + " is for trials in a private network; leave the option out in production")
	}
	if !c.accountsSet {
		return a, nil
	}
	a.gates = &gateCache{resolver: c.accounts, config: *c, gates: map[string]cachedGate{}}
	accounts, _, _ := listed(c.accounts)
	for appID := range accounts {
		if _, err := a.gateByAppID(context.Background(), appID); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// validate returns an error with one line for each invalid option, which says what
// to set.
func (c *config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.accountsSet && c.accounts == nil {
		bad("WithAccounts: the resolver is nil; package accounts makes one")
	}
	if c.accountsSet && (c.appID != "" || c.websiteSet || c.miniSet) {
		bad("WithAccounts: it knows all accounts; leave WithApp, WithWebsiteApp and WithMiniProgram out")
	}
	if c.accountsSet {
		errs = append(errs, c.validateAccounts()...)
	} else {
		errs = append(errs, c.validateAccount())
	}
	base, err := siteurl.Parse(c.baseURL, c.sandbox)
	if c.sandboxSet {
		errs = append(errs, linesOf("WithSandbox: ", siteurl.CheckSandbox(c.sandbox, base)))
	}
	errs = append(errs, linesOf("WithBaseURL: ", err), linesOf("WithBrand: ", page.Brand(c.brand).Check()), linesOf("WithPathPrefix: ", siteurl.CheckPrefix(c.prefix)))
	if c.scope != client.ScopeBase && c.scope != client.ScopeUserInfo {
		bad("WithScope: use client.ScopeBase or client.ScopeUserInfo, not %q", c.scope)
	}
	if c.snapshot < SnapshotPage || c.snapshot > SnapshotReject {
		bad("WithSnapshotPolicy: use SnapshotPage, SnapshotAnonymous or SnapshotReject, not %d", c.snapshot)
	}
	if err := c.environments.Validate(); err != nil {
		bad("WithEnvironment: %w", err)
	}
	errs = append(errs, c.validateRelay(), c.validateTokens(), c.validateAccessCheck())
	errs = append(errs, c.validateKeys()...)
	errs = append(errs, c.validateSessions()...)
	return errors.Join(errs...)
}

// setSessions creates the sessions that the options describe. The session cookie
// is a random token, not sealed; WithIdleTimeout shortens the life of the record,
// not of the cookie.
func (a *Auth) setSessions(c *config) error {
	made := session.Config{Observe: c.observed, Now: c.now, Report: a.reportSession, Failed: a.rejectLoadAndSave}
	if c.managerSet {
		if c.manager.IdleTimeout > 0 {
			c.logger.Warn("wechatauth: WithSessionManager: with IdleTimeout, scs writes the whole session and its cookie on every request: of two at once the later one undoes what the other put, and a response that arrives after that of a login replaces the new cookie by the old one; prefer WithIdleTimeout")
		}
		if domain := strings.TrimPrefix(c.manager.Cookie.Domain, "."); domain != "" {
			c.logger.Warn("wechatauth: WithSessionManager: Cookie.Domain sends the session token to every host below " + domain + "; leave it empty unless all of them are trusted")
		}
		made.Manager = c.manager
		a.sessions = session.New(made)
		return nil
	}
	inner, err := c.sessionStore()
	if err != nil {
		return err
	}
	if made.Store, err = c.encrypted(inner); err != nil {
		return err
	}
	if c.idle != nil {
		made.Idle = *c.idle
	}
	made.Lifetime = DefaultLifetime
	if c.lifetime != nil {
		made.Lifetime = *c.lifetime
	}
	made.CookieName = cookiePrefix(a.home.base) + "session" + a.home.cookieTag(c.appID)
	if c.cookieName != nil {
		made.CookieName = *c.cookieName
	}
	made.Secure = a.home.base.Scheme == "https"
	a.sessions = session.New(made)
	return nil
}

// sessionStore returns the store that the options name, or one in memory.
func (c *config) sessionStore() (session.Store, error) {
	switch {
	case c.storeSet:
		return c.store, nil
	case c.poolSet:
		return store.New(c.pool, store.WithClock(c.now)), nil
	case c.redisURL != nil:
		pool, err := store.NewPool(*c.redisURL)
		if err != nil {
			return nil, fmt.Errorf("WithRedisURL: %w", err)
		}
		return store.New(pool, store.WithClock(c.now)), nil
	}
	return store.NewMemory(store.WithClock(c.now)), nil
}

// encrypted wraps the store with WithSessionEncryption.
func (c *config) encrypted(inner session.Store) (session.Store, error) {
	if !c.sessionKeysSet {
		return inner, nil
	}
	sealed, err := store.Encrypt(inner.(store.Sessions), c.sessionKeys...) // which it is: see validateSessions
	if err != nil {
		return nil, fmt.Errorf("WithSessionEncryption: %w", err)
	}
	return sealed, nil
}

// observed wraps the store for the observer.
func (c *config) observed(inner session.Store) session.Store {
	o, ok := c.observer.(CallObserver)
	if !ok {
		return inner
	}
	return store.Observe(inner, func(ctx context.Context, call store.Call) {
		reported := Call{Service: "store", Name: call.Op, Flow: flowOf(ctx), Duration: call.Duration, Err: redact.Tokens(call.Err)}
		if call.Err != nil {
			reported.Class = strings.ReplaceAll(store.ClassOf(call.Err).String(), " ", "_")
		}
		o.ObserveCall(ctx, reported)
	})
}

// setOrigin sets from which pages forms are accepted: from the host of the request
// and, because a proxy may rewrite Host, from the base URL. If accounts have
// different hosts, only the host of the request counts, and the proxy must preserve
// Host: the base URL of the account in the path does not prove where a form was
// posted to.
func (a *Auth) setOrigin(c *config) error {
	a.origin = http.NewCrossOriginProtection()
	if c.accountsSet && !haveOneHost(c.accounts) {
		return nil
	}
	if err := a.origin.AddTrustedOrigin(a.home.site); err != nil {
		return fmt.Errorf("WithBaseURL: %w", err)
	}
	return nil
}
