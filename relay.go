package wechatauth

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/flow"
	"github.com/wechatauth/wechatauth/internal/seal"
	"github.com/wechatauth/wechatauth/internal/siteurl"
)

// WithRelay lets WeChat send visitors back by way of a relay (package relay) at
// relayURL, such as "https://auth.example.com/relay", instead of straight to
// the base URL's host. The key is the relay's: at least 32 random bytes. It does
// not go with environment.LoginEmbeddedQR.
func WithRelay(relayURL string, key []byte) Option {
	return func(c *config) { c.relayURL, c.relayKey, c.relaySet = relayURL, key, true }
}

func (c *config) validateRelay() error {
	if !c.relaySet {
		return nil
	}
	var errs []error
	u, err := url.Parse(c.relayURL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || (u.Scheme != "https" && !(u.Scheme == "http" && siteurl.IsLoopback(u.Hostname()))) {
		errs = append(errs, fmt.Errorf("WithRelay: %q is no https URL without query and fragment, such as \"https://auth.example.com/relay\"", c.relayURL))
	}
	if err := seal.CheckKey(c.relayKey); err != nil {
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
func (g *gate) unhop(q flow.Callback) (flow.Callback, bool) {
	if g.relay == nil || q.Refused {
		return q, q.Hop == ""
	}
	code, ok := flow.OpenHop(g.relay.ring, g.now(), g.callbackURL(), q)
	q.Code = code
	return q, ok
}
