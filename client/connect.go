package client

//lint:file-ignore SA1019 a transport of the user's may still have Dial or DialTLS

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// dialFunc makes a TCP connection.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// connectThrough makes t connect in time, and notes on each call whether a proxy
// is on its way.
func (c *Client) connectThrough(t *http.Transport) {
	c.dial = dialerOf(t)
	t.Dial, t.DialContext = nil, c.dialInTime
	if proxyFor := t.Proxy; proxyFor != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			proxy, err := proxyFor(r)
			if p, ok := r.Context().Value(progressKey{}).(*progress); ok && proxy != nil {
				p.proxied.Store(true)
			}
			return proxy, err
		}
	}
	t.OnProxyConnectResponse = checkedConnect(t.OnProxyConnectResponse)
}

func dialerOf(t *http.Transport) dialFunc {
	switch {
	case t.DialContext != nil:
		return t.DialContext
	case t.Dial != nil:
		return func(_ context.Context, network, addr string) (net.Conn, error) { return t.Dial(network, addr) }
	}
	return (&net.Dialer{}).DialContext
}

func (c *Client) dialInTime(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return c.dial(ctx, network, addr)
}

// connectRefused is a proxy's refusal, without the text that it gave.
type connectRefused struct{ status int }

func (e *connectRefused) Error() string {
	return fmt.Sprintf("the proxy answered CONNECT with HTTP status %d", e.status)
}

// checkedConnect keeps net/http from making an error of the proxy's own words.
func checkedConnect(yours connectHook) connectHook {
	return func(ctx context.Context, proxy *url.URL, asked *http.Request, answer *http.Response) error {
		if yours != nil {
			if err := yours(ctx, proxy, asked, answer); err != nil {
				return err
			}
		}
		if answer.StatusCode != http.StatusOK {
			return &connectRefused{answer.StatusCode}
		}
		return nil
	}
}

type connectHook = func(ctx context.Context, proxy *url.URL, asked *http.Request, answer *http.Response) error
