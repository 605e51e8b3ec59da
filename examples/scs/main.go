// Command scs is an application that already used scs sessions. It passes its
// session manager to wechatauth and keeps its cookie: the session's data from
// before the login is still there after it, and only one session cookie is
// sent. The middleware replaces LoadAndSave.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/examples/internal/serve"
	"github.com/wechatauth/wechatauth/store"
)

func main() {
	pool, err := store.NewPool(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	sessions := scs.New()
	sessions.Store = store.New(pool) // keys are those of scs/redisstore, so existing sessions remain valid
	sessions.Lifetime = 12 * time.Hour
	if strings.HasPrefix(os.Getenv("BASE_URL"), "https://") { // otherwise plain http on this machine
		sessions.Cookie.Name = "__Host-session"
		sessions.Cookie.Secure = true
	}

	auth, err := wechatauth.New(
		wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
		wechatauth.WithSessionManager(sessions),
		wechatauth.WithEndpoints(client.Endpoints{Open: os.Getenv("WECHAT_URL"), API: os.Getenv("WECHAT_URL")}), // if empty, WeChat itself
	)
	if err != nil {
		log.Fatal(err)
	}
	serve.UntilInterrupted("127.0.0.1:8080", app(auth, sessions))
}

func app(auth *wechatauth.Auth, sessions *scs.SessionManager) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("POST /cart", auth.LoadWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.Put(r.Context(), "cart", r.FormValue("item"))
		w.WriteHeader(http.StatusNoContent)
	})))
	mux.Handle("GET /checkout", auth.RequireWeChat(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := wechatauth.IdentityFromContext(r.Context())
		fmt.Fprintf(w, "%s buys %s\n", id.OpenID, sessions.GetString(r.Context(), "cart"))
	})))
	return mux
}
