package wechatauth

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/knob"
	"github.com/wechatauth/wechatauth/internal/redact"
)

// An Option configures an [Auth]. New checks all options together, so their
// order does not matter. If an option is given twice, the last one counts.
type Option func(*config)

// settings are the options that all accounts share.
type settings struct {
	prefix        string // "/wechat/"
	scope         client.Scope
	environments  environment.Policy
	sandbox       string        // host
	scanLook      time.Duration // how long one look at the store may take
	tokens        bool
	profileMaxAge time.Duration
	snapshot      SnapshotPolicy

	pageVisit    func(*http.Request) bool
	errorHandler func(http.ResponseWriter, *http.Request, Failure)
	onLogin      hook
	accessCheck  hook
	observer     Observer
	logger       *slog.Logger
	now          func() time.Time
	httpClient   *http.Client
}

// config holds the options before New has checked them.
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
	platformAppID               string
	platformToken               tokenFunc
	accounts                    AccountResolver
	accountsSet                 bool
	baseURL                     string

	pool       *redis.Pool
	poolSet    bool
	redisURL   *string
	store      scs.Store
	storeSet   bool
	manager    *scs.SessionManager
	managerSet bool

	lifetime, idle *time.Duration
	cookieName     *string
	flowKeys       [][]byte
	flowKeysSet    bool
	sessionKeys    [][]byte
	sessionKeysSet bool

	brand          Brand
	pages          pageFunc
	accessInterval time.Duration
	accessSet      bool
	sandboxSet     bool
	endpoints      client.Endpoints

	// Set only by tests, through internal/knob.
	wait   func(ctx context.Context, d time.Duration) error
	sealer func(cookie.Sealer) cookie.Sealer
}

// A tokenFunc is Account.PlatformToken.
type tokenFunc = func(context.Context) (client.Secret, error)

// A hook is a function of the application that may reject an identity.
type hook func(context.Context, Identity) error

// redacted removes the openid and the unionid from the errors of a hook.
func (h hook) redacted() hook {
	if h == nil {
		return nil
	}
	return func(ctx context.Context, id Identity) error {
		return redact.OpenIDs(h(ctx, id), id.OpenID, id.UnionID)
	}
}

// Defaults of the options.
const (
	// DefaultPathPrefix is the default of [WithPathPrefix].
	DefaultPathPrefix = "/wechat/"
	// DefaultLifetime is the default of [WithLifetime].
	DefaultLifetime = 24 * time.Hour
)

// WithApp sets the AppID and the AppSecret of the official account (公众号, a
// verified service account) that users log in to. It is required without
// [WithAccounts]. AppIDs have been "wx" and 16 hex digits so far, which WeChat
// does not promise: New accepts up to 64 letters and digits, and [Auth.Check]
// reports any other form.
func WithApp(appID, secret string) Option {
	return func(c *config) { c.appID, c.secret = appID, secret }
}

// WithWebsiteApp adds a website application (网站应用) of the open platform.
// Browsers outside WeChat are then sent to its QR code page, because the
// official account works inside WeChat only. The identity has the website
// application's AppID and [ChannelWebsite]. Phone browsers and WeCom, for which
// WeChat has no login, show a page that asks the user to open the URL in
// WeChat; tablets and TVs, whose screens a phone can scan, get the QR code
// page. [WithEnvironment] changes this. By default, every browser is sent to
// the official account.
func WithWebsiteApp(appID, secret string) Option {
	return func(c *config) { c.websiteAppID, c.websiteSecret, c.websiteSet = appID, secret, true }
}

// WithMiniProgram adds a mini program (小程序) whose pages call the application's
// API. It logs in with POST mini/login and sends the token it gets as
// Authorization: Bearer. The identity has the mini program's AppID and
// [ChannelMiniProgram]. A bearer token is not valid as a cookie, nor a session
// cookie as a bearer token.
func WithMiniProgram(appID, secret string) Option {
	return func(c *config) { c.miniAppID, c.miniSecret, c.miniSet = appID, secret, true }
}

