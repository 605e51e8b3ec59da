package wechattest

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/wechatauth/wechatauth/client"
)

// Kind is what sort of account an AppID belongs to. It decides which endpoints
// and scopes the AppID may use.
type Kind string

const (
	// OfficialAccount is a verified service account: web login inside WeChat.
	OfficialAccount Kind = "official_account"
	// WebsiteApp is a website application of the open platform: QR login.
	WebsiteApp Kind = "website_app"
	// MiniProgram logs in with wx.login and jscode2session.
	MiniProgram Kind = "mini_program"
	// Component is a third-party platform that acts for other accounts.
	Component Kind = "component"
)

// AppIDs, secrets and the open-platform account of the accounts that a
// simulator has when WithAccount is not used. The three login accounts are
// bound to one open-platform account, so a person has one unionid in all of
// them.
const (
	DefaultAppID             = "wx00000000000000a1"
	DefaultSecret            = "official-account-secret-for-tests"
	DefaultWebsiteAppID      = "wx00000000000000b2"
	DefaultWebsiteSecret     = "website-app-secret-for-tests"
	DefaultMiniProgramAppID  = "wx00000000000000c3"
	DefaultMiniProgramSecret = "mini-program-secret-for-tests"
	DefaultComponentAppID    = "wx00000000000000d4"
	DefaultComponentSecret   = "component-secret-for-tests"
	DefaultOpenPlatform      = "open-platform"
)

// Account is one AppID. Only AppID and Secret are required; the zero value of
// every other field is an account without special traits.
type Account struct {
	AppID  string `json:"app_id"` // "wx" and 16 lower-case hex digits
	Secret string `json:"secret"` // the AppSecret
	Kind   Kind   `json:"kind"`   // default OfficialAccount
	Name   string `json:"name"`   // shown on pages; default the AppID

	// OpenPlatform names the open-platform account to which this one is
	// bound. Accounts that share it share unionids; empty means no unionid.
	OpenPlatform string `json:"open_platform"`

	// Domains are the callback domains, at most two: a host name, with a path
	// prefix if wanted ("www.example.com", "www.example.com/mp"). The host has
	// to match exactly, a port is refused, and so is a path that dot segments
	// lead out of the prefix. Empty means that loopback hosts with any port are
	// allowed and nothing else, or nothing at all under WithStrictDomains.
	Domains []string `json:"domains"`

	// Scopes that the account owns. Default: all that its Kind can have.
	Scopes []client.Scope `json:"scopes"`

	// AllowedIPs are the only addresses that may send the secret; empty means
	// any. Others get errcode 40164.
	AllowedIPs []string `json:"allowed_ips"`

	// Platforms are the AppIDs of the third-party platforms that the account
	// authorized.
	Platforms []string `json:"platforms"`

	// Sandbox makes it a test account: only followers may log in (10006).
	Sandbox bool `json:"sandbox"`
	// Banned shows error page 10004 to every visitor.
	Banned bool `json:"banned"`
	// Frozen means that the AppSecret is frozen (40243).
	Frozen bool `json:"frozen"`
}

// DefaultAccounts returns the accounts of a simulator without WithAccount: an
// official account, a website application, a mini program, and a third-party
// platform that the first and the third have authorized.
func DefaultAccounts() []Account {
	platforms := []string{DefaultComponentAppID}
	return []Account{
		{AppID: DefaultAppID, Secret: DefaultSecret, Kind: OfficialAccount, Name: "青竹书店",
			OpenPlatform: DefaultOpenPlatform, Platforms: platforms},
		{AppID: DefaultWebsiteAppID, Secret: DefaultWebsiteSecret, Kind: WebsiteApp, Name: "青竹书店网站",
			OpenPlatform: DefaultOpenPlatform},
		{AppID: DefaultMiniProgramAppID, Secret: DefaultMiniProgramSecret, Kind: MiniProgram, Name: "青竹小程序",
			OpenPlatform: DefaultOpenPlatform, Platforms: platforms},
		{AppID: DefaultComponentAppID, Secret: DefaultComponentSecret, Kind: Component, Name: "山水平台"},
	}
}

var appIDForm = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

// complete fills in the defaults and says what is wrong.
func (a Account) complete() (Account, error) {
	if !appIDForm.MatchString(a.AppID) {
		return a, fmt.Errorf("account %q: an AppID is \"wx\" and 16 lower-case hex digits", a.AppID)
	}
	if a.Secret == "" {
		return a, fmt.Errorf("account %s: the secret is missing", a.AppID)
	}
	if len(a.Domains) > 2 {
		return a, fmt.Errorf("account %s: WeChat allows two domains, not %d", a.AppID, len(a.Domains))
	}
	for _, d := range a.Domains {
		if err := checkDomain(d, a.Sandbox); err != nil {
			return a, fmt.Errorf("account %s: domain %q: %w", a.AppID, d, err)
		}
	}
	if a.Kind == "" {
		a.Kind = OfficialAccount
	}
	if a.Name == "" {
		a.Name = a.AppID
	}
	all, ok := map[Kind][]client.Scope{
		OfficialAccount: {client.ScopeBase, client.ScopeUserInfo},
		WebsiteApp:      {client.ScopeLogin},
		MiniProgram:     {},
		Component:       {},
	}[a.Kind]
	if !ok {
		return a, fmt.Errorf("account %s: unknown kind %q", a.AppID, a.Kind)
	}
	if a.Scopes == nil {
		a.Scopes = all
	}
	return a, nil
}

// checkDomain refuses what WeChat's console refuses: schemes, ports, and
// addresses but for test accounts.
func checkDomain(d string, sandbox bool) error {
	host, _, _ := strings.Cut(d, "/")
	switch {
	case strings.Contains(d, "://"):
		return errors.New("a host name is wanted, without a scheme")
	case strings.Contains(host, ":"):
		return errors.New("a domain has no port")
	case net.ParseIP(host) != nil && !sandbox:
		return errors.New("an IP address is for sandbox accounts only")
	case host == "":
		return errors.New("the host name is missing")
	}
	return nil
}

func (a Account) owns(s client.Scope) bool { return slices.Contains(a.Scopes, s) }
