package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/alexedwards/scs/v2"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/access"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/identity"
	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/session"
	"github.com/wechatauth/wechatauth/internal/singleflight"
	"github.com/wechatauth/wechatauth/internal/siteurl"
)

// An Auth authenticates users with WeChat. It provides the middleware, serves
// the login endpoints and manages sessions. Create one with [New]. An Auth is
// safe for concurrent use by multiple goroutines.
type Auth struct {
	settings
	sessions    *session.Manager
	accessCache *access.Cache
	looks       *scan.Looks
	origin      *http.CrossOriginProtection

	home  *gate      // that of the only account; with WithAccounts, of none
	gates *gateCache // nil without WithAccounts
}

// A gate is the Auth of one official account: it decides about the requests for
// that account and serves its endpoints. What the accounts share is in Auth.
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
	relay          *flow.Relay                    // nil without WithRelay
	byAccount

	cookies *flow.Jar
	keys    *seal.Ring // seal what the store keeps; the store never sees them
	logins  *singleflight.Group
	unsaved func(http.ResponseWriter, *http.Request, error) // rejectUnsaved
}

// byAccount is what an Account sets besides its clients. Its functions cannot be
// compared, so each request sets them.
type byAccount struct {
	brand         Brand                    // with the defaults of its empty fields
	pages         atomic.Pointer[pageFunc] // nil for those of this library
	platformToken atomic.Pointer[tokenFunc]
}

// account is an AppID that users can log in to, and its client.
type account struct {
	appID   string
	channel Channel
	client  *client.Client
}

// gateCache holds a gate for each account that New or a request has looked up.
// The gates share everything but the account.
type gateCache struct {
	resolver AccountResolver
	config   config // the options, without an account

	mu    sync.RWMutex
	gates map[string]cachedGate // by AppID
}

type cachedGate struct {
	*gate
	account string // Account.text and Account.Brand, to detect a change of the account
	brand   Brand
}

// authorizePage is the URL of WeChat's authorization page, split where the state
// goes.
type authorizePage struct{ before, after string }

// Sessions returns the session manager, for the application's own values.
// Behind RequireWeChat and LoadWeChat every scs call works with the request's
// context, and what is put is saved before the headers are sent, as are
// RenewToken and Destroy: call them before the response begins. If the store
// fails then, the response is a 503 and the session does not change. What a
// panicking handler put is not saved; a session that it ended is ended. Do not
// also use LoadAndSave of this manager: a cookie that it sends during a login
// may arrive after the login's.
func (a *Auth) Sessions() *scs.SessionManager { return a.sessions.SessionManager() }

// methods maps each endpoint below the path prefix to the HTTP methods that it
// supports. There is one more endpoint for each QR code: scan/ and its ticket.
var methods = map[string]string{
	"login":       "GET, HEAD",
	"callback":    "GET",
	"upgrade":     "GET, HEAD, POST",
	"logout":      "POST",
	"mini/login":  "POST",
	"mini/ticket": "POST",
	"mini/enter":  "GET, POST",
	"scan":        "GET, POST",
	"scan/status": "GET",
}

// ownEndpoints has the keys of methods, sorted.
var ownEndpoints = slices.Sorted(maps.Keys(methods))

// endpointIn reports whether a path is that of an endpoint, and returns the AppID
// at its end. Any other path belongs to the application, and an AppID in it must
// not select the account.
func (a *Auth) endpointIn(urlPath string) (appID string, ok bool) {
	name, ok := strings.CutPrefix(urlPath, a.prefix)
	if !ok {
		return "", false
	}
	if i := strings.LastIndexByte(name, '/'); a.gates != nil && i >= 0 && siteurl.IsAppID(name[i+1:]) {
		name, appID = name[:i], name[i+1:]
	}
	ticket, isTicket := strings.CutPrefix(name, "scan/")
	switch {
	case name == "scan", isTicket:
		return appID, a.scans() && (slices.Contains(ownEndpoints, name) || scan.ValidTicket(ticket))
	case strings.HasPrefix(name, "mini/") && a.home.mini.client == nil && a.gates == nil:
		return appID, false
	}
	return appID, slices.Contains(ownEndpoints, name)
}

// endpoint returns the path of one of our endpoints.
func (g *gate) endpoint(name string) string { return g.prefix + name + g.path }