// WithAccounts serves many official accounts with one middleware. An identity
// is valid for its own account only; sessions and hooks are shared, and a
// browser may be logged in with several accounts. The paths of the endpoints
// then end in the AppID, as in "/wechat/callback/wx…", so that a callback names
// the account of its login. WithApp may be omitted. Package accounts provides
// resolvers.
func WithAccounts(resolver AccountResolver) Option {
	return func(c *config) { c.accounts, c.accountsSet = resolver, true }
}

// An Account describes an official account and what belongs to it, for
// [WithAccounts]. Each field has the meaning and the default of the option with
// the same name.
type Account struct {
	// AppID and Secret are those of WithApp. They are required, and the AppID
	// must begin with "wx".
	AppID, Secret string
	// WebsiteAppID and WebsiteSecret are those of WithWebsiteApp.
	WebsiteAppID, WebsiteSecret string
	// MiniProgramAppID and MiniProgramSecret are those of WithMiniProgram.
	MiniProgramAppID, MiniProgramSecret string
	// BaseURL is where the account's users reach the application. Its scheme
	// must be that of WithBaseURL.
	BaseURL string
	// Endpoints are WeChat's hosts for this account.
	Endpoints client.Endpoints
	// PlatformAppID is the AppID of a third-party platform (第三方平台) that the
	// account has authorized, which then logs in on its behalf: Secret or
	// MiniProgramSecret, or both, may be empty. The host of BaseURL must be the
	// platform's 公众号开发域名. WithFlowKeys is required, because there is no AppSecret
	// to derive keys from.
	PlatformAppID string
	// PlatformToken returns the platform's component_access_token, which WeChat
	// renews every two hours from a ticket that it pushes to the platform. If it
	// returns an error, the login fails. It is called for each login, so it should
	// cache the token, and it must be safe for concurrent use. Platform operators
	// usually already run a service that provides it.
	PlatformToken func(context.Context) (client.Secret, error)
	// Brand is the site of this account's pages. If any of its fields is set, those
	// of WithBrand do not count.
	Brand Brand
	// Pages renders this account's pages.
	Pages func(w io.Writer, p Page) error
}

// Format writes the AppID only, whatever the verb, so that no secret gets into
// a log by accident.
func (a Account) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatauth.Account("+a.AppID+")")
}

// LogValue returns the AppID only.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.AppID) }

// An AccountResolver finds the account of a request. Both methods are called
// for every request and must be fast and safe for concurrent use. If one
// returns an error, the request is rejected with 404 and
// [ReasonUnknownAccount].
//
// A resolver that knows all accounts at startup, such as those of package
// accounts, also has a method Accounts() ([]Account, error). New and
// [Auth.Check] check the accounts it returns.
type AccountResolver interface {
	// ResolveAppID returns the AppID of the account that a request is for.
	ResolveAppID(r *http.Request) (appID string, err error)
	// Account returns the account of an AppID. A changed result takes effect
	// with the next request.
	Account(ctx context.Context, appID string) (Account, error)
}

// WithBaseURL sets where users reach the application: scheme and host, such as
// "https://m.example.com". It is required. The redirect_uri, the cookies'
// attributes and every absolute URL are built from it, never from a request's
// Host or X-Forwarded headers. The host must be entered in WeChat's console as
// 网页授权域名. Plain http is accepted for loopback hosts and that of [WithSandbox]
// only. A trailing slash is ignored.
func WithBaseURL(u string) Option {
	return func(c *config) { c.baseURL = u }
}

// WithSandbox lets phones in a private network try the application, without a
// certificate: for host, a private IP address such as "192.168.1.20", [WithBaseURL]
// accepts plain http and a port, and [WithEndpoints] plain http for Open, the pages
// of a simulator. New rejects a host that is not that of the base URL. Anyone who can read the network
// can take over the sessions, so use test accounts: every page says so, and New
// logs a warning.
func WithSandbox(host string) Option {
	return func(c *config) { c.sandbox, c.sandboxSet = host, true }
}

