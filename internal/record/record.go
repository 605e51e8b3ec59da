// Package record encodes a session for the store: a deadline and named values,
// in few bytes, with a checksum.
//
//	record   = version deadline {entry} [rest] sum
//	version  = 0x81
//	deadline = kind value                      a time
//	entry    = kind name value
//	rest     = 0xff gob                        values without a kind
//	sum      = CRC-64 (ECMA) of all before it, 8 bytes, big-endian
//
//	name, string, bytes = length (uvarint) and so many bytes
//	integers            = varint;  float64 = 8 bytes of IEEE 754
//	time                = time.Time's own binary form behind its length, or
//	                      8 bytes of nanoseconds since 1970 for one in UTC
//
// A name that begins with [Prefix] is written without it, and its kind has
// the bit 0x40. Such entries come first, and names ascend, so that there is one
// record for each session and none with two values of one name.
//
// The first byte distinguishes a record from those of encoding/gob, which begin
// below 0x80 or above 0xf7.
//
// The sum detects damage: every burst of up to 64 bits, and all but one in 2^64
// of any other damage. It does not protect against an attacker who writes
// records deliberately; see store.Encrypt.
package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc64"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Prefix is the prefix of the names of this library's own values.
const Prefix = "wechatauth."

// ErrCorrupt means that the bytes are not a session record, or a damaged one.
var ErrCorrupt = errors.New("not a session record, or a damaged one")

// ErrGob means that the bytes are a record written by encoding/gob, the format
// of earlier releases.
var ErrGob = errors.New("a record in gob")

const (
	version = 0x81
	sumSize = 8

	ownName = 0x40
	kindGob = 0xff
)

const (
	kindNil byte = iota
	kindFalse
	kindTrue
	kindInt
	kindInt32
	kindInt64
	kindFloat64
	kindString
	kindBytes
	kindTime
	kindUTC
)

var sums = crc64.MakeTable(crc64.ECMA)

// Encode returns the record of a session. Values of the types nil, bool, int,
// int32, int64, float64, string, []byte and time.Time are decoded as by gob:
// exactly, except that an empty []byte becomes nil, and a time loses its
// monotonic clock reading and the name of its zone. All others are encoded by
// gob, which requires their types to be registered and otherwise returns an
// error.
func Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	names, rest := make([]string, 0, len(values)), map[string]any(nil)
	for name, value := range values {
		if kindOf(value) != kindGob {
			names = append(names, name)
			continue
		}
		if rest == nil {
			rest = map[string]any{}
		}
		rest[name] = value
	}
	slices.SortFunc(names, compareNames)

	b := append(make([]byte, 0, usualSize), version, kindOf(deadline))
	b, err := appendValue(b, deadline)
	for _, name := range names {
		if err == nil {
			b, err = appendValue(appendHead(b, kindOf(values[name]), name), values[name])
		}
	}
	if err == nil && rest != nil {
		b, err = appendGob(b, rest)
	}
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(b, crc64.Checksum(b, sums)), nil
}

// usualSize has room for an identity and a few values more.
const usualSize = 256

