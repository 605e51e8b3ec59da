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

// A Kind is the kind of an account. It determines which endpoints and scopes an
// AppID may use.
type Kind string

const (
	// OfficialAccount is a verified service account, with web login inside
	// WeChat.
	OfficialAccount Kind = "official_account"
	// WebsiteApp is a website application of the open platform, with QR login.
	WebsiteApp Kind = "website_app"
	// MiniProgram is a mini program, which logs in with wx.login and
	// jscode2session.
	MiniProgram Kind = "mini_program"
	// Component is a third-party platform, which acts for other accounts.
	Component Kind = "component"
)

// AppIDs, secrets and the open-platform account of [DefaultAccounts]. The three
// login accounts are bound to one open-platform account, so a person has the
// same unionid in all of them.
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

// An Account describes one AppID. Only AppID and Secret are required.
type Account struct {
	AppID  string `json:"app_id"` // "wx" followed by 16 lower-case hexadecimal digits
	Secret string `json:"secret"` // the AppSecret
	Kind   Kind   `json:"kind"`   // the default is OfficialAccount
	Name   string `json:"name"`   // shown on pages; the default is the AppID

	// OpenPlatform names the open-platform account to which this account is
	// bound. Accounts bound to the same one share unionids. If it is empty,
	// there is no unionid.
	OpenPlatform string `json:"open_platform"`

	// Domains are the callback domains, at most two. Each is a host name,
	// optionally with a path prefix ("www.example.com", "www.example.com/mp").
	// The host must match exactly. A port is rejected, and so is a path that
	// leaves the prefix by dot segments. If Domains is empty, only loopback
	// hosts and private IP addresses with any port are allowed, or none with
	// WithStrictDomains.
	Domains []string `json:"domains"`

	// Scopes are the scopes that the account owns. The default is all scopes of
	// its Kind.
	Scopes []client.Scope `json:"scopes"`

	// AllowedIPs are the addresses that may send the secret. Others get errcode
	// 40164. If it is empty, any address may.
	AllowedIPs []string `json:"allowed_ips"`

	// Platforms are the AppIDs of the third-party platforms that the account
	// has authorized.
	Platforms []string `json:"platforms"`

	// Sandbox makes the account a sandbox account (测试号), to which only
	// followers can log in (10006).
	Sandbox bool `json:"sandbox"`
	// Banned shows error page 10004 to all users.
	Banned bool `json:"banned"`
	// Frozen means that the AppSecret is frozen (40243).
	Frozen bool `json:"frozen"`
}

// DefaultAccounts returns the accounts of a simulator without [WithAccount]: an
// official account, a website application, a mini program, and a third-party
// platform that the official account and the mini program have authorized.
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

// complete returns the account with defaults filled in, or an error if it is
// invalid.
func (a Account) complete() (Account, error) {
	if !appIDForm.MatchString(a.AppID) {
		return a, fmt.Errorf("account %q: invalid AppID: must be \"wx\" followed by 16 lower-case hexadecimal digits", a.AppID)
	}
	if a.Secret == "" {
		return a, fmt.Errorf("account %s: missing Secret", a.AppID)
	}
	if len(a.Domains) > 2 {
		return a, fmt.Errorf("account %s: %d domains: WeChat allows at most two", a.AppID, len(a.Domains))
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

// checkDomain rejects what WeChat's console rejects: schemes, ports, and IP
// addresses except for test accounts.
func checkDomain(d string, sandbox bool) error {
	host, _, _ := strings.Cut(d, "/")
	switch {
	case strings.Contains(d, "://"):
		return errors.New("must be a host name without a scheme")
	case strings.Contains(host, ":"):
		return errors.New("must not contain a port")
	case net.ParseIP(host) != nil && !sandbox:
		return errors.New("IP addresses are allowed only for sandbox accounts")
	case host == "":
		return errors.New("missing host name")
	}
	return nil
}

func (a Account) owns(s client.Scope) bool { return slices.Contains(a.Scopes, s) }
