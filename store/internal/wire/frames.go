package wire

import (
	"bytes"
	"strconv"
)

const (
	maxString   = 512 << 20 // bytes, as Redis itself allows
	maxElements = 1 << 20
	maxDepth    = 16
	maxLine     = 64 << 10
	maxKind     = 32
)

// frames counts the commands or replies in a stream of RESP that arrives in
// pieces. rueidis panics in a separate goroutine when it receives a length that
// no reply has, or a reply that it does not expect, and go-redis allocates
// whatever a length claims. So the connection checks each frame first.
type frames struct {
	line   []byte // the incomplete line
	skip   int    // remaining bytes of a string
	open   []int  // remaining elements of the open arrays
	push   bool   // this frame is no reply
	kind   []byte // the beginning of a push's first element
	wanted bool   // the next element is the kind
	bad    bool   // Redis sends no such frame; counting has stopped

	subscription bool // a push about a subscription has arrived
}

// feed returns the number of frames that end in b.
func (f *frames) feed(b []byte) (ended int) {
	for len(b) > 0 && !f.bad {
		if f.skip > 0 {
			n := min(f.skip, len(b))
			if f.wanted {
				f.kind = append(f.kind, b[:min(n, maxKind-len(f.kind))]...)
			}
			b, f.skip = b[n:], f.skip-n
			if f.skip == 0 {
				ended += f.element()
			}
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			f.line = append(f.line, b...)
			f.bad = len(f.line) > maxLine
			break
		}
		line := b[:end]
		if len(f.line) > 0 {
			f.line = append(f.line, line...)
			line = f.line
		}
		b = b[end+1:]
		line, ok := bytes.CutSuffix(line, []byte("\r"))
		if f.bad = !ok || len(line) == 0 || len(line) > maxLine; !f.bad {
			ended += f.begin(line)
		}
		f.line = f.line[:0]
	}
	return ended
}

// begin processes the first line of a frame or element, and returns the number
// of frames that it ends.
func (f *frames) begin(line []byte) int {
	if len(f.open) == 0 {
		f.push, f.wanted, f.kind = line[0] == '>', false, f.kind[:0]
	}
	if !f.valid(line) {
		f.bad = true
		return 0
	}
	n, _ := strconv.Atoi(string(line[1:]))
	switch line[0] {
	case '+':
		if f.wanted {
			f.kind = append(f.kind, line[1:min(len(line), maxKind)]...)
		}
	case '$', '!', '=':
		if n >= 0 {
			f.skip = n + len("\r\n")
			return 0
		}
	case '%':
		n *= 2
		fallthrough
	case '*', '~', '>':
		f.wanted = line[0] == '>'
		if n > 0 {
			f.open = append(f.open, n)
			return 0
		}
	}
	return f.element()
}

// valid reports whether the line is one with which Redis starts a frame or
// element.
func (f *frames) valid(line []byte) bool {
	n, err := strconv.ParseInt(string(line[1:]), 10, 64) // PTTL can exceed an int of 32 bits
	switch line[0] {
	case '+', '-', ',', '(':
		return true
	case '_':
		return len(line) == 1
	case '#':
		return string(line) == "#t" || string(line) == "#f"
	case ':':
		return err == nil
	case '$', '!', '=':
		return err == nil && n >= -1 && n <= maxString
	case '*', '~':
		return err == nil && n >= -1 && n <= maxElements && len(f.open) < maxDepth
	case '%':
		return err == nil && n >= 0 && n <= maxElements && len(f.open) < maxDepth
	case '>':
		return err == nil && n >= 1 && n <= maxElements && len(f.open) == 0
	}
	return false // attributes and streamed types, which Redis does not send
}

// element records the end of an element, and returns the number of frames that
// it ends.
func (f *frames) element() int {
	f.wanted = false
	for len(f.open) > 0 {
		last := len(f.open) - 1
		if f.open[last]--; f.open[last] > 0 {
			return 0
		}
		f.open = f.open[:last]
	}
	if f.push {
		kind := bytes.TrimSpace(f.kind) // with the line break of a bulk string
		f.subscription = f.subscription || bytes.HasSuffix(kind, []byte("subscribe"))
		return 0
	}
	return 1
}
