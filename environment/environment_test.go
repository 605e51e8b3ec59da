package environment

import (
	_ "embed"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/useragents.tsv
var realUserAgents string

func TestOf(t *testing.T) {
	rows := map[Environment]int{}
	for line := range strings.Lines(realUserAgents) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, row, 4, line)
		want, name, seen, userAgent := Environment(row[0]), row[1], row[2], row[3]
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, want, of(userAgent))
			assert.NotEmpty(t, seen, "name where it was seen")
		})
		rows[want]++
	}
	for _, e := range environments {
		assert.NotZero(t, rows[e], e)
	}
	assert.Len(t, rows, len(environments))

	assert.Equal(t, DesktopBrowser, of(""), "nothing")
	assert.Equal(t, WeChatPhone, of("MICROMESSENGER/8.0 (IPHONE)"), "letter case")
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["User-Agent"] = []string{"", "MicroMessenger"}
	assert.Equal(t, WeChatPhone, Of(r), "after a blank header")
}

func TestPolicyValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		policy Policy
		want   string
	}{
		"website login in WeChat on a phone": {Policy{WeChatPhone: LoginWebsite}, "10005"},
		"website login in a web-view":        {Policy{MiniProgramWebView: LoginWebsite}, "10005"},
		"website login in a phone browser":   {Policy{PhoneBrowser: LoginWebsite}, "use OpenInWeChat"},
		"phone that scans itself":            {Policy{PhoneBrowser: LoginScan}, "cannot scan its own screen"},
		"phone in WeChat that scans itself":  {Policy{WeChatPhone: LoginScan}, "cannot scan its own screen"},
		"web-view that scans itself":         {Policy{MiniProgramWebView: LoginScan}, "cannot scan its own screen"},
		"WeChat to WeChat":                   {Policy{WeChatPhone: OpenInWeChat}, "nobody could log in"},
		"unknown environment":                {Policy{"watch": AllowAnonymous}, `"watch", action 5: there is no such environment`},
		"no action":                          {Policy{WeCom: 0}, "no such action"},
		"action beyond the list":             {Policy{WeCom: AllowAnonymous + 1}, "no such action"},
		"all mistakes at once":               {Policy{"watch": AllowAnonymous, WeCom: 0, DesktopBrowser: LoginScan}, `"watch", action 5: there is no such environment; "wecom", action 0: there is no such action`},
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorContains(t, tt.policy.Validate(), tt.want) })
	}
	assert.NoError(t, Policy(nil).Validate())
	assert.NoError(t, Policy{DesktopBrowser: LoginScan, PhoneBrowser: OpenInWeChat}.Validate())
}

func TestPolicyUses(t *testing.T) {
	p := Policy{DesktopBrowser: LoginScan}
	assert.True(t, p.Uses(LoginScan))
	assert.False(t, p.Uses(LoginWebsite))
	assert.False(t, Policy(nil).Uses(LoginScan))
}
