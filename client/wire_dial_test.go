package client

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func chunked(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%s\r\n1\r\n%s\r\n0\r\n\r\n", len(body)-1, body[:len(body)-1], body[len(body)-1:])
}

// secured runs the script over TLS.
func secured(config *tls.Config, script func(*rawConn)) func(*rawConn) {
	return func(c *rawConn) {
		conn := tls.Server(c.Conn, config)
		if conn.Handshake() == nil {
			script(newRawConn(c.peer, conn, c.nth))
		}
	}
}

// wirePaths are the ways to connect a client to a peer.
func wirePaths(t *testing.T) map[string]func(t *testing.T, script func(*rawConn)) *Client {
	ca := newTestCA(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))}}
	plain := func(transport http.RoundTripper) func(*testing.T, func(*rawConn)) *Client {
		return func(t *testing.T, script func(*rawConn)) *Client {
			c, _ := wireClient(t, newRawPeer(t, script).url(), WithHTTPClient(&http.Client{Transport: transport}))
			return c
		}
	}
	overTLS := func(proxy func(*http.Request) (*url.URL, error)) func(*testing.T, func(*rawConn)) *Client {
		return func(t *testing.T, script func(*rawConn)) *Client {
			_, port, err := net.SplitHostPort(newRawPeer(t, secured(config, script)).listener.Addr().String())
			require.NoError(t, err)
			c, _ := wireClient(t, "https://localhost:"+port, WithHTTPClient(&http.Client{Transport: &http.Transport{
				Proxy: proxy, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots},
			}}))
			return c
		}
	}
	throughProxy := httptest.NewServer(http.HandlerFunc(tunnel))
	t.Cleanup(throughProxy.Close)
	proxy, err := url.Parse(throughProxy.URL)
	require.NoError(t, err)
	return map[string]func(*testing.T, func(*rawConn)) *Client{
		"the default transport": plain(nil),
		"a custom transport":    plain(&http.Transport{}),
		"net/http's own":        plain(http.DefaultTransport),
		"TLS":                   overTLS(nil),
		"TLS through a proxy":   overTLS(http.ProxyURL(proxy)),
	}
}

// tunnel is a proxy that supports CONNECT.
func tunnel(w http.ResponseWriter, r *http.Request) {
	to, err := net.Dial("tcp", r.Host)
	if r.Method != http.MethodConnect || err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer to.Close()
	w.WriteHeader(http.StatusOK)
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, buffered); _ = to.(*net.TCPConn).CloseWrite() })
	both.Go(func() { _, _ = io.Copy(from, to); _ = from.(*net.TCPConn).CloseWrite() })
	both.Wait()
}

// If a peer sends more than its response, the connection is closed: the surplus
// is not used as the next response.
func TestWire_SurplusBytes(t *testing.T) {
	for path, connect := range wirePaths(t) {
		for name, frame := range map[string]func(string) string{"a length": whole, "chunks": chunked} {
			t.Run(path+", "+name, func(t *testing.T) {
				closed := make(chan struct{})
				c := connect(t, func(c *rawConn) {
					if !c.read() || c.nth > 1 {
						c.respond(`{"errcode":0}`)
						return
					}
					c.write(frame(`{"errcode":0}`) + whole(`{"errcode":40029}`))
					c.hang() // until the client disconnects
					close(closed)
				})
				_ = callOnWire(t, "CheckToken", c)
				<-closed
				assert.NoError(t, callOnWire(t, "CheckToken", c), "the next call uses a new connection")
			})
			wire.faults.Add(1)
		}
	}
}

func TestWire_ConnectionReuse(t *testing.T) {
	for path, connect := range wirePaths(t) {
		for name, frame := range map[string]func(string) string{
			"a length": whole,
			"chunks":   chunked,
			"a 103":    func(body string) string { return "HTTP/1.1 103 Early Hints\r\n\r\n" + whole(body) },
		} {
			t.Run(path+", "+name, func(t *testing.T) {
				var connections atomic.Int64
				c := connect(t, func(c *rawConn) {
					connections.Add(1)
					for c.read() && c.write(frame(`{"errcode":0,`+wireGood[1:])) {
					}
				})
				for _, call := range []string{"CheckToken", "Exchange", "PhoneNumber", "UserInfo"} {
					require.NoError(t, callOnWire(t, call, c))
				}
				assert.EqualValues(t, 1, connections.Load())
			})
		}
	}
}

func TestWire_ProxyErrorText(t *testing.T) {
	for name, response := range map[string]string{
		"a rejection": "HTTP/1.1 407 Basic CANARYcredentials\r\nContent-Length: 0\r\n\r\n",
		"not HTTP":    "Proxy-Authorization: Basic CANARYcredentials\r\n\r\n",
		"a bad field": "HTTP/1.1 200 OK\r\nCANARY credentials\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newRawPeer(t, func(c *rawConn) { c.read(); c.write(response) })
			proxy, err := url.Parse("http://user:CANARYcredentials@" + p.listener.Addr().String())
			require.NoError(t, err)
			c, _ := wireClient(t, "https://localhost:1", WithHTTPClient(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}))
			err = callOnWire(t, "Exchange", c)
			assert.Equal(t, KindRetry, kindOf(t, err))
			assert.NotContains(t, fmt.Sprintf("%+v", err), "CANARY")
			if name == "a rejection" {
				assert.ErrorContains(t, err, "proxy rejected CONNECT with HTTP status 407")
			}
		})
		wire.faults.Add(1)
	}
}

// odd is a RoundTripper that violates its contract.
type odd struct{ response *http.Response }

func (o odd) RoundTrip(*http.Request) (*http.Response, error) { return o.response, nil }

func TestWithHTTPClient_NilResponse(t *testing.T) {
	for name, response := range map[string]*http.Response{"no response": nil, "no body": {StatusCode: http.StatusOK}} {
		t.Run(name, func(t *testing.T) {
			c, _ := wireClient(t, "http://localhost:1", WithHTTPClient(&http.Client{Transport: odd{response}}))
			assert.EqualError(t, callOnWire(t, "Exchange", c), "wechat: sns/oauth2/access_token: RoundTripper returned neither a response nor an error")
		})
	}
}
