package relay_test

import (
	"fmt"
	"net/http"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/relay"
)

// A relay on the one domain configured with WeChat forwards callbacks to
// applications on other domains, which use WithRelay.
func ExampleNew() {
	key := []byte("a key of 32 random bytes or more")
	handler, err := relay.New(key, "https://shop.example.net/wechat/callback", "https://club.example.org/wechat/callback")
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux() // for https://auth.example.com
	mux.Handle("GET /relay", handler)

	shop, err := wechatauth.New(
		wechatauth.WithApp("wx00000000000000a1", "app-secret-for-tests"),
		wechatauth.WithBaseURL("https://shop.example.net"),
		wechatauth.WithRelay("https://auth.example.com/relay", key),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(shop.CallbackDomain())
	// Output: auth.example.com
}
