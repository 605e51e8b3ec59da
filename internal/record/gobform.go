package record

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// encoding/gob is not made for untrusted bytes: it allocates as many map
// entries as the bytes claim, and skips a value without a field by a length
// that need not be the value's. So a record in gob is first parsed to its end,
// by the format in that package's documentation, and gob gets the parsed data
// in its plainest form: the definitions of types, each a message, and then the
// value in one. A record that claims more than it has is not parsed to its end.

// The numbers of the types that need no definition, and the first number of
// those that do.
const (
	gobBool      = 1 // to gobFloat: one number, as it is
	gobFloat     = 4
	gobBytes     = 5
	gobString    = 6
	gobComplex   = 7
	gobInterface = 8
	gobDefined   = 64
)

// The kinds of defined types.
const (
	gobArray = 1 + iota
	gobSlice
	gobStruct
	gobMap
	gobEncoder // this and the two below: bytes encoded by the type itself
	gobBinary
	gobText
)

// gobParts is how many types make one of each kind but structs.
var gobParts = [...]int{gobArray: 1, gobSlice: 1, gobMap: 2, gobText: 0}

// maxGobDepth is how deep values may be nested. It is gob's own limit for a
// value that it skips.
const maxGobDepth = 10_000

// A gobType is the definition of a type.
type gobType struct {
	kind  int
	parts []int64 // the types of an element, of key and element, of fields
	seen  int     // see work
}

// A gobForm parses one value and rewrites it.
type gobForm struct {
	in    reader // the rest of a message
	next  []byte // the messages behind it
	types map[int64]*gobType
	depth int

	defs, value []byte // what is written
}

// plainGob returns the plain form of a value in gob, or false if it is not
// valid.
func plainGob(b []byte) ([]byte, bool) {
	f := gobForm{next: b, types: map[int64]*gobType{}, value: make([]byte, 0, len(b)+32)}
	f.whole(f.typeID())
	if f.in.bad || f.work(len(b)) > len(b) {
		return nil, false
	}
	return append(appendGobUint(f.defs, uint64(len(f.value))), f.value...), true
}

// work is how much gob may prepare before it decodes a value: for each field of
// a struct, everything between it and the next struct. A field of a real type
// has more bytes in its definition than it has types to go through. Counting
// stops above most.
func (f *gobForm) work(most int) (n int) {
	var todo []int64
	fields := 0
	for _, t := range f.types {
		if t.kind != gobStruct {
			continue
		}
		for _, part := range t.parts {
			fields++
			for todo = append(todo[:0], part); len(todo) > 0 && n <= most; {
				next := f.types[todo[len(todo)-1]]
				todo = todo[:len(todo)-1]
				if next != nil && next.kind != gobStruct && next.seen != fields {
					next.seen = fields
					todo = append(todo, next.parts...)
					n++
				}
			}
		}
	}
	return n
}

// typeID reads the number of a value's type, and the definitions that come
// before it. A definition ends a message, and the interrupted value continues
// in the next one.
func (f *gobForm) typeID() int64 {
	for !f.in.bad {
		if len(f.in.b) == 0 {
			f.message()
		}
		from := f.in.b
		id := f.in.gobInt()
		if id >= 0 {
			f.value = appendGobUint(f.value, uint64(id)<<1)
			return id
		}
		f.define(-id)
		if len(f.in.b) > 0 {
			f.in.fail()
		}
		f.defs = append(appendGobUint(f.defs, uint64(len(from))), from...)
	}
	return 0
}

// message continues with the next message.
func (f *gobForm) message() {
	r := reader{b: f.next}
	f.in.b = r.take(r.gobUint())
	f.in.bad = f.in.bad || r.bad
	f.next = r.b
}

// define reads a definition: a struct with one field, which is of the type's kind
// and a struct again, of a head and the parts.
func (f *gobForm) define(id int64) {
	t := &gobType{}
	for kind := 0; f.in.gobField(&kind); {
		if t.kind != 0 || kind > gobText {
			f.in.fail()
		}
		t.kind = kind
		for n := 0; f.in.gobField(&n); {
			switch {
			case n == 1:
				f.in.gobHead()
			case n == 2 && kind == gobStruct:
				for left := f.in.gobUint(); left > 0 && !f.in.bad; left-- {
					t.parts = append(t.parts, f.in.gobHead())
				}
			case kind == gobArray && n == 3:
				f.in.gobInt() // its length, which each value repeats
			default:
				t.parts = append(t.parts, f.in.gobInt())
			}
		}
	}
	if f.in.bad || t.kind == 0 || (t.kind != gobStruct && len(t.parts) != gobParts[t.kind]) ||
		f.types[id] != nil || id < gobDefined || id > math.MaxInt32 {
		f.in.fail()
	}
	f.types[id] = t
}

