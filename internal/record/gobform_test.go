package record

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Types as applications have them.
type (
	shelf struct{ Books map[string]string }
	tree  map[string]tree
	chain struct {
		Name string
		Next *chain
	}
	holder struct {
		Extra any
		Items []string
	}
	secret struct{ text string } // makes its own bytes
	mixed  struct {
		Small  int8
		Wave   complex128
		Raw    []byte
		Fixed  [3]uint8
		Grid   [][]float64
		Count  *big.Int
		When   time.Time
		Shelf  *shelf
		Holder holder
		ByPair map[[2]int]struct{ A bool }
		None   struct{}
	}
)

func (s secret) GobEncode() ([]byte, error) { return []byte(s.text), nil }

func (s *secret) GobDecode(b []byte) error {
	s.text = string(b)
	return nil
}

func init() {
	for _, value := range []any{shelf{}, tree{}, chain{}, holder{}, secret{}, mixed{}, map[string]any{}, []cart{}} {
		gob.Register(value)
	}
}

// applications are sessions as applications make them.
func applications() map[string]map[string]any {
	long := &chain{Name: "last"}
	for range 2000 {
		long = &chain{Next: long}
	}
	books := shelf{map[string]string{"a": "b", "": ""}}
	return map[string]map[string]any{
		"maps in each other":          {"t": tree{"a": {"b": {}, "": nil}, "c": nil}},
		"a long chain":                {"c": *long},
		"its own bytes":               {"s": secret{"你好"}, "t": secret{}},
		"types within interfaces":     {"m": map[string]any{"h": holder{Extra: []any{cart{[]string{"x"}}, books, nil, map[string]any{"s": secret{"s"}}}}}},
		"a type twice":                {"a": holder{Extra: books}, "b": books, "c": []any{books, holder{}}},
		"many values without a field": {"c": make([]cart, 1000)},
		"everything at once": {"m": mixed{
			Small: -8, Wave: 1 + 2i, Raw: []byte{0, 255}, Fixed: [3]uint8{1, 200, 3}, Grid: [][]float64{{1, 0.1}, nil}, Count: big.NewInt(1 << 40),
			When: noon, Shelf: &books, Holder: holder{Extra: secret{"s"}, Items: []string{"a"}}, ByPair: map[[2]int]struct{ A bool }{{1, 2}: {true}, {}: {}},
		}, "n": 1, "nil": nil},
	}
}

// TestDecode_gobTypes decodes whatever gob decodes of an application's types.
func TestDecode_gobTypes(t *testing.T) {
	for name, values := range applications() {
		t.Run(name, func(t *testing.T) {
			for range 20 { // gob writes a map in any order
				wantDeadline, want := byGob(t, noon, values)
				plain, err := scs.GobCodec{}.Encode(noon, values)
				require.NoError(t, err)
				deadline, got, err := Decode(plain)
				require.NoError(t, err)
				assert.Equal(t, wantDeadline, deadline)
				assert.Equal(t, want, got)
				_, got = roundTrip(t, noon, values)
				assert.Equal(t, want, got)
			}
		})
	}
}

// An earlier version of an application had a field that is gone. Gob fails on
// one whose value defines a new type; the plain form has no such definition.
func TestDecode_gobMissingField(t *testing.T) {
	for name, extra := range map[string]any{
		"a number": 7, "a map": map[string]string{"a": "b"}, "types within interfaces": []any{"x", shelf{map[string]string{"a": "b"}}, chain{Name: "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := scs.GobCodec{}.Encode(noon, map[string]any{"h": holder{Extra: extra, Items: []string{"a"}}})
			require.NoError(t, err)
			deadline, got, err := Decode(bytes.Replace(b, []byte("Extra"), []byte("Exxxx"), 1))
			require.NoError(t, err)
			assert.Equal(t, noon, deadline)
			assert.Equal(t, map[string]any{"h": holder{Items: []string{"a"}}}, got)
		})
	}
}

