package wechatauth

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

// Two gates of two accounts on one host, made without knowing of each other.
func TestTwoGatesOnOneHostKeepTheirSessionsApart(t *testing.T) {
	sim := wechattest.NewServer(wechattest.WithAccount(
		wechattest.Account{AppID: wechattest.DefaultAppID, Secret: wechattest.DefaultSecret, Kind: wechattest.OfficialAccount},
		wechattest.Account{AppID: shopB, Secret: "secret-of-b", Kind: wechattest.OfficialAccount}))
	defer sim.Close()
	s := newSite(t, WithEndpoints(sim.Endpoints()))
	other, err := New(WithApp(shopB, "secret-of-b"), WithBaseURL(s.auth.base.String()), WithEndpoints(sim.Endpoints()), WithPathPrefix("/other/"))
	require.NoError(t, err)
	mux := s.routes().(*http.ServeMux)
	mux.Handle("/other/", other)
	mux.Handle("/b", other.RequireWeChat(http.HandlerFunc(echo)))
	mux.Handle("/both", s.auth.RequireWeChat(other.RequireWeChat(http.HandlerFunc(echo))))
	s.server.Config.Handler = mux
	b := s.browser()

	for range 3 {
		assert.Contains(t, b.visit("/a").body, "logged-in=true")
		assert.Contains(t, b.visit("/b").body, "logged-in=true")
	}
	assert.Equal(t, 2, sim.Count("/sns/oauth2/access_token"), "one login each")
	assert.Equal(t, http.StatusOK, b.fetch(http.MethodGet, "/both").StatusCode)
	assert.Contains(t, s.browser().visit("/both").body, "logged-in=true", "one inside the other")
}

func TestNewTellsEveryWrongOptionAtOnceAndANilOne(t *testing.T) {
	_, err := New(WithApp("gh_0123456789ab", testSecret), WithBaseURL("m.example.com"), WithPathPrefix("wechat"),
		WithLifetime(time.Second), WithRedisURL("foo"), WithFlowKeys([]byte("short")), WithSessionEncryption([]byte("s")))
	require.Error(t, err)
	for _, option := range []string{"WithApp", "WithBaseURL", "WithPathPrefix", "WithLifetime", "WithRedisURL", "WithFlowKeys", "WithSessionEncryption"} {
		assert.Contains(t, err.Error(), option+":")
	}
	assert.Len(t, strings.Split(err.Error(), "\n"), 7)

	_, err = New(append(right(), nil)...)
	assert.ErrorContains(t, err, "option 3 is nil")
}

func TestQuotasAreGivenTheirTime(t *testing.T) {
	for name, tt := range map[string]struct {
		code int
		want string
	}{"a minute's": {45011, "60"}, "a day's": {45009, "3600"}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.sim.Fail("/sns/oauth2/access_token", wechattest.Errcode(tt.code))
			got := s.browser().visit("/a")
			assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
			assert.Equal(t, tt.want, got.Header.Get("Retry-After"))
		})
	}
}

func TestEndpointsMountedBehindStripPrefixAreToldToTheOperator(t *testing.T) {
	s := newSite(t)
	s.server.Config.Handler = http.StripPrefix("/wechat", s.auth)
	got := s.browser().step("/wechat/login")
	assert.Equal(t, http.StatusNotFound, got.StatusCode)
	assert.Contains(t, s.logs.String(), "http.StripPrefix")
}
