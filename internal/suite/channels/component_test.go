package channels

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

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// tokenOf returns a source of one token, or of none.
func tokenOf(token string) func(context.Context) (client.Secret, error) {
	return func(context.Context) (client.Secret, error) {
		if token == "" {
			return client.Secret{}, errors.New("no token in this test")
		}
		return client.NewSecret(token), nil
	}
}

// newPlatformSite returns a site of an account and a mini program that have
// authorized a platform and whose secrets are not configured anywhere.
func newPlatformSite(t *testing.T, opts ...wechatauth.Option) *authtest.Site {
	t.Helper()
	return startPlatformSite(t, func(*wechatauth.Account) {}, opts...)
}

func startPlatformSite(t *testing.T, change func(*wechatauth.Account), opts ...wechatauth.Option) *authtest.Site {
	t.Helper()
	sim := wechattest.NewServer()
	account := wechatauth.Account{
		AppID: wechattest.DefaultAppID, MiniProgramAppID: authtest.MiniApp,
		PlatformAppID: wechattest.DefaultComponentAppID, PlatformToken: tokenOf(sim.ComponentToken(wechattest.DefaultComponentAppID)),
	}
	change(&account)
	return authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.OneAccount(account),
		append([]wechatauth.Option{wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv"))}, opts...)...)
}

func TestPlatform_Account(t *testing.T) {
	s := newPlatformSite(t, wechatauth.WithTokens(0))
	s.Handle("/token", func(w http.ResponseWriter, r *http.Request) {
		_, err := s.Auth.AccessToken(r.Context())
		fmt.Fprint(w, "token: ", err)
	})
	b := s.Browser()

	location := b.Step("/a").Header.Get("Location")
	assert.True(t, strings.HasSuffix(location, "&component_appid="+wechattest.DefaultComponentAppID+"#wechat_redirect"), "last, in the documented order: %s", location)

	// The simulator rejects any other order, as WeChat does.
	u := authtest.MustParse(t, location)
	var pairs []string
	for _, pair := range strings.Split(u.RawQuery, "&") {
		pairs = append([]string{pair}, pairs...)
	}
	u.RawQuery = strings.Join(pairs, "&")
	assert.NotContains(t, b.Step(u.String()).Header.Get("Location"), "code=")
	assert.Contains(t, b.Step(location).Header.Get("Location"), "&appid="+wechattest.DefaultAppID, "the callback names the account")

	assert.Contains(t, b.Visit("/a").Text, "logged-in=true openid="+wechattest.OpenID(wechattest.DefaultAppID, authtest.Person(0)))
	assert.Equal(t, 1, s.Sim.Count("/sns/oauth2/component/access_token"))
	assert.Contains(t, b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}})).Text, "nickname="+authtest.Person(0))
	assert.Contains(t, b.Visit("/token").Text, "token: <nil>")
	s.Clock.Advance(116 * time.Minute)
	s.Sim.Advance(116 * time.Minute)
	assert.Contains(t, b.Visit("/token").Text, "token: <nil>")
	assert.Equal(t, 1, s.Sim.Count("/sns/oauth2/component/refresh_token"))
	assert.Zero(t, s.Exchanges()+s.Sim.Count("/sns/oauth2/refresh_token"), "no call was made without the platform")
}

func TestPlatform_MiniProgram(t *testing.T) {
	s := newPlatformSite(t)
	s.Handle("/data", func(w http.ResponseWriter, r *http.Request) {
		m, err := s.Auth.MiniProgram(r.Context())
		if err == nil {
			_, err = m.Decrypt(r.Context(), r.FormValue("data"), r.FormValue("iv"))
		}
		fmt.Fprint(w, "data: ", err)
	})
	token := s.MiniLogin(authtest.Person(0))
	payload := s.Sim.UserPayload(authtest.MiniApp, authtest.Person(0))
	got := s.Request(http.MethodGet, "/data?"+url.Values{"data": {payload.EncryptedData}, "iv": {payload.IV}}.Encode(), token, "")
	assert.Equal(t, "data: <nil>", got.Text)
	assert.Equal(t, 1, s.Sim.Count("/sns/component/jscode2session"))
	assert.Zero(t, s.Sim.Count("/sns/jscode2session"))
}

