package wechattest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

var sameConfiguration = map[string]string{
	"JSON": `{
		"accounts": [{"app_id": "wx00000000000000a1", "secret": "official-account-secret-for-tests", "scopes": ["snsapi_userinfo"], "open_platform": "one"}],
		"people": [{"name": "Ada", "nickname": "Ada L.", "follows": true}],
		"any_browser": true, "environment": "menu", "seed": 5,
		"switches": ["json-content-type"],
		"quotas": {"sns/auth": {"per_minute": 1}},
		"faults": {"sns/userinfo": ["errcode:40001"]}
	}`,
	"YAML": `# by hand
accounts:
  - app_id: wx00000000000000a1
    secret: official-account-secret-for-tests
    scopes: [snsapi_userinfo]
    open_platform: one
people:
  - {name: Ada, nickname: Ada L., follows: true}
any_browser: true
environment: menu
seed: 5
switches: [json-content-type]
quotas:
  sns/auth: {per_minute: 1}
faults:
  sns/userinfo: ["errcode:40001"]
`,
}

func TestReadConfig(t *testing.T) {
	for form, text := range sameConfiguration {
		t.Run(form, func(t *testing.T) {
			opts, err := wechattest.ReadConfig(strings.NewReader(text))
			require.NoError(t, err)
			sim := simulator(t, opts...)
			a := token(t, sim, "snsapi_userinfo")
			require.Equal(t, wechattest.OpenID(appID, "Ada"), a["openid"])
			require.Equal(t, wechattest.UnionID("one", "Ada"), a["unionid"])
			require.Equal(t, 40001, profile(t, sim, a).errcode())
			require.Equal(t, "Ada L.", profile(t, sim, a)["nickname"])
			get(t, sim, "sns/auth")
			require.Equal(t, 45011, get(t, sim, "sns/auth").errcode())
			sim.AssertCalls(t, "connect/oauth2/authorize_reply", 0)
		})
	}
}

func TestReadConfig_Errors(t *testing.T) {
	for in, want := range map[string]string{
		`{`:                                   "unexpected EOF",
		`{"accnts": []}`:                      "accnts",
		`{"people": []} {"people": []}`:       "unexpected data after the JSON object",
		`{} trailing`:                         "unexpected data after the JSON object",
		`{}}`:                                 "unexpected data after the JSON object",
		``:                                    "EOF",
		"people: []\n---\npeople: []\n":       "unexpected data after the YAML document",
		"people: []\npeople: []\n":            "already defined",
		"accnts: []":                          "accnts",
		"people: [{}]":                        "person without a name",
		"people: {":                           "yaml",
		"- people":                            "cannot unmarshal array",
		"people: [{name: 12}]":                "cannot unmarshal number",
		`{"people": [{}]}`:                    "person without a name",
		`{"scenario": "bogus"}`:               `unknown scenario "bogus"`,
		`{"switches": ["bogus"]}`:             `unknown quirk "bogus"`,
		`{"environment": "bogus"}`:            `unknown environment "bogus"`,
		`{"faults": {"sns/auth": ["bogus"]}}`: `unknown fault "bogus"`,
		`{"faults": {"bogus": ["busy"]}}`:     `unknown endpoint "bogus"`,
		`{"quotas": {"bogus": {}}}`:           `unknown endpoint "bogus"`,
		`{"people": [{"name": "a"}, {"name": "a"}]}`:                            "duplicate person",
		`{"accounts": [{"app_id": "gh_1"}]}`:                                    "16 lower-case hexadecimal digits",
		`{"accounts": [{"app_id": "wx00000000000000a1"}]}`:                      "missing Secret",
		account(`"kind": "bogus"`):                                              "unknown kind",
		account(`"domains": ["a.example", "b.example", "c.example"]`):           "at most two",
		account(`"domains": ["https://a.example"]`):                             "without a scheme",
		account(`"domains": ["a.example:8080"]`):                                "must not contain a port",
		account(`"domains": ["192.0.2.1"]`):                                     "only for sandbox accounts",
		account(`"domains": ["/mp"]`):                                           "missing host name",
		account(`"name": "a"}, {"app_id": "wx00000000000000a1", "secret": "s"`): "duplicate account",
	} {
		_, err := wechattest.ReadConfig(strings.NewReader(in))
		require.ErrorContains(t, err, want, in)
	}
	_, err := wechattest.ReadConfig(strings.NewReader(account(`"sandbox": true, "domains": ["192.0.2.1"]`)))
	require.NoError(t, err)
}

func account(rest string) string {
	return `{"accounts": [{"app_id": "wx00000000000000a1", "secret": "s", ` + rest + `}]}`
}
