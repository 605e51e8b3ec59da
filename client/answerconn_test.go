package client

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
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

// secured is the script over TLS.
func secured(config *tls.Config, script func(*rawConn)) func(*rawConn) {
	return func(c *rawConn) {
		conn := tls.Server(c.Conn, config)
		if conn.Handshake() == nil {
			script(newRawConn(c.peer, conn, c.nth))
		}
	}
}

// wirePaths are the ways from a client to a peer.
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
		"a transport of yours":  plain(&http.Transport{}),
		"net/http's own":        plain(http.DefaultTransport),
		"TLS":                   overTLS(nil),
		"TLS through a proxy":   overTLS(http.ProxyURL(proxy)),
	}
}

// tunnel is a proxy that knows CONNECT.
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

func TestWireWhatAPeerSendsBeyondItsAnswerIsNotLogged(t *testing.T) {
	const good = `{"errcode":0}`
	surplus := "CANARY" + testSecret + tokenAnswer + "\r\n\r\n"
	after := func(answer string) func(*rawConn, <-chan struct{}) {
		return func(c *rawConn, _ <-chan struct{}) { c.write(answer + surplus) }
	}
	scripts := map[string]func(c *rawConn, called <-chan struct{}){
		"behind a length":           after(whole(good)),
		"behind chunks":             after(chunked(good)),
		"behind chunks and trailer": after(strings.TrimSuffix(chunked(good), "\r\n") + "A: b\r\n\r\n"),
		"behind an odd trailer":     after(strings.TrimSuffix(chunked(good), "\r\n") + "A: b\n\n"),
		"behind a 103":              after("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + whole(good)),
		"behind an empty answer":    after("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"behind a 204":              after("HTTP/1.1 204 No Content\r\n\r\n"),
		"behind a folded header":    after(strings.Replace(whole(good), "\r\n", "\r\nA: b\r\n \r\n", 1)),
		"behind bare line feeds":    after(strings.ReplaceAll(whole(good), "\r\n", "\n")),
		"later": func(c *rawConn, called <-chan struct{}) {
			c.answer(good)
			<-called
			c.write(surplus)
		},
		"byte by byte": func(c *rawConn, _ <-chan struct{}) {
			for _, b := range []byte(whole(good) + surplus) {
				c.write(string(b))
			}
		},
	}
	for path, connect := range wirePaths(t) {
		for name, script := range scripts {
			t.Run(path+", "+name, func(t *testing.T) {
				called, closed := make(chan struct{}), make(chan struct{})
				c := connect(t, func(c *rawConn) {
					if c.nth > 1 || !c.read() {
						c.read()
						c.answer(good)
						return
					}
					script(c, called)
					c.hang() // until the client, done with its log, hangs up
					close(closed)
				})
				_ = callOnWire(t, "CheckToken", c)
				close(called)
				<-closed
				assert.NotContains(t, stdlog.String(), "CANARY")
				assert.NoError(t, callOnWire(t, "CheckToken", c), "the next call has a connection of its own")
			})
			wire.faults.Add(1)
		}
	}
}

func TestWireConnectionsStayWarm(t *testing.T) {
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
				want := int64(1)
				if strings.Contains(path, "proxy") {
					want = 4
				}
				assert.Equal(t, want, connections.Load())
			})
		}
	}
}

func TestWireAProxysWordsAreNotRepeated(t *testing.T) {
	for name, answer := range map[string]string{
		"a refusal":   "HTTP/1.1 407 Basic CANARYcredentials\r\nContent-Length: 0\r\n\r\n",
		"not HTTP":    "Proxy-Authorization: Basic CANARYcredentials\r\n\r\n",
		"a bad field": "HTTP/1.1 200 OK\r\nCANARY credentials\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newRawPeer(t, func(c *rawConn) { c.read(); c.write(answer) })
			proxy, err := url.Parse("http://user:CANARYcredentials@" + p.listener.Addr().String())
			require.NoError(t, err)
			c, _ := wireClient(t, "https://localhost:1", WithHTTPClient(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}))
			err = callOnWire(t, "Exchange", c)
			assert.Equal(t, KindRetry, kindOf(t, err))
			assert.NotContains(t, fmt.Sprintf("%+v", err), "CANARY")
			if name == "a refusal" {
				assert.ErrorContains(t, err, "the proxy answered CONNECT with HTTP status 407")
			}
		})
		wire.faults.Add(1)
	}
}

// odd is a RoundTripper that breaks its contract.
type odd struct{ answer *http.Response }

func (o odd) RoundTrip(*http.Request) (*http.Response, error) { return o.answer, nil }

func TestARoundTripperWithoutAnAnswerFailsTheCall(t *testing.T) {
	for name, answer := range map[string]*http.Response{"no answer": nil, "no body": {StatusCode: http.StatusOK}} {
		t.Run(name, func(t *testing.T) {
			c, _ := wireClient(t, "http://localhost:1", WithHTTPClient(&http.Client{Transport: odd{answer}}))
			assert.EqualError(t, callOnWire(t, "Exchange", c), "wechat: sns/oauth2/access_token: the RoundTripper returned no answer and no error")
		})
	}
}

// FuzzAnAnswersEnd: where net/http is done with an answer and would keep the
// connection, the framing has ended, there or before.
func FuzzAnAnswersEnd(f *testing.F) {
	for _, seed := range []string{
		whole("{}"), chunked("{}"), "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 103 E\r\n\r\n" + whole("{}"),
		"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "HTTP/1.1 200 OK\r\nA: b\r\n \r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\nSURPLUS\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.0 200 OK\r\n\r\nx",
	} {
		f.Add([]byte(seed + "SURPLUS"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		used, kept := usedByNetHTTP(data)
		if !kept {
			return
		}
		c := &answerConn{asked: true}
		assert.LessOrEqual(t, c.take(data), used)
		assert.False(t, c.asked)
	})
}

// usedByNetHTTP reads one final answer as http.Transport does.
func usedByNetHTTP(data []byte) (used int, kept bool) {
	in := bytes.NewReader(data)
	reader := bufio.NewReader(in)
	for {
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			return 0, false
		}
		if 100 <= resp.StatusCode && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Close || resp.StatusCode < 200 {
			return 0, false
		}
		return len(data) - in.Len() - reader.Buffered(), true
	}
}
