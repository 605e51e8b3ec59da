package siteurl

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/wechatauth/wechatauth/internal/navigation"
	"github.com/wechatauth/wechatauth/internal/redact"
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

// verifyFile matches the files that prove who owns a domain: MP_verify_… of
// official accounts, WW_verify_… of WeCom, and ten letters or digits for the
// domains of mini programs and third-party platforms.
var verifyFile = regexp.MustCompile(`^((MP|WW)_verify_[A-Za-z0-9]{8,64}|[A-Za-z0-9]{10,32})\.txt$`)

const maxVerifyFile = 1024

// CheckVerifyFile returns an error for a file that WeChat's check of a domain
// would not find.
func CheckVerifyFile(name, content string) (errs []error) {
	if !verifyFile.MatchString(name) {
		errs = append(errs, fmt.Errorf("%q is not the name of WeChat's file, such as \"MP_verify_0123456789abcdef.txt\"", redact.Clean(name)))
	}
	if content == "" || len(content) > maxVerifyFile {
		errs = append(errs, fmt.Errorf("the content of %s has %d bytes; give what the downloaded file holds", redact.Clean(name), len(content)))
	}
	return errs
}
