package wechattest

import (
	"fmt"
	"slices"
	"time"

	"github.com/wechatauth/wechatauth/client"
)

// Scenario is one way in which a login goes, in the field or in the sources.
// A site is tested by running a visit under each of Scenarios.
type Scenario struct {
	Name    string   // by which WithScenario finds it
	About   string   // in a sentence
	Options []Option // that set it up

	// LogsIn says whether a visitor who opens a page inside WeChat, for
	// snsapi_userinfo with DefaultAppID, and allows what he is asked ends up
	// logged in, at a site that does right. If not, the site has to show a
	// page, and must not send the visitor to WeChat over and over.
	LogsIn bool

	// Reaches says whether the browser gets to the callback at all. If not,
	// WeChat shows the visitor a page of its own.
	Reaches bool
}

// WithScenario sets up a scenario by name. It makes NewServer panic if there
// is none.
func WithScenario(name string) Option {
	return func(c *config) {
		i := slices.IndexFunc(Scenarios(), func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			c.fail(fmt.Errorf("no scenario is called %q", name))
			return
		}
		for _, opt := range Scenarios()[i].Options {
			opt(c)
		}
	}
}

const exchangePath, profilePath, authorizePath = "sns/oauth2/access_token", "sns/userinfo", "connect/oauth2/authorize"

// Scenarios returns all scenarios, the plain login first. The order and the
// names are stable.
func Scenarios() []Scenario {
	return slices.Concat(visitScenarios(), snapshotScenarios(), answerScenarios(), profileScenarios(), accountScenarios())
}

func visitScenarios() []Scenario {
	follower := Person{Name: "阿青", Follows: true}
	return []Scenario{
		{"plain", "the consent page, then the callback", nil, true, true},
		{"follower-from-menu", "a follower comes from the account's menu and is not asked", []Option{WithPerson(follower), WithEnvironment(FromMenu)}, true, true},
		{"doubled-later", "the callback comes again a second later", []Option{WithQuirks(DuplicateCallbackLater)}, true, true},
		{"doubled-at-once", "the callback comes twice at the same time", []Option{WithQuirks(DuplicateCallbackAtOnce)}, true, true},
		{"connect-redirect", "the authorize page redirects to itself first", []Option{WithQuirks(ConnectRedirect)}, true, true},
		{"throttled", "WeChat lets nobody authorize for now (10009)", []Option{WithFault(authorizePath, slices.Repeat([]Fault{Errcode(10009)}, 3)...)}, false, false},
	}
}

func snapshotScenarios() []Scenario {
	in := func(sw ...Quirk) []Option { return []Option{WithEnvironment(Snapshot), WithQuirks(sw...)} }
	return []Scenario{
		{"snapshot", "a snapshot page: a virtual user, flagged as one", in(), false, true},
		{"snapshot-shared-unionid", "all virtual users have one unionid", in(SnapshotSharedUnionID), false, true},
		{"snapshot-real-unionid", "a virtual user has the unionid of somebody else", in(SnapshotRealUnionID), false, true},
		{"snapshot-userinfo-denied", "sns/userinfo refuses a virtual user (48001)", in(SnapshotUserInfoDenied), false, true},
	}
}

func answerScenarios() []Scenario {
	exchange := func(f ...Fault) []Option { return []Option{WithFault(exchangePath, f...)} }
	return []Scenario{
		{"exchange-slow", "the exchange takes a quarter of a second", exchange(Delay(250 * time.Millisecond)), true, true},
		{"exchange-errcode-zero", "a success carries errcode 0", exchange(ErrcodeZero()), true, true},
		{"exchange-as-json", "sns answers come as application/json", []Option{WithQuirks(JSONContentType)}, true, true},
		{"exchange-system-error", "WeChat is busy and stays so (-1)", exchange(slices.Repeat([]Fault{Busy()}, 10)...), false, true},
		{"exchange-reset", "the code is spent, the answer is lost to a reset", exchange(Reset().AfterProcessing()), false, true},
		{"exchange-truncated", "the code is spent, half of the answer arrives", exchange(Truncated()), false, true},
		{"exchange-bad-gateway", "a proxy answers 502 with HTML", exchange(BadGateway()), false, true},
		{"exchange-code-used", "WeChat says that the code was used (40163)", exchange(Errcode(40163)), false, true},
		{"exchange-code-invalid", "WeChat does not know the code (40029)", exchange(Errcode(40029)), false, true},
		{"exchange-quota", "the minute's quota is used up (45011)", exchange(Errcode(45011)), false, true},
		{"exchange-empty", "the answer is an empty object", exchange(Raw(200, "text/plain", "{}")), false, true},
	}
}

func profileScenarios() []Scenario {
	person := func(p Person) []Option { return []Option{WithPerson(p)} }
	return []Scenario{
		{"profile-control-byte", "the nickname holds a raw control byte, which is not JSON", person(Person{Name: "raw", Nickname: "a\x14b"}), true, true},
		{"profile-escaped-control", "the nickname holds an escaped control character", person(Person{Name: "escaped", NicknameJSON: `a\u0007b`}), true, true},
		{"profile-invalid-utf8", "the nickname is not valid UTF-8", person(Person{Name: "gbk", Nickname: "\xc4\xe3\xba\xc3"}), true, true},
		{"profile-emoji", "the nickname is an emoji", person(Person{Name: "emoji", Nickname: "👩‍👩‍👧‍👦🏳️‍🌈"}), true, true},
		{"profile-no-nickname", "there is no nickname and no avatar", person(Person{Name: "bare", NoNickname: true}), true, true},
		{"profile-http-avatar", "the avatar's address is plain http", person(Person{Name: "old", AvatarURL: "http://wx.qlogo.cn/mmopen/vi_32/old/132"}), true, true},
		{"profile-avatar-gone", "the avatar was changed since: its address is 404", person(Person{Name: "gone", AvatarURL: "/mmopen/vi_32/gone-since/132"}), true, true},
		{"profile-deleted-user", "the user has closed his account", person(Person{Name: "deleted", Deleted: true}), true, true},
		{"profile-40001-once", "the fresh token is refused once (40001)", []Option{WithFault(profilePath, Errcode(40001))}, true, true},
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
		{"account-sandbox", "a test account, and the visitor does not follow it (10006)", account(func(a *Account) { a.Sandbox = true }), false, false},
		{"account-base-only", "the account may not ask for the profile (10005)", account(func(a *Account) { a.Scopes = []client.Scope{client.ScopeBase} }), false, false},
		{"account-domain", "the callback's domain is not configured (10003)", []Option{WithStrictDomains()}, false, false},
		{"account-secret-changed", "the AppSecret was changed since (40125)", account(func(a *Account) { a.Secret = "another-secret-for-tests" }), false, true},
		{"account-secret-frozen", "the AppSecret is frozen (40243)", account(func(a *Account) { a.Frozen = true }), false, true},
		{"account-address-refused", "the server's address is not on the list (40164)", account(func(a *Account) { a.AllowedIPs = []string{"192.0.2.1"} }), false, true},
	}
}
