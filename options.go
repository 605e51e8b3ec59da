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
	authorizeInterval time.Duration
	authorizeSet      bool
	httpClient        *http.Client
	endpoints         client.Endpoints

	// What only tests set, through internal/knob; so is settings.now.
	wait   func(ctx context.Context, d time.Duration) error
	sealer func(cookie.Sealer) cookie.Sealer
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
	onRequest    hook
	observer     Observer
	logger       *slog.Logger
	now          func() time.Time
}

// hook is a function of the application's that may refuse an identity.
type hook func(context.Context, Identity) error

// quiet makes the errors of an application's hook fit for a log: they may
// repeat whom they concern.
func (h hook) quiet() hook {
	if h == nil {
		return nil
	}
	return func(ctx context.Context, id Identity) error {
		return redact.OpenIDs(h(ctx, id), id.OpenID, id.UnionID)
	}
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

// WithMiniProgram adds a mini program (小程序), whose pages call the
// application's API. It logs in by POST mini/login and then sends its token as
// Authorization: Bearer; the identity has the mini program's AppID and Channel
// ChannelMiniProgram. A bearer token is worth nothing as a cookie, and a
// session cookie nothing as a bearer token.
func WithMiniProgram(appID, secret string) Option {
	return func(c *config) { c.miniAppID, c.miniSecret, c.miniSet = appID, secret, true }
}

// WithAccounts serves many official accounts with one gate. An identity passes
// only the gate of its own account; sessions and hooks are shared, and a browser
// may be logged in to several. The endpoints carry the AppID then, as in "/wechat/callback/wx…", so that WeChat
// sends a visitor back to the account he came from. WithApp may be left out.
// Package accounts has resolvers.
func WithAccounts(resolver AccountResolver) Option {
	return func(c *config) { c.accounts, c.accountsSet = resolver, true }
}

// Account is one official account with what belongs to it, for applications
// that serve many (WithAccounts). Its fields mean what the options of their
// names mean; empty ones are as the options say.
type Account struct {
	// AppID and Secret are the official account's, as of WithApp. Required. The
	// AppID begins with "wx".
	AppID, Secret string
	// WebsiteAppID and WebsiteSecret are a website application's, as of
	// WithWebsiteApp.
	WebsiteAppID, WebsiteSecret string
	// MiniProgramAppID and MiniProgramSecret are a mini program's, as of
	// WithMiniProgram.
	MiniProgramAppID, MiniProgramSecret string
	// BaseURL is where this account's visitors reach the application. It has
	// the same scheme as WithBaseURL's.
	BaseURL string
	// Endpoints are WeChat's hosts as this account reaches them.
	Endpoints client.Endpoints
	// Pages are this account's own.
	Pages Pages
}

// Format writes the AppID and nothing else, whatever the verb, so that no
// secret gets into a log by accident.
func (a Account) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "wechatauth.Account("+a.AppID+")")
}

// LogValue shows the AppID and nothing else.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.AppID) }

// AccountResolver finds the account of a request. Both methods are called on
// every request, must be quick, and safe for concurrent use. An error means
// that there is no such account: the visitor gets 404 and ReasonUnknownAccount.
//
// A resolver that knows all accounts at start-up, as those of package accounts
// do, has a third method, Accounts() ([]Account, error): New checks what it
// returns, and so does Check.
type AccountResolver interface {
	// AppIDOf tells which account a request is for.
	AppIDOf(r *http.Request) (appID string, err error)
	// Account returns the account of an AppID. A changed answer takes effect
	// with the next request.
	Account(ctx context.Context, appID string) (Account, error)
}

// WithComponent logs in on behalf of accounts that have authorized a
// third-party platform: official accounts and mini programs without an
// AppSecret of their own, given with an empty one in WithApp, WithMiniProgram
// or WithAccounts. The host of the base URL has to be the platform's
// 公众号开发域名. WithFlowKeys is required, since there is no AppSecret to derive
// keys from.
func WithComponent(componentAppID string, source ComponentTokenSource) Option {
	return func(c *config) { c.componentAppID, c.component, c.componentSet = componentAppID, source, true }
}

