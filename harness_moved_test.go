package wechatauth

import (
	"net/url"

	"github.com/wechatauth/wechatauth/internal/returnto"
	"github.com/wechatauth/wechatauth/internal/returnto/returntotest"
)

// faultsOf judges a Location of a site at any origin.
func faultsOf(location string) []string {
	base, _ := url.Parse(returntotest.Origin)
	return returntotest.Faults(location, "/wechat/", returnto.Site{Base: base, Prefix: "/wechat/", Endpoints: ownEndpoints}.Judge)
}
