// Package relay forwards WeChat's callbacks to applications on other domains.
// WeChat accepts only one or two callback domains per account. A relay runs on
// one of them. It handles codes, but no AppSecrets and no sessions. The
// applications use [github.com/wechatauth/wechatauth.WithRelay].
package relay

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/siteurl"
)

// New returns the handler of a relay for applications with exactly these
// callbacks, such as "https://shop.example.net/wechat/callback". A callback
// that ends with a slash matches those of all accounts of an application
// (WithAccounts), which end with an AppID. The relay redirects each callback to
// the application with the code encrypted: only applications with the same key
// can decrypt it, within one minute, for one state and once. Mount the handler
// at the path of the URL given to WithRelay. The key must have at least 32
// random bytes. New returns an error that describes every invalid argument.
func New(key []byte, callbacks ...string) (http.Handler, error) {
	var errs []error
	if err := seal.CheckKey(key); err != nil {
		errs = append(errs, fmt.Errorf("relay: the key %w", err))
	}
	if len(callbacks) == 0 {
		errs = append(errs, errors.New("relay: no callbacks"))
	}
	ring, err := flow.RelayRing(key)
	if err != nil {
		errs = append(errs, fmt.Errorf("relay: %w", err))
	}
	h := &handler{ring: ring, callbacks: map[string]bool{}}
	for _, callback := range callbacks {
		scheme, rest, _ := strings.Cut(callback, "://")
		host, endpoint, _ := strings.Cut(rest, "/")
		base, err := siteurl.Parse(scheme+"://"+host, "")
		if err != nil || siteurl.CheckPrefix("/"+strings.TrimSuffix(endpoint, "/")+"/") != nil {
			errs = append(errs, fmt.Errorf("relay: invalid callback %q: must look like \"https://shop.example.net/wechat/callback\"", callback))
			continue
		}
		h.callbacks[base.String()+"/"+endpoint] = true
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return h, nil
}

type handler struct {
	ring      *seal.Ring
	callbacks map[string]bool
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	location, ok := h.forward(r)
	if !ok {
		respond.NoStore(w.Header())
		_ = page.Write(w, r, nil, page.Page{Lang: page.Language(r), Status: http.StatusBadRequest, Reason: "callback_malformed"}) // the built-in page cannot fail
		return
	}
	respond.Redirect(w, location)
}

// forward returns the URL to which a callback is forwarded. ok is false unless
// the request is a callback from WeChat and its target is listed.
func (h *handler) forward(r *http.Request) (location string, ok bool) {
	q, ok := flow.ParseCallback(r.URL.RawQuery)
	if r.Method != http.MethodGet || !ok || q.Hop != "" {
		return "", false
	}
	to := r.URL.Query()["to"]
	if len(to) != 1 {
		return "", false
	}
	callback := to[0]
	dir, name := path.Split(callback)
	if name == "" || !h.callbacks[callback] && !(h.callbacks[dir] && siteurl.IsAppID(name)) {
		return "", false
	}
	params := url.Values{"state": {q.State}}
	if !q.Refused {
		params.Set("hop", flow.SealCode(h.ring, time.Now(), callback, q))
	}
	return callback + "?" + params.Encode(), true
}
