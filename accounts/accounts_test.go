package accounts

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/wechattest"
)

const (
	shopA      = "wx0000000000000aaa"
	shopB      = "wx0000000000000bbb"
	miniOfA    = "wx0000000000000ccc"
	testBase   = "https://m.example.com"
	testSecret = "0123456789abcdef0123456789abcdef"
)

var shops = [2]wechatauth.Account{{AppID: shopA, Secret: "secret-of-a"}, {AppID: shopB, Secret: "secret-of-b"}}

func TestByHeader(t *testing.T) {
	a, b := shops[0], shops[1]
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	elsewhere := netip.MustParsePrefix("203.0.113.0/24")
	tests := map[string]struct {
		trusted []netip.Prefix
		header  http.Header
		want    string
	}{
		"from a trusted peer":   {[]netip.Prefix{loopback}, http.Header{"X-Account": {shopB}}, shopB},
		"from another peer":     {[]netip.Prefix{elsewhere}, http.Header{"X-Account": {shopB}}, ""},
		"without trusted peers": {nil, http.Header{"X-Account": {shopB}}, ""},
		"twice":                 {[]netip.Prefix{loopback}, http.Header{"X-Account": {shopA, shopB}}, ""},
		"empty, then an AppID":  {[]netip.Prefix{loopback}, http.Header{"X-Account": {"", shopB}}, shopB},
		"missing":               {[]netip.Prefix{loopback}, http.Header{}, ""},
		"an unknown AppID":      {[]netip.Prefix{loopback}, http.Header{"X-Account": {"wxnone"}}, "wxnone"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr, r.Header = "127.0.0.1:4321", tt.header
			got, err := ByHeader("X-Account", tt.trusted, a, b).ResolveAppID(r)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.want == "", err != nil)
		})
	}
	_, err := ByHeader("X-Account", nil, a, b).Account(context.Background(), "wxnone")
	assert.ErrorIs(t, err, errUnknown)
}

func TestResolver_InvalidAccounts(t *testing.T) {
	one := wechatauth.Account{AppID: shopA, Secret: testSecret, BaseURL: "https://a.example.com"}
	two := wechatauth.Account{AppID: shopB, Secret: testSecret, BaseURL: "https://b.example.com"}
	with := func(account wechatauth.Account, change func(*wechatauth.Account)) wechatauth.Account {
		change(&account)
		return account
	}
	for name, tt := range map[string]struct {
		resolver wechatauth.AccountResolver
		want     string
	}{
		"one host for two":              {ByHost(one, with(two, func(a *wechatauth.Account) { a.BaseURL = one.BaseURL })), "have the same host"},
		"by host without a host":        {ByHost(one, with(two, func(a *wechatauth.Account) { a.BaseURL = "" })), "requires its own BaseURL"},
		"one mini program for two":      {ByHost(with(one, func(a *wechatauth.Account) { a.MiniProgramAppID = miniOfA }), with(two, func(a *wechatauth.Account) { a.MiniProgramAppID = miniOfA })), "belongs to two accounts"},
		"one website for two":           {ByHeader("X-Account", nil, with(one, func(a *wechatauth.Account) { a.WebsiteAppID = miniOfA }), with(two, func(a *wechatauth.Account) { a.WebsiteAppID = miniOfA })), "belongs to two accounts"},
		"another's AppID for a website": {ByHeader("X-Account", nil, one, with(two, func(a *wechatauth.Account) { a.WebsiteAppID = shopA })), "belongs to two accounts"},
		"one AppID with two secrets":    {ByPathPrefix(map[string]wechatauth.Account{"/a/": one, "/b/": with(one, func(a *wechatauth.Account) { a.Secret = "another-secret-for-tests" })}), "conflicting definitions of account"},
		"a prefix without its end":      {ByPathPrefix(map[string]wechatauth.Account{"/a": one}), "begin and end with a slash"},
		"a prefix without its start":    {ByPathPrefix(map[string]wechatauth.Account{"a/": one}), "begin and end with a slash"},
		"no accounts":                   {ByHost(), "at least one account"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wechatauth.New(wechatauth.WithBaseURL(testBase), wechatauth.WithAccounts(tt.resolver))
			assert.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), testSecret)
			assert.NotContains(t, err.Error(), "another-secret")
		})
	}
	_, err := wechatauth.New(wechatauth.WithBaseURL(testBase), wechatauth.WithAccounts(ByPathPrefix(map[string]wechatauth.Account{"/a/": one, "/also-a/": one, "/": two})))
	assert.NoError(t, err, "an account may have two prefixes")
}

