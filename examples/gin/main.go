// Command gin requires a login for one gin engine and mounts it, together with
// the endpoints, in another. Sessions are stored in Redis.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/examples/internal/serve"
)

func main() {
	auth, err := wechatauth.New(
		wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
		wechatauth.WithRedisURL(os.Getenv("REDIS_URL")),
		wechatauth.WithEndpoints(client.Endpoints{Open: os.Getenv("WECHAT_URL"), API: os.Getenv("WECHAT_URL")}), // if empty, WeChat itself
	)
	if err != nil {
		log.Fatal(err)
	}
	serve.UntilInterrupted("127.0.0.1:8080", app(auth))
}

// app has a separate engine for the routes that require a login: if the whole
// engine is wrapped as an http.Handler, the session is saved before gin writes
// the first byte.
func app(auth *wechatauth.Auth) http.Handler {
	private := gin.New()
	private.GET("/", hello)

	r := gin.New()
	r.Any("/wechat/*endpoint", gin.WrapH(auth))
	r.GET("/public", public)
	r.NoRoute(gin.WrapH(auth.RequireWeChat(private)))
	return r
}

func hello(c *gin.Context) {
	id, _ := wechatauth.IdentityFromContext(c.Request.Context())
	c.String(http.StatusOK, "Hello, %s\n", id.OpenID)
}

func public(c *gin.Context) {
	c.String(http.StatusOK, "Hello, guest\n")
}
