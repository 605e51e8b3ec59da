package wechatauth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/check"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/siteurl"
	"github.com/wechatauth/wechatauth/store"
)

// validateAccount checks what belongs to one account.
func (c *config) validateAccount() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.appID == "" || (c.secret == "" && c.platformAppID == "") {
		bad("WithApp: set the AppID and the AppSecret of the official account; both are required")
	}
	errs = append(errs, linesOf("WithEndpoints: ", siteurl.CheckOpen(c.endpoints.Open, c.sandbox)))
	for option, pair := range map[string][2]string{
		"WithApp": {c.appID, c.secret}, "WithWebsiteApp": {c.websiteAppID, c.websiteSecret}, "WithMiniProgram": {c.miniAppID, c.miniSecret},
	} {
		// An AppID is public, so a swapped AppSecret must be found here.
		if check.LooksLikeAppID(pair[1]) && !check.LooksLikeAppID(pair[0]) {
			bad("%s: the AppSecret has the form of an AppID; give the AppID first", option)
		}
	}
	if (c.websiteAppID == "") != (c.websiteSecret == "") || (c.websiteSet && c.websiteAppID == "") {
		bad("WithWebsiteApp: set both the AppID and the AppSecret of the website application, or leave the option out")
	}
	if c.websiteAppID != "" && c.websiteAppID == c.appID {
		bad("WithWebsiteApp: %s is the official account's AppID; a website application has a different one", c.appID)
	}
	if c.websiteAppID == "" && (c.environments.Uses(environment.LoginWebsite) || c.environments.Uses(environment.LoginEmbeddedQR)) {
		bad("WithEnvironment: LoginWebsite and LoginEmbeddedQR need a website application; set WithWebsiteApp")
	}
	if (c.miniAppID == "" && (c.miniSecret != "" || c.miniSet)) || (c.miniAppID != "" && c.miniSecret == "" && c.platformAppID == "") {
		bad("WithMiniProgram: set both the AppID and the AppSecret of the mini program, or leave the option out")
	}
	if c.miniAppID != "" && (c.miniAppID == c.appID || c.miniAppID == c.websiteAppID) {
		bad("WithMiniProgram: %s is another account's AppID; a mini program has a different one", c.miniAppID)
	}
	if (c.platformAppID == "") != (c.platformToken == nil) {
		bad("PlatformAppID: set PlatformToken too, the source of the platform's token; both are required")
	}
	if c.platformAppID != "" && !c.flowKeysSet {
		bad("PlatformAppID: set WithFlowKeys too; there is no AppSecret to derive keys from")
	}
	return errors.Join(errs...)
}

func (c *config) validateKeys() (errs []error) {
	checkKeys := func(option string, keys [][]byte) {
		for i, key := range keys {
			if err := seal.CheckKey(key); err != nil {
				errs = append(errs, fmt.Errorf("%s: key %d %w", option, i+1, err))
			}
		}
	}
	checkKeys("WithFlowKeys", c.flowKeys)
	checkKeys("WithSessionEncryption", c.sessionKeys)
	if c.sessionKeysSet && c.managerSet {
		errs = append(errs, errors.New("WithSessionEncryption: with WithSessionManager, wrap the manager's own store with store.Encrypt instead"))
	}
	return errs
}

func (c *config) validateSessions() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	var homes []string
	for name, set := range map[string]bool{"WithRedis": c.poolSet, "WithRedisURL": c.redisURL != nil, "WithStore": c.storeSet, "WithSessionManager": c.managerSet} {
		if set {
			homes = append(homes, name)
		}
	}
	if len(homes) > 1 {
		bad("WithRedis, WithRedisURL, WithStore and WithSessionManager are mutually exclusive (%d set): leave all but one out", len(homes))
	}
	if c.poolSet && c.pool == nil {
		bad("WithRedis: the pool is nil; store.NewPool makes one")
	}
	switch {
	case c.redisURL == nil:
	case *c.redisURL == "":
		bad("WithRedisURL: the URL is empty; give one such as \"redis://127.0.0.1:6379/0\"")
	default:
		if _, err := store.NewPool(*c.redisURL); err != nil { // which does not connect
			bad("WithRedisURL: %w", err)
		}
	}
	if c.storeSet && c.store == nil {
		bad("WithStore: the store is nil; leave the option out to keep sessions in memory")
	}
	if c.managerSet && (c.lifetime != nil || c.idle != nil || c.cookieName != nil) {
		bad("WithSessionManager: set Lifetime, IdleTimeout and Cookie on the manager itself instead of WithLifetime, WithIdleTimeout and WithCookie")
	}
	lifetime := DefaultLifetime
	if c.lifetime != nil {
		lifetime = *c.lifetime
		errs = append(errs, session.CheckLifetime("WithLifetime", lifetime)...)
	}
	if c.idle != nil && *c.idle != 0 {
		if *c.idle < session.MinLifetime || *c.idle > lifetime {
			bad("WithIdleTimeout: %v is not between %v and the lifetime, %v", *c.idle, session.MinLifetime, lifetime)
		}
	}
	if _, whole := c.store.(store.Sessions); c.store != nil && c.sessionKeysSet && !whole {
		bad("WithSessionEncryption: %T does less than store.Sessions asks for; use a store of package store", c.store)
	}
	base, _ := siteurl.Parse(c.baseURL, c.sandbox) // nil if it is wrong, which validate reports
	if c.cookieName != nil {
		errs = append(errs, session.CheckCookieName("WithCookie", *c.cookieName, base)...)
	}
	if c.managerSet {
		errs = append(errs, session.CheckManager(c.manager, base)...)
	}
	return errs
}

