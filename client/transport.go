package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	maxBody     = 64 << 10
	maxHeader   = 64 << 10
	maxErrmsg   = 2 << 10 // WeChat's are about a hundred bytes long
	dialTimeout = 2 * time.Second
	tlsTimeout  = 3 * time.Second
	idleTimeout = time.Minute // less than the 75 seconds after which common servers close idle connections
	maxAttempts = 2
	retryPause  = 100 * time.Millisecond
)

// newTransport returns the transport for calls. There is no http.Client around
// it, because an http.Client follows redirects (and sends the URL with the
// AppSecret to the target as Referer) and stores cookies.
func (c *Client) newTransport() http.RoundTripper {
	var base http.RoundTripper
	if c.httpClient != nil {
		if c.httpClient.Timeout > 0 {
			c.timeout = min(c.timeout, c.httpClient.Timeout)
		}
		base = c.httpClient.Transport
	}
	switch t := base.(type) {
	case nil:
		return c.withLimits(&http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			IdleConnTimeout:     idleTimeout,
			MaxIdleConnsPerHost: 16,
		})
	case *http.Transport:
		return c.withLimits(t.Clone())
	default:
		return base
	}
}

// withLimits sets the limits that t lacks or that are too high.
func (c *Client) withLimits(t *http.Transport) *http.Transport {
	t.DisableCompression = true
	t.MaxResponseHeaderBytes = atMost(t.MaxResponseHeaderBytes, maxHeader)
	t.TLSHandshakeTimeout = atMost(t.TLSHandshakeTimeout, tlsTimeout)
	t.ResponseHeaderTimeout = atMost(t.ResponseHeaderTimeout, c.timeout*3/5)
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	t.TLSClientConfig.MinVersion = max(t.TLSClientConfig.MinVersion, tls.VersionTLS12)
	t.TLSClientConfig.NextProtos = nil // set by t if it supports HTTP/2
	if t.Protocols != nil && t.Protocols.UnencryptedHTTP2() {
		t.Protocols.SetUnencryptedHTTP2(false)
		t.Protocols.SetHTTP1(true)
	}
	c.setDialer(t)
	return t
}

// atMost returns set, or most if set is not positive or higher than most.
func atMost[T int64 | time.Duration](set, most T) T {
	if set <= 0 {
		return most
	}
	return min(set, most)
}

// A request is one call of the API.
type request struct {
	endpoint string // the path without the leading slash
	query    url.Values
	json     map[string]any // the body of a POST; nil means GET
	once     bool           // must not reach WeChat twice
	keys     []string       // the decisive keys of a WeCom response, in any case; nil means WeChat's responseKeys
}

// do makes the request within the client's timeout. It retries once if the
// request certainly did not reach WeChat, or if WeChat is busy and the request
// may be repeated.
func (c *Client) do(ctx context.Context, req request) (*jsonObject, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for try := 1; ; try++ {
		obj, sent, err := c.attempt(ctx, req)
		if err == nil {
			return obj, nil
		}
		again := !sent || !req.once && errors.Is(err, ErrBusy)
		if !again || try == maxAttempts || c.pause(ctx, retryPause) != nil {
			return nil, err
		}
	}
}

// attempt sends the request once. sent is false only if WeChat cannot have
// received it.
func (c *Client) attempt(ctx context.Context, req request) (obj *jsonObject, sent bool, err error) {
	var p progress
	hr, err := c.httpRequest(httptrace.WithClientTrace(context.WithValue(ctx, progressKey{}, &p), p.trace()), req)
	if err != nil {
		return nil, true, req.transportError(err, false)
	}
	resp, err := c.transport.RoundTrip(hr)
	if err != nil {
		return nil, p.mayHaveSent(ctx, err), req.transportError(err, p.proxied.Load() || p.responseBegan.Load())
	}
	if resp == nil || resp.Body == nil {
		return nil, true, req.transportError(errors.New("RoundTripper returned neither a response nor an error"), false)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, true, &Error{Endpoint: req.endpoint, HTTPStatus: resp.StatusCode}
	}
	body, err := readBody(resp)
	if err != nil {
		return nil, true, req.transportError(err, true)
	}
	obj, err = req.read(body)
	return obj, true, err
}

