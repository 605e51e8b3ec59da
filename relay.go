package wechatauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/cookie"
	"github.com/wechatauth/wechatauth/internal/page"
	"github.com/wechatauth/wechatauth/internal/respond"
	"github.com/wechatauth/wechatauth/internal/seal"
)

// WeChat lets an account name one or two domains for its callbacks. A relay
// stands on such a domain and hands callbacks on to applications on others. It
// is trusted with codes, and with nothing else: it knows no AppSecret and no
// session.

// WithRelay lets WeChat send visitors back by way of a relay (NewRelay) at
// relayURL, such as "https://auth.example.com/relay", instead of straight to
// the base URL's host. The key is the relay's: at least 32 random bytes. It does
// not go with environment.LoginEmbeddedQR.
func WithRelay(relayURL string, key []byte) Option {
	return func(c *config) { c.relayURL, c.relayKey, c.relaySet = relayURL, key, true }
}

// hopTTL is how long a sealed code may be on its way.
const hopTTL = time.Minute

func (c *config) validateRelay() error {
	if !c.relaySet {
		return nil
	}
	var errs []error
	u, err := url.Parse(c.relayURL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || (u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname()))) {
		errs = append(errs, fmt.Errorf("WithRelay: %q is no https URL without query and fragment, such as \"https://auth.example.com/relay\"", c.relayURL))
	}
	if err := checkKey(c.relayKey); err != nil {
		errs = append(errs, fmt.Errorf("WithRelay: the key %w", err))
	}
	if c.environments.Uses(environment.LoginEmbeddedQR) {
		errs = append(errs, errors.New("WithRelay: use LoginWebsite instead of LoginEmbeddedQR; browsers let the frame of another site lead the window to the window's own origin only, and the relay's is another"))
	}
	return errors.Join(errs...)
}

// relay is what an application knows of its relay.
type relay struct {
	url  string
	ring *seal.Ring
}

// redirectURI is where WeChat sends the visitor back to.
func (g *gate) redirectURI() string {
	if g.relay == nil {
		return g.callbackURL()
	}
	return g.relay.url + "?to=" + url.QueryEscape(g.callbackURL())
}

// unhop takes the code out of a callback that came by the relay. Anything that
// did not is refused: a code in clear has not passed the relay's allow-list.
func (g *gate) unhop(q callbackQuery) (callbackQuery, bool) {
	if g.relay == nil || q.refused {
		return q, q.hop == ""
	}
	plain, err := g.relay.ring.Open(q.hop, "hop", g.callbackURL(), q.state)
	if err != nil {
		return q, false
	}
	stamp, code, _ := strings.Cut(string(plain), " ")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || !validCode(code) || !cookie.Fresh(g.now(), at, hopTTL+cookie.Skew) {
		return q, false
	}
	q.code = code
	return q, true
}

// NewRelay returns the handler of a relay for applications with exactly these
// callbacks, such as "https://shop.example.net/wechat/callback". A callback that
// ends in a slash stands for those of all accounts of an application
// (WithAccounts), which end in an AppID. The relay redirects a callback of WeChat
// to the application's own, with the code sealed: readable for the applications
// that hold the key, for one minute and for one state, which the application
// takes once. Mount it at the path of WithRelay's URL. Errors name the wrong
// argument.
func NewRelay(key []byte, callbacks ...string) (http.Handler, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("wechatauth: NewRelay: the key %w", err)
	}
	if len(callbacks) == 0 {
		return nil, errors.New("wechatauth: NewRelay: give the callbacks of the applications")
	}
	ring, err := seal.New("relay", key)
	if err != nil {
		return nil, err
	}
	h := &relayHandler{ring: ring, callbacks: map[string]bool{}, now: time.Now}
	for _, callback := range callbacks {
		scheme, rest, _ := strings.Cut(callback, "://")
		host, endpoint, _ := strings.Cut(rest, "/")
		base, err := parseBaseURL(scheme + "://" + host)
		if err != nil || checkPrefix("/"+strings.TrimSuffix(endpoint, "/")+"/") != nil {
			return nil, fmt.Errorf("wechatauth: NewRelay: %q is no callback, such as \"https://shop.example.net/wechat/callback\"", callback)
		}
		h.callbacks[base.String()+"/"+endpoint] = true
	}
	return h, nil
}

type relayHandler struct {
	ring      *seal.Ring
	callbacks map[string]bool
	now       func() time.Time
}

func (h *relayHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	location, ok := h.forward(r)
	if !ok {
		respond.NoStore(w.Header())
		_ = writePage(w, r, nil, Page{Lang: page.Language(r), Status: http.StatusBadRequest, Reason: ReasonCallbackMalformed}) // the default page does not fail
		return
	}
	respond.Redirect(w, location)
}

// forward returns where a callback goes: nowhere, unless it is one of WeChat's
// and its target is listed.
func (h *relayHandler) forward(r *http.Request) (location string, ok bool) {
	if r.Method != http.MethodGet || len(r.URL.RawQuery) > maxQueryBytes {
		return "", false
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(values["to"]) != 1 {
		return "", false
	}
	callback := values.Get("to")
	dir, name := path.Split(callback)
	q, ok := parseCallback(r.URL.RawQuery)
	if !ok || name == "" || !h.callbacks[callback] && !(h.callbacks[dir] && isAccountPath(name)) {
		return "", false
	}
	answer := url.Values{"state": {q.state}}
	if !q.refused {
		plain := strconv.FormatInt(h.now().UnixMilli(), 10) + " " + q.code
		answer.Set("hop", h.ring.Seal([]byte(plain), "hop", callback, q.state))
	}
	return callback + "?" + answer.Encode(), true
}
