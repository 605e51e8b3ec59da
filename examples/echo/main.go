// Command echo serves two official accounts, distinguished by path, with an
// echo group for each.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/labstack/echo/v4"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/accounts"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/examples/internal/serve"
)

func main() {
	byPath := accounts.ByPathPrefix(map[string]wechatauth.Account{
		"/north/": {AppID: os.Getenv("NORTH_APP_ID"), Secret: os.Getenv("NORTH_APP_SECRET")},
		"/south/": {AppID: os.Getenv("SOUTH_APP_ID"), Secret: os.Getenv("SOUTH_APP_SECRET")},
	})
	auth, err := wechatauth.New(
		wechatauth.WithAccounts(byPath),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
		wechatauth.WithEndpoints(client.Endpoints{Open: os.Getenv("WECHAT_URL"), API: os.Getenv("WECHAT_URL")}), // if empty, WeChat itself
	)
	if err != nil {
		log.Fatal(err)
	}
	serve.UntilInterrupted("127.0.0.1:8080", app(auth))
}

func app(auth *wechatauth.Auth) http.Handler {
	e := echo.New()
	e.Any("/wechat/*", echo.WrapHandler(auth))
	e.GET("/", public)
	requireLogin := echo.WrapMiddleware(auth.RequireWeChat)
	e.Group("/north", requireLogin).GET("/orders", hello)
	e.Group("/south", requireLogin).GET("/orders", hello)
	return e
}

// hello greets a user of one of the accounts. The same user has a different
// openid for each account.
func hello(c echo.Context) error {
	id, _ := wechatauth.IdentityFromContext(c.Request().Context())
	return c.String(http.StatusOK, "Hello, "+id.OpenID+" of "+id.AppID+"\n")
}

func public(c echo.Context) error {
	return c.String(http.StatusOK, "Hello, guest\n")
}