// readBody reads at most one byte more than the limit, into a buffer that does
// not grow if the peer sent a Content-Length.
func readBody(resp *http.Response) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), maxBody)) + bytes.MinRead)
	_, err := body.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	return body.Bytes(), err
}

// read parses a response body. It returns an error if the body reports one.
func (req request) read(body []byte) (*jsonObject, error) {
	if len(body) > maxBody {
		return nil, badResponse(req.endpoint, errors.New("is longer than 64 KiB"))
	}
	decisive := responseKeys
	if req.keys != nil {
		decisive = req.keys
	}
	fields, err := parseKeys(body, decisive, req.keys != nil)
	if err != nil {
		return nil, badResponse(req.endpoint, err)
	}
	obj := &jsonObject{endpoint: req.endpoint, fields: fields}
	code, err := obj.errcode()
	if err != nil {
		return nil, obj.badResponse(err)
	}
	if code != 0 {
		errmsg := obj.text("errmsg")
		if len(errmsg) > maxErrmsg {
			errmsg = ""
		}
		message, rid := splitErrmsg(redact(errmsg, append(req.sensitive(), obj.secrets()...)))
		return nil, &Error{Code: code, Message: shorten(message), RID: rid, Endpoint: req.endpoint, HTTPStatus: http.StatusOK}
	}
	return obj, nil
}

func (c *Client) httpRequest(ctx context.Context, req request) (*http.Request, error) {
	target := c.endpoints.API + "/" + req.endpoint + "?" + req.query.Encode()
	method, body := http.MethodGet, io.Reader(nil)
	if req.json != nil {
		data, err := json.Marshal(req.json)
		if err != nil {
			return nil, err
		}
		method, body = http.MethodPost, bytes.NewReader(data)
	}
	hr, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if req.json != nil {
		hr.Header.Set("Content-Type", "application/json")
	}
	hr.Header.Set("Accept-Encoding", "identity") // keeps the transport from decompressing the response
	hr.Header.Set("User-Agent", "wechatauth")
	if req.once {
		disableResend(hr)
	}
	return hr, nil
}

// disableResend keeps net/http's transport from resending the request if a
// kept-alive connection fails before the response. The transport resends every
// GET unless it has a body that cannot be rewound. This body is empty, and its
// encoding is set so that the transport need not determine it: nothing changes
// on the wire.
func disableResend(hr *http.Request) {
	if hr.Body == nil {
		hr.Body = io.NopCloser(eof{})
		hr.TransferEncoding = []string{"identity"}
	}
	hr.GetBody = nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// progress records how far a request got.
type progress struct{ connected, proxied, wroteHeaders, responseBegan atomic.Bool }

type progressKey struct{}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { p.connected.Store(true) },
		WroteHeaders:         func() { p.wroteHeaders.Store(true) },
		GotFirstResponseByte: func() { p.responseBegan.Store(true) },
	}
}

// mayHaveSent returns false if err occurred before WeChat had received a whole
// request: the connection was not established, or a kept-alive one turned out
// closed before the headers were written. If that is unknown, the request
// counts as sent.
func (p *progress) mayHaveSent(ctx context.Context, err error) bool {
	if ctx.Err() != nil || p.wroteHeaders.Load() {
		return true
	}
	if p.connected.Load() {
		return false
	}
	var op *net.OpError
	return !errors.As(err, &op) || op.Op != "dial"
}

// pause waits for d, plus or minus a quarter so that clients do not retry in
// step, or until ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d*3/4 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() // if both are ready, select chooses either
	case <-ctx.Done():
		return ctx.Err()
	}
}