// absolute returns the URL of a path on our host. A target that is such a URL
// already is returned unchanged.
func (g *gate) absolute(target string) string {
	if strings.HasPrefix(target, g.site) {
		return target
	}
	return g.site + target
}

func (g *gate) callbackURL() string { return g.absolute(g.endpoint("callback")) }

// redirectURI returns the redirect_uri for WeChat: the URL of the callback or,
// with WithRelay, that of the relay, which redirects to the callback.
func (g *gate) redirectURI() string {
	if g.relay == nil {
		return g.callbackURL()
	}
	return g.relay.URL + "?to=" + url.QueryEscape(g.callbackURL())
}

// loginURL returns the URL that starts a login with target as its return URL.
// again means that the user asks for another attempt, which resets the loop
// detection.
func (g *gate) loginURL(target string, again bool) string {
	u := g.endpoint("login") + "?next=" + url.QueryEscape(target)
	if again {
		u += "&again=1"
	}
	return u
}

func (g *gate) upgradeURL(target string) string {
	return g.endpoint("upgrade") + "?next=" + url.QueryEscape(target)
}

// scanURL returns the URL of the page with the QR code.
func (g *gate) scanURL(target string, scope client.Scope) string {
	u := g.endpoint("scan") + "?next=" + url.QueryEscape(target)
	if scope == client.ScopeUserInfo && g.scope != client.ScopeUserInfo {
		u += "&profile=1"
	}
	return u
}

// scanAgainURL returns the scanURL for the scope of the cookie c. If c.Again is
// set, it also keeps the user's wish to log in with another account.
func (g *gate) scanAgainURL(c scan.Cookie, target string) string {
	u := g.scanURL(target, c.Scope)
	if c.Again {
		u += "&again=1"
	}
	return u
}

// scanPath returns the path that the phone opens.
func (g *gate) scanPath(ticket string) string { return g.endpoint("scan/" + ticket) }

// scanTicketIn returns the ticket in the path of a phone's page.
func (g *gate) scanTicketIn(path string) (ticket string, ok bool) {
	before, after := g.endpoint("scan/"), ""
	if g.path != "" {
		before, after = g.prefix+"scan/", g.path
	}
	if len(path) < len(before)+len(after) || path[:len(before)] != before || path[len(path)-len(after):] != after {
		return "", false
	}
	ticket = path[len(before) : len(path)-len(after)]
	return ticket, g.scans() && scan.ValidTicket(ticket)
}

// isScanPage reports whether a path is that of a phone's page.
func (g *gate) isScanPage(path string) bool {
	_, ok := g.scanTicketIn(path)
	return ok
}

// scans reports whether WithEnvironment uses LoginScan.
func (a *Auth) scans() bool {
	return a.environments.Uses(environment.LoginScan)
}

// checkReturnURL returns raw as a return URL, or an error if no login may end
// there. The phone's page of a scan is the only endpoint at which a login may end.
func (g *gate) checkReturnURL(raw string) (target string, err error) {
	return returnto.Site{Base: g.base, Prefix: g.prefix, Endpoints: ownEndpoints, Except: g.isScanPage}.Judge(raw)
}

// returnURL returns the return URL of a login that was started for target, or "/"
// if target is not valid. The check is repeated because the seal proves only that
// this library wrote target, not that the release that did so was free of bugs.
func (g *gate) returnURL(target string) string {
	target, err := g.checkReturnURL(target)
	if err != nil {
		return "/"
	}
	return target
}

// openOrigin returns the origin of WeChat's authorization page, to which the form
// of PageConsent must be allowed to redirect.
func (g *gate) openOrigin() string {
	u, err := url.Parse(g.official.client.AuthorizeURL(g.redirectURI(), client.ScopeBase, "x"))
	if err != nil {
		return client.DefaultOpen
	}
	return u.Scheme + "://" + u.Host
}

// formActions returns the origins to which the form of PageConsent may redirect:
// WeChat's and the relay's. WeChat redirects to the relay without showing a page
// if the user gave consent before.
func (g *gate) formActions() []string {
	if g.relay == nil {
		return []string{g.openOrigin()}
	}
	return []string{g.openOrigin(), g.relay.URL}
}

