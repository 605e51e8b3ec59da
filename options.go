package wechatauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/knob"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/siteurl"
	"github.com/wechatauth/wechatauth/store"
)

// Option configures an Auth. Options are checked together in New, so their
// order does not matter; of the same option given twice, the last one counts.
type Option func(*config)

// config is what the options say, before New has checked it.
type config struct {
	settings
	appID, secret               string
	websiteAppID, websiteSecret string
	websiteSet                  bool
	miniAppID, miniSecret       string
	miniSet                     bool
	relayURL                    string
	relayKey                    []byte
	relaySet                    bool
	componentAppID              string
	component                   ComponentTokenSource
	componentSet                bool
	accounts                    AccountResolver
	accountsSet                 bool
	baseURL                     string

	pool     *redis.Pool
	poolSet  bool
	redisURL *string
	store    scs.Store
	storeSet bool
	manager  *scs.SessionManager
	mgrSet   bool

	lifetime, idle *time.Duration
	cookieName     *string
	flowKeys       [][]byte
	flowKeysSet    bool
	sessionKeys    [][]byte
	sessionKeysSet bool

	pages             Pages
	authorize         func(context.Context, Identity) error
	authorizeInterval time.Duration
	authorizeSet      bool
	httpClient        *http.Client
	endpoints         client.Endpoints

	// What only tests set, through internal/knob; so is settings.now.
	wait   func(ctx context.Context, d time.Duration) error
	sealer func(cookie.Sealer) cookie.Sealer
}

// Defaults of the options.
const (
	// DefaultPathPrefix is where the endpoints are, unless WithPathPrefix says
	// otherwise.
	DefaultPathPrefix = "/wechat/"
	// DefaultLifetime is how long a session lasts after a login, unless
	// WithLifetime says otherwise.
	DefaultLifetime = 24 * time.Hour
)

// WithApp sets the official account (公众号, a verified service account) that
// visitors log in to: its AppID and its AppSecret. AppIDs have been "wx" and 16
// hex digits so far; WeChat does not promise that, so New accepts up to 64
// letters and digits, and Check reports another form. Required, unless
// WithAccounts knows the accounts.
func WithApp(appID, secret string) Option {
	return func(c *config) { c.appID, c.secret = appID, secret }
}

// WithWebsiteApp adds a website application (网站应用) of the open platform:
// browsers outside WeChat are then sent to its QR page instead of to the
// official account, which works inside WeChat only. The identity has the
// website application's AppID and Channel ChannelWebsite. Phone browsers and
// WeCom, for which WeChat has no login, are asked to open the page in WeChat;
// tablets and TVs, whose screens a phone can scan, get the QR page.
// WithEnvironment changes who gets what. Default: none, and every browser is
// sent to the official account.
func WithWebsiteApp(appID, secret string) Option {
	return func(c *config) { c.websiteAppID, c.websiteSecret, c.websiteSet = appID, secret, true }
}

// WithEnvironment sets what anonymous page visits get, by environment. The
// User-Agent that tells the environment decides what a visitor is shown, never
// what he may do. New refuses what cannot work, such as a QR code on the phone
// that should scan it. Default: see [environment.Policy].
func WithEnvironment(policy environment.Policy) Option {
	return func(c *config) { c.environments = policy }
}

// WithBaseURL sets where visitors reach the application: scheme and host, for
// example "https://m.example.com". Required. The redirect_uri, the cookies'
// attributes and every absolute URL come from it and never from a request's
// Host or X-Forwarded headers. The host is what stands in WeChat's console as
// 网页授权域名. Plain http is accepted for loopback hosts only; a slash at the
// end makes no difference.
func WithBaseURL(u string) Option {
	return func(c *config) { c.baseURL = u }
}

// WithPathPrefix sets the path below which the endpoints are. It begins and
// ends with a slash, and has ASCII letters, digits, '-', '_' and '.' between
// slashes. Default "/wechat/".
func WithPathPrefix(prefix string) Option {
	return func(c *config) { c.prefix = prefix }
}

// WithScope sets what the gate asks for: client.ScopeBase (the default: silent,
// gives the openid) or client.ScopeUserInfo (asks for consent, gives nickname
// and avatar). WeChat shows pages that demand snsapi_userinfo as soon as they
// open in snapshot mode, so prefer ScopeBase here and RequireScope where the
// profile is needed.
func WithScope(s client.Scope) Option {
	return func(c *config) { c.scope = s }
}