func TestByHost(t *testing.T) {
	resolver := ByHost(wechatauth.Account{AppID: shopA, BaseURL: "https://a.example.com"}, wechatauth.Account{AppID: shopB, BaseURL: "http://localhost:8080"})
	for host, want := range map[string]string{
		"a.example.com": shopA, "A.example.COM": shopA, "a.example.com:443": shopA, "localhost:8080": shopB,
		"a.example.com:80": "", "a.example.com:8443": "", "localhost": "", "localhost:8080:80": "", "a.example.com.": "", "": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		got, _ := resolver.ResolveAppID(r)
		assert.Equal(t, want, got, "%q", host)
	}
}

func TestPathPrefix(t *testing.T) {
	resolver := ByPathPrefix(map[string]wechatauth.Account{"/a/": shops[0], "/a/b/": shops[1], "/b/": shops[1]})
	for path, want := range map[string]string{
		"/a/x": shopA, "/a/": shopA, "/a": shopA, "/a/b": shopB, "/a/b/x": shopB, "/a/bc": shopA, "/b/x": shopB,
		"/": "", "/c": "", "/ab": "", "/A/x": "", "/a/../b/x": "", "/a/./x": shopA, "/a//../../b/": "", "/b/../a/": "", "//a/x": "",
	} {
		got, err := resolver.ResolveAppID(&http.Request{URL: &url.URL{Path: path}})
		assert.Equal(t, want, got, path)
		assert.Equal(t, want == "", err != nil, path)
	}
	rest := ByPathPrefix(map[string]wechatauth.Account{"/": shops[0], "/b/": shops[1]})
	for path, want := range map[string]string{"/c": shopA, "/": shopA, "/b/x": shopB, "/b/../c": ""} {
		got, _ := rest.ResolveAppID(&http.Request{URL: &url.URL{Path: path}})
		assert.Equal(t, want, got, path)
	}
}

// The upstream server must not serve a page of a different account than the one
// for which the request was checked.
func TestPathPrefix_OtherReadings(t *testing.T) {
	resolver := ByPathPrefix(map[string]wechatauth.Account{"/": shops[0], "/b/": shops[1]})
	for target, want := range map[string]string{
		"/b/..;/x": "", "/b/..;v=1/x": "", "/x/..;/b/y": "", "/b;v=1/x": "", // servlet containers
		`/b/..\x`: "", `/x\..\b\y`: "", "/b/..%5Cx": "", `/b\x`: "", // Windows
		"/b/%252e%252e/x": "", "/x/..%252fb/y": "", "/b/%2e%2e%3b/x": "", "/b/%252e%252e;/x": "", // decoded again
		"/b%2Fx": "", "/b%2fx": "", "/b/..%2Fx": "", "/x%2F..%2Fb/y": "", // routers by segments
		"/b/a%2Fx": shopB, "/b/x;v=1": shopB, "/b/50%25": shopB, "/b/%25zz": shopB, "/b/%E5%BA%97": shopB, `/b/a\x`: shopB, "/x%2Fy": shopA, "/x;b": shopA,
	} {
		u, err := url.ParseRequestURI(target)
		require.NoError(t, err, target)
		got, err := resolver.ResolveAppID(&http.Request{URL: u})
		assert.Equal(t, want, got, target)
		assert.Equal(t, want == "", err != nil, target)
	}
	named := ByPathPrefix(map[string]wechatauth.Account{"/店/": shops[0]})
	u, err := url.ParseRequestURI("/%E5%BA%97/x")
	require.NoError(t, err)
	got, _ := named.ResolveAppID(&http.Request{URL: u})
	assert.Equal(t, shopA, got, "a non-ASCII prefix")
}

