package environment_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Where a page is open decides what a user is shown.
func ExampleOf() {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("User-Agent", wechattest.IPhone)
	fmt.Println(environment.Of(r))
	// Output: wechat_phone
}
