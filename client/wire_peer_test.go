package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A rawPeer is a TCP server in place of WeChat. It counts how often the code
// arrives and runs a script that reads and writes arbitrary bytes.
type rawPeer struct {
	listener net.Listener
	script   func(c *rawConn)
	codes    atomic.Int64 // see sent
	requests atomic.Int64
	quiet    chan struct{} // closed when a script has nothing more to send
	hush     sync.Once
	stop     chan struct{} // closed by end
	running  sync.WaitGroup

	serve, end func() // once

	mu   sync.Mutex
	last net.Addr // of the connection made by end, the last of all
}

type rawConn struct {
	net.Conn
	peer *rawPeer
	in   *bufio.Reader
	nth  int64 // this is the nth connection, from 1
}

func newRawPeer(t *testing.T, script func(c *rawConn)) *rawPeer {
	t.Helper()
	p := newDeafPeer(t, script)
	p.serve()
	return p
}

// newDeafPeer returns a peer that accepts no connection before it ends.
func newDeafPeer(t *testing.T, script func(c *rawConn)) *rawPeer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &rawPeer{listener: l, script: script, quiet: make(chan struct{}), stop: make(chan struct{})}
	p.serve = sync.OnceFunc(func() { p.running.Go(p.accept) })
	p.end = sync.OnceFunc(p.finish)
	t.Cleanup(p.end)
	return p
}

// finish waits until the clients, whose calls have returned, have closed their
// connections, including those not accepted yet.
func (p *rawPeer) finish() {
	close(p.stop)
	p.serve()
	p.mu.Lock()
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	if err == nil {
		p.last = conn.LocalAddr()
		defer conn.Close()
	} else {
		_ = p.listener.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	_ = p.listener.Close()
}

func (p *rawPeer) isLast(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last != nil && p.last.String() == conn.RemoteAddr().String()
}

// sent ends the peer and returns how often it received the code, including in
// data that no script read.
func (p *rawPeer) sent() int64 {
	p.end()
	return p.codes.Load()
}

func (p *rawPeer) accept() {
	for nth := int64(1); ; nth++ {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.isLast(conn) {
			_ = conn.Close()
			return
		}
		p.running.Go(func() { p.talk(newRawConn(p, conn, nth)) })
	}
}

// talk runs the script, closes the connection and reads what the client still
// sends. If the peer ends, the connection is closed in the middle of the
// script.
func (p *rawPeer) talk(c *rawConn) {
	conn := c.Conn.(*net.TCPConn)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-p.stop:
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a client that keeps the connection open must not keep the test from ending
			_ = conn.CloseWrite()
		case <-done:
		}
	}()
	defer conn.Close()
	if p.script != nil { // a deaf peer without a script only accepts, at its end, what dialing left in its queue
		p.script(c)
	}
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, c.in)
}

func newRawConn(p *rawPeer, conn net.Conn, nth int64) *rawConn {
	return &rawConn{Conn: conn, peer: p, in: bufio.NewReader(&codeCounter{Reader: conn, n: &p.codes}), nth: nth}
}

// codeCounter counts occurrences of the code in everything read.
type codeCounter struct {
	io.Reader
	n    *atomic.Int64
	tail []byte // of the data read, too short for a code
}

func (c *codeCounter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	text := append(c.tail, p[:n]...)
	c.n.Add(int64(bytes.Count(text, []byte(testCode))))
	c.tail = bytes.Clone(text[max(0, len(text)-len(testCode)+1):])
	return n, err
}

func (p *rawPeer) url() string { return "http://" + p.listener.Addr().String() }

