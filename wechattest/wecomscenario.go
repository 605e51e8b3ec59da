package wechattest

import "slices"

const corpExchangePath, corpTokenPath = "cgi-bin/auth/getuserinfo", "cgi-bin/gettoken"

// WeComScenarios returns the scenarios of a login in WeCom, the plain login
// first, for use like [Scenarios]. Their LogsIn and Reaches are those of a login
// for snsapi_base with [DefaultCorpID] and [DefaultAgentID] by a site that admits
// members in the app's visible range only. Their order and names are stable.
func WeComScenarios() []Scenario {
	corp := func(change func(*Corp)) []Option { return []Option{theCorp(change)} }
	app := func(change func(*App)) []Option { return corp(func(c *Corp) { change(&c.Apps[0]) }) }
	member := func(m Member) []Option {
		m.Person = "小明"
		return corp(func(c *Corp) { c.Members[0] = m })
	}
	person := func(name string) []Option {
		i := slices.IndexFunc(DefaultPeople(), func(p Person) bool { return p.Name == name })
		return []Option{scenarioPerson(DefaultPeople()[i])}
	}
	quirk := func(q ...Quirk) []Option { return []Option{WithQuirks(q...)} }
	rejected := func(code int) []Option {
		return []Option{WithFault(corpExchangePath, Errcode(code)), WithQuirks(WeComNewToken)}
	}
	fault := func(path string, f ...Fault) []Option { return []Option{WithFault(path, f...)} }
	return []Scenario{
		{"wecom-plain", "a member in WeCom, silently", nil, true, true, "成员在企业微信中静默登录"},
		{"wecom-userid-case", "the userid is in upper case", member(Member{UserID: "XIAOMING"}), true, true, "userid 为大写"},
		{"wecom-old-keys", "getuserinfo spells its keys UserId and OpenId", quirk(WeComOldKeys), true, true, "getuserinfo 的字段名为 UserId 和 OpenId"},
		{"wecom-hidden", "the member is outside the app's visible range", person("Lin"), false, true, "成员不在应用的可见范围内"},
		{"wecom-linked", "the member is one of a linked company", member(Member{UserID: "LiSi", LinkedCorp: "ww00000000000000f6"}), false, true, "互联企业的成员"},
		{"wecom-customer", "a customer, who is no member", person("阿青"), false, true, "外部联系人，不是成员"},
		{"wecom-stranger", "a person who is neither a member nor a customer", corp(func(c *Corp) { c.Members, c.Customers = nil, nil }), false, true, "既不是成员，也不是外部联系人"},
		{"wecom-doubled-later", "the callback is repeated a second later", quirk(DuplicateCallbackLater), true, true, "一秒后重复回调"},
		{"wecom-doubled-at-once", "the callback comes twice at the same time", quirk(DuplicateCallbackAtOnce), true, true, "两次回调同时到达"},
		{"wecom-used-code", "the code has been used (40029)", fault(corpExchangePath, Errcode(40029)), false, true, "code 已使用（40029）"},
		{"wecom-used-code-42022", "the code has been used (42022)", fault(corpExchangePath, Errcode(42022)), false, true, "code 已使用（42022）"},
		{"wecom-busy", "getuserinfo is busy (-1)", fault(corpExchangePath, Busy()), false, true, "getuserinfo 繁忙（-1）"},
		{"wecom-token-40014", "the token is rejected once (40014)", rejected(40014), true, true, "access_token 被拒绝一次（40014）"},
		{"wecom-token-40001", "the token is rejected once (40001)", rejected(40001), true, true, "access_token 被拒绝一次（40001）"},
		{"wecom-token-42001", "the token has expired (42001)", rejected(42001), true, true, "access_token 已过期（42001）"},
		{"wecom-token-always", "every token is rejected", fault(corpExchangePath, slices.Repeat([]Fault{Errcode(40014)}, 10)...), false, true, "所有 access_token 均被拒绝"},
		{"wecom-token-busy", "gettoken is busy once (-1)", fault(corpTokenPath, Busy()), true, true, "gettoken 繁忙一次（-1）"},
		{"wecom-token-down", "gettoken is down", fault(corpTokenPath, slices.Repeat([]Fault{BadGateway()}, 10)...), false, true, "gettoken 不可用"},
		{"wecom-new-tokens", "a new token invalidates the old one", quirk(WeComOldTokenDies), true, true, "新 access_token 使旧的失效"},
		{"wecom-secret-changed", "the secret has changed (40001)", app(func(a *App) { a.Secret = "another-wecom-secret" }), false, true, "Secret 已更换（40001）"},
		{"wecom-app-disabled", "the app is disabled (40001)", app(func(a *App) { a.Disabled = true }), false, true, "应用已停用（40001）"},
		{"wecom-address-refused", "the server's address is not trusted (60020)", app(func(a *App) { a.TrustedIPs = []string{"192.0.2.1"} }), false, true, "服务器 IP 不可信（60020）"},
		{"wecom-rate-limited", "too many calls (45009)", fault(corpExchangePath, Errcode(45009)), false, true, "调用过于频繁（45009）"},
		{"wecom-not-trusted", "the callback's domain is not trusted", []Option{WithStrictDomains()}, false, false, "回调地址的域名不可信"},
		{"wecom-domain-50001", "the domain is not trusted when the code is exchanged (50001)", fault(corpExchangePath, Errcode(50001)), false, true, "换取用户信息时域名不可信（50001）"},
		{"wecom-dissolved", "the company is dissolved (301007)", fault(corpExchangePath, Errcode(301007)), false, true, "企业已解散（301007）"},
	}
}
