// Command chi requires a login for one group of routes of a chi router, and
// mounts the endpoints next to it.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/examples/internal/serve"
)

func main() {
	auth, err := wechatauth.New(
		wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
		wechatauth.WithEndpoints(client.Endpoints{Open: os.Getenv("WECHAT_URL"), API: os.Getenv("WECHAT_URL")}), // if empty, WeChat itself
	)
	if err != nil {
		log.Fatal(err)
	}
	serve.UntilInterrupted("127.0.0.1:8080", app(auth))
}

func app(auth *wechatauth.Auth) http.Handler {
	r := chi.NewRouter()
	r.Mount("/wechat/", auth)
	r.Get("/public", public)
	r.Group(func(r chi.Router) {
		r.Use(auth.RequireWeChat)
		r.Get("/", hello)
	})
	return r
}

func hello(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "Hello, %s\n", id.OpenID)
}

func public(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, "Hello, guest")
}
