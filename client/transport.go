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
	maxBody        = 64 << 10
	maxHeader      = 64 << 10
	maxErrmsg      = 2 << 10 // WeChat's have about a hundred bytes
	dialTimeout    = 2 * time.Second
	tlsTimeout     = 3 * time.Second
	idleTimeout    = time.Minute // below the 75 s after which common servers hang up
	maxTries       = 2
	pauseBeforeTry = 100 * time.Millisecond
)

// newTransport builds what calls go through. RoundTrippers are used without an
// http.Client around them: it is the http.Client that follows redirects (and
// hands the target the URL with the AppSecret as Referer) and keeps cookies.
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
		return c.tightened(&http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			IdleConnTimeout:     idleTimeout,
			MaxIdleConnsPerHost: 16,
		})
	case *http.Transport:
		return c.tightened(t.Clone())
	default:
		return base
	}
}

// tightened sets the limits that t does not have or has too wide.
func (c *Client) tightened(t *http.Transport) *http.Transport {
	t.DisableCompression = true
	t.MaxResponseHeaderBytes = atMost(t.MaxResponseHeaderBytes, maxHeader)
	t.TLSHandshakeTimeout = atMost(t.TLSHandshakeTimeout, tlsTimeout)
	t.ResponseHeaderTimeout = atMost(t.ResponseHeaderTimeout, c.timeout*3/5)
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	t.TLSClientConfig.MinVersion = max(t.TLSClientConfig.MinVersion, tls.VersionTLS12)
	t.TLSClientConfig.NextProtos = nil // t sets it as far as it speaks HTTP/2
	if t.Protocols != nil && t.Protocols.UnencryptedHTTP2() {
		t.Protocols.SetUnencryptedHTTP2(false)
		t.Protocols.SetHTTP1(true)
	}
	c.connectThrough(t)
	return t
}

// atMost is the limit that is set, or most if it is wider or none is.
func atMost[T int64 | time.Duration](set, most T) T {
	if set <= 0 {
		return most
	}
	return min(set, most)
}

// request is one call to the API.
type request struct {
	endpoint string // the path without its leading slash
	query    url.Values
	json     map[string]any // a POST body; nil means GET
	once     bool           // must not reach WeChat twice
}

// ask makes the request within the client's timeout. A request that certainly
// did not reach WeChat is repeated once; so is one that may be repeated, when
// WeChat is busy.
func (c *Client) ask(ctx context.Context, req request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for try := 1; ; try++ {
		ans, sent, err := c.attempt(ctx, req)
		if err == nil {
			return ans, nil
		}
		again := !sent || !req.once && errors.Is(err, ErrBusy)
		if !again || try == maxTries || c.pause(ctx, pauseBeforeTry) != nil {
			return nil, err
		}
	}
}

// attempt sends the request once. sent is false only when WeChat cannot have
// seen it.
func (c *Client) attempt(ctx context.Context, req request) (ans *answer, sent bool, err error) {
	var p progress
	hr, err := c.httpRequest(httptrace.WithClientTrace(context.WithValue(ctx, progressKey{}, &p), p.trace()), req)
	if err != nil {
		return nil, true, req.transportError(err, false)
	}
	resp, err := c.transport.RoundTrip(hr)
	if err != nil {
		return nil, p.mayHaveSent(ctx, err), req.transportError(err, p.proxied.Load() || p.answerBegan.Load())
	}
	if resp == nil || resp.Body == nil {
		return nil, true, req.transportError(errors.New("the RoundTripper returned no answer and no error"), false)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, true, &Error{Endpoint: req.endpoint, HTTPStatus: resp.StatusCode}
	}
	body, err := readBody(resp)
	if err != nil {
		return nil, true, req.transportError(err, true)
	}
	ans, err = req.read(body)
	return ans, true, err
}

// readBody reads at most a byte more than a body may have, into a buffer that
// need not grow if the peer has told the length.
func readBody(resp *http.Response) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), maxBody)) + bytes.MinRead)
	_, err := body.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	return body.Bytes(), err
}

// read makes of a body an answer or the error that it reports.
func (req request) read(body []byte) (*answer, error) {
	if len(body) > maxBody {
		return nil, badAnswer(req.endpoint, errors.New("is longer than 64 KiB"))
	}
	fields, err := parseObject(body, answerKeys)
	if err != nil {
		return nil, badAnswer(req.endpoint, err)
	}
	ans := &answer{endpoint: req.endpoint, fields: fields}
	code, err := ans.errcode()
	if err != nil {
		return nil, ans.refused(err)
	}
	if code != 0 {
		errmsg := ans.text("errmsg")
		if len(errmsg) > maxErrmsg {
			errmsg = ""
		}
		message, rid := splitErrmsg(redact(errmsg, append(req.sensitive(), ans.secrets()...)))
		return nil, &Error{Code: code, Message: shorten(message), RID: rid, Endpoint: req.endpoint, HTTPStatus: http.StatusOK}
	}
	return ans, nil
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
	hr.Header.Set("Accept-Encoding", "identity") // keeps a transport from unpacking what we did not ask for
	hr.Header.Set("User-Agent", "wechatauth")
	if req.once {
		makeUnrepeatable(hr)
	}
	return hr, nil
}

// makeUnrepeatable keeps net/http's transport from sending the request a second
// time when a kept connection dies before the answer. The transport does so
// with every GET unless it has a body that cannot be rewound. This body is
// empty, and its encoding is named so that the transport need not find out:
// nothing changes on the wire.
func makeUnrepeatable(hr *http.Request) {
	if hr.Body == nil {
		hr.Body = io.NopCloser(eof{})
		hr.TransferEncoding = []string{"identity"}
	}
	hr.GetBody = nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// progress watches how far a request got.
type progress struct{ connected, proxied, wroteHeaders, answerBegan atomic.Bool }

type progressKey struct{}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { p.connected.Store(true) },
		WroteHeaders:         func() { p.wroteHeaders.Store(true) },
		GotFirstResponseByte: func() { p.answerBegan.Store(true) },
	}
}

// mayHaveSent is false when err came before WeChat had a whole request: the
// connection could not be made, or a kept one turned out dead before the
// headers were written. A failure whose place is unknown counts as sent.
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

// pause waits for d, give or take a quarter so that clients do not come back in
// step, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d*3/4 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() // select chooses either when both are due
	case <-ctx.Done():
		return ctx.Err()
	}
}