// accountByAppID returns the account that logs in with a callback and has this
// AppID: the official account or the website application. A mini program has no
// callback.
func (g *gate) accountByAppID(appID string) (account, bool) {
	switch {
	case appID == "":
		return account{}, false
	case appID == g.official.appID:
		return g.official, true
	case appID == g.website.appID:
		return g.website, true
	}
	return account{}, false
}

// accountFor returns the account for the browser. The User-Agent decides what is
// shown, never what is allowed.
func (g *gate) accountFor(r *http.Request) account {
	if g.website.client != nil && g.loginActionFor(r).NeedsWebsite() {
		return g.website
	}
	return g.official
}

// loginActionFor returns the action of WithEnvironment for a request to log in. It
// is never AllowAnonymous.
func (g *gate) loginActionFor(r *http.Request) environment.Action {
	return g.environments.ForLogin(r, g.website.client != nil)
}

// IsPageVisit reports whether r is a page visit: a browser's request for a
// document that the user will see, because they opened a URL, followed a link
// or reloaded. Only a page visit can be redirected to WeChat. Other
// unauthenticated requests get a status code, because a script cannot follow a
// redirect to another origin.
//
// A page visit is a GET or HEAD request that
//   - has the Sec-Fetch-Mode "navigate" and the Sec-Fetch-Dest "document", as
//     browsers since 2023 send them on https and to loopback hosts;
//   - or has the Sec-Fetch-Mode "navigate", no Sec-Fetch-Dest or "empty", and
//     accepts text/html: a service worker passes a page visit on as "empty", and
//     Chromium 76 to 79, on which older web-views are built, sent no destination;
//   - or has no Sec-Fetch header and accepts text/html: an older browser, or any
//     browser on plain http.
//
// It is not a page visit if it
//   - carries a bearer token of POST mini/login;
//   - carries any other Authorization and no Sec-Fetch-Mode "navigate": an API
//     client. Browsers add HTTP Basic credentials to every page of a site;
//   - carries Upgrade: a WebSocket;
//   - accepts text/event-stream: an EventSource;
//   - is a prefetch, a prerender or a preview (Sec-Purpose, Purpose, X-Purpose,
//     X-Moz);
//   - has the X-Requested-With "XMLHttpRequest". Android web-views send the
//     name of their app's package with every page, WeChat's "com.tencent.mm".
//
// A header without a value counts as absent. An iframe, an image, a script,
// fetch, XMLHttpRequest and a service worker's own requests are not page
// visits. Without Sec-Fetch headers, or if a service worker passes it on, an
// iframe cannot be distinguished from a page.
//
// A client that forges these headers gains nothing: they decide what is shown,
// never what is allowed. IsPageVisit reads only the method and the header of r.
// See https://www.w3.org/TR/fetch-metadata/ for the Sec-Fetch headers and
// https://fetch.spec.whatwg.org/#sec-purpose-header for Sec-Purpose.
func IsPageVisit(r *http.Request) bool {
	token, _ := session.Bearer(r)
	return token == "" && navigation.IsPageVisit(r)
}

// isPage reports whether r is a page visit: a GET or HEAD request that the rule of
// WithPageVisit accepts, which is IsPageVisit by default.
func (a *Auth) isPage(r *http.Request) bool { return navigation.IsRead(r) && a.pageVisit(r) }

// showsPage reports whether a failure is shown as a page, because a person sees
// the response: r is a page visit or a submitted form.
func (a *Auth) showsPage(r *http.Request) bool { return navigation.IsForm(r) || a.isPage(r) }

// isEndpointVisit is the page-visit rule for our own endpoints that show pages or
// redirect. They serve nothing else, so a client that is too old or too simple to
// send Sec-Fetch headers, or to name a type in Accept, is accepted too, unless
// another header shows that it is a script.
func (g *gate) isEndpointVisit(r *http.Request) bool {
	return g.isPage(r) || navigation.MayBePage(r)
}

func cookiePrefix(base *url.URL) string { return flow.Prefix(base.Scheme == "https") }

// checkAccess calls the function of WithAccessCheck, unless it accepted the user within
// the interval.
func (a *Auth) checkAccess(ctx context.Context, id identity.Identity) error {
	if a.accessCheck == nil {
		return nil
	}
	err := a.accessCache.Do(id.AppID, id.OpenID, func() error { return a.accessCheck(ctx, Identity(id)) })
	if err != nil && !errors.Is(err, ErrForbidden) && errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return err
}
