package verifyfile_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/verifyfile"
	"github.com/wechatauth/wechatauth/wechattest"
)

// WeChat's servers get the file without a login.
func ExampleHandler() {
	requireLogin := wechatauth.RequireWeChat(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("https://m.example.com"),
	)
	app := requireLogin(http.NotFoundHandler())
	site, err := verifyfile.Handler(app, map[string]string{"MP_verify_0123456789abcdef.txt": "0123456789abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/MP_verify_0123456789abcdef.txt", "/orders"} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /MP_verify_0123456789abcdef.txt 200
	// /orders 401
}
