package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWire_HTTPClient runs faults through transports that by themselves would
// follow redirects, decompress, resend or read without limit.
func TestWire_HTTPClient(t *testing.T) {
	bomb := gzipped(make([]byte, 4<<20))
	scripts := map[string]func(*rawConn){
		"gzip bomb": func(c *rawConn) {
			c.write(okHeader("Content-Encoding: gzip", fmt.Sprintf("Content-Length: %d", len(bomb))))
			_, _ = c.Write(bomb)
		},
		"redirect":      status("302 Found", "Location: /sns/oauth2/access_token?code="+testCode),
		"endless body":  func(c *rawConn) { c.write(okHeader("Connection: close")); c.flood(strings.Repeat("x", 4096)) },
		"closed unread": func(*rawConn) {},
	}
	clients := map[string]*http.Client{
		"default client":      {},
		"default transport":   {Transport: http.DefaultTransport},
		"plain transport":     {Transport: &http.Transport{}},
		"opaque RoundTripper": {Transport: forwarding{&http.Transport{}}},
		"one that unpacks":    {Transport: unpacking{&http.Transport{}}},
		"one that follows":    {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }},
	}
	for clientName, hc := range clients {
		for scriptName, script := range scripts {
			t.Run(clientName+", "+scriptName, func(t *testing.T) {
				p := newRawPeer(t, func(c *rawConn) {
					if c.nth == 1 && (!c.read() || !c.respond(`{"errcode":0}`)) {
						return
					}
					if c.read() {
						script(c)
					}
				})
				c, _ := wireClient(t, p.url(), WithHTTPClient(hc))
				require.NoError(t, callOnWire(t, "CheckToken", c))
				var err error
				used := allocated(func() { err = callOnWire(t, "Exchange", c) })
				assert.Error(t, err)
				assert.LessOrEqual(t, used, uint64(1<<20), "bytes allocated")
				assert.EqualValues(t, 1, countSentTwice(t, "Exchange", p))
			})
			wire.faults.Add(1)
		}
	}
}

type forwarding struct{ next http.RoundTripper }

func (f forwarding) RoundTrip(r *http.Request) (*http.Response, error) { return f.next.RoundTrip(r) }

// unpacking requests gzip and decompresses it, regardless of the request.
type unpacking struct{ next http.RoundTripper }

func (u unpacking) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Accept-Encoding")
	return u.next.RoundTrip(r)
}

func TestWire_HTTPClientTimeout(t *testing.T) {
	p := newRawPeer(t, func(c *rawConn) { c.read(); c.hang() })
	c, _ := wireClient(t, p.url(), WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond}))
	err := callOnWire(t, "Exchange", c)
	assert.True(t, isTimeout(err))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	wire.faults.Add(1)
}

func TestWire_ProxyPassword(t *testing.T) {
	c, _ := wireClient(t, "http://localhost:1", WithHTTPClient(&http.Client{Transport: &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			return nil, fmt.Errorf("bad proxy http://user:CANARYpassword@proxy.example for %s", r.URL)
		},
	}}))
	err := callOnWire(t, "Exchange", c)
	assert.NotContains(t, fmt.Sprintf("%+v", err), "CANARY")
	assert.NotContains(t, fmt.Sprintf("%+v", err), "grant_type")
	wire.faults.Add(1)
}
