package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/redact"
	"github.com/wechatauth/wechatauth/internal/scan"
	"github.com/wechatauth/wechatauth/internal/siteurl"
)

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

// text is what tells two accounts apart: all but Pages.
func (a Account) text() string {
	return fmt.Sprintf("%q", []string{a.AppID, a.Secret, a.WebsiteAppID, a.WebsiteSecret, a.MiniProgramAppID, a.MiniProgramSecret, a.BaseURL, a.Endpoints.Open, a.Endpoints.API})
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

// WithAccounts serves many official accounts with one gate. An identity passes
// only the gate of its own account; sessions and hooks are shared, and a browser
// may be logged in to several. The endpoints carry the AppID then, as in "/wechat/callback/wx…", so that WeChat
// sends a visitor back to the account he came from. WithApp may be left out.
// Package accounts has resolvers.
func WithAccounts(resolver AccountResolver) Option {
	return func(c *config) { c.accounts, c.accountsSet = resolver, true }
}

// accountLister is a resolver that knows its accounts at start-up.
type accountLister interface {
	Accounts() ([]Account, error)
}

// listed returns the accounts of an accountLister by AppID, with what is wrong
// with them, and whether the resolver is one.
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
			if held.text() != account.text() {
				errs = append(errs, fmt.Errorf("%s is given twice, in two ways", redact.Clean(account.AppID)))
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

// validateAccounts checks the accounts that are known at start-up.
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

// linesOf puts a prefix before each line of an error.
func linesOf(prefix string, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(prefix + strings.ReplaceAll(err.Error(), "\n", "\n"+prefix))
}

// openListed makes the gates of the accounts that are known.
func (a *Auth) openListed() error {
	accounts, _, _ := listed(a.tenants.resolver)
	for appID := range accounts {
		if _, err := a.tenantOf(context.Background(), appID); err != nil {
			return err
		}
	}
	return nil
}

// onOneHost reports whether no account has a base URL of its own.
func onOneHost(resolver AccountResolver) bool {
	accounts, _, ok := listed(resolver)
	for _, account := range accounts {
		ok = ok && account.BaseURL == ""
	}
	return ok
}

// tenants holds a gate for each account that was asked for. They share all
// but what is the account's own.
type tenants struct {
	resolver AccountResolver
	config   config // the options, without an account

	mu    sync.RWMutex
	gates map[string]tenant // by AppID
}

type tenant struct {
	*gate
	account string // its text, to see a change by
}

// maxTenants bounds an instance's memory. Beyond it, gates are built anew.
const maxTenants = 10_000

// of returns the gate of the request's account.
func (a *Auth) of(r *http.Request) (*gate, error) {
	if a.tenants == nil {
		return a.home, nil
	}
	if appID, ok := a.endpointIn(r.URL.Path); ok && appID != "" {
		return a.tenantOf(r.Context(), appID)
	}
	appID, err := a.tenants.resolver.AppIDOf(r)
	if err != nil {
		return nil, err
	}
	return a.tenantOf(r.Context(), appID)
}

// ownEndpoints are the paths below the path prefix that this library answers.
var ownEndpoints = []string{"login", "callback", "upgrade", "logout", "mini/login", "mini/ticket", "mini/enter", "scan", "scan/status"}

// endpointIn reports whether a path is that of an endpoint, and returns the AppID
// at its end. On every other path the AppID is a part of the application's: it
// must not select the account.
func (a *Auth) endpointIn(urlPath string) (appID string, ok bool) {
	name, ok := strings.CutPrefix(urlPath, a.prefix)
	if !ok {
		return "", false
	}
	if i := strings.LastIndexByte(name, '/'); a.tenants != nil && i >= 0 && siteurl.IsAppID(name[i+1:]) {
		name, appID = name[:i], name[i+1:]
	}
	ticket, isTicket := strings.CutPrefix(name, "scan/")
	switch {
	case name == "scan", isTicket:
		return appID, a.scans() && (slices.Contains(ownEndpoints, name) || scan.ValidTicket(ticket))
	case strings.HasPrefix(name, "mini/") && a.home.mini.client == nil && a.tenants == nil:
		return appID, false
	}
	return appID, slices.Contains(ownEndpoints, name)
}

func (a *Auth) tenantOf(ctx context.Context, appID string) (*gate, error) {
	account, err := a.tenants.resolver.Account(ctx, appID)
	if err != nil {
		return nil, err
	}
	if account.AppID != appID {
		return nil, fmt.Errorf("the account of %s calls itself %s", redact.Clean(appID), redact.Clean(account.AppID))
	}
	text := account.text()
	a.tenants.mu.RLock()
	held, ok := a.tenants.gates[appID]
	a.tenants.mu.RUnlock()
	if ok && held.account == text {
		if account.Pages == nil {
			account.Pages = a.tenants.config.pages
		}
		held.pages.Store(&account.Pages) // functions cannot be compared
		return held.gate, nil
	}
	g, err := a.newTenant(account)
	if err != nil {
		return nil, err
	}
	a.tenants.mu.Lock()
	defer a.tenants.mu.Unlock()
	if len(a.tenants.gates) >= maxTenants {
		clear(a.tenants.gates)
	}
	a.tenants.gates[appID] = tenant{g, text}
	return g, nil
}

// gateOf returns the gate that an identity of this AppID has passed; nil if
// there is none.
func (a *Auth) gateOf(appID string) *gate {
	if a.tenants == nil {
		if slices.Contains(a.home.audience.AppIDs, appID) {
			return a.home
		}
		return nil
	}
	a.tenants.mu.RLock()
	defer a.tenants.mu.RUnlock()
	for _, t := range a.tenants.gates {
		if slices.Contains(t.audience.AppIDs, appID) {
			return t.gate
		}
	}
	return nil
}

// ofAccount returns the options as they are for one account, with what is wrong
// with them.
func (c *config) ofAccount(account Account) (*config, error) {
	one := *c
	one.appID, one.secret = account.AppID, account.Secret
	one.websiteAppID, one.websiteSecret = account.WebsiteAppID, account.WebsiteSecret
	one.miniAppID, one.miniSecret = account.MiniProgramAppID, account.MiniProgramSecret
	if account.Endpoints != (client.Endpoints{}) {
		one.endpoints = account.Endpoints
	}
	err := one.validateAccount()
	if !siteurl.IsAppID(account.AppID) {
		err = errors.Join(err, fmt.Errorf("the AppID %s does not begin with \"wx\" and go on in letters and digits, and endpoints that end in it would not be found", redact.Clean(account.AppID)))
	}
	if account.Pages != nil {
		one.pages = account.Pages
	}
	if account.BaseURL == "" {
		return &one, err
	}
	one.baseURL = account.BaseURL
	base, wrong := siteurl.Parse(account.BaseURL)
	wrong = linesOf("WithBaseURL: ", wrong)
	shared, unknown := siteurl.Parse(c.baseURL)
	if wrong == nil && unknown == nil && base.Scheme != shared.Scheme {
		wrong = fmt.Errorf("the base URL of %s is not %s as that of WithBaseURL, whose cookies it shares", redact.Clean(account.AppID), shared.Scheme)
	}
	return &one, errors.Join(err, wrong)
}

// newTenant makes the gate of one account.
func (a *Auth) newTenant(account Account) (*gate, error) {
	c, err := a.tenants.config.ofAccount(account)
	if err != nil {
		return nil, err
	}
	g := &gate{Auth: a, path: "/" + account.AppID}
	if err := g.setAccounts(c); err != nil {
		return nil, err
	}
	return g, g.setFlows(c)
}
