package environment

import (
	_ "embed"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/useragents.tsv
var realUserAgents string

func TestOf(t *testing.T) {
	rows, names := map[Environment]int{}, map[string]bool{}
	for line := range strings.Lines(realUserAgents) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, row, 4, line)
		want, name, seen, userAgent := Environment(row[0]), row[1], row[2], row[3]
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, want, of(userAgent))
			assert.NotEmpty(t, seen, "note where it was seen")
		})
		assert.False(t, names[name], "duplicate %s", name)
		rows[want]++
		names[name] = true
	}
	for _, e := range environments {
		assert.NotZero(t, rows[e], e)
	}
	assert.Len(t, rows, len(environments))

	assert.Equal(t, DesktopBrowser, of(""), "empty")
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
		"website login in WeChat on a phone":  {Policy{WeChatPhone: LoginWebsite}, "10005"},
		"website login in a web-view":         {Policy{MiniProgramWebView: LoginWebsite}, "10005"},
		"website login in a phone browser":    {Policy{PhoneBrowser: LoginWebsite}, "use OpenInWeChat"},
		"embedded QR code in a phone browser": {Policy{PhoneBrowser: LoginEmbeddedQR}, "use OpenInWeChat"},
		"embedded QR code in a web-view":      {Policy{MiniProgramWebView: LoginEmbeddedQR}, "10005"},
		"phone that scans itself":             {Policy{PhoneBrowser: LoginScan}, "cannot scan its own screen"},
		"phone in WeChat that scans itself":   {Policy{WeChatPhone: LoginScan}, "cannot scan its own screen"},
		"web-view that scans itself":          {Policy{MiniProgramWebView: LoginScan}, "cannot scan its own screen"},
		"WeChat to WeChat":                    {Policy{WeChatPhone: OpenInWeChat}, "users could not log in"},
		"unknown environment":                 {Policy{"watch": AllowAnonymous}, `"watch", action 6: unknown environment`},
		"no action":                           {Policy{WeCom: 0}, "unknown action"},
		"action beyond the list":              {Policy{WeCom: AllowAnonymous + 1}, "unknown action"},
		"all mistakes at once":                {Policy{"watch": AllowAnonymous, WeCom: 0, DesktopBrowser: LoginScan}, `"watch", action 6: unknown environment; "wecom", action 0: unknown action`},
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorContains(t, tt.policy.Validate(), tt.want) })
	}
	assert.NoError(t, Policy(nil).Validate())
	assert.NoError(t, Policy{DesktopBrowser: LoginScan, PhoneBrowser: OpenInWeChat}.Validate())
	for act := LoginOfficialAccount; act <= AllowAnonymous; act++ {
		assert.NoError(t, Policy{TabletBrowser: act, TVBrowser: act}.Validate(), "a phone can scan both, action %d", act)
	}
}

// A phone can scan the screen of a tablet and of a TV.
func TestPolicyFor(t *testing.T) {
	request := func(userAgent string) *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("User-Agent", userAgent)
		return r
	}
	requests := []*http.Request{request("(Tablet; OpenHarmony 6.1)"), request("(SMART-TV; Linux; Tizen 2.3)"), request("(Windows NT 10.0)"), request("(Phone; OpenHarmony 5.0) Mobile")}
	for name, tt := range map[string]struct {
		policy        Policy
		website       bool
		visits, login []Action // on a tablet, a TV, a computer and a phone
	}{
		"nothing":           {nil, false, []Action{LoginOfficialAccount, LoginOfficialAccount, LoginOfficialAccount, LoginOfficialAccount}, nil},
		"website":           {nil, true, []Action{LoginWebsite, LoginWebsite, LoginWebsite, OpenInWeChat}, nil},
		"like the computer": {Policy{DesktopBrowser: LoginScan}, true, []Action{LoginScan, LoginScan, LoginScan, OpenInWeChat}, nil},
		"one action each":   {Policy{DesktopBrowser: LoginWebsite, TabletBrowser: OpenInWeChat, TVBrowser: LoginScan}, true, []Action{OpenInWeChat, LoginScan, LoginWebsite, OpenInWeChat}, nil},
		"tablet alone":      {Policy{TabletBrowser: LoginScan}, false, []Action{LoginScan, LoginOfficialAccount, LoginOfficialAccount, LoginOfficialAccount}, nil},
		"anonymous desktop": {Policy{DesktopBrowser: AllowAnonymous}, true, []Action{AllowAnonymous, AllowAnonymous, AllowAnonymous, OpenInWeChat}, []Action{LoginWebsite, LoginWebsite, LoginWebsite, OpenInWeChat}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.login == nil {
				tt.login = tt.visits
			}
			for i, r := range requests {
				assert.Equal(t, tt.visits[i], tt.policy.For(r, tt.website), r.UserAgent())
				assert.Equal(t, tt.login[i], tt.policy.ForLogin(r, tt.website), r.UserAgent())
			}
		})
	}
}

func TestPolicyUses(t *testing.T) {
	p := Policy{DesktopBrowser: LoginScan}
	assert.True(t, p.Uses(LoginScan))
	assert.False(t, p.Uses(LoginWebsite))
	assert.False(t, Policy(nil).Uses(LoginScan))
}
