package channels

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestStepUp_GrantedScope(t *testing.T) {
	respond := func(scope string) wechattest.Fault {
		return wechattest.Raw(http.StatusOK, "text/plain", `{"access_token":"access-token-for-tests","expires_in":7200,"refresh_token":"refresh-token-for-tests","openid":"`+authtest.AliceOpenID+`","scope":"`+scope+`"}`)
	}
	for name, tt := range map[string]struct {
		asked   client.Scope
		granted string
		profile bool
	}{
		"less than requested":      {client.ScopeUserInfo, "snsapi_base", false},
		"nothing":                  {client.ScopeUserInfo, "", false},
		"something else":           {client.ScopeUserInfo, "snsapi_userinfo_x", false},
		"more than requested":      {client.ScopeBase, "snsapi_base,snsapi_userinfo", true},
		"as requested":             {client.ScopeUserInfo, "snsapi_userinfo", true},
		"the base that was wanted": {client.ScopeBase, "snsapi_base", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, wechatauth.WithScope(tt.asked))
			s.Sim.Fail(authtest.ExchangeEndpoint, respond(tt.granted))
			s.Sim.Fail(authtest.ProfileEndpoint, wechattest.Raw(http.StatusOK, "text/plain", `{"openid":"`+authtest.AliceOpenID+`","nickname":"Alice"}`))
			b := s.Browser()
			callback, err := s.Sim.CallbackURL(wechattest.Browser(wechattest.IPhone), b.Step("/a").Header.Get("Location"))
			require.NoError(t, err)
			require.Contains(t, b.Visit(callback).Text, "logged-in=true")
			profile := b.Fetch(http.MethodGet, "/profile")
			if tt.profile {
				assert.Equal(t, http.StatusOK, profile.StatusCode)
				assert.Equal(t, 1, s.Sim.Count(authtest.ProfileEndpoint))
				return
			}
			assert.NotEqual(t, http.StatusOK, profile.StatusCode)
			assert.Zero(t, s.Sim.Count(authtest.ProfileEndpoint), "a profile that was not granted is not requested")
		})
	}
}

func TestStepUp_Denied(t *testing.T) {
	for name, respond := range map[string]func(s *authtest.Site, b *authtest.Browser, consent authtest.Response){
		"closed": func(*authtest.Site, *authtest.Browser, authtest.Response) {},
		"denied, as WeChat does it now": func(_ *authtest.Site, b *authtest.Browser, consent authtest.Response) {
			b.RespondConsent(consent, "refuse")
		},
		"denied, as WeChat did it earlier": func(s *authtest.Site, b *authtest.Browser, consent authtest.Response) {
			s.Sim.SetQuirk(wechattest.RefusalCallback, true)
			assert.Contains(s.T, b.RespondConsent(consent, "refuse").Text, "refused_by_user")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t)
			b := s.Browser()
			before := b.Visit("/a")
			respond(s, b, b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
			assert.Equal(t, before.Text, b.Visit("/a").Text)
			assert.Contains(t, b.Visit("/profile").Text, `action="/wechat/upgrade"`, "the button is still there")
		})
	}
}

func TestStepUp_Button(t *testing.T) {
	s := authtest.NewSite(t)
	b := s.Browser()
	for range 3 {
		assert.Contains(t, b.Visit("/profile").Text, `<form method="post" action="/wechat/upgrade">`)
	}
	assert.Zero(t, s.Sim.Count(authtest.AuthorizeEndpoint), "an anonymous user is not redirected to WeChat for it")
	cross := b.Do(b.Client, http.MethodPost, "/wechat/upgrade", nil, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}})
	assert.Equal(t, http.StatusForbidden, cross.StatusCode, "nor does another site's form")
	assert.Equal(t, http.StatusOK, b.Visit("/wechat/upgrade?next=/profile").StatusCode, "nor does a link")
	assert.Zero(t, s.Sim.Count(authtest.AuthorizeEndpoint))
}

