// Command gorillamux requires a login for a gorilla/mux router with router.Use.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/gorilla/mux"

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
	router := mux.NewRouter()
	router.PathPrefix("/wechat/").Handler(auth) // Use runs only for routes that match
	router.HandleFunc("/", hello).Methods(http.MethodGet)
	router.Use(auth.RequireWeChat)
	return router
}

func hello(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	fmt.Fprintf(w, "Hello, %s\n", id.OpenID)
}
