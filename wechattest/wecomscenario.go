package wechattest

import "slices"

const corpExchangePath, corpTokenPath = "cgi-bin/auth/getuserinfo", "cgi-bin/gettoken"

// WeComScenarios returns the scenarios of a login in WeCom, the plain login
// first, for use like [Scenarios]. Their LogsIn and Reaches are those of a login
// for snsapi_base with [DefaultCorpID] and [DefaultAgentID] by a site that admits
// members in the app's visible range only. Their order and names are stable.
func WeComScenarios() []Scenario {
	corp := func(change func(*Corp)) []Option {
		c := DefaultCorps()[0]
		change(&c)
		return []Option{WithCorp(c)}
	}
	app := func(change func(*App)) []Option { return corp(func(c *Corp) { change(&c.Apps[0]) }) }
	member := func(m Member) []Option {
		m.Person = "小明"
		return corp(func(c *Corp) { c.Members[0] = m })
	}
	person := func(p string) []Option { return []Option{WithPerson(peopleFrom(p)...)} }
	quirk := func(q ...Quirk) []Option { return []Option{WithQuirks(q...)} }
	rejected := func(code int) []Option {
		return []Option{WithFault(corpExchangePath, Errcode(code)), WithQuirks(WeComNewToken)}
	}
	fault := func(path string, f ...Fault) []Option { return []Option{WithFault(path, f...)} }
	return []Scenario{
		{"wecom-plain", "a member in WeCom, silently", nil, true, true},
		{"wecom-userid-case", "the userid is in upper case", member(Member{UserID: "XIAOMING"}), true, true},
		{"wecom-old-keys", "getuserinfo spells its keys UserId and OpenId", quirk(WeComOldKeys), true, true},
		{"wecom-hidden", "the member is outside the app's visible range", person("Lin"), false, true},
		{"wecom-linked", "the member is one of a linked company", member(Member{UserID: "LiSi", LinkedCorp: "ww00000000000000f6"}), false, true},
		{"wecom-customer", "a customer, who is no member", person("阿青"), false, true},
		{"wecom-stranger", "a person who is neither a member nor a customer", corp(func(c *Corp) { c.Members, c.Customers = nil, nil }), false, true},
		{"wecom-doubled-later", "the callback is repeated a second later", quirk(DuplicateCallbackLater), true, true},
		{"wecom-doubled-at-once", "the callback comes twice at the same time", quirk(DuplicateCallbackAtOnce), true, true},
		{"wecom-used-code", "the code has been used (40029)", fault(corpExchangePath, Errcode(40029)), false, true},
		{"wecom-used-code-42022", "the code has been used (42022)", fault(corpExchangePath, Errcode(42022)), false, true},
		{"wecom-busy", "getuserinfo is busy (-1)", fault(corpExchangePath, Busy()), false, true},
		{"wecom-token-40014", "the token is rejected once (40014)", rejected(40014), true, true},
		{"wecom-token-40001", "the token is rejected once (40001)", rejected(40001), true, true},
		{"wecom-token-42001", "the token has expired (42001)", rejected(42001), true, true},
		{"wecom-token-always", "every token is rejected", fault(corpExchangePath, slices.Repeat([]Fault{Errcode(40014)}, 10)...), false, true},
		{"wecom-token-busy", "gettoken is busy once (-1)", fault(corpTokenPath, Busy()), true, true},
		{"wecom-token-down", "gettoken is down", fault(corpTokenPath, slices.Repeat([]Fault{BadGateway()}, 10)...), false, true},
		{"wecom-new-tokens", "a new token invalidates the old one", quirk(WeComOldTokenDies), true, true},
		{"wecom-secret-changed", "the secret has changed (40001)", app(func(a *App) { a.Secret = "another-wecom-secret" }), false, true},
		{"wecom-app-disabled", "the app is disabled (40001)", app(func(a *App) { a.Disabled = true }), false, true},
		{"wecom-address-refused", "the server's address is not trusted (60020)", app(func(a *App) { a.TrustedIPs = []string{"192.0.2.1"} }), false, true},
		{"wecom-rate-limited", "too many calls (45009)", fault(corpExchangePath, Errcode(45009)), false, true},
		{"wecom-not-trusted", "the callback's domain is not trusted", []Option{WithStrictDomains()}, false, false},
		{"wecom-domain-50001", "the domain is not trusted when the code is exchanged (50001)", fault(corpExchangePath, Errcode(50001)), false, true},
		{"wecom-dissolved", "the company is dissolved (301007)", fault(corpExchangePath, Errcode(301007)), false, true},
	}
}

// peopleFrom returns the default people, beginning with the named one.
func peopleFrom(name string) []Person {
	people := DefaultPeople()
	i := slices.IndexFunc(people, func(p Person) bool { return p.Name == name })
	return slices.Concat(people[i:], people[:i])
}