// rewrite replaces bytes in the last message of a gob, which has the value.
func rewrite(t *testing.T, b []byte, old, forged string) []byte {
	t.Helper()
	for at := 0; ; {
		r := reader{b: b[at:]}
		message := r.take(r.gobUint())
		require.False(t, r.bad)
		if len(r.b) == 0 {
			require.Equal(t, 1, bytes.Count(message, []byte(old)), "%x", message)
			message = bytes.Replace(message, []byte(old), []byte(forged), 1)
			return append(appendGobUint(b[:at:at], uint64(len(message))), message...)
		}
		at = len(b) - len(r.b)
	}
}

// TestDecode_gobMapSize covers maps that claim more entries than they have bytes.
func TestDecode_gobMapSize(t *testing.T) {
	for name, row := range map[string]struct {
		value any
		// The number of entries, from the length before it on.
		old, forged string
	}{
		"a map":                          {map[string]string{"a": "b"}, "\x06\x00\x01\x01a\x01b", "\x09\x00\xfd\x7f\xff\xff\x01a\x01b"},
		"a map of a struct":              {shelf{map[string]string{"a": "b"}}, "\x07\x01\x01\x01a\x01b\x00", "\x0a\x01\xfd\x7f\xff\xff\x01a\x01b\x00"},
		"a map in an interface":          {[]any{1, map[string]string{"a": "b"}}, "\x06\x00\x01\x01a\x01b", "\x09\x00\xfd\x7f\xff\xff\x01a\x01b"},
		"a map that claims twice as big": {map[string]string{"a": "b"}, "\x06\x00\x01\x01a\x01b", "\x09\x00\xfd\x00\x00\x02\x01a\x01b"},
		"a slice":                        {[]string{"a", "b"}, "\x06\x00\x02\x01a\x01b", "\x09\x00\xfd\x7f\xff\xff\x01a\x01b"},
		"a negative number":              {map[string]string{"a": "b"}, "\x06\x00\x01\x01a\x01b", "\x0e\x00\xf8\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x01b"},
		"entries without bytes":          {map[string]string{"a": "b"}, "\x06\x00\x01\x01a\x01b", "\x05\x00\xfd\x7f\xff\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			gobbed, err := scs.GobCodec{}.Encode(noon, map[string]any{"m": row.value})
			require.NoError(t, err)
			forged := rewrite(t, gobbed, row.old, row.forged)
			ours, err := Encode(noon, nil)
			require.NoError(t, err)
			for form, b := range map[string][]byte{
				"plain gob": forged, "a record of ours": resum(append(append(bytes.Clone(ours[:len(ours)-sumSize]), kindGob), forged...)),
			} {
				assert.LessOrEqual(t, allocated(func() { _, _, err = Decode(b) }), uint64(maxAllocated), form)
				assert.ErrorIs(t, err, ErrCorrupt, form)
			}
		})
	}
	t.Run("the session's own", func(t *testing.T) {
		plain, err := scs.GobCodec{}.Encode(noon, map[string]any{"n": 3, "cart": []string{"book", "pen"}})
		require.NoError(t, err)
		for i := range plain {
			claim := append(append(bytes.Clone(plain[:i]), 0xfd, 0x10, 0x00, 0x00), plain[i:]...) // a million
			assert.LessOrEqual(t, allocated(func() { _, _, _ = Decode(claim) }), uint64(maxAllocated), "at %d", i)
		}
	})
}

// forge is a session with one value, of a type that is registered, and custom
// definitions. Numbers of types are from 64 on.
func forge(definitions [][]byte, typeName string, id int, value string) []byte {
	var b []byte
	message := func(parts ...[]byte) {
		whole := bytes.Join(parts, nil)
		b = append(appendGobUint(b, uint64(len(whole))), whole...)
	}
	for _, d := range definitions {
		message(d)
	}
	message(number(-70), []byte("\x04\x01\x00\x01"), number(gobString), []byte("\x01"), number(gobInterface), []byte("\x00\x00"))
	message(number(-71), []byte("\x03\x01\x00\x01\x01\x01\x06Values\x01"), number(70), []byte("\x00\x00\x00"))
	message(number(71), []byte("\x01\x01\x01v"), appendGobUint(nil, uint64(len(typeName))), []byte(typeName), number(id),
		appendGobUint(nil, uint64(len(value))), []byte(value), []byte{0})
	return b
}

