package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// answerConn is a connection that hands net/http the answer to each request
// and not a byte more. What a peer sends beyond it, which may be tokens, net/http
// would write to the process's log when it finds it on a kept connection; here
// it ends the connection.
type answerConn struct {
	net.Conn

	mu     sync.Mutex
	asked  bool // an answer is due
	ended  bool // the peer sent what nobody asked for
	answer framing
}

// expect tells that a request is about to be written.
func (c *answerConn) expect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = true
}

// Read returns io.EOF together with the last bytes of an answer that surplus
// bytes follow: net/http then does not keep the connection.
func (c *answerConn) Read(p []byte) (int, error) {
	if c.hasEnded() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.take(p[:n])
	if kept == n {
		return n, err
	}
	clear(p[kept:n])
	c.ended = true
	return kept, io.EOF
}

func (c *answerConn) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// take returns how many of the bytes are the answer's.
func (c *answerConn) take(data []byte) int {
	for i, b := range data {
		if !c.asked {
			return i
		}
		if c.answer.end(b) {
			c.asked, c.answer = false, framing{}
		}
	}
	return len(data)
}

// framing finds the end of an HTTP/1 answer. Header fields are read by net/http,
// so that the two cannot differ about them. An answer that it does not
// understand has no end: net/http refuses it, or reads until the connection
// closes, and keeps the connection in neither case.
type framing struct {
	in    part
	lines []byte // of the head so far, or the line of a chunk's size or a trailer
	text  bool   // the current line of the head is not blank
	left  int64  // bytes of the body or chunk that are still to come

	interim int // answers of status 1xx so far
}

type part int

const (
	inHead part = iota
	inBody
	inChunkSize
	inChunk
	inTrailer
	withoutEnd
)

const (
	maxHeadKept  = 2 * maxHeader // net/http has given up before
	maxChunkLine = 4096          // the same
	maxInterim   = 8             // WeChat sends none
)

// end takes the next byte and reports whether it was the answer's last.
func (f *framing) end(b byte) bool {
	switch f.in {
	case inHead:
		return f.head(b)
	case inBody:
		f.left--
		return f.left == 0
	case inChunkSize:
		if line, whole := f.line(b); whole {
			f.chunk(line)
		}
	case inChunk:
		if f.left--; f.left == 0 {
			f.in = inChunkSize
		}
	case inTrailer:
		line, whole := f.line(b)
		return whole && strings.TrimSpace(line) == ""
	}
	return false
}

func (f *framing) head(b byte) bool {
	if len(f.lines) >= maxHeadKept {
		f.in = withoutEnd
		return false
	}
	f.lines = append(f.lines, b)
	if b != '\n' {
		f.text = f.text || !strings.ContainsRune(" \t\r", rune(b))
		return false
	}
	blank := !f.text
	f.text = false
	return blank && f.headDone()
}

// headDone reads the head, unless its blank line turns out not to be the last,
// and reports whether the answer ends with it.
func (f *framing) headDone() bool {
	resp, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(f.lines), 512), nil)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	f.lines = f.lines[:0]
	switch {
	case err != nil || resp.StatusCode == http.StatusSwitchingProtocols:
		f.in = withoutEnd
	case 100 <= resp.StatusCode && resp.StatusCode < 200: // the answer itself follows
		f.interim++
		return f.interim > maxInterim
	case resp.ContentLength >= 0:
		f.in, f.left = inBody, resp.ContentLength
		return f.left == 0
	case len(resp.TransferEncoding) == 1 && resp.TransferEncoding[0] == "chunked":
		f.in = inChunkSize
	default:
		f.in = withoutEnd
	}
	return false
}

// chunk reads a chunk's size. The line break behind its data counts as data.
func (f *framing) chunk(line string) {
	digits, _, _ := strings.Cut(strings.TrimRight(line, " \t\r\n"), ";")
	size, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 62)
	switch {
	case err != nil:
		f.in = withoutEnd
	case size == 0:
		f.in = inTrailer
	default:
		f.in, f.left = inChunk, int64(size)+2
	}
}

// line collects a line, and returns it when b is its end.
func (f *framing) line(b byte) (line string, whole bool) {
	if len(f.lines) >= maxChunkLine {
		f.in = withoutEnd
		return "", false
	}
	f.lines = append(f.lines, b)
	if b != '\n' {
		return "", false
	}
	line = string(f.lines)
	f.lines = f.lines[:0]
	return line, true
}