// http.ServeMux treats "/b%2Fx" as one segment, which is below "/".
func TestPathPrefix_ServeMux(t *testing.T) {
	resolver := ByPathPrefix(map[string]wechatauth.Account{"/": shops[0], "/b/": shops[1]})
	mux := http.NewServeMux()
	for pattern, shop := range map[string]string{"/": shopA, "/b/": shopB} {
		mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
			if got, err := resolver.ResolveAppID(r); err == nil {
				assert.Equal(t, shop, got, r.URL.EscapedPath())
			}
		})
	}
	for _, target := range []string{"/b/x", "/b%2Fx", "/x", "/b%2F", "/b%2f..%2fx", "/b", "/%62/x", "/b/%2Fx", "/b%5Cx"} {
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
	}
}

// Each resolver must support the login of each of its accounts.
func TestResolvers(t *testing.T) {
	for name, tt := range map[string]struct {
		resolver func(port string) *Resolver
		urls     [2]string // of a page of each account
		headers  [2]string
		refused  bool
	}{
		"by host": {
			resolver: func(port string) *Resolver {
				a, b := shops[0], shops[1]
				a.BaseURL, b.BaseURL = "http://127.0.0.1:"+port, "http://localhost:"+port
				return ByHost(a, b)
			},
			urls: [2]string{"http://127.0.0.1:%s/x", "http://localhost:%s/x"},
		},
		"by path": {
			resolver: func(string) *Resolver {
				return ByPathPrefix(map[string]wechatauth.Account{"/a/": shops[0], "/b/": shops[1]})
			},
			urls: [2]string{"http://127.0.0.1:%s/a/x", "http://127.0.0.1:%s/b/x"},
		},
		"by the header of a trusted proxy": {
			resolver: func(string) *Resolver {
				return ByHeader("X-Account", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, shops[:]...)
			},
			urls:    [2]string{"http://127.0.0.1:%s/x", "http://127.0.0.1:%s/x"},
			headers: [2]string{shopA, shopB},
		},
		"by a header from an untrusted peer": {
			resolver: func(string) *Resolver {
				return ByHeader("X-Account", []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, shops[:]...)
			},
			urls:    [2]string{"http://127.0.0.1:%s/x", "http://127.0.0.1:%s/x"},
			headers: [2]string{shopA, shopB},
			refused: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim := wechattest.NewServer(wechattest.WithAccount(
				wechattest.Account{AppID: shopA, Secret: "secret-of-a"}, wechattest.Account{AppID: shopB, Secret: "secret-of-b"}))
			defer sim.Close()
			server := httptest.NewUnstartedServer(nil)
			defer server.Close()
			base, err := url.Parse("http://" + server.Listener.Addr().String())
			require.NoError(t, err)
			auth, err := wechatauth.New(wechatauth.WithBaseURL(base.String()), wechatauth.WithEndpoints(sim.Endpoints()),
				wechatauth.WithAccounts(tt.resolver(base.Port())), wechatauth.WithLogger(slog.New(slog.DiscardHandler)))
			require.NoError(t, err)
			server.Config.Handler = auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id, _ := wechatauth.IdentityFromContext(r.Context())
				fmt.Fprint(w, id.AppID, " ", id.OpenID)
			}))
			server.Start()

			browser := wechattest.Browser(wechattest.IPhone)
			for i, shop := range []string{shopA, shopB, shopA} {
				req, err := http.NewRequest(http.MethodGet, fmt.Sprintf(tt.urls[i%2], base.Port()), nil)
				require.NoError(t, err)
				if header := tt.headers[i%2]; header != "" {
					req.Header.Set("X-Account", header)
				}
				resp, err := browser.Do(req)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				if tt.refused {
					assert.Equal(t, http.StatusNotFound, resp.StatusCode)
					continue
				}
				assert.Equal(t, shop+" "+wechattest.OpenID(shop, wechattest.DefaultPeople()[0].Name), string(body))
			}
			if !tt.refused {
				assert.Equal(t, 2, sim.Count("/sns/oauth2/access_token"), "one login for each account")
			}
		})
	}
}
