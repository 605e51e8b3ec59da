package accounts_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/accounts"
)

// Two accounts on two hosts.
func ExampleByHost() {
	_, err := wechatauth.New(
		wechatauth.WithBaseURL("https://www.example.com"),
		wechatauth.WithAccounts(accounts.ByHost(
			wechatauth.Account{AppID: "wx00000000000000e1", Secret: "north-secret-for-tests", BaseURL: "https://north.example.com"},
			wechatauth.Account{AppID: "wx00000000000000e2", Secret: "south-secret-for-tests", BaseURL: "https://south.example.com"},
		)),
	)
	fmt.Println(err)
	// Output: <nil>
}

// A proxy on the same machine sets the account.
func ExampleByHeader() {
	byAccount := accounts.ByHeader("X-Account", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		wechatauth.Account{AppID: "wx00000000000000e1", Secret: "north-secret-for-tests"})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Account", "wx00000000000000e1")
	r.RemoteAddr = "127.0.0.1:40000"
	fmt.Println(byAccount.ResolveAppID(r))
	r.RemoteAddr = "192.0.2.1:40000"
	fmt.Println(byAccount.ResolveAppID(r))
	// Output:
	// wx00000000000000e1 <nil>
	//  no account for this request
}

// Accounts by path prefix. The example of wechatauth.WithAccounts is a complete
// site.
func ExampleByPathPrefix() {
	byAccount := accounts.ByPathPrefix(map[string]wechatauth.Account{
		"/north/": {AppID: "wx00000000000000e1", Secret: "north-secret-for-tests"},
	})
	fmt.Println(byAccount.ResolveAppID(httptest.NewRequest(http.MethodGet, "/north/orders", nil)))
	// Output: wx00000000000000e1 <nil>
}
