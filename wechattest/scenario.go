package wechattest

import (
	"fmt"
	"maps"
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

	zh string // About in Chinese
}

// WithScenario sets up a scenario by name. NewServer panics if there is no such
// scenario. A scenario about the account changes every official account, and one
// about the user adds its person, who becomes the current one.
func WithScenario(name string) Option {
	return func(c *config) { c.scenes.names = append(c.scenes.names, name) }
}

// SetScenario sets up a scenario by name, in place of the one before. What was
// set since, by quirks, faults and the environment, is as at the start again;
// clock, journal, codes and tokens stay. It panics if there is no such scenario.
func (s *Server) SetScenario(name string) {
	if err := s.setScenario(name); err != nil {
		panic("wechattest: " + err.Error())
	}
}

func (s *Server) setScenario(name string) error {
	only := func(c *config) { c.scenes.names = []string{name} }
	cfg, err := newConfig(append(slices.Clip(s.opts), only))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := newWorld(cfg)
	maps.Copy(w.secrets, s.world.Load().secrets)
	s.world.Store(w)
	if _, known := w.people[s.holder]; cfg.scenes.person != nil || !known {
		s.holder = cfg.people[0].Name
	}
	s.environment, s.faults, s.cfg.quirks = cfg.environment, cfg.faults, cfg.quirks
	s.cfg.corps, s.cfg.strictDomains = cfg.corps, cfg.strictDomains
	clear(s.granted)
	s.scenario = name
	return nil
}

