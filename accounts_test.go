package wechatauth

import (
	"context"
	"errors"
	"io"
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

func TestAccountsThatWouldMixAreRefusedAtStartUp(t *testing.T) {
	one := Account{AppID: shopA, Secret: testSecret, BaseURL: "https://a.example.com"}
	two := Account{AppID: shopB, Secret: testSecret, BaseURL: "https://b.example.com"}
	with := func(account Account, change func(*Account)) Account { change(&account); return account }
	for name, tt := range map[string]struct {
		resolver AccountResolver
		want     string
	}{
		"one host for two":              {ByHost(one, with(two, func(a *Account) { a.BaseURL = one.BaseURL })), "have one host"},
		"by host without a host":        {ByHost(one, with(two, func(a *Account) { a.BaseURL = "" })), "needs a BaseURL that is its own"},
		"one mini program for two":      {ByHost(with(one, func(a *Account) { a.MiniProgramAppID = miniOfA }), with(two, func(a *Account) { a.MiniProgramAppID = miniOfA })), "belongs to two accounts"},
		"one website for two":           {ByHeader("X-Account", nil, with(one, func(a *Account) { a.WebsiteAppID = miniOfA }), with(two, func(a *Account) { a.WebsiteAppID = miniOfA })), "belongs to two accounts"},
		"another's AppID for a website": {ByHeader("X-Account", nil, one, with(two, func(a *Account) { a.WebsiteAppID = shopA })), "belongs to two accounts"},
		"one AppID with two secrets":    {ByPathPrefix(map[string]Account{"/a/": one, "/b/": with(one, func(a *Account) { a.Secret = "another-secret-for-tests" })}), "given twice, in two ways"},
		"a prefix without its end":      {ByPathPrefix(map[string]Account{"/a": one}), "begin and end in a slash"},
		"a prefix without its start":    {ByPathPrefix(map[string]Account{"a/": one}), "begin and end in a slash"},
		"nobody":                        {ByHost(), "at least one account"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(WithBaseURL(testBase), WithAccounts(tt.resolver))
			assert.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), testSecret)
			assert.NotContains(t, err.Error(), "another-secret")
		})
	}
	_, err := New(WithBaseURL(testBase), WithAccounts(ByPathPrefix(map[string]Account{"/a/": one, "/also-a/": one, "/": two})))
	assert.NoError(t, err, "an account may have two places")
}

func TestAnAccountsHostIsThatOfItsBaseURLWithAndWithoutItsPort(t *testing.T) {
	resolver := ByHost(Account{AppID: shopA, BaseURL: "https://a.example.com"}, Account{AppID: shopB, BaseURL: "http://localhost:8080"})
	for host, want := range map[string]string{
		"a.example.com": shopA, "A.example.COM": shopA, "a.example.com:443": shopA, "localhost:8080": shopB,
		"a.example.com:80": "", "a.example.com:8443": "", "localhost": "", "localhost:8080:80": "", "a.example.com.": "", "": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		got, _ := resolver.AppIDOf(r)
		assert.Equal(t, want, got, "%q", host)
	}
}

func TestAHeaderOfATrustedProxyLeadsToItsAccountAndNobodyElsesDoes(t *testing.T) {
	for name, trusted := range map[string]bool{"a trusted proxy": true, "anybody": false} {
		t.Run(name, func(t *testing.T) {
			sim, a, b := newShops(t)
			peers := netip.MustParsePrefix("203.0.113.0/24")
			if trusted {
				peers = netip.MustParsePrefix("127.0.0.0/8")
			}
			s := shops(t, sim, httptest.NewUnstartedServer(nil), ByHeader("X-Account", []netip.Prefix{peers}, a, b))
			visitor := s.browser()
			visitor.header.Set("X-Account", shopA)
			got := visitor.visit("/x")
			if !trusted {
				assert.Equal(t, http.StatusNotFound, got.StatusCode)
				assert.Contains(t, got.body, "unknown_account")
				return
			}
			assert.Contains(t, got.body, "url=/x logged-in=true openid="+wechattest.OpenID(shopA, person(0)))
			visitor.header.Set("X-Account", shopB)
			assert.Equal(t, http.StatusUnauthorized, visitor.fetch(http.MethodGet, "/x").StatusCode)
			assert.Contains(t, visitor.visit("/x").body, "logged-in=true openid="+wechattest.OpenID(shopB, person(0)))
		})
	}
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

func TestEachAccountHasItsOwnPagesAndEndpoints(t *testing.T) {
	sim, a, b := newShops(t)
	elsewhere, _, _ := newShops(t)
	defer elsewhere.Close()
	pages := func(text string) Pages {
		return func(w io.Writer, p Page) error {
			_, err := io.WriteString(w, text+" "+string(p.Reason))
			return err
		}
	}
	a.Pages = pages("the page of A")
	b.Endpoints, b.Pages = elsewhere.Endpoints(), pages("the page of B")
	s := shops(t, sim, httptest.NewUnstartedServer(nil), ByPathPrefix(map[string]Account{"/a/": a, "/b/": b}))
	sim.Fail(exchangeEndpoint, wechattest.Errcode(45011))

	assert.Equal(t, "the page of A rate_limited", s.browser().visit("/a/x").body)
	assert.Contains(t, s.browser().visit("/b/x").body, "logged-in=true", "A's quota is not B's")
	assert.Equal(t, 1, sim.Count("/sns/oauth2/access_token"))
	assert.Equal(t, 1, elsewhere.Count("/sns/oauth2/access_token"))
	assert.Equal(t, "the page of B callback_malformed", s.browser().visit("/wechat/callback/"+shopB).body)
}

func TestAnAccountsOtherPagesTakeEffectWithTheNextRequest(t *testing.T) {
	sim, a, _ := newShops(t)
	page := func(text string) Pages {
		return func(w io.Writer, _ Page) error { _, err := io.WriteString(w, text); return err }
	}
	resolver := &changing{account: a}
	s := shops(t, sim, httptest.NewUnstartedServer(nil), resolver)
	for _, text := range []string{"one", "another"} {
		resolver.account.Pages = page(text)
		assert.Equal(t, text, s.browser().visit("/wechat/callback/"+shopA).body)
	}
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
