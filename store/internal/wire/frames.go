package wire

import (
	"bytes"
	"strconv"
)

// frames counts the commands or replies in a stream of RESP that comes in
// pieces. rueidis ends the process when a reply comes that it owes no one, so
// the connection has to know first.
type frames struct {
	header []byte // the line that has begun
	skip   int    // bytes of a string that are to come
	open   []int  // elements to come of the arrays that have begun
	push   bool   // this frame is no reply
	lost   bool   // this is no RESP that Redis sends; nothing is counted any more
}

// feed returns the number of frames that end in b.
func (f *frames) feed(b []byte) (ended int) {
	for len(b) > 0 && !f.lost {
		if f.skip > 0 {
			n := min(f.skip, len(b))
			b, f.skip = b[n:], f.skip-n
			if f.skip == 0 {
				ended += f.element()
			}
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			f.header = append(f.header, b...)
			break
		}
		line := b[:end]
		if len(f.header) > 0 {
			f.header = append(f.header, line...)
			line = f.header
		}
		b = b[end+1:]
		ended += f.begin(bytes.TrimSuffix(line, []byte("\r")))
		f.header = f.header[:0]
	}
	return ended
}

// begin takes the first line of a frame or element, and returns the number of
// frames that it ends.
func (f *frames) begin(line []byte) int {
	if len(line) == 0 {
		f.lost = true
		return 0
	}
	if len(f.open) == 0 {
		f.push = line[0] == '>'
	}
	n := 0
	switch line[0] {
	case '$', '!', '=', '*', '~', '>', '%':
		var err error
		if n, err = strconv.Atoi(string(line[1:])); err != nil {
			f.lost = true
			return 0
		}
	case '+', '-', ':', '_', ',', '#', '(':
	default: // attributes too
		f.lost = true
		return 0
	}
	switch line[0] {
	case '$', '!', '=':
		if n >= 0 {
			f.skip = n + len("\r\n")
			return 0
		}
	case '%':
		n *= 2
		fallthrough
	case '*', '~', '>':
		if n > 0 {
			f.open = append(f.open, n)
			return 0
		}
	}
	return f.element()
}

// element notes the end of an element, and returns the number of frames that it
// ends.
func (f *frames) element() int {
	for len(f.open) > 0 {
		last := len(f.open) - 1
		if f.open[last]--; f.open[last] > 0 {
			return 0
		}
		f.open = f.open[:last]
	}
	if f.push {
		return 0
	}
	return 1
}