// number is gob's signed integer.
func number(n int) []byte {
	if n < 0 {
		return appendGobUint(nil, uint64(^n)<<1|1)
	}
	return appendGobUint(nil, uint64(n)<<1)
}

const here = "github.com/wechatauth/wechatauth/internal/record."

// TestDecode_gobTypeSize covers type definitions that claim more than they have.
func TestDecode_gobTypeSize(t *testing.T) {
	chainOf := func(fields, length int) []byte { // a struct whose fields are slices of slices of ...
		var all [][]byte
		elem := 2
		for n := range length {
			all = append(all, bytes.Join([][]byte{number(-1000 - n), []byte("\x02\x01\x00\x01"), number(elem), []byte("\x00\x00")}, nil))
			elem = 1000 + n
		}
		field := bytes.Join([][]byte{[]byte("\x01\x01x\x01"), number(elem), {0}}, nil)
		items := bytes.Join([][]byte{[]byte("\x01\x05Items\x01"), number(73), {0}}, nil)
		all = append(all, bytes.Join([][]byte{number(-73), []byte("\x02\x01\x00\x01"), number(gobString), []byte("\x00\x00")}, nil),
			bytes.Join([][]byte{number(-72), []byte("\x03\x01\x00\x01"), appendGobUint(nil, uint64(fields+1)), items, bytes.Repeat(field, fields), {0, 0}}, nil))
		return forge(all, here+"cart", 72, "\x01\x01\x01a\x00")
	}
	_, values, err := Decode(chainOf(2, 2))
	require.NoError(t, err, "fields that a type does not have are no damage")
	assert.Equal(t, map[string]any{"v": cart{[]string{"a"}}}, values)

	for name, b := range map[string][]byte{
		"many fields of types behind types": chainOf(1000, 600),
		"more fields than there are":        bytes.Replace(chainOf(3, 1), []byte("\x03\x01\x00\x01\x04\x01\x05Items"), []byte("\x03\x01\x00\x01\xfd\x7f\xff\xff\x01\x05Items"), 1),
		"a type of two kinds": forge([][]byte{bytes.Join([][]byte{number(-72), []byte("\x02\x01\x00\x01"), number(gobString), []byte("\x00\x02\x01\x00\x01"),
			number(gobString), []byte("\x01"), number(gobString), []byte("\x00\x00")}, nil)}, "map[string]string", 72, "\x00\x01\x01a\x01b"),
		"a type without a definition": forge(nil, here+"cart", 72, "\x01\x01\x01a\x00"),
	} {
		_, _, err := Decode(b)
		assert.ErrorIs(t, err, ErrCorrupt, name)
		assert.LessOrEqual(t, allocated(func() { _, _, _ = Decode(b) }), uint64(mostFor(len(b))), name)
	}
}

// TestDecode_gobDepth limits nesting to the depth that gob skips.
func TestDecode_gobDepth(t *testing.T) {
	for depth, ok := range map[int]bool{maxGobDepth / 2: true, maxGobDepth + 1: false} {
		deep := &chain{}
		for range depth {
			deep = &chain{Next: deep}
		}
		b, err := scs.GobCodec{}.Encode(noon, map[string]any{"c": *deep})
		require.NoError(t, err)
		_, _, err = Decode(b)
		assert.Equal(t, ok, err == nil, "%d: %v", depth, err)
	}
}

// Each of the maps claims what all bytes behind it could be.
func TestDecode_gobNestedMaps(t *testing.T) {
	const depth = 2000
	var value strings.Builder
	for n := range depth {
		fmt.Fprintf(&value, "%s\x00", appendGobUint(nil, uint64(depth-n)))
	}
	b := forge([][]byte{bytes.Join([][]byte{number(-72), []byte("\x04\x01\x00\x01"), number(gobString), []byte("\x01"), number(72), []byte("\x00\x00")}, nil)},
		here+"tree", 72, "\x00"+value.String()+"\x00")
	_, _, err := Decode(b)
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.LessOrEqual(t, allocated(func() { _, _, _ = Decode(b) }), uint64(mostFor(len(b))))
}