// WithPathPrefix sets the path below which the endpoints are served. It must
// begin and end with a slash; segments may contain ASCII letters, digits, '-',
// '_' and '.'. The default is "/wechat/".
func WithPathPrefix(prefix string) Option {
	return func(c *config) { c.prefix = prefix }
}

// WithRelay makes WeChat redirect to a relay (package relay) at relayURL, such
// as "https://auth.example.com/relay", instead of to the host of the base URL.
// The key is the relay's and has at least 32 random bytes. It cannot be
// combined with environment.LoginEmbeddedQR.
func WithRelay(relayURL string, key []byte) Option {
	return func(c *config) { c.relayURL, c.relayKey, c.relaySet = relayURL, key, true }
}

// WithScope sets the scope that a login requests: client.ScopeBase, which is
// silent and returns the openid, or client.ScopeUserInfo, which asks for
// consent and returns nickname and avatar. WeChat opens pages that request
// snsapi_userinfo right away in snapshot mode, so prefer ScopeBase here and use
// [Auth.RequireScope] where the profile is needed. The default is
// client.ScopeBase.
func WithScope(s client.Scope) Option {
	return func(c *config) { c.scope = s }
}

// WithEnvironment sets what unauthenticated page visits get, by environment.
// The User-Agent, from which the environment is derived, decides what is shown,
// never what is allowed. New rejects what cannot work, such as a QR code on the
// phone that should scan it. The defaults are those of [environment.Policy].
func WithEnvironment(policy environment.Policy) Option {
	return func(c *config) { c.environments = policy }
}

// WithSnapshotPolicy sets what is shown to users in snapshot mode. The default
// is [SnapshotPage].
func WithSnapshotPolicy(p SnapshotPolicy) Option {
	return func(c *config) { c.snapshot = p }
}

// A SnapshotPolicy is what users in WeChat's snapshot mode (快照页) are shown.
// WeChat opens a page in that mode if it asks for snsapi_userinfo too early.
// WeChat then returns a virtual openid, which identifies no user or even a
// different one, so no policy creates a session from it.
type SnapshotPolicy int

const (
	// SnapshotPage shows a page that explains the button "使用完整服务", with which
	// the user opens the URL in full. It is the default.
	SnapshotPage SnapshotPolicy = iota
	// SnapshotAnonymous serves page visits without an identity:
	// IdentityFromContext returns false, and an Identity with Snapshot set.
	SnapshotAnonymous
	// SnapshotReject rejects every request with 403 and ReasonSnapshotUser.
	SnapshotReject
)

// WithPageVisit sets the function that distinguishes page visits, which are
// redirected, from other requests, which get a 401. rule is called for GET and
// HEAD requests; other methods are never redirected. It replaces [IsPageVisit],
// so call IsPageVisit in it to widen or narrow the default. rule must be safe
// for concurrent use.
func WithPageVisit(rule func(*http.Request) bool) Option {
	return func(c *config) { c.pageVisit = rule }
}

// WithBrand sets the name, logo and color of your site, and where its pages lead.
// They are on every page of this library. The default is the host of the base URL.
func WithBrand(b Brand) Option {
	return func(c *config) { c.brand = b }
}

// WithPages sets a function that writes the HTML of a page to w. It is called
// once for each response, and must be safe for concurrent use. Its output is
// buffered: if it returns an error or panics, the built-in page is used instead.
// The built-in pages are in Chinese or English, as negotiated with
// Accept-Language.
//
// Use html/template, which escapes the URLs of p. The Content-Security-Policy
// of a page allows its own <style> elements, and style sheets, images and fonts
// of the site, but no style attribute and no script but Page.Script. Users who
// are not logged in must be able to load them.
func WithPages(f func(w io.Writer, p Page) error) Option {
	return func(c *config) { c.pages = f }
}

