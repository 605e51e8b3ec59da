package wechatauth

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestASnapshotVisitorIsNeverLoggedInAndSentToWeChatOnce(t *testing.T) {
	tests := map[string]struct {
		policy   SnapshotPolicy
		status   int
		body     string
		scripted int
	}{
		"a page that explains, by default": {SnapshotPage, http.StatusForbidden, "使用完整服务", http.StatusUnauthorized},
		"through as nobody":                {SnapshotAnonymous, http.StatusOK, "url=/a logged-in=false openid= ", http.StatusUnauthorized},
		"refused":                          {SnapshotRefuse, http.StatusForbidden, "snapshot_user", http.StatusForbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, WithScope(client.ScopeUserInfo), WithSnapshotPolicy(tt.policy))
			s.sim.Enter(wechattest.Snapshot)
			b := s.browser()
			for range 3 {
				got := b.visit("/a")
				assert.Equal(t, tt.status, got.StatusCode)
				assert.Contains(t, got.body, tt.body)
				assert.Equal(t, "/a", got.Request.URL.Path, "the URL that the button opens is the page's own")
			}
			assert.Equal(t, tt.scripted, b.fetch(http.MethodGet, "/a").StatusCode)
			assert.Equal(t, 1, s.sim.Count("/connect/oauth2/authorize"))
			assert.Zero(t, s.sim.Count("/sns/userinfo"))
			assert.Nil(t, b.cookie(s.sessionCookie()))
		})
	}
}

func TestAProfileThatIsGrantedAndRefusedIsSuspectedToBeASnapshot(t *testing.T) {
	s := newSite(t, WithScope(client.ScopeUserInfo))
	s.sim.Fail("/sns/userinfo", wechattest.Errcode(48001))
	b := s.browser()
	got := b.allow(b.visit("/a"))
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, s.logs.String(), "snapshot_suspected")
	assert.Nil(t, b.cookie(s.sessionCookie()))
}

func TestABrokenProfileBreaksNoLogin(t *testing.T) {
	s := newSite(t, WithScope(client.ScopeUserInfo))
	s.sim.Fail("/sns/userinfo", wechattest.BadGateway(), wechattest.BadGateway(), wechattest.BadGateway())
	b := s.browser()
	got := b.allow(b.visit("/a"))
	assert.Contains(t, got.body, "logged-in=true")
	assert.Contains(t, got.body, "nickname= ")
}

func TestAGuestIsToldFromSomebodyWhoIsNotLoggedIn(t *testing.T) {
	var seen []Identity
	s := newSite(t, WithSnapshotPolicy(SnapshotAnonymous))
	s.handle("/who", func(_ http.ResponseWriter, r *http.Request) {
		id, ok := IdentityFromContext(r.Context())
		assert.False(t, ok)
		seen = append(seen, id)
	})
	s.server.Config.Handler.(*http.ServeMux).Handle("/guests", s.auth.RequireWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id, ok := IdentityFromContext(r.Context())
		assert.False(t, ok)
		seen = append(seen, id)
	})))
	s.browser().visit("/who")
	s.sim.Switch(wechattest.SnapshotBase, true)
	s.sim.Enter(wechattest.Snapshot)
	s.browser().visit("/guests")
	assert.Equal(t, []Identity{{}, {Snapshot: true}}, seen)
}
