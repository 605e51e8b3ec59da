package client

import (
	"fmt"

	"github.com/wechatauth/wechatauth/client/internal/api"
)

// Endpoints holds the base URLs of WeChat's two hosts. An empty field means the
// default, [DefaultOpen] or [DefaultAPI].
//
// A base URL must use https, or http on a loopback host (localhost,
// 127.0.0.0/8, ::1). It may contain a port and a plain path, but no user
// information, query or fragment. Its host is a name, or an IP address that is
// public or loopback. Open, which only browsers request, may also have a private IP
// address, with http or https.
type Endpoints struct {
	Open string // for browsers: the authorization page and the QR code page
	API  string // for calls by the client
}

// WeChat's base URLs, which are the defaults of [Endpoints].
const (
	DefaultOpen = "https://open.weixin.qq.com"
	DefaultAPI  = "https://api.weixin.qq.com"
)

// normalized returns the endpoints with defaults filled in and without a
// trailing slash. Its error names the invalid field.
func (e Endpoints) normalized() (Endpoints, error) {
	openURL, err := api.PageURL(e.Open, DefaultOpen)
	if err != nil {
		return Endpoints{}, fmt.Errorf("Endpoints.Open %w", err)
	}
	apiURL, err := api.BaseURL(e.API, DefaultAPI)
	if err != nil {
		return Endpoints{}, fmt.Errorf("Endpoints.API %w", err)
	}
	return Endpoints{Open: openURL, API: apiURL}, nil
}
