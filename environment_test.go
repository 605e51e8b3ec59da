package wechatauth

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/wechattest"
)

// userAgentRow is one of the User-Agents that package environment is tested with.
type userAgentRow struct {
	environment environment.Environment
	userAgent   string
}

// realUserAgents returns them by name.
func realUserAgents(t *testing.T) map[string]userAgentRow {
	t.Helper()
	rows := map[string]userAgentRow{}
	for line := range strings.Lines(readFile(t, "environment/testdata/useragents.tsv")) {
		if row := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(row) == 4 {
			rows[row[1]] = userAgentRow{environment.Environment(row[0]), row[3]}
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

// policyActions are all that an environment's page visits can get.
var policyActions = map[string]environment.Action{
	"nothing said": 0, "official account": environment.LoginOfficialAccount, "website": environment.LoginWebsite, "scan": environment.LoginScan, "open in WeChat": environment.OpenInWeChat, "pass": environment.AllowAnonymous,
}

// Every client, with every policy that New takes for its environment, from the
// first page visit to the page that was asked for.
func TestEachEnvironmentIsDrivenToItsPageUnderEachPolicy(t *testing.T) {
	const target = "/orders?id=7"
	clients := realUserAgents(t)
	driven, journeys := map[environment.Environment]bool{}, 0
	for policy, act := range policyActions {
		t.Run(policy, func(t *testing.T) {
			all := environment.Policy{}
			for e := range userAgents {
				if (environment.Policy{e: act}).Validate() == nil {
					all[e] = act
				}
			}
			s := newSite(t, withWebsite(), WithEnvironment(all))
			for name, client := range clients {
				t.Run(name, func(t *testing.T) {
					b := s.browser().as(client.userAgent)
					s.journey(t, b, all.For(&http.Request{Header: b.header}, true), target)
					driven[client.environment] = true
					journeys++
				})
			}
		})
	}
	assert.Len(t, driven, len(userAgents))
	t.Logf("environments %d, user-agents %d, journeys %d", len(driven), len(clients), journeys)
}

// journey takes a browser from a page visit to the page, in the way that an
// action has; where WeChat has no login, to the page that says so.
func (s *site) journey(t *testing.T, b *browser, act environment.Action, target string) {
	t.Helper()
	there := "url=" + target + " logged-in=true openid="
	inWeChat := strings.Contains(b.header.Get("User-Agent"), "MicroMessenger")
	switch act {
	case environment.LoginOfficialAccount:
		got := b.visit(target)
		if !inWeChat {
			assert.Contains(t, got.Request.URL.String(), s.sim.URL+"/connect/oauth2/authorize?")
			assert.NotContains(t, got.body, "logged-in")
			return
		}
		assert.Contains(t, got.body, there+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	case environment.LoginWebsite:
		toWeChat := b.step(target).Header.Get("Location")
		require.Contains(t, toWeChat, s.sim.URL+"/connect/qrconnect?appid="+wechattest.DefaultWebsiteAppID)
		if page := b.visit(toWeChat).body; inWeChat && !strings.Contains(b.header.Get("User-Agent"), "Wechat") {
			assert.Contains(t, page, "10005", "what WeChat says to its own browser on a phone, and to whoever looks like it")
			return
		}
		callback, err := s.sim.CallbackURL(wechattest.Browser(b.header.Get("User-Agent")), toWeChat)
		require.NoError(t, err)
		assert.Contains(t, b.visit(callback).body, there+wechattest.OpenID(wechattest.DefaultWebsiteAppID, person(0)))
	case environment.LoginScan:
		page := b.visit(target)
		require.Contains(t, page.body, `class="qr"`)
		held := (&scanSite{site: s}).held(b)
		phone := s.browser()
		path := s.auth.scanPath(held.Ticket)
		require.Contains(t, phone.visit(path).body, scanButton)
		assert.Contains(t, b.enter(target, (&scanSite{site: s}).confirm(phone, path)).body, there+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	case environment.OpenInWeChat:
		page := b.visit(target)
		require.Equal(t, http.StatusForbidden, page.StatusCode)
		require.Contains(t, page.body, "在微信中打开")
		for _, elsewhere := range []string{"/wechat/login?next=" + target, "/wechat/upgrade?next=" + target} {
			assert.Contains(t, b.visit(elsewhere).body, "在微信中打开")
		}
		shown := regexp.MustCompile(`id="url">([^<]+)<`).FindStringSubmatch(page.body)
		require.Len(t, shown, 2)
		phone := s.browser()
		assert.Contains(t, phone.visit(html.UnescapeString(shown[1])).body, there, "the URL that is shown, in WeChat")
	case environment.AllowAnonymous:
		assert.Contains(t, b.visit(target).body, "url="+target+" logged-in=false openid= ")
		assert.Equal(t, http.StatusUnauthorized, b.fetch(http.MethodGet, target).StatusCode, "scripts get their 401")
	}
}

func TestPoliciesThatCannotWorkAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		opts []Option
		want string
	}{
		"a website login without a website application": {right(WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginWebsite})), "set WithWebsiteApp"},
		"an embedded QR code without one":               {right(WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR})), "set WithWebsiteApp"},
		"what cannot work in an environment":            {right(WithEnvironment(environment.Policy{environment.PhoneBrowser: environment.LoginScan})), `WithEnvironment: "phone_browser", action 4: a phone cannot scan its own screen`},
		"a website login for an account that has none": {[]Option{WithBaseURL(testBase), WithAccounts(byHost(Account{AppID: testAppID, Secret: testSecret, BaseURL: testBase})),
			WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginWebsite})}, "set WithWebsiteApp"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tt.opts...)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}