func TestPlatform_ManyAccounts(t *testing.T) {
	kinds := func(appID string) wechattest.Account {
		return wechattest.Account{AppID: appID, Secret: "not-given-to-us", Kind: wechattest.OfficialAccount, Platforms: []string{wechattest.DefaultComponentAppID}}
	}
	sim := wechattest.NewServer(wechattest.WithAccount(append(wechattest.DefaultAccounts(), kinds(authtest.ShopA), kinds(authtest.ShopB))...))
	of := func(appID string) wechatauth.Account {
		return wechatauth.Account{AppID: appID, PlatformAppID: wechattest.DefaultComponentAppID, PlatformToken: tokenOf(sim.ComponentToken(wechattest.DefaultComponentAppID))}
	}
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": of(authtest.ShopA), "/b/": of(authtest.ShopB)}),
		wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv")))
	user := s.Browser()
	for path, appID := range map[string]string{"/a/x": authtest.ShopA, "/b/x": authtest.ShopB} {
		assert.Contains(t, user.Visit(path).Text, "logged-in=true openid="+wechattest.OpenID(appID, authtest.Person(0)))
	}
	assert.Equal(t, 2, sim.Count("/sns/oauth2/component/access_token"))
}

// A resolver may return another function for the token, for the next login.
func TestPlatform_NewToken(t *testing.T) {
	sim := wechattest.NewServer()
	account := wechatauth.Account{AppID: wechattest.DefaultAppID, PlatformAppID: wechattest.DefaultComponentAppID, PlatformToken: tokenOf("")}
	resolver := &changing{account}
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), resolver, wechatauth.WithFlowKeys([]byte("0123456789abcdefghijklmnopqrstuv")))
	assert.Equal(t, http.StatusBadGateway, s.Browser().Visit("/a").StatusCode)
	resolver.account.PlatformToken = tokenOf(sim.ComponentToken(wechattest.DefaultComponentAppID))
	assert.Contains(t, s.Browser().Visit("/a").Text, "logged-in=true")
	resolver.account.PlatformToken = nil
	assert.Equal(t, http.StatusNotFound, s.Browser().Visit("/a").StatusCode)
	assert.Contains(t, s.Logs.String(), "PlatformAppID: set PlatformToken too")
}

func TestPlatform_OwnSecret(t *testing.T) {
	s := startPlatformSite(t, func(a *wechatauth.Account) { a.MiniProgramSecret = wechattest.DefaultMiniProgramSecret })
	s.MiniLogin(authtest.Person(0))
	assert.Equal(t, 1, s.Sim.Count("/sns/jscode2session"))
	assert.Zero(t, s.Sim.Count("/sns/component/jscode2session"))
}

// If the platform has no token, or one that WeChat rejects, the login fails and
// no response contains the token.
func TestPlatform_TokenError(t *testing.T) {
	for name, tt := range map[string]struct {
		source string
		status int
	}{
		"no token":      {"", http.StatusBadGateway},
		"a wrong token": {"component-token-that-is-wrong", http.StatusInternalServerError},
		"another kind":  {"an access token\r\nX-Injected: 1", http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			s := startPlatformSite(t, func(a *wechatauth.Account) { a.PlatformToken = tokenOf(tt.source) })
			got := s.Browser().Visit("/a")
			assert.Equal(t, tt.status, got.StatusCode)
			mini := s.Request(http.MethodPost, "/wechat/mini/login", "", `{"code":"`+s.Sim.WXLogin(authtest.MiniApp, authtest.Person(0))+`"}`)
			assert.Equal(t, tt.status, mini.StatusCode)
			if tt.source != "" {
				assert.NotContains(t, got.Text+mini.Text+s.Logs.String(), tt.source)
			}
			assert.Contains(t, s.Browser().Visit("/public").Text, "logged-in=false", "the rest still works")
		})
	}
}