// WithErrorHandler sets a function that responds to every rejected request,
// pages and JSON alike. Cookies and headers against caching are set before f is
// called. f must respond with failure.Status or another status above 399, and
// must be safe for concurrent use. The default is the built-in pages and JSON.
func WithErrorHandler(f func(w http.ResponseWriter, r *http.Request, failure Failure)) Option {
	return func(c *config) { c.errorHandler = f }
}

// WithRedis stores sessions in Redis through the application's pool, which the
// application closes. The pool needs timeouts for dialing, reading and writing,
// such as those of store.NewPool.
func WithRedis(pool *redis.Pool) Option {
	return func(c *config) { c.pool, c.poolSet = pool, true }
}

// WithRedisURL stores sessions in the Redis at a URL such as
// "redis://:password@127.0.0.1:6379/0", or "rediss://…" for TLS. The pool is
// created with store.NewPool and is never closed.
func WithRedisURL(u string) Option {
	return func(c *config) { c.redisURL = &u }
}

// WithStore stores sessions in any scs store. The guarantees of package store
// hold for a store that implements its optional interfaces. With any other
// store, a request in flight during a logout may restore the session, and
// duplicate callbacks share a result within one process only.
func WithStore(s scs.Store) Option {
	return func(c *config) { c.store, c.storeSet = s, true }
}

// WithSessionManager uses the application's scs manager, with its store, cookie
// and lifetimes. New wraps m.Store so that a request cannot restore a session
// that ended while it ran; call New before m serves requests. Do not also use
// m.LoadAndSave; RequireWeChat and LoadWeChat load and save the session. Set
// m.HashTokenInStore, so that an attacker with read access to the store finds
// no token.
//
// The wrapped store also protects routes that only LoadAndSave serves. There,
// scs sends the cookie with every write: a response that arrives after that of
// a login replaces the new cookie with the old one. With the manager's
// IdleTimeout every request writes.
func WithSessionManager(m *scs.SessionManager) Option {
	return func(c *config) { c.manager, c.managerSet = m, true }
}

// WithLifetime sets how long a session lasts after a login, however much it is
// used. d must be between one minute and 400 days. The default is 24 hours.
func WithLifetime(d time.Duration) Option {
	return func(c *config) { c.lifetime = &d }
}

// WithIdleTimeout sets how long a session may go unused before it expires. d
// must be between one minute and the session lifetime. Each process extends a
// session at most once in a twentieth of d. The default, 0, disables the idle
// timeout.
func WithIdleTimeout(d time.Duration) Option {
	return func(c *config) { c.idle = &d }
}

// WithCookie sets the name of the session cookie. The default is
// "__Host-wechat_session_" and six characters derived from the AppID and the
// path prefix, so that several Auths on one host have separate sessions. With
// WithAccounts it has no such suffix, and with a base URL on plain http no
// "__Host-". Browsers protect a cookie whose name begins with "__Host-" from
// neighboring domains.
func WithCookie(name string) Option {
	return func(c *config) { c.cookieName = &name }
}

// WithSessionEncryption encrypts session records in the store and binds them to
// their token, so that an attacker with access to the store can neither read
// nor create a session. Keys have at least 32 random bytes. The current key
// encrypts, and the previous ones still decrypt. Sessions from before it was
// enabled end. Everything else in the store on which a user's identity depends
// is sealed with keys derived from these too, so that neither write access to
// the store nor the AppSecret suffices to forge it. It requires WithRedis,
// WithRedisURL, a store of package store, or sessions in memory.
func WithSessionEncryption(current []byte, previous ...[]byte) Option {
	return func(c *config) {
		c.sessionKeys, c.sessionKeysSet = append([][]byte{current}, previous...), true
	}
}

// WithFlowKeys sets the secrets that seal pending logins and, without
// WithSessionEncryption, what the store keeps of logins: web-view tickets,
// results, WeChat's tokens and session_keys. Each has at least 32 random bytes.
// The current one seals, and the previous ones still open. By default, the key
// is derived from the AppSecret, which is the same in all instances.
func WithFlowKeys(current []byte, previous ...[]byte) Option {
	return func(c *config) {
		c.flowKeys, c.flowKeysSet = append([][]byte{current}, previous...), true
	}
}

