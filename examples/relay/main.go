// Command relay stands on the one domain that an official account may name for
// its callbacks, and hands them on to applications on other domains:
//
//	RELAY_KEY=… RELAY_CALLBACKS=https://shop.example.net/wechat/callback relay
//
// RELAY_CALLBACKS is a list with commas. Each application sets wechatauth.WithRelay with this program's URL and the
// same key. The key has at least 32 bytes; ADDR is where to listen,
// 127.0.0.1:8082 without it.
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
