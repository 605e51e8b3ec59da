package channels

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/wechattest"
)

func TestSnapshot(t *testing.T) {
	tests := map[string]struct {
		policy   wechatauth.SnapshotPolicy
		status   int
		body     string
		scripted int
	}{
		"a page that explains, by default": {wechatauth.SnapshotPage, http.StatusForbidden, "使用完整服务", http.StatusUnauthorized},
		"anonymous":                        {wechatauth.SnapshotAnonymous, http.StatusOK, "url=/a logged-in=false openid= ", http.StatusUnauthorized},
		"rejected":                         {wechatauth.SnapshotReject, http.StatusForbidden, "snapshot_user", http.StatusForbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := authtest.NewSite(t, wechatauth.WithScope(client.ScopeUserInfo), wechatauth.WithSnapshotPolicy(tt.policy))
			s.Sim.SetEnvironment(wechattest.Snapshot)
			b := s.Browser()
			for range 3 {
				got := b.Visit("/a")
				assert.Equal(t, tt.status, got.StatusCode)
				assert.Contains(t, got.Text, tt.body)
				assert.Equal(t, "/a", got.Request.URL.Path, "the URL that the button opens is the page's own")
			}
			assert.Equal(t, tt.scripted, b.Fetch(http.MethodGet, "/a").StatusCode)
			assert.Equal(t, 1, s.Sim.Count("/connect/oauth2/authorize"))
			assert.Zero(t, s.Sim.Count("/sns/userinfo"))
			assert.Nil(t, b.Cookie(s.SessionCookie()))
		})
	}
}

func TestSnapshot_Suspected(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithScope(client.ScopeUserInfo))
	s.Sim.Fail("/sns/userinfo", wechattest.Errcode(48001))
	b := s.Browser()
	got := b.Allow(b.Visit("/a"))
	assert.Equal(t, http.StatusForbidden, got.StatusCode)
	assert.Contains(t, s.Logs.String(), "snapshot_suspected")
	assert.Nil(t, b.Cookie(s.SessionCookie()))
}

func TestProfile_Invalid(t *testing.T) {
	s := authtest.NewSite(t, wechatauth.WithScope(client.ScopeUserInfo))
	s.Sim.Fail("/sns/userinfo", wechattest.BadGateway(), wechattest.BadGateway(), wechattest.BadGateway())
	b := s.Browser()
	got := b.Allow(b.Visit("/a"))
	assert.Contains(t, got.Text, "logged-in=true")
	assert.Contains(t, got.Text, "nickname= ")
}

func TestSnapshot_IsSnapshot(t *testing.T) {
	var seen []wechatauth.Identity
	s := authtest.NewSite(t, wechatauth.WithSnapshotPolicy(wechatauth.SnapshotAnonymous))
	s.Handle("/who", func(_ http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		assert.False(t, ok)
		seen = append(seen, id)
	})
	s.Server.Config.Handler.(*http.ServeMux).Handle("/guests", s.Auth.RequireWeChat(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id, ok := wechatauth.IdentityFromContext(r.Context())
		assert.False(t, ok)
		seen = append(seen, id)
	})))
	s.Browser().Visit("/who")
	s.Sim.SetQuirk(wechattest.SnapshotBase, true)
	s.Sim.SetEnvironment(wechattest.Snapshot)
	s.Browser().Visit("/guests")
	assert.Equal(t, []wechatauth.Identity{{}, {Snapshot: true}}, seen)
}