// compareNames puts our own names first.
func compareNames(a, b string) int {
	if own := strings.HasPrefix(a, Prefix); own != strings.HasPrefix(b, Prefix) {
		if own {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// kindOf returns the kind of a value by its type; a named type is not its
// underlying one.
func kindOf(value any) byte {
	switch v := value.(type) {
	case nil:
		return kindNil
	case bool:
		if v {
			return kindTrue
		}
		return kindFalse
	case int:
		return kindInt
	case int32:
		return kindInt32
	case int64:
		return kindInt64
	case float64:
		return kindFloat64
	case string:
		return kindString
	case []byte:
		return kindBytes
	case time.Time:
		if isShort(v) {
			return kindUTC
		}
		return kindTime
	}
	return kindGob
}

// isShort reports whether a time is in UTC, and near enough to 1970 for its
// nanoseconds to fit an int64.
func isShort(t time.Time) bool {
	return t.Location() == time.UTC && t.Equal(time.Unix(0, t.UnixNano()))
}

func appendHead(b []byte, kind byte, name string) []byte {
	if rest, own := strings.CutPrefix(name, Prefix); own {
		kind, name = kind|ownName, rest
	}
	b = binary.AppendUvarint(append(b, kind), uint64(len(name)))
	return append(b, name...)
}

// appendValue writes the part of a value that its kind does not determine.
func appendValue(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case int:
		return binary.AppendVarint(b, int64(v)), nil
	case int32:
		return binary.AppendVarint(b, int64(v)), nil
	case int64:
		return binary.AppendVarint(b, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v)), nil
	case string:
		return append(binary.AppendUvarint(b, uint64(len(v))), v...), nil
	case []byte:
		return append(binary.AppendUvarint(b, uint64(len(v))), v...), nil
	case time.Time:
		if isShort(v) {
			return binary.BigEndian.AppendUint64(b, uint64(v.UnixNano())), nil
		}
		long, err := v.MarshalBinary() // of 15 or 16 bytes
		return append(append(b, byte(len(long))), long...), err
	}
	return b, nil
}

// appendGob encodes values with gob, as a record of scs's own, so that there is
// only one way to read gob.
func appendGob(b []byte, values map[string]any) ([]byte, error) {
	g, err := scs.GobCodec{}.Encode(time.Time{}, values)
	return append(append(b, kindGob), g...), err
}

// A Record is a record that was checked as a whole: its sum is right and it is
// well-formed. Its values are read in place.
type Record struct {
	deadline time.Time
	entries  []byte
	gob      []byte // nil if there is none
}

// Open checks a record without decoding its values, and allocates nothing. It
// returns [ErrGob] if it is one of gob's and [ErrCorrupt] if it is not a
// record.
func Open(b []byte) (Record, error) {
	if len(b) == 0 || b[0] != version {
		return Record{}, ErrGob
	}
	body := b[:max(0, len(b)-sumSize)]
	if len(body) == 0 || binary.BigEndian.Uint64(b[len(body):]) != crc64.Checksum(body, sums) {
		return Record{}, ErrCorrupt
	}
	r := reader{b: body[1:]}
	kind := r.byte()
	when := r.time(kind)
	entries, end := r.b, 0
	last := entry{}
	for !r.bad && len(r.b) > 0 && r.b[0] != kindGob {
		e := r.entry()
		r.bad = r.bad || (end > 0 && !last.before(e)) || (!e.own && bytes.HasPrefix(e.name, []byte(Prefix)))
		last, end = e, len(entries)-len(r.b)
	}
	if r.bad {
		return Record{}, ErrCorrupt
	}
	rec := Record{deadline: decodeTime(kind, when), entries: entries[:end]}
	if len(r.b) > 0 {
		rec.gob = r.b[1:]
	}
	return rec, nil
}

// Deadline returns the latest time at which the session ends.
func (rec Record) Deadline() time.Time { return rec.deadline }

// String returns the text of one of our own values, whose name begins with
// Prefix; false if there is none, or it is not text. The text shares the
// record's memory.
func (rec Record) String(name string) ([]byte, bool) {
	e, found := rec.find(name)
	if !found || e.kind != kindString {
		return nil, false
	}
	return e.value, true
}

// Bool returns one of our own values, whose name begins with Prefix; false if
// there is none.
func (rec Record) Bool(name string) bool {
	e, found := rec.find(name)
	return found && e.kind == kindTrue
}

func (rec Record) find(name string) (entry, bool) {
	name = name[len(Prefix):]
	for r := (reader{b: rec.entries}); len(r.b) > 0; {
		e := r.entry()
		if !e.own {
			break
		}
		if string(e.name) == name {
			return e, true
		}
	}
	return entry{}, false
}

// Values decodes all values.
func (rec Record) Values() (map[string]any, error) {
	values := map[string]any{}
	for r := (reader{b: rec.entries}); len(r.b) > 0; {
		e := r.entry()
		name := string(e.name)
		if e.own {
			name = Prefix + name
		}
		values[name] = e.decode()
	}
	if rec.gob == nil {
		return values, nil
	}
	_, rest, err := decodeGob(rec.gob)
	if err != nil {
		return nil, err
	}
	for name, value := range rest {
		if _, twice := values[name]; twice {
			return nil, ErrCorrupt
		}
		values[name] = value
	}
	return values, nil
}

// Decode returns the deadline and the values of a record, also of one that gob
// wrote.
func Decode(b []byte) (time.Time, map[string]any, error) {
	rec, err := Open(b)
	switch {
	case errors.Is(err, ErrGob):
		return decodeOld(b)
	case err != nil:
		return time.Time{}, nil, err
	}
	values, err := rec.Values()
	if err != nil {
		return time.Time{}, nil, err
	}
	return rec.deadline, values, nil
}