// setUp applies the options of a scenario.
func (c *config) setUp(name string) {
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

// scenario returns the name of the only scenario.
func (c *config) scenario() string {
	switch len(c.scenes.names) {
	case 0:
		return Scenarios()[0].Name
	case 1:
		return c.scenes.names[0]
	}
	return ""
}

// scenarioPerson makes p the current person.
func scenarioPerson(p Person) Option { return func(c *config) { c.scenes.person = &p } }

// theCorp changes the corp of DefaultCorpID.
func theCorp(change func(*Corp)) Option {
	return func(c *config) { c.scenes.corp = append(c.scenes.corp, change) }
}

// eachAccount changes every official account.
func eachAccount(change func(*Account)) Option {
	return func(c *config) { c.scenes.change = append(c.scenes.change, change) }
}

const exchangePath, profilePath, authorizePath = "sns/oauth2/access_token", "sns/userinfo", "connect/oauth2/authorize"

// Scenarios returns all scenarios, the plain login first. Their order and names
// are stable.
func Scenarios() []Scenario {
	var all []Scenario
	for _, g := range scenarioGroups[:len(scenarioGroups)-1] { // without those of WeCom
		all = append(all, g.list()...)
	}
	return all
}

// A scenarioGroup is a heading of the control page with its scenarios.
type scenarioGroup struct {
	ZH, EN string
	list   func() []Scenario
}

var scenarioGroups = []scenarioGroup{
	{"登录", "The login", visitScenarios},
	{"快照页", "Snapshot pages", snapshotScenarios},
	{"换取 access_token", "The exchange of the code", exchangeScenarios},
	{"用户信息", "The user's profile", profileScenarios},
	{"公众号", "The official account", accountScenarios},
	{"企业微信", "WeCom", WeComScenarios},
}

func visitScenarios() []Scenario {
	follower := DefaultPeople()[2]
	return []Scenario{
		{"plain", "the consent page, then the callback", nil, true, true, "先显示授权页，再回调"},
		{"follower-from-menu", "a follower opens the page from the account's menu and logs in silently", []Option{scenarioPerson(follower), WithEnvironment(FromMenu)}, true, true, "关注者从公众号菜单打开，静默登录"},
		{"doubled-later", "the callback is repeated a second later", []Option{WithQuirks(DuplicateCallbackLater)}, true, true, "一秒后重复回调"},
		{"doubled-at-once", "the callback comes twice at the same time", []Option{WithQuirks(DuplicateCallbackAtOnce)}, true, true, "两次回调同时到达"},
		{"connect-redirect", "the authorize page redirects to itself first", []Option{WithQuirks(ConnectRedirect)}, true, true, "授权页先跳转到自身一次"},
		{"throttled", "WeChat temporarily rejects all authorizations (10009)", []Option{WithFault(authorizePath, slices.Repeat([]Fault{Errcode(10009)}, 3)...)}, false, false, "微信暂时拒绝所有授权（10009）"},
	}
}

func snapshotScenarios() []Scenario {
	in := func(sw ...Quirk) []Option { return []Option{WithEnvironment(Snapshot), WithQuirks(sw...)} }
	return []Scenario{
		{"snapshot", "a snapshot page: a virtual user, flagged as one", in(), false, true, "快照页：返回带标记的虚拟账号"},
		{"snapshot-shared-unionid", "all virtual users have one unionid", in(SnapshotSharedUnionID), false, true, "所有虚拟账号共用一个 unionid"},
		{"snapshot-real-unionid", "a virtual user has another user's unionid", in(SnapshotRealUnionID), false, true, "虚拟账号带有其他用户的 unionid"},
		{"snapshot-userinfo-denied", "sns/userinfo rejects a virtual user (48001)", in(SnapshotUserInfoDenied), false, true, "sns/userinfo 拒绝虚拟账号（48001）"},
	}
}

func exchangeScenarios() []Scenario {
	exchange := func(f ...Fault) []Option { return []Option{WithFault(exchangePath, f...)} }
	return []Scenario{
		{"exchange-slow", "the exchange takes a quarter of a second", exchange(Delay(250 * time.Millisecond)), true, true, "换取 access_token 耗时 250 毫秒"},
		{"exchange-errcode-zero", "a successful response contains errcode 0", exchange(ErrcodeZero()), true, true, "成功的响应带有 errcode 0"},
		{"exchange-as-json", "sns responses are application/json", []Option{WithQuirks(JSONContentType)}, true, true, "sns 响应的类型为 application/json"},
		{"exchange-system-error", "WeChat remains busy (-1)", exchange(slices.Repeat([]Fault{Busy()}, 10)...), false, true, "微信持续繁忙（-1）"},
		{"exchange-reset", "the code is used up, and a reset loses the response", exchange(Reset().AfterProcessing()), false, true, "code 已失效，响应因连接重置丢失"},
		{"exchange-truncated", "the code is used up, and half of the response arrives", exchange(Truncated()), false, true, "code 已失效，只收到一半响应"},
		{"exchange-bad-gateway", "a proxy responds with 502 and HTML", exchange(BadGateway()), false, true, "代理返回 502 和 HTML"},
		{"exchange-code-used", "WeChat reports that the code was used (40163)", exchange(Errcode(40163)), false, true, "微信称 code 已使用（40163）"},
		{"exchange-code-invalid", "WeChat does not know the code (40029)", exchange(Errcode(40029)), false, true, "微信称 code 无效（40029）"},
		{"exchange-quota", "the quota per minute is exceeded (45011)", exchange(Errcode(45011)), false, true, "超出每分钟配额（45011）"},
		{"exchange-empty", "the response is an empty object", exchange(Raw(200, "text/plain", "{}")), false, true, "响应为空对象"},
	}
}

func profileScenarios() []Scenario {
	person := func(p Person) []Option { return []Option{scenarioPerson(p)} }
	return []Scenario{
		{"profile-control-byte", "the nickname contains a raw control byte, which is not JSON", person(Person{Name: "raw", Nickname: "a\x14b"}), true, true, "昵称含未转义的控制字符，不是合法 JSON"},
		{"profile-escaped-control", "the nickname contains an escaped control character", person(Person{Name: "escaped", NicknameJSON: `a\u0007b`}), true, true, "昵称含转义的控制字符"},
		{"profile-invalid-utf8", "the nickname is not valid UTF-8", person(Person{Name: "gbk", Nickname: "\xc4\xe3\xba\xc3"}), true, true, "昵称不是合法的 UTF-8"},
		{"profile-emoji", "the nickname is an emoji", person(Person{Name: "emoji", Nickname: "👩‍👩‍👧‍👦🏳️‍🌈"}), true, true, "昵称为表情符号"},
		{"profile-no-nickname", "there is no nickname and no avatar", person(Person{Name: "bare", NoNickname: true}), true, true, "没有昵称和头像"},
		{"profile-http-avatar", "the avatar's URL is plain http", person(Person{Name: "old", AvatarURL: "http://wx.qlogo.cn/mmopen/vi_32/old/132"}), true, true, "头像地址为 http"},
		{"profile-avatar-gone", "the avatar has changed: its URL returns 404", person(Person{Name: "gone", AvatarURL: "/mmopen/vi_32/gone-since/132"}), true, true, "头像已更换，原地址返回 404"},
		{"profile-deleted-user", "the user has closed the account", person(Person{Name: "deleted", Deleted: true}), true, true, "用户已注销微信账号"},
		{"profile-40001-once", "the new token is rejected once (40001)", []Option{WithFault(profilePath, Errcode(40001))}, true, true, "新的 access_token 被拒绝一次（40001）"},
		{"profile-unavailable", "sns/userinfo is down", []Option{WithFault(profilePath, slices.Repeat([]Fault{BadGateway()}, 10)...)}, true, true, "sns/userinfo 不可用"},
	}
}

func accountScenarios() []Scenario {
	account := func(change func(*Account)) []Option { return []Option{eachAccount(change)} }
	return []Scenario{
		{"account-no-unionid", "the account is not bound to an open-platform account", account(func(a *Account) { a.OpenPlatform = "" }), true, true, "公众号未绑定开放平台账号"},
		{"account-banned", "the account is banned (10004)", account(func(a *Account) { a.Banned = true }), false, false, "公众号被封禁（10004）"},
		{"account-sandbox", "a test account that the user does not follow (10006)", account(func(a *Account) { a.Sandbox = true }), false, false, "用户未关注测试号（10006）"},
		{"account-base-only", "the account may not request the profile (10005)", account(func(a *Account) { a.Scopes = []client.Scope{client.ScopeBase} }), false, false, "公众号没有获取用户信息的权限（10005）"},
		{"account-domain", "the callback's domain is not configured (10003)", account(func(a *Account) { a.Domains = []string{"another.example.com"} }), false, false, "网页授权域名与回调地址不一致（10003）"},
		{"account-secret-changed", "the AppSecret has changed (40125)", account(func(a *Account) { a.Secret = "another-secret-for-tests" }), false, true, "AppSecret 已更换（40125）"},
		{"account-secret-frozen", "the AppSecret is frozen (40243)", account(func(a *Account) { a.Frozen = true }), false, true, "AppSecret 已冻结（40243）"},
		{"account-address-refused", "the server's address is not on the allow-list (40164)", account(func(a *Account) { a.AllowedIPs = []string{"192.0.2.1"} }), false, true, "服务器 IP 不在白名单（40164）"},
	}
}
