package channels

import (
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// A userAgentRow is one of the User-Agents that package environment is tested
// with.
type userAgentRow struct {
	environment environment.Environment
	userAgent   string
}

// realUserAgents returns the User-Agents by name.
func realUserAgents(t *testing.T) map[string]userAgentRow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(authtest.Root, "environment/testdata/useragents.tsv"))
	require.NoError(t, err)
	rows := map[string]userAgentRow{}
	for line := range strings.Lines(string(text)) {
		if row := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(row) == 4 {
			rows[row[1]] = userAgentRow{environment.Environment(row[0]), row[3]}
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

// policyActions has every action for page visits of an environment.
var policyActions = map[string]environment.Action{
	"no action": 0, "official account": environment.LoginOfficialAccount, "website": environment.LoginWebsite, "scan": environment.LoginScan, "open in WeChat": environment.OpenInWeChat, "pass": environment.AllowAnonymous,
}

// Every client, under every policy that New accepts for its environment, from
// the first page visit to the requested page.
func TestEnvironment_Policies(t *testing.T) {
	const target = "/orders?id=7"
	clients := realUserAgents(t)
	driven, journeys := map[environment.Environment]bool{}, 0
	for policy, act := range policyActions {
		t.Run(policy, func(t *testing.T) {
			all := environment.Policy{}
			for e := range authtest.UserAgents {
				if (environment.Policy{e: act}).Validate() == nil {
					all[e] = act
				}
			}
			s := authtest.NewSite(t, authtest.WithWebsite(), wechatauth.WithEnvironment(all))
			for name, client := range clients {
				t.Run(name, func(t *testing.T) {
					b := s.Browser().As(client.userAgent)
					journey(s, t, b, all.For(&http.Request{Header: b.Header}, true), target)
					driven[client.environment] = true
					journeys++
				})
			}
		})
	}
	assert.Len(t, driven, len(authtest.UserAgents))
	t.Logf("environments %d, user-agents %d, journeys %d", len(driven), len(clients), journeys)
}

// journey takes a browser from a page visit to the page, in the way of an
// action. If WeChat has no login for it, the journey ends at the page that
// explains this.
func journey(s *authtest.Site, t *testing.T, b *authtest.Browser, act environment.Action, target string) {
	t.Helper()
	there := "url=" + target + " logged-in=true openid="
	inWeChat := strings.Contains(b.Header.Get("User-Agent"), "MicroMessenger")
	switch act {
	case environment.LoginOfficialAccount:
		got := b.Visit(target)
		if !inWeChat {
			assert.Contains(t, got.Request.URL.String(), s.Sim.URL+"/connect/oauth2/authorize?")
			assert.NotContains(t, got.Text, "logged-in")
			return
		}
		assert.Contains(t, got.Text, there+wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
	case environment.LoginWebsite:
		toWeChat := b.Step(target).Header.Get("Location")
		require.Contains(t, toWeChat, s.Sim.URL+"/connect/qrconnect?appid="+wechattest.DefaultWebsiteAppID)
		if page := b.Visit(toWeChat).Text; inWeChat && !strings.Contains(b.Header.Get("User-Agent"), "Wechat") {
			assert.Contains(t, page, "10005", "WeChat's response to its own browser on a phone, and to any that looks like it")
			return
		}
		callback, err := s.Sim.CallbackURL(wechattest.Browser(b.Header.Get("User-Agent")), toWeChat)
		require.NoError(t, err)
		assert.Contains(t, b.Visit(callback).Text, there+wechattest.OpenID(wechattest.DefaultWebsiteAppID, authtest.Person(0)))
	case environment.LoginScan:
		page := b.Visit(target)
		require.Contains(t, page.Text, `class="qr"`)
		held := (&authtest.ScanSite{Site: s}).Held(b)
		phone := s.Browser()
		path := "/wechat/scan/" + held.Ticket
		require.Contains(t, phone.Visit(path).Text, authtest.ScanButton)
		assert.Contains(t, b.Enter(target, (&authtest.ScanSite{Site: s}).Confirm(phone, path)).Text, there+wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
	case environment.OpenInWeChat:
		page := b.Visit(target)
		require.Equal(t, http.StatusForbidden, page.StatusCode)
		require.Contains(t, page.Text, "在微信中打开")
		for _, elsewhere := range []string{"/wechat/login?next=" + target, "/wechat/upgrade?next=" + target} {
			assert.Contains(t, b.Visit(elsewhere).Text, "在微信中打开")
		}
		shown := regexp.MustCompile(`id="url">([^<]+)<`).FindStringSubmatch(page.Text)
		require.Len(t, shown, 2)
		phone := s.Browser()
		assert.Contains(t, phone.Visit(html.UnescapeString(shown[1])).Text, there, "the URL on the page, opened in WeChat")
	case environment.AllowAnonymous:
		assert.Contains(t, b.Visit(target).Text, "url="+target+" logged-in=false openid= ")
		assert.Equal(t, http.StatusUnauthorized, b.Fetch(http.MethodGet, target).StatusCode, "scripts get their 401")
	}
}

func TestEnvironment_InvalidPolicies(t *testing.T) {
	for name, tt := range map[string]struct {
		opts []wechatauth.Option
		want string
	}{
		"a website login without a website application": {authtest.RightOptions(wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginWebsite})), "set WithWebsiteApp"},
		"an embedded QR code without one":               {authtest.RightOptions(wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginEmbeddedQR})), "set WithWebsiteApp"},
		"a login that an environment does not support":  {authtest.RightOptions(wechatauth.WithEnvironment(environment.Policy{environment.PhoneBrowser: environment.LoginScan})), `WithEnvironment: "phone_browser", action 4: a phone cannot scan its own screen`},
		"a website login for an account without a website application": {[]wechatauth.Option{wechatauth.WithBaseURL(authtest.TestBase), wechatauth.WithAccounts(authtest.ByHost(wechatauth.Account{AppID: authtest.TestAppID, Secret: authtest.TestSecret, BaseURL: authtest.TestBase})),
			wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginWebsite})}, "set WithWebsiteApp"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wechatauth.New(tt.opts...)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}
