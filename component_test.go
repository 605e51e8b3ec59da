package wechatauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

// tokenOf is a source of one token.
type tokenOf string

func (t tokenOf) ComponentToken(context.Context) (client.Secret, error) {
	if t == "" {
		return client.Secret{}, errors.New("no token in this test")
	}
	return client.NewSecret(string(t)), nil
}

// newPlatformSite is a site of an account and a mini program that have
// authorized a platform, and have given no secret to anybody.
func newPlatformSite(t *testing.T, opts ...Option) *site {
	t.Helper()
	sim := wechattest.NewServer()
	source := tokenOf(sim.ComponentToken(wechattest.DefaultComponentAppID))
	return startSite(t, sim, httptest.NewUnstartedServer(nil), append([]Option{
		WithApp(wechattest.DefaultAppID, ""), WithMiniProgram(miniApp, ""),
		WithComponent(wechattest.DefaultComponentAppID, source),
		WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv")),
	}, opts...)...)
}

func TestAPlatformLogsInOnBehalfOfAnAccountAndItsMiniProgram(t *testing.T) {
	s := newPlatformSite(t, WithTokens(0))
	s.handle("/token", func(w http.ResponseWriter, r *http.Request) {
		_, err := s.auth.AccessToken(r.Context())
		fmt.Fprint(w, "token: ", err)
	})
	b := s.browser()

	location := b.step("/a").Header.Get("Location")
	assert.True(t, strings.HasSuffix(location, "&component_appid="+wechattest.DefaultComponentAppID+"#wechat_redirect"), "last, in the documented order: %s", location)

	// The simulator refuses any other order, as WeChat does.
	u := mustParse(t, location)
	var pairs []string
	for _, pair := range strings.Split(u.RawQuery, "&") {
		pairs = append([]string{pair}, pairs...)
	}
	u.RawQuery = strings.Join(pairs, "&")
	assert.NotContains(t, b.step(u.String()).Header.Get("Location"), "code=")
	assert.Contains(t, b.step(location).Header.Get("Location"), "&appid="+wechattest.DefaultAppID, "the callback names the account")

	assert.Contains(t, b.visit("/a").body, "logged-in=true openid="+wechattest.OpenID(wechattest.DefaultAppID, person(0)))
	assert.Equal(t, 1, s.sim.Count("/sns/oauth2/component/access_token"))
	assert.Contains(t, b.allow(b.post("/wechat/upgrade", url.Values{"next": {"/profile"}})).body, "nickname="+person(0))
	assert.Contains(t, b.visit("/token").body, "token: <nil>")
	s.clock.Advance(116 * time.Minute)
	s.sim.Advance(116 * time.Minute)
	assert.Contains(t, b.visit("/token").body, "token: <nil>")
	assert.Equal(t, 1, s.sim.Count("/sns/oauth2/component/refresh_token"))
	assert.Zero(t, s.exchanges()+s.sim.Count("/sns/oauth2/refresh_token"), "nothing was asked without the platform")
}

func TestAPlatformsMiniProgramLogsInAndOpensItsData(t *testing.T) {
	s := newPlatformSite(t)
	s.handle("/data", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.auth.MiniProgram(r.Context())
		if err == nil {
			_, err = m.Decrypt(r.Context(), r.FormValue("data"), r.FormValue("iv"))
		}
		fmt.Fprint(w, "data: ", err)
	})
	token := s.miniLogin(person(0))
	payload := s.sim.UserPayload(miniApp, person(0))
	got := s.request(http.MethodGet, "/data?"+url.Values{"data": {payload.EncryptedData}, "iv": {payload.IV}}.Encode(), token, "")
	assert.Equal(t, "data: <nil>", got.body)
	assert.Equal(t, 1, s.sim.Count("/sns/component/jscode2session"))
	assert.Zero(t, s.sim.Count("/sns/jscode2session"))
}

func TestManyAccountsLogInThroughOnePlatform(t *testing.T) {
	kinds := func(appID string) wechattest.Account {
		return wechattest.Account{AppID: appID, Secret: "not-given-to-us", Kind: wechattest.OfficialAccount, Platforms: []string{wechattest.DefaultComponentAppID}}
	}
	sim := wechattest.NewServer(wechattest.WithAccount(append(wechattest.DefaultAccounts(), kinds(shopA), kinds(shopB))...))
	source := tokenOf(sim.ComponentToken(wechattest.DefaultComponentAppID))
	s := shops(t, sim, httptest.NewUnstartedServer(nil), byPathPrefix(map[string]Account{"/a/": {AppID: shopA}, "/b/": {AppID: shopB}}),
		WithComponent(wechattest.DefaultComponentAppID, source), WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv")))
	visitor := s.browser()
	for path, appID := range map[string]string{"/a/x": shopA, "/b/x": shopB} {
		assert.Contains(t, visitor.visit(path).body, "logged-in=true openid="+wechattest.OpenID(appID, person(0)))
	}
	assert.Equal(t, 2, sim.Count("/sns/oauth2/component/access_token"))
}

func TestAnAccountWithASecretOfItsOwnNeedsNoPlatform(t *testing.T) {
	s := newPlatformSite(t, WithMiniProgram(miniApp, wechattest.DefaultMiniProgramSecret))
	s.miniLogin(person(0))
	assert.Equal(t, 1, s.sim.Count("/sns/jscode2session"))
	assert.Zero(t, s.sim.Count("/sns/component/jscode2session"))
}

// A platform without a token, or with one that WeChat does not take, fails the
// login and tells nobody the token.
func TestAPlatformsTroubleFailsTheLoginOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		source tokenOf
		status int
	}{
		"no token":     {"", http.StatusBadGateway},
		"a wrong one":  {"component-token-that-is-wrong", http.StatusInternalServerError},
		"another kind": {"an access token\r\nX-Injected: 1", http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPlatformSite(t, WithComponent(wechattest.DefaultComponentAppID, tt.source))
			got := s.browser().visit("/a")
			assert.Equal(t, tt.status, got.StatusCode)
			mini := s.request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.sim.JSCode(miniApp, person(0))+`"}`)
			assert.Equal(t, tt.status, mini.StatusCode)
			if tt.source != "" {
				assert.NotContains(t, got.body+mini.body+s.logs.String(), string(tt.source))
			}
			assert.Contains(t, s.browser().visit("/public").body, "logged-in=false", "the rest goes on")
		})
	}
}