// A heard collects the identities that a hook receives.
type heard struct {
	mu  sync.Mutex
	all []wechatauth.Identity
	err error
}

func (h *heard) hook(_ context.Context, id wechatauth.Identity) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, id)
	return h.err
}

func (h *heard) unionIDs() (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range h.all {
		ids = append(ids, id.UnionID)
	}
	return ids
}

func TestUnionID_OnLogin(t *testing.T) {
	union := wechattest.UnionID(wechattest.DefaultOpenPlatform, authtest.Person(0))
	t.Run("with the consent", func(t *testing.T) {
		h := &heard{}
		s := authtest.NewSite(t, wechatauth.WithOnLogin(h.hook))
		b := s.Browser()
		b.Visit("/a")
		b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
		assert.Equal(t, []string{"", union}, h.unionIDs())
		assert.Equal(t, h.all[0].OpenID, h.all[1].OpenID, "the same user, with a unionid")
	})
	t.Run("in the mini program, at the first login", func(t *testing.T) {
		h := &heard{}
		s := authtest.NewMiniSite(t, wechatauth.WithOnLogin(h.hook))
		s.MiniLogin(authtest.Person(0))
		assert.Equal(t, []string{union}, h.unionIDs())
	})
	t.Run("when the account is bound to an open platform later", func(t *testing.T) {
		h := &heard{}
		s := authtest.NewSite(t, wechatauth.WithTokens(time.Hour), wechatauth.WithOnLogin(h.hook))
		profile := func(more string) wechattest.Fault {
			return wechattest.Raw(http.StatusOK, "text/plain", `{"openid":"`+authtest.AliceOpenID+`","nickname":"Alice"`+more+`}`)
		}
		s.Sim.Fail(authtest.ExchangeEndpoint, wechattest.Raw(http.StatusOK, "text/plain",
			`{"access_token":"access-token-for-tests","expires_in":2592000,"refresh_token":"refresh-token-for-tests","openid":"`+authtest.AliceOpenID+`","scope":"snsapi_userinfo"}`))
		s.Sim.Fail(authtest.ProfileEndpoint, profile(""), profile(""), profile(`,"unionid":"oUnion-for-tests"`), profile(`,"unionid":"oUnion-for-tests"`), profile(`,"unionid":"oUnion-for-tests"`))
		b := s.Browser()
		b.Allow(b.Post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
		refresh := func() {
			s.Clock.Advance(time.Hour + time.Second)
			require.Contains(t, b.Visit("/a").Text, "logged-in=true")
		}
		refresh()
		assert.Equal(t, []string{""}, h.unionIDs(), "a fresh profile without one is not reported")
		h.err = errors.New("not now")
		refresh()
		h.err = nil
		refresh()
		assert.Equal(t, []string{"", "oUnion-for-tests", "oUnion-for-tests"}, h.unionIDs(), "a hook that fails is called again")
		refresh()
		assert.Len(t, h.unionIDs(), 3, "and one that succeeded is not")
	})
}

func TestUnionID_TwoAccounts(t *testing.T) {
	sim, a, b := authtest.NewShops(t)
	h := &heard{}
	s := authtest.NewShopsSite(t, sim, httptest.NewUnstartedServer(nil), authtest.ByPathPrefix(map[string]wechatauth.Account{"/a/": a, "/b/": b}), wechatauth.WithOnLogin(h.hook))
	sim.SetQuirk(wechattest.BaseUnionID, true)
	user := s.Browser()
	user.Visit("/a/x")
	user.Visit("/b/x")
	require.Len(t, h.all, 2)
	assert.Equal(t, []string{authtest.ShopA, authtest.ShopB}, []string{h.all[0].AppID, h.all[1].AppID}, "identities carry their AppID")
	assert.NotEqual(t, h.all[0].OpenID, h.all[1].OpenID)
	assert.NotEmpty(t, h.all[0].UnionID)
	assert.Equal(t, h.all[0].UnionID, h.all[1].UnionID)
}
