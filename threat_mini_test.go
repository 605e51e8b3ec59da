package wechatauth

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestT82_JunkLocksNoHonestUserOut(t *testing.T) {
	s := newMiniSite(t)
	official := s.exchanges()
	for range flood(2_000) {
		junk := `{"code":"` + newState() + `"}`
		assert.Equal(t, http.StatusUnauthorized, s.request(http.MethodPost, "/wechat/mini/login", "", junk).StatusCode)
		s.browser().step("/wechat/callback?code=" + newState() + "&state=" + newState())
		s.browser().step("/wechat/mini/enter?ticket=" + newState())
	}
	assert.Equal(t, official, s.exchanges(), "the account of web logins has no call to spare for junk")
	assert.Equal(t, http.StatusOK, s.request(http.MethodGet, "/api/me", s.miniLogin(person(0)), "").StatusCode)
	for i := range 3 {
		b := s.browser()
		b.setCookie("wechatsim_person", person(i))
		assert.Contains(t, b.visit("/a").body, "logged-in=true")
	}
}