// ComponentTokenSource supplies the component_access_token of a third-party
// platform (第三方平台), which WeChat renews every two hours from a ticket that
// it pushes to the platform. It is asked for each login, so it keeps the token;
// it must be safe for concurrent use. Whoever runs a platform has a service
// for this already.
type ComponentTokenSource interface {
	// ComponentToken returns a token that is valid now. An error fails the
	// login that needs it, not the program.
	ComponentToken(ctx context.Context) (client.Secret, error)
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

// WithRelay lets WeChat send visitors back by way of a relay (package relay) at
// relayURL, such as "https://auth.example.com/relay", instead of straight to
// the base URL's host. The key is the relay's: at least 32 random bytes. It does
// not go with environment.LoginEmbeddedQR.
func WithRelay(relayURL string, key []byte) Option {
	return func(c *config) { c.relayURL, c.relayKey, c.relaySet = relayURL, key, true }
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

// WithScope sets what the gate asks for: client.ScopeBase (the default: silent,
// gives the openid) or client.ScopeUserInfo (asks for consent, gives nickname
// and avatar). WeChat shows pages that demand snsapi_userinfo as soon as they
// open in snapshot mode, so prefer ScopeBase here and RequireScope where the
// profile is needed.
func WithScope(s client.Scope) Option {
	return func(c *config) { c.scope = s }
}

// WithEnvironment sets what anonymous page visits get, by environment. The
// User-Agent that tells the environment decides what a visitor is shown, never
// what he may do. New refuses what cannot work, such as a QR code on the phone
// that should scan it. Default: see [environment.Policy].
func WithEnvironment(policy environment.Policy) Option {
	return func(c *config) { c.environments = policy }
}

// WithScanPlace tells the person on the phone where the browser is that he is
// about to log in, for LoginScan: f is called with the browser's request, and
// returns a city or a company's office, say, or "" where it is not known. It
// must be quick and safe for concurrent use. Default: no place is shown.
func WithScanPlace(f func(r *http.Request) string) Option {
	return func(c *config) { c.scanPlace = f }
}

// WithSnapshotPolicy sets what a visitor in snapshot mode is shown. Default
// SnapshotPage.
func WithSnapshotPolicy(p SnapshotPolicy) Option {
	return func(c *config) { c.snapshot = p }
}

// SnapshotPolicy says what a visitor in WeChat's snapshot mode (快照页) is
// shown. WeChat opens a page that way when it asks for snsapi_userinfo too
// early. The openid it then gives is a virtual one, which may belong to nobody
// or to somebody else, so no policy makes a login of it.
type SnapshotPolicy int

const (
	// SnapshotPage shows a page that explains the button "使用完整服务", by
	// which the visitor opens the same URL for real. The default.
	SnapshotPage SnapshotPolicy = iota
	// SnapshotAnonymous lets page visits through without an identity:
	// IdentityFromContext returns false, and an Identity with Snapshot set.
	SnapshotAnonymous
	// SnapshotRefuse answers 403 with ReasonSnapshotUser to everything.
	SnapshotRefuse
)

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

// WithAuthorize sets a function that is called for every authenticated request.
// If it returns ErrForbidden, the request is rejected with 403 and
// ReasonNotAuthorized; if it returns any other error, with 503 and
// ReasonApplicationError. Behind LoadWeChat the request is anonymous instead. If
// f returns nil, each instance calls it for the same AppID and openid again only
// after interval: up to one hour, or 0 to call it for every request. An error is
// never remembered. f must be safe for concurrent use. By default, no function
// is called.
func WithAuthorize(f func(ctx context.Context, id Identity) error, interval time.Duration) Option {
	return func(c *config) { c.onRequest, c.authorizeInterval, c.authorizeSet = f, interval, true }
}

// WithTokens keeps the tokens that WeChat returns with a login, sealed in the
// session store, for applications that call more of WeChat's API:
// [Auth.AccessToken] returns them. If profileMaxAge is not 0, nickname and avatar
// are fetched again when a logged-in user opens a page and they are older: one
// hour to 30 days. A profile that cannot be fetched stays as it was, and is
// tried again an hour later. By default, tokens are not kept.
func WithTokens(profileMaxAge time.Duration) Option {
	return func(c *config) { c.tokens, c.profileMaxAge = true, profileMaxAge }
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