// read reads one request and reports whether there was one.
func (c *rawConn) read() bool {
	r, err := http.ReadRequest(c.in)
	if err != nil {
		return false
	}
	c.peer.requests.Add(1)
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

func (c *rawConn) write(s string) bool {
	_, err := io.WriteString(c.Conn, s)
	return err == nil
}

// respond writes a complete, correct response.
func (c *rawConn) respond(body string) bool { return c.write(whole(body)) }

func whole(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// silent marks that the script has nothing more to send.
func (c *rawConn) silent() { c.peer.hush.Do(func() { close(c.peer.quiet) }) }

// hang keeps the connection open until the client or the test closes it.
func (c *rawConn) hang() {
	c.silent()
	buf := make([]byte, 256)
	for {
		if _, err := c.in.Read(buf); err != nil {
			return
		}
	}
}

// reset ends the connection with a RST.
func (c *rawConn) reset() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// flood writes chunk until the client closes the connection.
func (c *rawConn) flood(chunk string) {
	data := []byte(chunk)
	for {
		if _, err := c.Write(data); err != nil {
			return
		}
	}
}

// readCounter counts the bytes that a client reads from its connections.
type readCounter struct {
	net.Conn
	n *atomic.Int64
}

func (c readCounter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// wireClient returns a client of base that counts the bytes it reads and does
// not pause before retries.
func wireClient(t *testing.T, base string, opts ...Option) (*Client, *atomic.Int64) {
	t.Helper()
	c, err := New(testAppID, testSecret, append([]Option{
		WithEndpoints(Endpoints{Open: base, API: base}),
		WithAccountToken(&fixedToken{tokens: []Secret{NewSecret(testToken)}}),
	}, opts...)...)
	require.NoError(t, err)
	c.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	read := &atomic.Int64{}
	if transport, ok := c.transport.(*http.Transport); ok {
		dial := c.dial
		c.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return readCounter{conn, read}, nil
		}
		t.Cleanup(transport.CloseIdleConnections)
	}
	return c, read
}

// wireCalls are the calls that are made against every script. The returned
// identity is checked not to be empty.
var wireCalls = map[string]func(ctx context.Context, c *Client) (openID string, err error){
	"Exchange": func(ctx context.Context, c *Client) (string, error) {
		token, err := c.Exchange(ctx, testCode)
		if err != nil {
			return "", err
		}
		return token.OpenID, nil
	},
	"Refresh": func(ctx context.Context, c *Client) (string, error) {
		token, err := c.Refresh(ctx, testFresh)
		if err != nil {
			return "", err
		}
		return token.OpenID, nil
	},
	"UserInfo": func(ctx context.Context, c *Client) (string, error) {
		info, err := c.UserInfo(ctx, testToken, testOpenID, LangZhCN)
		if err != nil {
			return "", err
		}
		return info.OpenID, nil
	},
	"CheckToken": func(ctx context.Context, c *Client) (string, error) {
		return testOpenID, c.CheckToken(ctx, testToken, testOpenID)
	},
	"Code2Session": func(ctx context.Context, c *Client) (string, error) {
		session, err := c.Code2Session(ctx, testCode)
		if err != nil {
			return "", err
		}
		return session.OpenID, nil
	},
	"PhoneNumber": func(ctx context.Context, c *Client) (string, error) {
		_, err := c.PhoneNumber(ctx, testCode)
		return testOpenID, err
	},
}

// callOnWire makes one of the calls, turns a panic into a failure that the
// summary counts, and checks every error.
func callOnWire(t *testing.T, name string, c *Client) error {
	t.Helper()
	return callWithin(t.Context(), t, name, c)
}

func callWithin(ctx context.Context, t *testing.T, name string, c *Client) (err error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			wire.panics.Add(1)
			t.Errorf("%s panicked: %v", name, r)
		}
	}()
	openID, err := wireCalls[name](ctx, c)
	if err != nil {
		var e *Error
		require.True(t, errors.As(err, &e), "%T: %v", err, err)
		assert.Equal(t, wireEndpoints[name], e.Endpoint)
		assertNoSecrets(t, err)
		return err
	}
	assert.Regexp(t, `^[A-Za-z0-9_-]{1,64}$`, openID)
	return nil
}

var wireEndpoints = map[string]string{
	"Exchange":     "sns/oauth2/access_token",
	"Refresh":      "sns/oauth2/refresh_token",
	"UserInfo":     "sns/userinfo",
	"CheckToken":   "sns/auth",
	"Code2Session": "sns/jscode2session",
	"PhoneNumber":  "wxa/business/getuserphonenumber",
}

// assertNoSecrets prints err in every way a log could and checks that no secret
// is in the output.
func assertNoSecrets(t *testing.T, err error) {
	t.Helper()
	var texts []string
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x"} {
			texts = append(texts, fmt.Sprintf(verb, e))
		}
		data, _ := json.Marshal(e)
		texts = append(texts, string(data))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Error("call", "err", err)
	slog.New(slog.NewJSONHandler(&log, nil)).Error("call", "err", err)
	text := strings.Join(append(texts, log.String()), "\n")
	for _, secret := range []string{testSecret, testCode, testToken, testFresh, testOpenID, testKey} {
		for _, form := range []string{
			secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)),
			base64.RawStdEncoding.EncodeToString([]byte(secret)),
		} {
			assert.False(t, strings.Contains(text, form), "%s is in: %v", form, err)
		}
	}
	assert.False(t, strings.Contains(text, "secret="), "%v", err)
}

// allocated returns how many bytes the process allocated during f.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
