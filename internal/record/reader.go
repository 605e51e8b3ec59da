package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"
)

// A reader parses a record. Malformed input makes it bad, after which it reads
// nothing.
type reader struct {
	b   []byte
	bad bool
}

// fail marks the reader as bad.
func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// take returns the next n bytes; nil if there are not so many.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// chunk returns bytes that follow their length.
func (r *reader) chunk() []byte {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return nil
	}
	r.b = r.b[size:]
	return r.take(n)
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

// time returns the bytes of a time of this kind, in a form that decodeTime can
// read.
func (r *reader) time(kind byte) []byte {
	switch kind {
	case kindUTC:
		return r.take(8)
	case kindTime:
		// The forms of time.Time.MarshalBinary: whole minutes from UTC, or seconds.
		b := r.chunk()
		if (len(b) == 15 && b[0] == 1) || (len(b) == 16 && b[0] == 2) {
			return b
		}
	}
	r.fail()
	return nil
}

func decodeTime(kind byte, b []byte) (t time.Time) {
	if kind == kindUTC {
		return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
	}
	_ = t.UnmarshalBinary(b) // reads what has the right form
	return t
}

// An entry is one value of a record, not yet decoded.
type entry struct {
	own   bool   // the name continues after Prefix
	kind  byte   //
	name  []byte //
	value []byte // of a string, of bytes and of a time
	bits  int64  // of a number
}

func (r *reader) entry() (e entry) {
	kind := r.byte()
	e.own, e.kind = kind&ownName != 0, kind&^byte(ownName)
	e.name = r.chunk()
	switch e.kind {
	case kindNil, kindFalse, kindTrue:
	case kindInt, kindInt64:
		e.bits = r.varint()
	case kindInt32:
		if e.bits = r.varint(); e.bits != int64(int32(e.bits)) {
			r.fail()
		}
	case kindFloat64:
		if b := r.take(8); b != nil {
			e.bits = int64(binary.BigEndian.Uint64(b))
		}
	case kindString, kindBytes:
		e.value = r.chunk()
	default:
		e.value = r.time(e.kind)
	}
	return e
}

// before reports whether e may precede next.
func (e entry) before(next entry) bool {
	if e.own != next.own {
		return e.own
	}
	return bytes.Compare(e.name, next.name) < 0
}

// decode returns the value as it was before it was written.
func (e entry) decode() any {
	switch e.kind {
	case kindNil:
		return nil
	case kindFalse, kindTrue:
		return e.kind == kindTrue
	case kindInt:
		return int(e.bits)
	case kindInt32:
		return int32(e.bits)
	case kindInt64:
		return e.bits
	case kindFloat64:
		return math.Float64frombits(uint64(e.bits))
	case kindString:
		return string(e.value)
	case kindBytes:
		if len(e.value) == 0 {
			return []byte(nil) // as from gob
		}
		return bytes.Clone(e.value)
	}
	return decodeTime(e.kind, e.value)
}