// WithRedis keeps sessions in Redis, through a pool of the application's own.
// The pool needs timeouts of its own for dialing, reading and writing;
// store.NewPool makes one that has them. The application closes it.
func WithRedis(pool *redis.Pool) Option {
	return func(c *config) { c.pool, c.poolSet = pool, true }
}

// WithRedisURL keeps sessions in the Redis at a URL such as
// "redis://:password@127.0.0.1:6379/0", or "rediss://…" for TLS. The pool is
// one of store.NewPool and lives as long as the program.
func WithRedisURL(u string) Option {
	return func(c *config) { c.redisURL = &u }
}

// WithStore keeps sessions in any scs store. A store that implements the
// optional interfaces of package store holds what they promise; with one that
// does not, a request in flight during a logout may bring the session back,
// and the callbacks that WeChat doubles are joined on one instance only.
func WithStore(s scs.Store) Option {
	return func(c *config) { c.store, c.storeSet = s, true }
}

// WithSessionManager uses the application's own scs manager, with its store,
// cookie and lifetimes. New puts a guard in front of m.Store, which keeps a
// request from bringing a session back that ended meanwhile; call it before m
// serves requests. Leave LoadAndSave away: RequireWeChat and LoadWeChat load and
// save. Set m.HashTokenInStore, so that a reader of the store finds no token.
//
// The guard also protects routes that only LoadAndSave serves. There scs sends
// the cookie with every write: a response that arrives after that of a login
// replaces the new cookie by the old one. With the manager's IdleTimeout every
// request writes.
func WithSessionManager(m *scs.SessionManager) Option {
	return func(c *config) { c.manager, c.mgrSet = m, true }
}

// WithLifetime sets how long a session lasts after a login, whatever happens:
// one minute to 400 days. Default 24 hours.
func WithLifetime(d time.Duration) Option {
	return func(c *config) { c.lifetime = &d }
}

// WithIdleTimeout ends sessions that are not used for so long: one minute up
// to the lifetime. Default 0: sessions end by their lifetime only. Use is
// noted by moving the record's expiry, in each instance at most once in a
// twentieth of d.
func WithIdleTimeout(d time.Duration) Option {
	return func(c *config) { c.idle = &d }
}

// WithCookie names the session cookie. Default "__Host-wechat_session_" and six
// characters that belong to the AppID and the path prefix, so that gates on
// one host have sessions of their own; without these with WithAccounts, and
// without "__Host-" where the base URL is plain http. Browsers hold a cookie
// whose name begins with "__Host-" against neighbouring domains.
func WithCookie(name string) Option {
	return func(c *config) { c.cookieName = &name }
}

// WithFlowKeys sets the secrets that pending logins are sealed with, and,
// without WithSessionEncryption, what the store keeps of logins: entries of
// web-views, outcomes, WeChat's tokens and session_keys. Each has at least 32
// random bytes. The current one seals; the previous ones still open,
// so that keys can be rotated. Without it the key is derived from the
// AppSecret, which serves all instances alike.
func WithFlowKeys(current []byte, previous ...[]byte) Option {
	return func(c *config) {
		c.flowKeys, c.flowKeysSet = append([][]byte{current}, previous...), true
	}
}

// WithSessionEncryption encrypts session records in the store, bound to their
// token: who can read or write the store can neither read a session nor make
// one. Keys are at least 32 random bytes. The current one seals; the previous
// ones still open. Sessions from before it was turned on end. Everything else
// in the store that decides who a user is is sealed with keys derived from
// these too, so neither a writer of the store nor a holder of the AppSecret can
// make it. It needs
// WithRedis, WithRedisURL, a store of package store, or sessions in memory.
func WithSessionEncryption(current []byte, previous ...[]byte) Option {
	return func(c *config) {
		c.sessionKeys, c.sessionKeysSet = append([][]byte{current}, previous...), true
	}
}

// WithPageVisit replaces [IsPageVisit] as the rule that distinguishes page
// visits, which are redirected, from other requests, which get a 401. It is
// called for GET and HEAD requests; other methods are never redirected. The
// rule alone decides: call IsPageVisit in it to widen or narrow the default. It
// must be safe for concurrent use. The default is IsPageVisit.
func WithPageVisit(rule func(*http.Request) bool) Option {
	return func(c *config) { c.pageVisit = rule }
}

