package wechatauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"
)

// recordCodec is scs's codec with a check sum behind each record. encoding/gob
// is not made for damaged bytes: a few of them changed make it reserve
// gigabytes, or return a session without a map. The sum tells before it is
// asked. A manager with scs's own codec still reads the records, because gob
// does not look behind its value, and what such a manager writes is read here:
// it has no sum, and is only checked for the number that does the harm.
type recordCodec struct{ gob scs.GobCodec }

// sumMark stands between record and sum.
const sumMark = "\x00wx1"

const sumSize = 8

var errNoRecord = errors.New("not a session record, or a damaged one")

// Encode implements scs.Codec.
func (c recordCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	b, err := c.gob.Encode(deadline, values)
	if err != nil {
		return nil, err
	}
	return append(append(b, sumMark...), sumOf(b)...), nil
}

// Decode implements scs.Codec.
func (c recordCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	at := len(b) - len(sumMark) - sumSize
	switch {
	case at >= 0 && string(b[at:at+len(sumMark)]) == sumMark:
		if !bytes.Equal(b[at+len(sumMark):], sumOf(b[:at])) {
			return time.Time{}, nil, errNoRecord
		}
	case !plausibleGob(b):
		return time.Time{}, nil, errNoRecord
	}
	deadline, values, err := c.gob.Decode(b)
	if err == nil && values == nil {
		values = map[string]any{} // gob leaves out an empty one
	}
	return deadline, values, err
}

func sumOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:sumSize]
}

// plausibleGob reports whether the map of a session in gob claims no more
// entries than its bytes can hold; gob makes room for all that are claimed. The
// format is that of the package's documentation: messages with their lengths,
// definitions of types first, then the value, a struct of a deadline in its own
// binary form and the map.
func plausibleGob(b []byte) bool {
	for {
		size, rest, ok := gobUint(b)
		if !ok || size > uint64(len(rest)) {
			return false
		}
		message, next := rest[:size], rest[size:]
		id, value, ok := gobUint(message)
		if !ok {
			return false
		}
		if id&1 == 0 { // a type's own number; definitions have negative ones
			return plausibleSession(value)
		}
		b = next
	}
}

func plausibleSession(b []byte) bool {
	field, rest, ok := gobUint(b)
	if ok && field == 1 { // the deadline
		var size, step uint64
		if size, rest, ok = gobUint(rest); !ok || size > uint64(len(rest)) {
			return false
		}
		step, rest, ok = gobUint(rest[size:])
		field += step
		if step == 0 {
			field = 0
		}
	}
	switch {
	case !ok:
		return false
	case field == 0: // the end: no map
		return true
	}
	// An entry has at least the length of its key and of its type's name.
	entries, rest, ok := gobUint(rest)
	return ok && field == 2 && entries <= uint64(len(rest))/2
}

// gobUint reads gob's unsigned integer: one byte below 128, or the negated
// number of the bytes that follow.
func gobUint(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	if b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	size := -int(int8(b[0]))
	if size > 8 || len(b) <= size {
		return 0, nil, false
	}
	var wide [8]byte
	copy(wide[8-size:], b[1:1+size])
	return binary.BigEndian.Uint64(wide[:]), b[1+size:], true
}