// whole parses a value that is not part of another: a value that is not a
// struct follows a zero.
func (f *gobForm) whole(id int64) {
	if t := f.types[id]; (t == nil || t.kind != gobStruct) && f.copyUint() != 0 {
		f.in.fail()
	}
	f.follow(id)
}

// follow parses a value. Every value has at least one byte, so parsing time is
// bounded by the number of bytes.
func (f *gobForm) follow(id int64) {
	if f.depth++; f.depth > maxGobDepth {
		f.in.fail()
	}
	switch t := f.types[id]; {
	case id >= gobBool && id <= gobFloat:
		f.copyUint()
	case id == gobComplex:
		f.copyUint()
		f.copyUint()
	case id == gobBytes || id == gobString:
		f.copyBytes()
	case id == gobInterface:
		f.followInterface()
	case t == nil:
		f.in.fail()
	case t.kind == gobStruct:
		for n := 0; f.copyField(&n); {
			if n > len(t.parts) {
				f.in.fail()
				break
			}
			f.follow(t.parts[n-1])
		}
	case len(t.parts) == 0:
		f.copyBytes() // encoded by the type itself
	default:
		for left := f.copyUint(); left > 0 && !f.in.bad; left-- {
			for _, part := range t.parts {
				f.follow(part)
			}
		}
	}
	f.depth--
}

// followInterface parses the name of a type, its number, and a message with the
// value. If there are definitions inside it, it is spread over several.
func (f *gobForm) followInterface() {
	if len(f.copyBytes()) == 0 {
		return // nil
	}
	id := f.typeID()
	after := f.next
	f.next = f.in.b
	f.message()

	at := len(f.value)
	f.value = append(f.value, 0xf8, 0, 0, 0, 0, 0, 0, 0, 0) // its length, in 8 bytes
	f.whole(id)
	binary.BigEndian.PutUint64(f.value[at+1:], uint64(len(f.value)-at-9))
	if len(f.in.b) > 0 {
		f.in.fail()
	}
	f.in.b, f.next = f.next, after
}

func (f *gobForm) copyUint() uint64 {
	from := f.in.b
	n := f.in.gobUint()
	f.value = append(f.value, from[:len(from)-len(f.in.b)]...)
	return n
}

func (f *gobForm) copyBytes() []byte {
	b := f.in.take(f.copyUint())
	f.value = append(f.value, b...)
	return b
}

// copyField advances to a struct's next field, counted from 1. It returns false
// at the end.
func (f *gobForm) copyField(n *int) bool {
	from := f.in.b
	more := f.in.gobField(n)
	f.value = append(f.value, from[:len(from)-len(f.in.b)]...)
	return more
}

// gobField is copyField without a copy.
func (r *reader) gobField(n *int) bool {
	step := r.gobUint()
	if step > math.MaxInt32 {
		r.fail()
	}
	*n += int(step)
	return step != 0 && !r.bad
}

// gobHead reads a name and a number, in which definitions begin, and the whole
// description of a struct's field.
func (r *reader) gobHead() (id int64) {
	for n := 0; r.gobField(&n); {
		switch n {
		case 1:
			r.take(r.gobUint())
		case 2:
			id = r.gobInt()
		default:
			r.fail()
		}
	}
	return id
}

// gobUint reads gob's unsigned integer: one byte below 128, or the negated
// number of the bytes that follow.
func (r *reader) gobUint() uint64 {
	first := r.byte()
	if first < 0x80 {
		return uint64(first)
	}
	size := -int(int8(first))
	if size > 8 {
		r.fail()
		return 0
	}
	var wide [8]byte
	copy(wide[8-size:], r.take(uint64(size)))
	return binary.BigEndian.Uint64(wide[:])
}

// gobInt reads gob's signed integer, with the sign in the lowest bit.
func (r *reader) gobInt() int64 {
	n := r.gobUint()
	if n&1 != 0 {
		return ^int64(n >> 1)
	}
	return int64(n >> 1)
}

func appendGobUint(b []byte, n uint64) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	size := (bits.Len64(n) + 7) / 8
	var wide [8]byte
	binary.BigEndian.PutUint64(wide[:], n)
	return append(append(b, byte(-size)), wide[8-size:]...)
}
