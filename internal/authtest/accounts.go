package authtest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	ShopA = "wx0000000000000aaa"
	ShopB = "wx0000000000000bbb"
)

// NewShops starts a simulator with two official accounts.
func NewShops(t *testing.T) (sim *wechattest.Server, a, b wechatauth.Account) {
	t.Helper()
	sim = wechattest.NewServer(wechattest.WithAccount(
		wechattest.Account{AppID: ShopA, Secret: "secret-of-a", Kind: wechattest.OfficialAccount, OpenPlatform: "one"},
		wechattest.Account{AppID: ShopB, Secret: "secret-of-b", Kind: wechattest.OfficialAccount, OpenPlatform: "one"}))
	return sim, wechatauth.Account{AppID: ShopA, Secret: "secret-of-a"}, wechatauth.Account{AppID: ShopB, Secret: "secret-of-b"}
}

// NewShopsSite starts a site that serves both.
func NewShopsSite(t *testing.T, sim *wechattest.Server, server *httptest.Server, resolver wechatauth.AccountResolver, opts ...wechatauth.Option) *Site {
	t.Helper()
	return StartSite(t, sim, server, append([]wechatauth.Option{wechatauth.WithApp("", ""), wechatauth.WithAccounts(resolver)}, opts...)...)
}

// FixedAccounts is a resolver for tests. The resolvers of package accounts,
// which imports this one, are tested there.
type FixedAccounts struct {
	accounts []wechatauth.Account
	appIDOf  func(r *http.Request) string
}

func (f FixedAccounts) ResolveAppID(r *http.Request) (string, error) {
	if appID := f.appIDOf(r); appID != "" {
		return appID, nil
	}
	return "", errors.New("no account for this request")
}

func (f FixedAccounts) Account(_ context.Context, appID string) (wechatauth.Account, error) {
	for _, account := range f.accounts {
		if account.AppID == appID {
			return account, nil
		}
	}
	return wechatauth.Account{}, errors.New("no such account")
}

func (f FixedAccounts) Accounts() ([]wechatauth.Account, error) { return f.accounts, nil }

// OneAccount resolves every request to one account.
func OneAccount(account wechatauth.Account) wechatauth.AccountResolver {
	return FixedAccounts{[]wechatauth.Account{account}, func(*http.Request) string { return account.AppID }}
}

// ByHost resolves accounts by their BaseURLs.
func ByHost(accounts ...wechatauth.Account) wechatauth.AccountResolver {
	return FixedAccounts{accounts, func(r *http.Request) string {
		for _, account := range accounts {
			if _, host, _ := strings.Cut(account.BaseURL, "://"); host == r.Host {
				return account.AppID
			}
		}
		return ""
	}}
}

// ByPathPrefix resolves accounts by the first segment of the path, if
// path.Clean does not change it.
func ByPathPrefix(prefixes map[string]wechatauth.Account) wechatauth.AccountResolver {
	first := func(p string) string { return prefixes[p[:strings.IndexByte(p[1:]+"/", '/')+1]+"/"].AppID }
	return FixedAccounts{slices.Collect(maps.Values(prefixes)), func(r *http.Request) string {
		if appID := first(r.URL.Path); first(path.Clean(r.URL.Path)) == appID {
			return appID
		}
		return ""
	}}
}

func MustParse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}
