// Command relay runs on the one domain that an official account can configure
// for callbacks, and forwards them to applications on other domains:
//
//	RELAY_KEY=… RELAY_CALLBACKS=https://shop.example.net/wechat/callback relay
//
// RELAY_CALLBACKS is a comma-separated list. Each application sets
// wechatauth.WithRelay with this program's URL and the same key. The key must
// have at least 32 bytes. ADDR is the address to listen on; the default is
// 127.0.0.1:8082.
package main

import (
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/wechatauth/wechatauth/examples/internal/serve"
	"github.com/wechatauth/wechatauth/relay"
)

func main() {
	handler, err := app(os.Getenv("RELAY_KEY"), os.Getenv("RELAY_CALLBACKS"))
	if err != nil {
		log.Fatal(err)
	}
	serve.UntilInterrupted("127.0.0.1:8082", handler)
}

func app(key, callbacks string) (http.Handler, error) {
	handler, err := relay.New([]byte(key), strings.Split(callbacks, ",")...)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /relay", handler)
	return mux, nil
}
