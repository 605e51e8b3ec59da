package client

//lint:file-ignore SA1019 a caller's transport may still set Dial or DialTLS

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// A dialFunc dials a TCP connection.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// setDialer limits how long t may take to connect, and records for each call
// whether it uses a proxy.
func (c *Client) setDialer(t *http.Transport) {
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
	t.OnProxyConnectResponse = checkProxyResponse(t.OnProxyConnectResponse)
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

// A proxyError reports that a proxy rejected CONNECT. It omits the proxy's
// text.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("proxy rejected CONNECT with HTTP status %d", e.status)
}

// checkProxyResponse keeps net/http from using the proxy's status line as the
// text of the error.
func checkProxyResponse(next proxyResponseHook) proxyResponseHook {
	return func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
		if next != nil {
			if err := next(ctx, proxy, req, resp); err != nil {
				return err
			}
		}
		if resp.StatusCode != http.StatusOK {
			return &proxyError{resp.StatusCode}
		}
		return nil
	}
}

type proxyResponseHook = func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error