func (c *config) validateRelay() error {
	if !c.relaySet {
		return nil
	}
	var errs []error
	u, err := url.Parse(c.relayURL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || (u.Scheme != "https" && !(u.Scheme == "http" && siteurl.IsLoopback(u.Hostname()))) {
		errs = append(errs, fmt.Errorf("WithRelay: %q is no https URL without query and fragment, such as \"https://auth.example.com/relay\"", c.relayURL))
	}
	if err := seal.CheckKey(c.relayKey); err != nil {
		errs = append(errs, fmt.Errorf("WithRelay: the key %w", err))
	}
	if c.environments.Uses(environment.LoginEmbeddedQR) {
		errs = append(errs, errors.New("WithRelay: use LoginWebsite instead of LoginEmbeddedQR; browsers let the frame of another site lead the window to the window's own origin only, and the relay's is another"))
	}
	return errors.Join(errs...)
}

const (
	minProfileAge = time.Hour
	maxProfileAge = 30 * 24 * time.Hour
)

func (c *config) validateTokens() error {
	if c.profileMaxAge != 0 && (c.profileMaxAge < minProfileAge || c.profileMaxAge > maxProfileAge) {
		return fmt.Errorf("WithTokens: the age of a profile, %v, is not between %v and 30 days", c.profileMaxAge, minProfileAge)
	}
	return nil
}

const maxAccessInterval = time.Hour

func (c *config) validateAccessCheck() error {
	var errs []error
	if c.accessInterval < 0 || c.accessInterval > maxAccessInterval {
		errs = append(errs, fmt.Errorf("WithAccessCheck: the interval %v is not between 0 and %v", c.accessInterval, maxAccessInterval))
	}
	if c.accessSet && c.accessCheck == nil {
		errs = append(errs, errors.New("WithAccessCheck: the function is nil; leave the option out"))
	}
	return errors.Join(errs...)
}

// linesOf prefixes each line of an error.
func linesOf(prefix string, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(prefix + strings.ReplaceAll(err.Error(), "\n", "\n"+prefix))
}

// text returns all fields but the functions, which cannot be compared, and Brand,
// which can, to distinguish two accounts. It contains secrets.
func (a Account) text() string {
	return fmt.Sprintf("%t %q", a.PlatformToken == nil, []string{a.AppID, a.Secret, a.WebsiteAppID, a.WebsiteSecret, a.MiniProgramAppID, a.MiniProgramSecret, a.PlatformAppID, a.BaseURL, a.Endpoints.Open, a.Endpoints.API})
}

// An accountLister is a resolver that knows its accounts at startup.
type accountLister interface {
	Accounts() ([]Account, error)
}

// listed returns the accounts of a resolver by AppID, with an error for each
// problem. ok reports whether the resolver is an accountLister.
func listed(resolver AccountResolver) (accounts map[string]Account, errs []error, ok bool) {
	lister, ok := resolver.(accountLister)
	if !ok {
		return nil, nil, false
	}
	list, err := lister.Accounts()
	if err != nil {
		errs = append(errs, err)
	}
	accounts = map[string]Account{}
	taken := map[string]bool{} // AppIDs of whatever kind
	for _, account := range list {
		if held, ok := accounts[account.AppID]; ok {
			if held.text() != account.text() || held.Brand != account.Brand {
				errs = append(errs, fmt.Errorf("conflicting definitions of account %s", redact.Clean(account.AppID)))
			}
			continue
		}
		accounts[account.AppID] = account
		for _, appID := range []string{account.AppID, account.WebsiteAppID, account.MiniProgramAppID} {
			if appID != "" && taken[appID] {
				errs = append(errs, fmt.Errorf("%s belongs to two accounts, and its users would pass the gates of both", redact.Clean(appID)))
			}
			taken[appID] = true
		}
	}
	return accounts, errs, true
}

// haveOneHost reports whether all accounts are known and none sets a base URL.
func haveOneHost(resolver AccountResolver) bool {
	accounts, _, ok := listed(resolver)
	for _, account := range accounts {
		ok = ok && account.BaseURL == ""
	}
	return ok
}
