package wechatauth

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
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

// fixed is a resolver of the tests. Those of package accounts, which imports this
// one, have tests there.
type fixed struct {
	accounts []Account
	appIDOf  func(r *http.Request) string
}

func (f fixed) AppIDOf(r *http.Request) (string, error) {
	if appID := f.appIDOf(r); appID != "" {
		return appID, nil
	}
	return "", errors.New("no account for this request")
}

func (f fixed) Account(_ context.Context, appID string) (Account, error) {
	for _, account := range f.accounts {
		if account.AppID == appID {
			return account, nil
		}
	}
	return Account{}, errors.New("no such account")
}

func (f fixed) Accounts() ([]Account, error) { return f.accounts, nil }

// byHost finds accounts by their BaseURLs.
func byHost(accounts ...Account) AccountResolver {
	return fixed{accounts, func(r *http.Request) string {
		for _, account := range accounts {
			if _, host, _ := strings.Cut(account.BaseURL, "://"); host == r.Host {
				return account.AppID
			}
		}
		return ""
	}}
}

// byPathPrefix finds accounts by the first segment of the path, where path.Clean
// leaves it as it is.
func byPathPrefix(prefixes map[string]Account) AccountResolver {
	first := func(p string) string { return prefixes[p[:strings.IndexByte(p[1:]+"/", '/')+1]+"/"].AppID }
	return fixed{slices.Collect(maps.Values(prefixes)), func(r *http.Request) string {
		if appID := first(r.URL.Path); first(path.Clean(r.URL.Path)) == appID {
			return appID
		}
		return ""
	}}
}

func TestTwoAccountsOnOneHostNeverPassEachOthersGate(t *testing.T) {
	sim, a, b := newShops(t)
	s := shops(t, sim, httptest.NewUnstartedServer(nil), byPathPrefix(map[string]Account{"/a/": a, "/b/": b}))
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
	s := shops(t, sim, httptest.NewUnstartedServer(nil), byPathPrefix(map[string]Account{"/a/": a, "/b/": b}))
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
	s := shops(t, sim, server, byHost(a, b))
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
	s := shops(t, sim, httptest.NewUnstartedServer(nil), byPathPrefix(map[string]Account{"/a/": a, "/b/": b}))
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
