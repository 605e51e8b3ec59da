package client

//lint:file-ignore SA1019 a transport of the user's may still have Dial or DialTLS

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// dialFunc makes a TCP connection.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// connectThrough makes t's connections this package's: made in time, with TLS
// 1.2 at least, and kept only while the peer says nothing unasked.
func (c *Client) connectThrough(t *http.Transport) {
	c.dial = dialerOf(t)
	c.proxy = t.Proxy
	t.Dial = nil
	t.Proxy = func(r *http.Request) (*url.URL, error) { return proxyIn(r.Context()), nil }
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := c.dialInTime(ctx, network, addr)
		if err != nil || proxyIn(ctx) != nil {
			return conn, err
		}
		return &answerConn{Conn: conn}, nil
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return c.dialTLS(ctx, t, network, addr)
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

// dialTLS does what t does without a dialer for TLS, so that what comes out of
// the encryption can go through an answerConn. HTTP/2 needs none: net/http
// takes nothing there that no stream waits for.
func (c *Client) dialTLS(ctx context.Context, t *http.Transport, network, addr string) (net.Conn, error) {
	conn, err := c.dialInTime(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(conn, tlsConfigFor(ctx, t, addr))
	ctx, cancel := context.WithTimeout(ctx, t.TLSHandshakeTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	if proxyIn(ctx) != nil || secured.ConnectionState().NegotiatedProtocol == "h2" {
		return secured, nil
	}
	return &answerConn{Conn: secured}, nil
}

func tlsConfigFor(ctx context.Context, t *http.Transport, addr string) *tls.Config {
	config := t.TLSClientConfig.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	if proxyIn(ctx) != nil {
		config.NextProtos = nil // nobody speaks HTTP/2 to a proxy
	}
	return config
}

// proxyKey is the key of the proxy that a request goes through, if any.
type proxyKey struct{}

func proxyIn(ctx context.Context) *url.URL {
	proxy, _ := ctx.Value(proxyKey{}).(*url.URL)
	return proxy
}

// route finds the proxy of a request. A connection through a proxy is not kept:
// what comes out of the encryption in it passes nobody but net/http.
func (c *Client) route(hr *http.Request) (_ *http.Request, proxied bool, err error) {
	if c.proxy == nil {
		return hr, false, nil
	}
	proxy, err := c.proxy(hr)
	if err != nil || proxy == nil {
		return hr, false, err
	}
	hr = hr.WithContext(context.WithValue(hr.Context(), proxyKey{}, proxy))
	hr.Close = true
	return hr, true, nil
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
