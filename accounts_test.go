package wechatauth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	shopA = "wx0000000000000aaa"
	shopB = "wx0000000000000bbb"
)

// newShops starts a simulator with two official accounts.
func newShops(t *testing.T) (sim *wechattest.Server, a, b Account) {
	t.Helper()
	sim = wechattest.NewServer(wechattest.WithAccount(
		wechattest.Account{AppID: shopA, Secret: "secret-of-a", Kind: wechattest.OfficialAccount, OpenPlatform: "one"},
		wechattest.Account{AppID: shopB, Secret: "secret-of-b", Kind: wechattest.OfficialAccount, OpenPlatform: "one"}))
	return sim, Account{AppID: shopA, Secret: "secret-of-a"}, Account{AppID: shopB, Secret: "secret-of-b"}
}

// shops is a site that serves both.
func shops(t *testing.T, sim *wechattest.Server, server *httptest.Server, resolver AccountResolver, opts ...Option) *site {
	t.Helper()
	return startSite(t, sim, server, append([]Option{WithApp("", ""), WithAccounts(resolver)}, opts...)...)
}

func TestTwoAccountsOnOneHostNeverPassEachOthersGate(t *testing.T) {
	sim, a, b := newShops(t)
	s := shops(t, sim, httptest.NewUnstartedServer(nil), ByPathPrefix(map[string]Account{"/a/": a, "/b/": b}))
	visitor := s.browser()

	inA := visitor.visit("/a/x")
	require.Contains(t, inA.body, "url=/a/x logged-in=true")
	assert.Equal(t, http.StatusUnauthorized, visitor.fetch(http.MethodGet, "/b/x").StatusCode, "the identity is of another account")
	inB := visitor.visit("/b/x")
	require.Contains(t, inB.body, "url=/b/x logged-in=true")
	openid := regexp.MustCompile(`openid=\S+`)
	assert.NotEqual(t, openid.FindString(inA.body), openid.FindString(inB.body))
	assert.Equal(t, http.StatusOK, visitor.fetch(http.MethodGet, "/a/x").StatusCode, "both are logged in now")
	assert.Equal(t, http.StatusNotFound, visitor.visit("/c").StatusCode)
	assert.Equal(t, http.StatusNotFound, visitor.visit("/wechat/login/wxnobody").StatusCode)
}

func TestAPendingLoginOfOneAccountIsWorthNothingForAnother(t *testing.T) {
	sim, a, b := newShops(t)
	s := shops(t, sim, httptest.NewUnstartedServer(nil), ByPathPrefix(map[string]Account{"/a/": a, "/b/": b}))
	visitor := s.browser()
	callback := visitor.authorize("/a/x")
	crossed := regexp.MustCompile(shopA).ReplaceAllString(callback, shopB)
	got := visitor.step(crossed)
	assert.Equal(t, http.StatusBadRequest, got.StatusCode)
	assert.Zero(t, s.exchanges())
	assert.Contains(t, visitor.visit(callback).body, "url=/a/x logged-in=true")
}

func TestTwoAccountsOnTwoHosts(t *testing.T) {
	sim, a, b := newShops(t)
	server := httptest.NewUnstartedServer(nil)
	u, err := url.Parse("http://" + server.Listener.Addr().String())
	require.NoError(t, err)
	a.BaseURL, b.BaseURL = "http://127.0.0.1:"+u.Port(), "http://localhost:"+u.Port()
	s := shops(t, sim, server, ByHost(a, b))
	visitor := s.browser()

	assert.Contains(t, visitor.visit(a.BaseURL+"/x").body, "url=/x logged-in=true")
	cookie := visitor.cookie(s.sessionCookie())
	require.NotNil(t, cookie)
	atB := s.browser()
	bURL, err := url.Parse(b.BaseURL)
	require.NoError(t, err)
	atB.client.Jar.SetCookies(bURL, []*http.Cookie{{Name: cookie.Name, Value: cookie.Value, Path: "/"}})
	assert.Equal(t, http.StatusUnauthorized, atB.fetch(http.MethodGet, b.BaseURL+"/x").StatusCode, "a session carried over is not enough")
	assert.Contains(t, atB.visit(b.BaseURL+"/x").body, "url=/x logged-in=true")
	assert.Equal(t, "localhost:"+u.Port(), mustParse(t, atB.trail[len(atB.trail)-1]).Host)
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

func TestAnAccountHeaderIsBelievedFromTrustedPeersOnly(t *testing.T) {
	_, a, b := newShops(t)
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	elsewhere := netip.MustParsePrefix("203.0.113.0/24")
	tests := map[string]struct {
		trusted []netip.Prefix
		header  http.Header
		want    string
	}{
		"from a trusted peer":     {[]netip.Prefix{loopback}, http.Header{"X-Account": {shopB}}, shopB},
		"from another peer":       {[]netip.Prefix{elsewhere}, http.Header{"X-Account": {shopB}}, ""},
		"from nobody's peer":      {nil, http.Header{"X-Account": {shopB}}, ""},
		"twice":                   {[]netip.Prefix{loopback}, http.Header{"X-Account": {shopA, shopB}}, ""},
		"not at all":              {[]netip.Prefix{loopback}, http.Header{}, ""},
		"of an account like none": {[]netip.Prefix{loopback}, http.Header{"X-Account": {"wxnone"}}, "wxnone"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr, r.Header = "127.0.0.1:4321", tt.header
			got, err := ByHeader("X-Account", tt.trusted, a, b).AppIDOf(r)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.want == "", err != nil)
		})
	}
	_, err := ByHeader("X-Account", nil, a, b).Account(context.Background(), "wxnone")
	assert.ErrorIs(t, err, errUnknownAccount)
}

// changing is a resolver whose one account can be changed.
type changing struct{ account Account }

func (c *changing) AppIDOf(*http.Request) (string, error) { return c.account.AppID, nil }

func (c *changing) Account(_ context.Context, appID string) (Account, error) {
	if appID != c.account.AppID {
		return Account{}, errors.New("not this one")
	}
	return c.account, nil
}

func TestAChangedAccountTakesEffectWithTheNextRequest(t *testing.T) {
	sim, a, b := newShops(t)
	resolver := &changing{account: a}
	s := shops(t, sim, httptest.NewUnstartedServer(nil), resolver, WithEndpoints(sim.Endpoints()))
	visitor := s.browser()
	assert.Contains(t, visitor.visit("/x").body, "logged-in=true")
	resolver.account = b
	assert.Contains(t, visitor.visit("/x").body, "logged-in=true")
	assert.Equal(t, 2, s.exchanges())
	resolver.account = Account{AppID: shopB}
	assert.Equal(t, http.StatusNotFound, visitor.visit("/x").StatusCode, "an account without a secret is none")
	assert.Contains(t, s.logs.String(), "both are required")
}
