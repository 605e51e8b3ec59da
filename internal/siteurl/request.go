package siteurl

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/wechatauth/wechatauth/internal/navigation"
)

// Reached reports whether a request came to the host of the base URL. A proxy
// that rewrites Host can be detected by X-Forwarded-Host. A request that came
// to a proxy by plain http has not reached a site on https: browsers drop its
// Secure cookies.
func Reached(base *url.URL, r *http.Request) bool {
	proto, _, _ := strings.Cut(navigation.Header(r.Header, "X-Forwarded-Proto"), ",") // the client's comes first
	if base.Scheme == "https" && strings.EqualFold(strings.TrimSpace(proto), "http") {
		return false
	}
	return sameHost(base, r.Host) || sameHost(base, navigation.Header(r.Header, "X-Forwarded-Host"))
}

func sameHost(base *url.URL, host string) bool {
	host = strings.ToLower(host)
	if base.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return host == strings.TrimSuffix(base.Host, ":80")
}
