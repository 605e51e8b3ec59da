package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Records in gob are those of scs's own codec, and those of this library's
// first releases, which have a sum of their own at the end: gob does not look
// behind its value.
//
// encoding/gob is not made for damaged bytes: a few of them changed make it
// reserve gigabytes, or return a session without a map. A sum tells before it is
// asked; where there is none, the number is checked that does the harm.

// oldMark stands between record and sum, oldSumSize bytes of its SHA-256.
const oldMark = "\x00wx1"

const oldSumSize = 8

// decodeOld decodes a whole record in gob.
func decodeOld(b []byte) (time.Time, map[string]any, error) {
	at := len(b) - len(oldMark) - oldSumSize
	if at >= 0 && string(b[at:at+len(oldMark)]) == oldMark {
		sum := sha256.Sum256(b[:at])
		if !bytes.Equal(b[at+len(oldMark):], sum[:oldSumSize]) {
			return time.Time{}, nil, ErrDamaged
		}
	}
	return decodeGob(b)
}

func decodeGob(b []byte) (time.Time, map[string]any, error) {
	if !plausibleGob(b) {
		return time.Time{}, nil, ErrDamaged
	}
	deadline, values, err := scs.GobCodec{}.Decode(b)
	if err == nil && values == nil {
		values = map[string]any{} // gob leaves out an empty one
	}
	return deadline, values, err
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
			return plausibleSession(value, len(next))
		}
		b = next
	}
}

// plausibleSession looks at the beginning of the value. Where the values have
// types of the application's, the rest is spread over the messages that follow,
// behind the definitions of those types.
func plausibleSession(b []byte, following int) bool {
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
	return ok && field == 2 && entries <= uint64(len(rest)+following)/2
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
