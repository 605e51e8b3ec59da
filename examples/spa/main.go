// Command spa is a single-page application with a hash router, in plain
// JavaScript. The page is public, and its API requires a login: a 401 response
// contains the login URL, and the script redirects the browser there and back
// to where it was, including the fragment.
//
// Without WECHAT_APP_ID, it starts a WeChat simulator.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

//go:embed page
var embedded embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` of the site")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	opts := []wechatauth.Option{
		wechatauth.WithApp(os.Getenv("WECHAT_APP_ID"), os.Getenv("WECHAT_APP_SECRET")),
		wechatauth.WithBaseURL(os.Getenv("BASE_URL")),
	}
	site, simulator := os.Getenv("BASE_URL"), ""
	if os.Getenv("WECHAT_APP_ID") == "" {
		site = "http://" + listener.Addr().String()
		opts, simulator = simulated(site)
	}
	auth, err := wechatauth.New(opts...)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Open " + site + simulator)
	server := &http.Server{Handler: app(auth), ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// simulated starts a WeChat simulator for all browsers, whose control page links
// to the site. It also returns what to print about it.
func simulated(site string) (opts []wechatauth.Option, about string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: wechattest.NewHandler(wechattest.WithAnyBrowser(), wechattest.WithSite(site)), ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	sim := "http://" + listener.Addr().String()
	return []wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(site),
		wechatauth.WithEndpoints(client.Endpoints{Open: sim, API: sim}),
	}, " (WeChat simulator: " + sim + ")"
}

func app(auth *wechatauth.Auth) http.Handler {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // cannot fail: the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("/", http.FileServerFS(page))
	mux.Handle("GET /api/me", auth.RequireWeChat(http.HandlerFunc(me)))
	mux.Handle("GET /api/profile", auth.RequireScope(client.ScopeUserInfo)(http.HandlerFunc(me)))
	return mux
}

func me(w http.ResponseWriter, r *http.Request) {
	id, _ := wechatauth.IdentityFromContext(r.Context())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{ // the client may have disconnected
		"openid": id.OpenID, "nickname": id.Nickname, "avatar": id.AvatarURL,
	})
}
