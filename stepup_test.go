package wechatauth

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

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestTheScopeThatCountsIsTheOneThatWeChatGranted(t *testing.T) {
	answer := func(scope string) wechattest.Fault {
		return wechattest.Raw(http.StatusOK, "text/plain", `{"access_token":"access-token-for-tests","expires_in":7200,"refresh_token":"refresh-token-for-tests","openid":"`+aliceOpenID+`","scope":"`+scope+`"}`)
	}
	for name, tt := range map[string]struct {
		asked   client.Scope
		granted string
		profile bool
	}{
		"less than was asked for":  {client.ScopeUserInfo, "snsapi_base", false},
		"nothing":                  {client.ScopeUserInfo, "", false},
		"something else":           {client.ScopeUserInfo, "snsapi_userinfo_x", false},
		"more than was asked for":  {client.ScopeBase, "snsapi_base,snsapi_userinfo", true},
		"what was asked for":       {client.ScopeUserInfo, "snsapi_userinfo", true},
		"the base that was wanted": {client.ScopeBase, "snsapi_base", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, WithScope(tt.asked))
			s.sim.Fail(exchangeEndpoint, answer(tt.granted))
			s.sim.Fail(profileEndpoint, wechattest.Raw(http.StatusOK, "text/plain", `{"openid":"`+aliceOpenID+`","nickname":"Alice"}`))
			b := s.browser()
			callback, err := s.sim.CallbackURL(wechattest.Browser(wechattest.IPhone), b.step("/a").Header.Get("Location"))
			require.NoError(t, err)
			require.Contains(t, b.visit(callback).body, "logged-in=true")
			profile := b.fetch(http.MethodGet, "/profile")
			if tt.profile {
				assert.Equal(t, http.StatusOK, profile.StatusCode)
				assert.Equal(t, 1, s.sim.Count(profileEndpoint))
				return
			}
			assert.NotEqual(t, http.StatusOK, profile.StatusCode)
			assert.Zero(t, s.sim.Count(profileEndpoint), "what was not granted is not asked for")
		})
	}
}

func TestAStepUpThatIsNotAnsweredOrRefusedLeavesTheBaseSession(t *testing.T) {
	for name, answer := range map[string]func(s *site, b *browser, consent answer){
		"closed": func(*site, *browser, answer) {},
		"refused, as WeChat does it": func(_ *site, b *browser, consent answer) {
			b.answerConsent(consent, "refuse")
		},
		"refused, as WeChat did it": func(s *site, b *browser, consent answer) {
			s.sim.Switch(wechattest.RefusalCallback, true)
			assert.Contains(s.t, b.answerConsent(consent, "refuse").body, "refused_by_user")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser()
			before := b.visit("/a")
			answer(s, b, b.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
			assert.Equal(t, before.body, b.visit("/a").body)
			assert.Contains(t, b.visit("/profile").body, `action="/wechat/upgrade"`, "the button is still there")
		})
	}
}

func TestAWalledPageAsksForNoProfileUntilTheVisitorDoes(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for range 3 {
		assert.Contains(t, b.visit("/profile").body, `<form method="post" action="/wechat/upgrade">`)
	}
	assert.Zero(t, s.sim.Count(authorizeEndpoint), "neither is a stranger sent to WeChat for it")
	cross := b.do(b.client, http.MethodPost, "/wechat/upgrade", nil, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}})
	assert.Equal(t, http.StatusForbidden, cross.StatusCode, "nor by another site's form")
	assert.Equal(t, http.StatusOK, b.visit("/wechat/upgrade?next=/profile").StatusCode, "nor by a link")
	assert.Zero(t, s.sim.Count(authorizeEndpoint))
}

// heard collects what a hook was told.
type heard struct {
	mu  sync.Mutex
	all []Identity
	err error
}

func (h *heard) hook(_ context.Context, id Identity) error {
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

func TestTheHookHearsWhenAUnionIDAppears(t *testing.T) {
	union := wechattest.UnionID(wechattest.DefaultOpenPlatform, person(0))
	t.Run("with the consent", func(t *testing.T) {
		h := &heard{}
		s := newSite(t, WithOnLogin(h.hook))
		b := s.browser()
		b.visit("/a")
		b.allow(b.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
		assert.Equal(t, []string{"", union}, h.unionIDs())
		assert.Equal(t, h.all[0].OpenID, h.all[1].OpenID, "the same user, known better")
	})
	t.Run("in the mini program, which has it at once", func(t *testing.T) {
		h := &heard{}
		s := newMiniSite(t, WithOnLogin(h.hook))
		s.miniLogin(person(0))
		assert.Equal(t, []string{union}, h.unionIDs())
	})
	t.Run("when the account is bound to an open platform later", func(t *testing.T) {
		h := &heard{}
		s := newSite(t, WithTokens(time.Hour), WithOnLogin(h.hook))
		profile := func(more string) wechattest.Fault {
			return wechattest.Raw(http.StatusOK, "text/plain", `{"openid":"`+aliceOpenID+`","nickname":"Alice"`+more+`}`)
		}
		s.sim.Fail(exchangeEndpoint, wechattest.Raw(http.StatusOK, "text/plain",
			`{"access_token":"access-token-for-tests","expires_in":2592000,"refresh_token":"refresh-token-for-tests","openid":"`+aliceOpenID+`","scope":"snsapi_userinfo"}`))
		s.sim.Fail(profileEndpoint, profile(""), profile(""), profile(`,"unionid":"oUnion-for-tests"`), profile(`,"unionid":"oUnion-for-tests"`), profile(`,"unionid":"oUnion-for-tests"`))
		b := s.browser()
		b.allow(b.post("/wechat/upgrade", url.Values{"next": {"/profile"}}))
		refresh := func() {
			s.clock.Advance(time.Hour + time.Second)
			require.Contains(t, b.visit("/a").body, "logged-in=true")
		}
		refresh()
		assert.Equal(t, []string{""}, h.unionIDs(), "a fresh profile without one is no news")
		h.err = errors.New("not now")
		refresh()
		h.err = nil
		refresh()
		assert.Equal(t, []string{"", "oUnion-for-tests", "oUnion-for-tests"}, h.unionIDs(), "a hook that fails is told again")
		refresh()
		assert.Len(t, h.unionIDs(), 3, "and one that has heard is not")
	})
}

func TestAUnionIDLinksThePersonAtTwoAccounts(t *testing.T) {
	sim, a, b := newShops(t)
	h := &heard{}
	s := shops(t, sim, httptest.NewUnstartedServer(nil), byPathPrefix(map[string]Account{"/a/": a, "/b/": b}), WithOnLogin(h.hook))
	sim.Switch(wechattest.BaseUnionID, true)
	visitor := s.browser()
	visitor.visit("/a/x")
	visitor.visit("/b/x")
	require.Len(t, h.all, 2)
	assert.Equal(t, []string{shopA, shopB}, []string{h.all[0].AppID, h.all[1].AppID}, "identities carry their AppID")
	assert.NotEqual(t, h.all[0].OpenID, h.all[1].OpenID)
	assert.NotEmpty(t, h.all[0].UnionID)
	assert.Equal(t, h.all[0].UnionID, h.all[1].UnionID)
}
