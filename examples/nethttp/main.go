// Command nethttp walls a whole net/http application in: one line around the
// mux, nothing to mount.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/wechatauth/wechatauth"
)

func main() {
	wall := wechatauth.RequireWeChat(
		wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
	)
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", app(wall)))
}

func app(wall func(http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	return wall(mux)
}

func hello(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "Hello, %s\n", id.OpenID)
}
