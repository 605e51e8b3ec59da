// Command nethttp requires a login for a whole net/http application: it wraps
// the mux with the middleware and mounts nothing else.
//
// WECHAT_APP_ID, WECHAT_APP_SECRET and BASE_URL are required. REDIS_URL stores
// sessions in Redis, so that several instances share them. ADDR is the address
// to listen on; the default is 127.0.0.1:8080. WECHAT_URL is the URL of a
// simulator such as cmd/wechatsim, to use it instead of WeChat.
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/examples/internal/serve"
)

func main() {
	requireLogin := wechatauth.RequireWeChat(options()...)
	serve.UntilInterrupted("127.0.0.1:8080", app(requireLogin))
}

func options() []wechatauth.Option {
	opts := []wechatauth.Option{
		wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
	}
	if u := os.Getenv("REDIS_URL"); u != "" {
		opts = append(opts, wechatauth.WithRedisURL(u))
	}
	if u := os.Getenv("WECHAT_URL"); u != "" {
		opts = append(opts, wechatauth.WithEndpoints(client.Endpoints{Open: u, API: u}))
	}
	return opts
}

func app(requireLogin func(http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	return requireLogin(mux)
}

func hello(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "Hello, %s\n", id.OpenID)
}
