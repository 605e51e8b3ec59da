package client

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shortTimeout is for calls that are meant to time out.
const shortTimeout = 50 * time.Millisecond

// A wireFault is a fault below the JSON of the response.
type wireFault struct {
	name    string
	script  func(c *rawConn) // runs after the request has been read
	kind    Kind             // of the error; ignored when fine
	is      error            // what errors.Is must match, if not nil
	timeout bool             // the error must be a timeout; the client's timeout is then short
	fine    bool             // the call must succeed anyway
	framing int64            // bytes of HTTP between the bytes of the body
}

func okHeader(lines ...string) string {
	return "HTTP/1.1 200 OK\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func status(line string, headers ...string) func(*rawConn) {
	response := "HTTP/1.1 " + line + "\r\n" + strings.Join(append(headers, "Content-Length: 2"), "\r\n") + "\r\n\r\n{}"
	return func(c *rawConn) { c.write(response) }
}

func writes(response string) func(*rawConn) { return func(c *rawConn) { c.write(response) } }

// drip writes one byte at a time, each after the client could have timed out.
func drip(c *rawConn, head, text string) {
	if !c.write(head) {
		return
	}
	c.silent()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(text) {
		select {
		case <-tick.C:
		case <-c.peer.stop:
			return
		}
		if !c.write(text[i : i+1]) {
			return
		}
	}
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

const wireGood = `{"openid":"` + testOpenID + `","access_token":"T","session_key":"` + testKey + `",` + wirePhone + `}`

func wireFaults() []wireFault {
	length := fmt.Sprintf("Content-Length: %d", len(wireGood))
	bomb := gzipped(make([]byte, 4<<20))
	twice := gzipped(bomb)
	compressed := gzipped([]byte(wireGood))
	filler := strings.Repeat("x", 4096)
	return []wireFault{
		// Nothing more is sent.
		{name: "no response", script: (*rawConn).hang, timeout: true},
		{name: "half a status line, then nothing", script: func(c *rawConn) { c.write("HTTP/1.1 2"); c.hang() }, timeout: true},
		{name: "half the headers, then nothing", script: func(c *rawConn) { c.write("HTTP/1.1 200 OK\r\nX: y\r\n"); c.hang() }, timeout: true},
		{name: "headers, then nothing", script: func(c *rawConn) { c.write(okHeader(length)); c.hang() }, timeout: true},
		{name: "headers and half the body, then nothing", script: func(c *rawConn) { c.write(okHeader(length) + wireGood[:9]); c.hang() }, timeout: true},
		{name: "a chunk without an end, then nothing", script: func(c *rawConn) { c.write(okHeader("Transfer-Encoding: chunked") + "2\r\n{}\r\n"); c.hang() }, timeout: true},
		{name: "dripping status line", script: func(c *rawConn) { drip(c, "", "HTTP/1.1 200 OK") }, timeout: true},
		{name: "dripping header", script: func(c *rawConn) { drip(c, "HTTP/1.1 200 OK\r\n", "X: y\r\n") }, timeout: true},
		{name: "dripping body", script: func(c *rawConn) { drip(c, okHeader(length), " ") }, timeout: true},
		{name: "dripping chunks", script: func(c *rawConn) { drip(c, okHeader("Transfer-Encoding: chunked"), "1\r\n \r\n") }, timeout: true},
		{name: "100 Continue, then nothing", script: func(c *rawConn) { c.write("HTTP/1.1 100 Continue\r\n\r\n"); c.hang() }, timeout: true},

		// The connection ends.
		{name: "closed without a response", script: func(*rawConn) {}, kind: KindRetry, is: io.EOF},
		{name: "reset without a response", script: (*rawConn).reset, kind: KindRetry},
		{name: "closed within the status line", script: writes("HTTP/1.1 20"), kind: KindRetry},
		{name: "closed within the headers", script: writes("HTTP/1.1 200 OK\r\nX: y\r\n"), kind: KindRetry, is: io.ErrUnexpectedEOF},
		{name: "closed before the body", script: writes(okHeader(length)), kind: KindRetry, is: io.ErrUnexpectedEOF},
		{name: "closed within the body", script: writes(okHeader(length) + wireGood[:20]), kind: KindRetry, is: io.ErrUnexpectedEOF},
		{name: "closed within a chunk", script: writes(okHeader("Transfer-Encoding: chunked") + "20\r\n{"), kind: KindRetry, is: io.ErrUnexpectedEOF},
		{name: "closed before the last chunk", script: writes(okHeader("Transfer-Encoding: chunked") + "1\r\n{\r\n"), kind: KindRetry, is: io.ErrUnexpectedEOF},
		{name: "reset within the body", script: func(c *rawConn) { c.write(okHeader(length) + wireGood[:20]); c.reset() }, kind: KindRetry},
		{name: "closed at the end of a body of unknown length", script: writes(okHeader("Connection: close") + wireGood), fine: true},
		{name: "cut off in a body of unknown length", script: writes(okHeader("Connection: close") + wireGood[:20]), kind: KindUnknown, is: ErrBadResponse},

		// The response is not HTTP.
		{name: "HTTP/0.9", script: writes(wireGood), kind: KindRetry},
		{name: "garbage", script: writes("\x00\xff\x01 garbage\r\n\r\n"), kind: KindRetry},
		{name: "HTTP/2 frames", script: writes("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), kind: KindRetry},
		{name: "a TLS alert", script: writes("\x15\x03\x01\x00\x02\x02\x28"), kind: KindRetry},
		{name: "an SSH banner", script: writes("SSH-2.0-x\r\n"), kind: KindRetry},
		{name: "a status that is not a number", script: writes("HTTP/1.1 OK fine\r\n\r\n"), kind: KindRetry},
		{name: "a status of two digits", script: writes("HTTP/1.1 20 OK\r\n\r\n"), kind: KindRetry},
		{name: "a status that repeats the request's secrets", script: writes("HTTP/1.1 " + testSecret + testCode + testToken + "\r\n\r\n"), kind: KindRetry},
		{name: "a header that repeats the request's secrets", script: writes("HTTP/1.1 200 OK\r\n" + testSecret + " " + testCode + " " + testToken + "\r\n\r\n"), kind: KindRetry},
		{name: "a header without a colon", script: writes("HTTP/1.1 200 OK\r\nX\r\n\r\n"), kind: KindRetry},
		{name: "an unknown transfer encoding with the code in it", script: writes(okHeader("Transfer-Encoding: " + testCode)), kind: KindRetry},
		{name: "a chunk size that is not a number", script: writes(okHeader("Transfer-Encoding: chunked") + "zz\r\n{}\r\n0\r\n\r\n"), kind: KindRetry},
		{name: "a chunk size beyond 64 bits", script: writes(okHeader("Transfer-Encoding: chunked") + "fffffffffffffffff\r\n"), kind: KindRetry},
		{name: "a chunk longer than its size", script: writes(okHeader("Transfer-Encoding: chunked") + "1\r\n{}\r\n0\r\n\r\n"), kind: KindRetry},
		{name: "Content-Length -1", script: writes(okHeader("Content-Length: -1") + wireGood), kind: KindRetry},
		{name: "Content-Length that is not a number", script: writes(okHeader("Content-Length: many") + wireGood), kind: KindRetry},
		{name: "two Content-Lengths", script: writes(okHeader("Content-Length: 1", length) + wireGood), kind: KindRetry},
		{name: "the same Content-Length twice", script: writes(okHeader(length, length) + wireGood), fine: true},
		{name: "Content-Length too short", script: writes(okHeader("Content-Length: 20") + wireGood), kind: KindUnknown, is: ErrBadResponse},
		{name: "bytes after the body", script: writes(okHeader(length) + wireGood + "HTTP/1.1 200 OK\r\n\r\n"), fine: true},

		// Statuses.
		{name: "103 and then 200", script: writes("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + okHeader(length) + wireGood), fine: true},
		{name: "101", script: status("101 Switching Protocols", "Upgrade: x", "Connection: Upgrade"), kind: KindRetry},
		{name: "201", script: status("201 Created"), kind: KindRetry},
		{name: "204", script: writes("HTTP/1.1 204 No Content\r\n\r\n"), kind: KindRetry},
		{name: "206", script: status("206 Partial Content"), kind: KindRetry},
		{name: "304", script: writes("HTTP/1.1 304 Not Modified\r\n\r\n"), kind: KindRetry},
		{name: "400", script: status("400 Bad Request"), kind: KindRetry},
		{name: "401", script: status("401 Unauthorized", "WWW-Authenticate: Basic"), kind: KindRetry},
		{name: "403", script: status("403 Forbidden"), kind: KindRetry},
		{name: "404", script: status("404 Not Found"), kind: KindRetry},
		{name: "408", script: status("408 Request Timeout"), kind: KindRetry},
		{name: "429", script: status("429 Too Many Requests", "Retry-After: 60"), kind: KindRateLimited, is: ErrRateLimited},
		{name: "500", script: status("500 Internal Server Error"), kind: KindRetry},
		{name: "502 with HTML", script: writes("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>bad gateway</html>"), kind: KindRetry},
		{name: "502 with a good body", script: writes("HTTP/1.1 502 Bad Gateway\r\n" + length + "\r\n\r\n" + wireGood), kind: KindRetry},
		{name: "503", script: status("503 Service Unavailable", "Retry-After: 1"), kind: KindRetry},
		{name: "504 with an endless body", script: func(c *rawConn) { c.write("HTTP/1.1 504 Gateway Timeout\r\n\r\n"); c.flood(filler) }, kind: KindRetry},
		{name: "599", script: status("599 Odd"), kind: KindRetry},
		{name: "999", script: status("999 Odd"), kind: KindRetry},

		// Bombs.
		{name: "endless body", script: func(c *rawConn) { c.write(okHeader("Connection: close")); c.flood(filler) }, kind: KindUnknown, is: ErrBadResponse},
		{name: "endless body of white space", script: func(c *rawConn) { c.write(okHeader("Connection: close")); c.flood(strings.Repeat(" ", 4096)) }, kind: KindUnknown, is: ErrBadResponse},
		{name: "endless chunks", script: func(c *rawConn) {
			c.write(okHeader("Transfer-Encoding: chunked"))
			c.flood("1000\r\n" + filler + "\r\n")
		}, kind: KindUnknown, is: ErrBadResponse},
		{name: "endless chunk of one byte", script: func(c *rawConn) {
			c.write(okHeader("Transfer-Encoding: chunked"))
			c.flood(strings.Repeat("1\r\n \r\n", 600))
		}, kind: KindUnknown, is: ErrBadResponse, framing: 5 * maxBody},
		{name: "endless chunk extensions", script: func(c *rawConn) {
			c.write(okHeader("Transfer-Encoding: chunked"))
			c.flood(strings.Repeat("1;"+strings.Repeat("x", 90)+"\r\n \r\n", 40))
		}, kind: KindRetry},
		{name: "a body of 10 GB", script: func(c *rawConn) { c.write(okHeader("Content-Length: 10737418240")); c.flood(filler) }, kind: KindUnknown, is: ErrBadResponse},
		{name: "9 MB of headers", script: func(c *rawConn) {
			c.write("HTTP/1.1 200 OK\r\n")
			c.flood(strings.Repeat("X-Filler: "+strings.Repeat("x", 90)+"\r\n", 40))
		}, kind: KindRetry},
		{name: "one header of 9 MB", script: func(c *rawConn) { c.write("HTTP/1.1 200 OK\r\nX: "); c.flood(filler) }, kind: KindRetry},
		{name: "an endless status line", script: func(c *rawConn) { c.write("HTTP/1.1 200 "); c.flood(filler) }, kind: KindRetry},
		{name: "endless 103s", script: func(c *rawConn) {
			c.flood(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <"+strings.Repeat("x", 90)+">\r\n\r\n", 30))
		}, kind: KindRetry},
		{name: "a gzip bomb", script: func(c *rawConn) {
			c.write(okHeader("Content-Encoding: gzip", fmt.Sprintf("Content-Length: %d", len(bomb))))
			_, _ = c.Write(bomb)
		}, kind: KindUnknown, is: ErrBadResponse},
		{name: "gzip in gzip", script: func(c *rawConn) {
			c.write(okHeader("Content-Encoding: gzip, gzip", fmt.Sprintf("Content-Length: %d", len(twice))))
			_, _ = c.Write(twice)
		}, kind: KindUnknown, is: ErrBadResponse},
		{name: "gzip that was not requested", script: func(c *rawConn) {
			c.write(okHeader("Content-Encoding: gzip", fmt.Sprintf("Content-Length: %d", len(compressed))))
			_, _ = c.Write(compressed)
		}, kind: KindUnknown, is: ErrBadResponse},
		{name: "gzip announced and not used", script: writes(okHeader("Content-Encoding: gzip", length) + wireGood), fine: true},
		{name: "br announced and not used", script: writes(okHeader("Content-Encoding: br", length) + wireGood), fine: true},

		// Headers that must not matter.
		{name: "Content-Type text/html", script: writes(okHeader("Content-Type: text/html; charset=GBK", length) + wireGood), fine: true},
		{name: "Content-Type with encoding", script: writes(okHeader("Content-Type: application/json; encoding=utf-8", length) + wireGood), fine: true},
		{name: "a broken Content-Type", script: writes(okHeader("Content-Type: ;;;", length) + wireGood), fine: true},
		{name: "cookies", script: writes(okHeader("Set-Cookie: a=b", length) + wireGood), fine: true},
	}
}

// TestWire_Faults runs every fault on a new connection and on one that has
// already carried a good response, on which Go's transport would resend a GET.
func TestWire_Faults(t *testing.T) {
	for _, fault := range wireFaults() {
		t.Run(fault.name, func(t *testing.T) {
			for _, warm := range []bool{false, true} {
				for _, call := range []string{"Exchange", "Code2Session", "PhoneNumber", "UserInfo"} {
					t.Run(fmt.Sprintf("%s warm=%v", call, warm), func(t *testing.T) { runFault(t, fault, call, warm) })
					if fault.timeout {
						t.Run(fmt.Sprintf("%s warm=%v deadline", call, warm), func(t *testing.T) { runSilence(t, fault, call, warm) })
					}
				}
			}
		})
		wire.faults.Add(1)
	}
}

func faultyPeer(t *testing.T, fault wireFault, warm bool) *rawPeer {
	return newRawPeer(t, func(c *rawConn) {
		if warm && c.nth == 1 && (!c.read() || !c.respond(`{"errcode":0}`)) {
			return
		}
		if c.read() {
			fault.script(c)
		}
	})
}

// passing is a context whose deadline is exceeded when the channel is closed.
type passing struct {
	context.Context
	passed chan struct{}
}

func (p passing) Done() <-chan struct{} { return p.passed }

func (p passing) Err() error {
	select {
	case <-p.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// runSilence lets the deadline pass after the peer has read the request, so
// that the code has been sent.
func runSilence(t *testing.T, fault wireFault, call string, warm bool) {
	p := faultyPeer(t, fault, warm)
	c, _ := wireClient(t, p.url())
	if warm {
		require.NoError(t, callOnWire(t, "CheckToken", c))
	}
	err := callWithin(passing{t.Context(), p.quiet}, t, call, c)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, isTimeout(err), "%v", err)
	assert.Equal(t, KindRetry, kindOf(t, err))
	if sent := countSentTwice(t, call, p); call != "UserInfo" {
		assert.EqualValues(t, 1, sent, "times the code was sent")
	}
}

func runFault(t *testing.T, fault wireFault, call string, warm bool) {
	var opts []Option
	if fault.timeout && !warm {
		opts = append(opts, WithTimeout(shortTimeout))
	}
	p := faultyPeer(t, fault, warm)
	c, read := wireClient(t, p.url(), opts...)
	if warm {
		require.NoError(t, callOnWire(t, "CheckToken", c))
	}
	if fault.timeout {
		c.timeout = shortTimeout
	}
	var err error
	used := allocated(func() { err = callOnWire(t, call, c) })
	assert.LessOrEqual(t, read.Load(), maxHeader+maxBody+8<<10+fault.framing, "bytes read")
	assert.LessOrEqual(t, used, uint64(1<<20), "bytes allocated")
	sent := countSentTwice(t, call, p)
	if call != "UserInfo" && !fault.timeout { // with an early timeout the code may not have been sent: see runSilence
		assert.EqualValues(t, 1, sent, "times the code was sent")
	}
	if fault.fine {
		assert.NoError(t, err)
		return
	}
	var e *Error
	require.True(t, errors.As(err, &e), "%v", err)
	if fault.timeout {
		assert.True(t, e.Timeout(), "%v", err)
		assert.Equal(t, KindRetry, e.Kind())
		return
	}
	assert.False(t, e.Timeout(), "%v", err)
	assert.Equal(t, fault.kind, e.Kind(), "%v", err)
	if fault.is != nil && !warm {
		assert.ErrorIs(t, err, fault.is)
	}
}

func TestWire_Redirects(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		for name, location := range map[string]string{
			"another origin":   "http://%s/elsewhere",
			"with the code":    "http://%s/?code=" + testCode,
			"without a scheme": "//%s/x",
			"no URL":           "http://%%zz%s" + testCode,
			"the same path":    "/sns/oauth2/access_token",
			"nothing":          "",
			"a local file":     "file:///etc/hostname",
		} {
			t.Run(fmt.Sprint(status, " to ", name), func(t *testing.T) {
				elsewhere := newRawPeer(t, func(c *rawConn) { c.read() })
				to := location
				if strings.Contains(location, "%s") {
					to = fmt.Sprintf(location, elsewhere.listener.Addr())
				}
				p := newRawPeer(t, func(c *rawConn) {
					c.read()
					c.write(fmt.Sprintf("HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, to))
				})
				c, _ := wireClient(t, p.url())
				err := callOnWire(t, "Exchange", c)
				assert.Equal(t, KindRetry, kindOf(t, err))
				var e *Error
				require.True(t, errors.As(err, &e))
				assert.Equal(t, status, e.HTTPStatus)
				assert.Zero(t, elsewhere.requests.Load())
				assert.EqualValues(t, 1, p.sent())
			})
		}
		wire.faults.Add(1)
	}
}

// TestWire_FaultsBeforeRequest tests faults that end a connection before WeChat
// has read a request.
func TestWire_FaultsBeforeRequest(t *testing.T) {
	for _, row := range []struct {
		name    string
		url     string
		script  func(*rawConn)
		deaf    bool
		is      error
		timeout bool
	}{
		{name: "refused", url: "http://127.0.0.1:1", is: syscall.ECONNREFUSED}, // a port below those that a test can get
		{name: "never accepted", script: func(*rawConn) {}, deaf: true, timeout: true},
		{name: "closed immediately", script: func(*rawConn) {}},
		{name: "reset immediately", script: (*rawConn).reset},
		{name: "never read", script: func(c *rawConn) { <-c.peer.stop }, timeout: true},
		{name: "a response before the request", script: func(c *rawConn) { c.write("HTTP/1.1 408 Request Timeout\r\n\r\n") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			for call := range wireCalls {
				p := newDeafPeer(t, row.script)
				if !row.deaf {
					p.serve()
				}
				target := cmp.Or(row.url, p.url())
				var opts []Option
				if row.timeout {
					opts = append(opts, WithTimeout(shortTimeout))
				}
				c, _ := wireClient(t, target, opts...)
				err := callOnWire(t, call, c)
				assert.Equal(t, KindRetry, kindOf(t, err), call)
				if row.is != nil {
					assert.ErrorIs(t, err, row.is, call)
				}
				if row.timeout {
					assert.True(t, isTimeout(err), call)
				}
				countSentTwice(t, call, p)
			}
		})
		wire.faults.Add(1)
	}
}
