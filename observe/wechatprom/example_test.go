package wechatprom_test

import (
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/observe/wechatprom"
)

func ExampleNew() {
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	metrics, err := wechatprom.New(registry)
	if err != nil {
		fmt.Println(err)
		return
	}
	auth, err := wechatauth.New(
		wechatauth.WithApp("wx00000000000000a1", "app-secret-for-tests"),
		wechatauth.WithBaseURL("https://m.example.com"),
		wechatauth.WithObserver(metrics),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "https://m.example.com/", nil)
	r.Header.Set("Accept", "text/html")
	auth.RequireWeChat(nil).ServeHTTP(httptest.NewRecorder(), r)

	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "wechatauth_events_total") {
			fmt.Print(line)
		}
	}
	// Output: wechatauth_events_total{channel="wechat",event="login_started",reason=""} 1
}