// WithPages replaces the embedded pages, which are in Chinese and English, by
// what Accept-Language asks for.
func WithPages(p Pages) Option {
	return func(c *config) { c.pages = p }
}

// WithErrorHandler replaces the answer to every visitor that is stopped: pages
// and JSON alike. Cookies and the headers against caching are set before f is
// called. f must answer with failure.Status or another status above 399, and be
// safe for concurrent use. Default: the embedded pages, and JSON.
func WithErrorHandler(f func(w http.ResponseWriter, r *http.Request, failure Failure)) Option {
	return func(c *config) { c.errorHandler = f }
}

// WithVerifyFile serves the file by which a console of WeChat checks who owns the
// domain, at the root of the site, without a login: "MP_verify_" or "WW_verify_"
// and 16 characters, or ten characters alone, then ".txt". It works where the gate wraps the whole application;
// otherwise mount the Auth at that path too. May be given several times.
func WithVerifyFile(name, content string) Option {
	return func(c *config) {
		if c.verifyFiles == nil {
			c.verifyFiles = map[string]string{}
		}
		c.verifyFiles[name] = content
	}
}

// WithOnLogin sets a function that is called for every login, after WeChat has
// confirmed the identity and before the session is saved. Use it to find or
// create your own user record. ctx holds the session, so
// auth.Sessions().Put(ctx, "uid", 7) is saved with the login. If f returns
// ErrForbidden, the login is rejected with 403 and ReasonNotAuthorized; if it
// returns any other error or panics, the login fails with 503 and
// ReasonApplicationError. Nothing that f has put is saved then. ctx has the
// values of the request's context. It is not canceled when the client
// disconnects; its deadline is eight seconds after the callback starts. f must
// be safe for concurrent use. By default, no function is called.
func WithOnLogin(f func(ctx context.Context, id Identity) error) Option {
	return func(c *config) { c.onLogin = f }
}

// WithObserver is told of every event. Default: nobody is.
func WithObserver(o Observer) Option {
	return func(c *config) { c.observer = o }
}

// WithLogger sets where operators read what happened: one record per event,
// never a secret, code, token or whole openid. Default slog.Default().
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.logger = l }
}

// WithHTTPClient sets the HTTP client for WeChat's API, for a proxy or
// tracing. See client.WithHTTPClient for what is kept of it. Default: one with
// a timeout of five seconds for each call.
func WithHTTPClient(h *http.Client) Option {
	return func(c *config) { c.httpClient = h }
}

// WithEndpoints replaces WeChat's hosts, by a simulator or a relay. Default:
// WeChat's own.
func WithEndpoints(e client.Endpoints) Option {
	return func(c *config) { c.endpoints = e }
}

func init() {
	knob.Option = func(k knob.Knobs) any {
		return Option(func(c *config) {
			if k.Now != nil {
				c.now = k.Now
			}
			if k.Wait != nil {
				c.wait = k.Wait
			}
			if k.Sealer != nil {
				c.sealer = k.Sealer
			}
			c.scanLook = cmp.Or(k.ScanLook, c.scanLook)
			if k.With != nil {
				k.With(c.now).(Option)(c)
			}
		})
	}
}

const (
	minLifetime = time.Minute
	// maxLifetime: browsers cap cookies at 400 days, and far larger values
	// overflow in stores.
	maxLifetime = 400 * 24 * time.Hour
)

// validate collects everything that is wrong, one line each, each saying what
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
	_, err := siteurl.Parse(c.baseURL)
	errs = append(errs, linesOf("WithBaseURL: ", err), linesOf("WithPathPrefix: ", siteurl.CheckPrefix(c.prefix)))
	if c.scope != client.ScopeBase && c.scope != client.ScopeUserInfo {
		bad("WithScope: use client.ScopeBase or client.ScopeUserInfo, not %q", c.scope)
	}
	if c.snapshot < SnapshotPage || c.snapshot > SnapshotRefuse {
		bad("WithSnapshotPolicy: use SnapshotPage, SnapshotAnonymous or SnapshotRefuse, not %d", c.snapshot)
	}
	for name, content := range c.verifyFiles {
		errs = append(errs, checkVerifyFile(name, content)...)
	}
	if err := c.environments.Validate(); err != nil {
		bad("WithEnvironment: %w", err)
	}
	errs = append(errs, c.validateComponent(), c.validateRelay(), c.validateTokens(), c.validateAuthorize())
	errs = append(errs, c.validateKeys()...)
	errs = append(errs, c.validateSessions()...)
	return errors.Join(errs...)
}