// WithOnLogin sets a function that is called for every login, after WeChat has
// confirmed the identity and before the session is saved. Use it to find or
// create your own user record. ctx holds the session, so
// auth.Sessions().Put(ctx, "uid", 7) is saved with the login. If f returns
// [ErrForbidden], the login is rejected with 403 and [ReasonNotAuthorized]; if
// it returns any other error, the login fails with 503 and
// [ReasonApplicationError]. If f panics, so does the request, and its duplicates
// get that 503. Values that f put into the session are then not saved. ctx has the values of the request's context. It is not canceled when
// the client disconnects; its deadline is at most eight seconds away.
//
// f is not called for a web-view that a mini program opens, which continues the
// login of the mini program. It is called again, with the context of the page's
// request, if a profile that [WithTokens] refreshes has a new unionid. f must
// be safe for concurrent use. By default, no function is called.
func WithOnLogin(f func(ctx context.Context, id Identity) error) Option {
	return func(c *config) { c.onLogin = f }
}

// WithAccessCheck sets a function that is called for every authenticated request.
// If it returns [ErrForbidden], the request is rejected with 403 and
// [ReasonNotAuthorized]; if it returns any other error, with 503 and
// [ReasonApplicationError]. Behind LoadWeChat the request is anonymous instead.
// If f returns nil, each process calls it for the same AppID and openid again
// only after interval, which must be at most one hour; 0 calls it for every
// request. An error is never cached. f must be safe for concurrent use. By
// default, no function is called.
func WithAccessCheck(f func(ctx context.Context, id Identity) error, interval time.Duration) Option {
	return func(c *config) { c.accessCheck, c.accessInterval, c.accessSet = f, interval, true }
}

// WithTokens stores the tokens that WeChat returns with a login, sealed, for
// calls of WeChat's API: see [Auth.AccessToken]. If profileMaxAge is not 0,
// nickname and avatar are fetched again when a logged-in user opens a page and
// they are older than that; profileMaxAge must be 0 or between one hour and 30
// days. A profile that cannot be fetched stays as it was, and is retried an
// hour later. By default, tokens are discarded after login.
func WithTokens(profileMaxAge time.Duration) Option {
	return func(c *config) { c.tokens, c.profileMaxAge = true, profileMaxAge }
}

// WithObserver sets observers that receive every event, in this order. Nil ones are
// ignored. By default, there is none.
func WithObserver(all ...Observer) Option {
	return func(c *config) { c.observer = multiObserver(all) }
}

// WithLogger sets the logger. Each event is one record. Records never contain
// an AppSecret, code, token or complete openid. The default is slog.Default().
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.logger = l }
}

// WithHTTPClient sets the HTTP client for calls of WeChat's API, such as one
// with a proxy or tracing. See client.WithHTTPClient for which of its settings
// are used. The default has a timeout of five seconds for each call. Its
// Transport also sends the requests of [Auth.CheckSite].
func WithHTTPClient(h *http.Client) Option {
	return func(c *config) { c.httpClient = h }
}

// WithEndpoints replaces WeChat's hosts, for example with a simulator. The
// defaults are WeChat's own.
func WithEndpoints(e client.Endpoints) Option {
	return func(c *config) { c.endpoints = e }
}

// WithClock sets the clock, for tests of expiry. A store that New creates uses it
// too. A store of WithStore and WeChat's simulator have their own clocks
// (store.WithClock, wechattest.WithClock): give all of them the same function.
// Redis deletes records by the real time, which no option changes, so test
// WithIdleTimeout with sessions in memory. scs counts the lifetime of a session
// without a login by the real time, too. now must be safe for concurrent use.
// The default is time.Now.
func WithClock(now func() time.Time) Option {
	return func(c *config) { c.now = now }
}

func init() {
	knob.Option = func(k knob.Knobs) any {
		return Option(func(c *config) {
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
