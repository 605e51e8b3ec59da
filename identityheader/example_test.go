package identityheader_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/identityheader"
	"github.com/wechatauth/wechatauth/wechattest"
)

// An upstream server, in any language, reads the openid from a header that
// clients cannot send.
func ExampleHandler() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		person := wechattest.DefaultPeople()[0].Name
		fmt.Fprint(w, r.Header.Get(identityheader.OpenID) == wechattest.OpenID(wechattest.DefaultAppID, person))
	}))
	defer upstream.Close()
	wechat := wechattest.NewServer()
	defer wechat.Close()
	site := httptest.NewUnstartedServer(nil)
	defer site.Close()

	auth, err := wechatauth.New(
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("http://"+site.Listener.Addr().String()),
		wechatauth.WithEndpoints(wechat.Endpoints()),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream.Listener.Addr().String()})
	site.Config.Handler = auth.RequireWeChat(identityheader.Handler(proxy, auth))
	site.Start()

	resp, err := wechattest.Browser(wechattest.IPhone).Get(site.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))
	// Output: 200 true
}