// validateAccount checks what belongs to one account.
func (c *config) validateAccount() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.appID == "" || (c.secret == "" && !c.componentSet) {
		bad("WithApp: set the AppID and the AppSecret of the official account; both are required")
	}
	for option, pair := range map[string][2]string{
		"WithApp": {c.appID, c.secret}, "WithWebsiteApp": {c.websiteAppID, c.websiteSecret}, "WithMiniProgram": {c.miniAppID, c.miniSecret},
	} {
		// An AppID is shown to everybody, so this one has to be found here.
		if appIDShape.MatchString(pair[1]) && !appIDShape.MatchString(pair[0]) {
			bad("%s: the AppSecret has the form of an AppID; give the AppID first", option)
		}
	}
	if (c.websiteAppID == "") != (c.websiteSecret == "") || (c.websiteSet && c.websiteAppID == "") {
		bad("WithWebsiteApp: set both the AppID and the AppSecret of the website application, or leave the option out")
	}
	if c.websiteAppID != "" && c.websiteAppID == c.appID {
		bad("WithWebsiteApp: a website application has an AppID of its own; %s is the official account's", c.appID)
	}
	if c.websiteAppID == "" && (c.environments.Uses(environment.LoginWebsite) || c.environments.Uses(environment.LoginEmbeddedQR)) {
		bad("WithEnvironment: LoginWebsite and LoginEmbeddedQR need a website application; set WithWebsiteApp")
	}
	if ((c.miniAppID == "") != (c.miniSecret == "") && !c.componentSet) || (c.miniSet && c.miniAppID == "") {
		bad("WithMiniProgram: set both the AppID and the AppSecret of the mini program, or leave the option out")
	}
	if c.miniAppID != "" && (c.miniAppID == c.appID || c.miniAppID == c.websiteAppID) {
		bad("WithMiniProgram: a mini program has an AppID of its own; %s is another account's", c.miniAppID)
	}
	return errors.Join(errs...)
}

// audience is whose identities pass the gate.
func (c *config) audience() session.Audience {
	appIDs := []string{c.appID}
	for _, more := range []string{c.websiteAppID, c.miniAppID} {
		if more != "" {
			appIDs = append(appIDs, more)
		}
	}
	return session.Audience{AppIDs: appIDs, Bearer: c.miniAppID != ""}
}

func (c *config) validateKeys() (errs []error) {
	check := func(option string, keys [][]byte) {
		for i, key := range keys {
			if err := seal.CheckKey(key); err != nil {
				errs = append(errs, fmt.Errorf("%s: key %d %w", option, i+1, err))
			}
		}
	}
	check("WithFlowKeys", c.flowKeys)
	check("WithSessionEncryption", c.sessionKeys)
	if c.sessionKeysSet && c.mgrSet {
		errs = append(errs, errors.New("WithSessionEncryption: with WithSessionManager, wrap the manager's own store with store.Encrypt instead"))
	}
	return errs
}

func (c *config) validateSessions() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	var homes []string
	for name, set := range map[string]bool{"WithRedis": c.poolSet, "WithRedisURL": c.redisURL != nil, "WithStore": c.storeSet, "WithSessionManager": c.mgrSet} {
		if set {
			homes = append(homes, name)
		}
	}
	if len(homes) > 1 {
		bad("sessions have one home: use one of WithRedis, WithRedisURL, WithStore and WithSessionManager, not %d of them", len(homes))
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
	if c.mgrSet && (c.lifetime != nil || c.idle != nil || c.cookieName != nil) {
		bad("WithSessionManager: set Lifetime, IdleTimeout and Cookie on the manager itself instead of WithLifetime, WithIdleTimeout and WithCookie")
	}
	lifetime := DefaultLifetime
	if c.lifetime != nil {
		lifetime = *c.lifetime
		errs = append(errs, checkLifetime("WithLifetime", lifetime)...)
	}
	if c.idle != nil && *c.idle != 0 {
		if *c.idle < minLifetime || *c.idle > lifetime {
			bad("WithIdleTimeout: %v is not between %v and the lifetime, %v", *c.idle, minLifetime, lifetime)
		}
	}
	if c.storeSet && c.store != nil && len(c.validateKeys()) == 0 {
		_, err := c.encrypted(c.store)
		errs = append(errs, err)
	}
	base, _ := siteurl.Parse(c.baseURL) // nil if it is wrong, which validate reports
	if c.cookieName != nil {
		errs = append(errs, checkCookie("WithCookie", &scs.SessionCookie{
			Name: *c.cookieName, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: base == nil || base.Scheme == "https",
		}, base)...)
	}
	if c.mgrSet {
		errs = append(errs, checkManager(c.manager, base)...)
	}
	return errs
}

