// Package relay hands WeChat's callbacks on to applications on other domains.
// WeChat lets an account name one or two domains for its callbacks. A relay
// stands on such a domain. It is trusted with codes, and with nothing else: it
// knows no AppSecret and no session. The applications set
// [github.com/wechatauth/wechatauth.WithRelay].
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
// callbacks, such as "https://shop.example.net/wechat/callback". A callback that
// ends in a slash stands for those of all accounts of an application
// (WithAccounts), which end in an AppID. The relay redirects a callback of WeChat
// to the application's own, with the code sealed: readable for the applications
// that hold the key, for one minute and for one state, which the application
// takes once. Mount it at the path of WithRelay's URL. The key must have at least
// 32 random bytes. Errors name every wrong argument.
func New(key []byte, callbacks ...string) (http.Handler, error) {
	var errs []error
	if err := seal.CheckKey(key); err != nil {
		errs = append(errs, fmt.Errorf("relay: the key %w", err))
	}
	if len(callbacks) == 0 {
		errs = append(errs, errors.New("relay: no callbacks: give those of the applications"))
	}
	ring, err := flow.RelayRing(key)
	if err != nil {
		errs = append(errs, fmt.Errorf("relay: %w", err))
	}
	h := &handler{ring: ring, callbacks: map[string]bool{}}
	for _, callback := range callbacks {
		scheme, rest, _ := strings.Cut(callback, "://")
		host, endpoint, _ := strings.Cut(rest, "/")
		base, err := siteurl.Parse(scheme + "://" + host)
		if err != nil || siteurl.CheckPrefix("/"+strings.TrimSuffix(endpoint, "/")+"/") != nil {
			errs = append(errs, fmt.Errorf("relay: %q is no callback, such as \"https://shop.example.net/wechat/callback\"", callback))
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
		_ = page.Write(w, r, nil, page.Page{Lang: page.Language(r), Status: http.StatusBadRequest, Reason: "callback_malformed"}) // the embedded page does not fail
		return
	}
	respond.Redirect(w, location)
}

// forward returns where a callback goes: nowhere, unless it is one of WeChat's
// and its target is listed.
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
	answer := url.Values{"state": {q.State}}
	if !q.Refused {
		answer.Set("hop", flow.SealCode(h.ring, time.Now(), callback, q))
	}
	return callback + "?" + answer.Encode(), true
}
