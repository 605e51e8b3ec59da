package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A dial error is retried even with a code, because nothing was sent.
func TestWire_DialErrors(t *testing.T) {
	for _, row := range []struct {
		name  string
		fails int64
		fine  bool
		err   error
		dials int64
	}{
		{"refused once", 1, true, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 2},
		{"always refused", 9, false, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 2},
		{"no such host", 9, false, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "api.invalid", IsNotFound: true}}, 2},
		{"the name server times out once", 1, true, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", Name: "api.invalid", IsTimeout: true}}, 2},
		{"an error at an unknown stage", 9, false, errors.New("the proxy says no to " + testCode), 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newRawPeer(t, func(c *rawConn) { c.read(); c.respond(wireGood) })
			var dials atomic.Int64
			c, _ := wireClient(t, p.url(), WithHTTPClient(&http.Client{Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					if dials.Add(1) <= row.fails {
						return nil, row.err
					}
					return (&net.Dialer{}).DialContext(ctx, network, addr)
				},
			}}))
			err := callOnWire(t, "Exchange", c)
			assert.Equal(t, row.dials, dials.Load())
			countSentTwice(t, "Exchange", p)
			if row.fine {
				assert.NoError(t, err)
				return
			}
			assert.Equal(t, KindRetry, kindOf(t, err))
		})
		wire.faults.Add(1)
	}
}

// deadKept is a transport whose kept-alive connection turns out to be closed
// before the request's headers are written, as far as httptrace can report.
type deadKept struct {
	next         http.RoundTripper
	wroteHeaders bool
	tries        int
}

func (d *deadKept) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.tries++; d.tries > 1 {
		return d.next.RoundTrip(r)
	}
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GotConn(httptrace.GotConnInfo{Reused: true})
	if d.wroteHeaders {
		trace.WroteHeaders()
	}
	return nil, io.EOF
}

func TestWire_StaleConnection(t *testing.T) {
	for _, row := range []struct {
		name         string
		wroteHeaders bool
		tries        int
	}{
		{"before the headers: resent", false, 2},
		{"after the headers: not resent", true, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newRawPeer(t, func(c *rawConn) { c.read(); c.respond(wireGood) })
			dead := &deadKept{next: &http.Transport{DisableKeepAlives: true}, wroteHeaders: row.wroteHeaders}
			c, _ := wireClient(t, p.url(), WithHTTPClient(&http.Client{Transport: dead}))
			err := callOnWire(t, "Exchange", c)
			assert.Equal(t, row.wroteHeaders, err != nil)
			assert.Equal(t, row.tries, dead.tries)
		})
		wire.faults.Add(1)
	}
}

// busy is a RoundTripper that returns errcode -1 immediately, even after the
// deadline.
type busy struct{ calls atomic.Int64 }

func (b *busy) RoundTrip(*http.Request) (*http.Response, error) {
	b.calls.Add(1)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"errcode":-1,"errmsg":"system error"}`))}, nil
}

// In TestWire_NoRetryAfterDeadline the pause before the retry outlasts the
// call.
func TestWire_NoRetryAfterDeadline(t *testing.T) {
	for name, limit := range map[string]struct{ client, caller time.Duration }{
		"the client's": {20 * time.Millisecond, time.Minute},
		"the caller's": {time.Minute, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			peer := &busy{}
			c, err := New(testAppID, testSecret, WithHTTPClient(&http.Client{Transport: peer}), WithTimeout(limit.client))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), limit.caller)
			defer cancel()
			err = callWithin(ctx, t, "CheckToken", c)
			assert.ErrorIs(t, err, ErrBusy)
			assert.EqualValues(t, 1, peer.calls.Load())
		})
		wire.faults.Add(1)
	}
}

// TestWire_NetHTTPResends shows that the peer of this suite detects a resent
// request: net/http's own client resends it.
func TestWire_NetHTTPResends(t *testing.T) {
	p := newRawPeer(t, func(c *rawConn) {
		if c.nth == 1 && (!c.read() || !c.respond(`{"errcode":0}`)) {
			return
		}
		c.read()
	})
	hc := &http.Client{Transport: &http.Transport{}}
	resp, err := hc.Get(p.url())
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(t, resp.Body.Close())
	resp, err = hc.Get(p.url() + "/?code=" + testCode)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Error(t, err)
	assert.EqualValues(t, 2, p.sent())
}

// TestWire_ExchangeIsPlainGET checks that preventing a resend costs neither a
// header nor a connection.
func TestWire_ExchangeIsPlainGET(t *testing.T) {
	var sent lockedBuffer
	var connections atomic.Int64
	p := newRawPeer(t, func(c *rawConn) {
		connections.Add(1)
		c.in = bufio.NewReader(io.TeeReader(c.in, &sent))
		for c.read() && c.respond(`{"errcode":0,`+wireGood[1:]) {
		}
	})
	c, _ := wireClient(t, p.url())
	for _, call := range []string{"CheckToken", "Exchange", "CheckToken", "Code2Session", "UserInfo"} {
		require.NoError(t, callOnWire(t, call, c))
	}
	assert.EqualValues(t, 1, connections.Load())
	assert.NotContains(t, sent.String(), "Transfer-Encoding")
	assert.NotContains(t, sent.String(), "Content-Length")
	assert.NotContains(t, sent.String(), "Referer")
	assert.NotContains(t, sent.String(), "gzip")
}

// starved makes the transport wait for the request's empty body until it has
// written the headers, as on a busy machine. A transport that waits for the
// body before the headers eventually gives up and writes an unknown length.
type starved struct{ next http.RoundTripper }

func (s starved) RoundTrip(r *http.Request) (*http.Response, error) {
	wrote := make(chan struct{})
	r = r.Clone(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{WroteHeaders: func() { close(wrote) }}))
	r.Body = io.NopCloser(gatedEOF(wrote))
	return s.next.RoundTrip(r)
}

type gatedEOF chan struct{}

func (gate gatedEOF) Read([]byte) (int, error) {
	<-gate
	return 0, io.EOF
}

func TestWire_ExchangeIsPlainGET_SlowBody(t *testing.T) {
	var sent lockedBuffer
	p := newRawPeer(t, func(c *rawConn) {
		c.in = bufio.NewReader(io.TeeReader(c.in, &sent))
		c.read()
		c.respond(wireGood)
	})
	c, _ := wireClient(t, p.url(), WithHTTPClient(&http.Client{Transport: starved{&http.Transport{}}}))
	require.NoError(t, callOnWire(t, "Exchange", c))
	assert.NotContains(t, sent.String(), "Transfer-Encoding")
	wire.faults.Add(1)
}