func checkLifetime(option string, d time.Duration) (errs []error) {
	if d < minLifetime || d > maxLifetime {
		errs = append(errs, fmt.Errorf("%s: %v is not between %v and 400 days", option, d, minLifetime))
	}
	return errs
}

// checkManager refuses a manager whose sessions could not last: each of these
// settings makes logins succeed and never be seen again, which is a loop.
func checkManager(m *scs.SessionManager, base *url.URL) (errs []error) {
	if m == nil {
		return []error{errors.New("WithSessionManager: the manager is nil; make one with scs.New()")}
	}
	if m.Store == nil || m.Codec == nil {
		return []error{errors.New("WithSessionManager: the manager has no Store or no Codec; make it with scs.New() and change its fields")}
	}
	errs = append(errs, checkLifetime("WithSessionManager: Lifetime", m.Lifetime)...)
	if m.IdleTimeout != 0 && (m.IdleTimeout < minLifetime || m.IdleTimeout > m.Lifetime) {
		errs = append(errs, fmt.Errorf("WithSessionManager: IdleTimeout: %v is not between %v and the lifetime, %v", m.IdleTimeout, minLifetime, m.Lifetime))
	}
	return append(errs, checkCookie("WithSessionManager: Cookie", &m.Cookie, base)...)
}

func checkCookie(option string, c *scs.SessionCookie, base *url.URL) (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(option+": "+format, args...)) }
	if base == nil { // any that fits
		base = &url.URL{Scheme: map[bool]string{true: "https", false: "http"}[c.Secure], Host: strings.TrimPrefix(c.Domain, ".")}
	}

	if err := (&http.Cookie{Name: c.Name, Value: "x"}).Valid(); err != nil {
		bad("%q is no cookie name: use letters, digits, '-' and '_'", c.Name)
	}
	if word, ours := strings.CutPrefix(strings.ToLower(c.Name), strings.ToLower(cookiePrefix(base))); ours && !strings.HasPrefix(word, "session") {
		bad("%q is a name of this library's own cookies; choose one that does not begin with %q", c.Name, cookiePrefix(base))
	}
	https := base.Scheme == "https"
	if c.Secure && !https {
		bad("Secure cookies are not sent back over plain http; set Secure to false or the base URL to https")
	}
	if !c.Secure && https {
		bad("set Secure: the base URL is https")
	}
	if !c.HttpOnly {
		bad("set HttpOnly: without it, a script that gets into a page reads the session token")
	}
	switch c.SameSite {
	case http.SameSiteLaxMode:
	case http.SameSiteStrictMode:
		bad("SameSite=Strict cookies are not sent on the way back from WeChat; use http.SameSiteLaxMode")
	case http.SameSiteNoneMode:
		bad("SameSite=None lets other sites use the session; use http.SameSiteLaxMode")
	default:
		bad("SameSite is not set, and browsers differ in what that means; use http.SameSiteLaxMode")
	}
	if c.Path != "/" {
		bad("Path %q does not cover the whole application; use \"/\"", c.Path)
	}
	if c.Domain != "" && !domainCovers(c.Domain, base.Hostname()) {
		bad("Domain %q does not cover the base URL's host %s; leave it empty", c.Domain, base.Hostname())
	}
	for _, p := range []string{"__Host-", "__Secure-"} {
		if strings.HasPrefix(strings.ToLower(c.Name), strings.ToLower(p)) && !https {
			bad("browsers take a cookie named %s… over https only", p)
		}
	}
	if strings.HasPrefix(strings.ToLower(c.Name), "__host-") && c.Domain != "" {
		bad("browsers refuse a cookie named __Host-… that has a Domain; leave Domain empty")
	}
	return errs
}

func domainCovers(domain, host string) bool {
	domain = strings.ToLower(strings.TrimPrefix(domain, "."))
	return domain == host || strings.HasSuffix(host, "."+domain)
}
