package authtest

import (
	"net/http"
	"testing"
)

const (
	VerifyName    = "MP_verify_0123456789abcdef.txt"
	VerifyContent = "0123456789abcdef"
)

// AsWeChat sends WeChat's check of a domain: no cookies, no Accept, no browser.
func (s *Site) AsWeChat(t *testing.T, method, target string) Response {
	t.Helper()
	b := s.Browser()
	b.Client.Jar = nil
	b.Header = http.Header{"User-Agent": {"Mozilla/4.0"}}
	return b.Do(b.Client, method, target, nil, nil)
}
