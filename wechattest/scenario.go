package wechattest

import (
	"fmt"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// A Scenario is one course that a login can take, in practice or according to
// the sources. To test a site, run a login under each of [Scenarios].
type Scenario struct {
	Name    string   // the name for WithScenario
	About   string   // a description
	Options []Option // the options that set it up

	// LogsIn reports whether a user is logged in, if the site is correct, after
	// opening a page inside WeChat for snsapi_userinfo with DefaultAppID and
	// allowing what WeChat asks for. If not, the site must show a page and must
	// not redirect to WeChat repeatedly.
	LogsIn bool

	// Reaches reports whether the browser reaches the callback at all. If not,
	// WeChat shows a page to the user.
	Reaches bool
}

// WithScenario sets up a scenario by name. NewServer panics if there is no such
// scenario.
func WithScenario(name string) Option {
	return func(c *config) {
		all := slices.Concat(Scenarios(), WeComScenarios())
		i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			c.fail(fmt.Errorf("unknown scenario %q", name))
			return
		}
		for _, opt := range all[i].Options {
			opt(c)
		}
	}
}

const exchangePath, profilePath, authorizePath = "sns/oauth2/access_token", "sns/userinfo", "connect/oauth2/authorize"

// Scenarios returns all scenarios, the plain login first. Their order and names
// are stable.
func Scenarios() []Scenario {
	return slices.Concat(visitScenarios(), snapshotScenarios(), exchangeScenarios(), profileScenarios(), accountScenarios())
}

func visitScenarios() []Scenario {
	follower := Person{Name: "阿青", Follows: true}
	return []Scenario{
		{"plain", "the consent page, then the callback", nil, true, true},
		{"follower-from-menu", "a follower opens the page from the account's menu and logs in silently", []Option{WithPerson(follower), WithEnvironment(FromMenu)}, true, true},
		{"doubled-later", "the callback is repeated a second later", []Option{WithQuirks(DuplicateCallbackLater)}, true, true},
		{"doubled-at-once", "the callback comes twice at the same time", []Option{WithQuirks(DuplicateCallbackAtOnce)}, true, true},
		{"connect-redirect", "the authorize page redirects to itself first", []Option{WithQuirks(ConnectRedirect)}, true, true},
		{"throttled", "WeChat temporarily rejects all authorizations (10009)", []Option{WithFault(authorizePath, slices.Repeat([]Fault{Errcode(10009)}, 3)...)}, false, false},
	}
}

func snapshotScenarios() []Scenario {
	in := func(sw ...Quirk) []Option { return []Option{WithEnvironment(Snapshot), WithQuirks(sw...)} }
	return []Scenario{
		{"snapshot", "a snapshot page: a virtual user, flagged as one", in(), false, true},
		{"snapshot-shared-unionid", "all virtual users have one unionid", in(SnapshotSharedUnionID), false, true},
		{"snapshot-real-unionid", "a virtual user has another user's unionid", in(SnapshotRealUnionID), false, true},
		{"snapshot-userinfo-denied", "sns/userinfo rejects a virtual user (48001)", in(SnapshotUserInfoDenied), false, true},
	}
}

func exchangeScenarios() []Scenario {
	exchange := func(f ...Fault) []Option { return []Option{WithFault(exchangePath, f...)} }
	return []Scenario{
		{"exchange-slow", "the exchange takes a quarter of a second", exchange(Delay(250 * time.Millisecond)), true, true},
		{"exchange-errcode-zero", "a successful response contains errcode 0", exchange(ErrcodeZero()), true, true},
		{"exchange-as-json", "sns responses are application/json", []Option{WithQuirks(JSONContentType)}, true, true},
		{"exchange-system-error", "WeChat remains busy (-1)", exchange(slices.Repeat([]Fault{Busy()}, 10)...), false, true},
		{"exchange-reset", "the code is used up, and a reset loses the response", exchange(Reset().AfterProcessing()), false, true},
		{"exchange-truncated", "the code is used up, and half of the response arrives", exchange(Truncated()), false, true},
		{"exchange-bad-gateway", "a proxy responds with 502 and HTML", exchange(BadGateway()), false, true},
		{"exchange-code-used", "WeChat reports that the code was used (40163)", exchange(Errcode(40163)), false, true},
		{"exchange-code-invalid", "WeChat does not know the code (40029)", exchange(Errcode(40029)), false, true},
		{"exchange-quota", "the quota per minute is exceeded (45011)", exchange(Errcode(45011)), false, true},
		{"exchange-empty", "the response is an empty object", exchange(Raw(200, "text/plain", "{}")), false, true},
	}
}

func profileScenarios() []Scenario {
	person := func(p Person) []Option { return []Option{WithPerson(p)} }
	return []Scenario{
		{"profile-control-byte", "the nickname contains a raw control byte, which is not JSON", person(Person{Name: "raw", Nickname: "a\x14b"}), true, true},
		{"profile-escaped-control", "the nickname contains an escaped control character", person(Person{Name: "escaped", NicknameJSON: `a\u0007b`}), true, true},
		{"profile-invalid-utf8", "the nickname is not valid UTF-8", person(Person{Name: "gbk", Nickname: "\xc4\xe3\xba\xc3"}), true, true},
		{"profile-emoji", "the nickname is an emoji", person(Person{Name: "emoji", Nickname: "👩‍👩‍👧‍👦🏳️‍🌈"}), true, true},
		{"profile-no-nickname", "there is no nickname and no avatar", person(Person{Name: "bare", NoNickname: true}), true, true},
		{"profile-http-avatar", "the avatar's URL is plain http", person(Person{Name: "old", AvatarURL: "http://wx.qlogo.cn/mmopen/vi_32/old/132"}), true, true},
		{"profile-avatar-gone", "the avatar has changed: its URL returns 404", person(Person{Name: "gone", AvatarURL: "/mmopen/vi_32/gone-since/132"}), true, true},
		{"profile-deleted-user", "the user has closed the account", person(Person{Name: "deleted", Deleted: true}), true, true},
		{"profile-40001-once", "the new token is rejected once (40001)", []Option{WithFault(profilePath, Errcode(40001))}, true, true},
		{"profile-unavailable", "sns/userinfo is down", []Option{WithFault(profilePath, slices.Repeat([]Fault{BadGateway()}, 10)...)}, true, true},
	}
}

func accountScenarios() []Scenario {
	account := func(change func(*Account)) []Option {
		a := DefaultAccounts()[0]
		change(&a)
		return []Option{WithAccount(a)}
	}
	return []Scenario{
		{"account-no-unionid", "the account is not bound to an open-platform account", account(func(a *Account) { a.OpenPlatform = "" }), true, true},
		{"account-banned", "the account is banned (10004)", account(func(a *Account) { a.Banned = true }), false, false},
		{"account-sandbox", "a test account that the user does not follow (10006)", account(func(a *Account) { a.Sandbox = true }), false, false},
		{"account-base-only", "the account may not request the profile (10005)", account(func(a *Account) { a.Scopes = []client.Scope{client.ScopeBase} }), false, false},
		{"account-domain", "the callback's domain is not configured (10003)", []Option{WithStrictDomains()}, false, false},
		{"account-secret-changed", "the AppSecret has changed (40125)", account(func(a *Account) { a.Secret = "another-secret-for-tests" }), false, true},
		{"account-secret-frozen", "the AppSecret is frozen (40243)", account(func(a *Account) { a.Frozen = true }), false, true},
		{"account-address-refused", "the server's address is not on the allow-list (40164)", account(func(a *Account) { a.AllowedIPs = []string{"192.0.2.1"} }), false, true},
	}
}
