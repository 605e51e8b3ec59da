package environment_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Show a different page depending on where it is open.
func ExampleOf() {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("User-Agent", wechattest.IPhone)
	fmt.Println(environment.Of(r))
	// Output: wechat_phone
}
