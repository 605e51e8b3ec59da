package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type cart struct{ Items []string }

type word string

func init() {
	gob.Register(time.Time{}) // for scs's codec; this one needs no registration
	gob.Register(cart{})
	gob.Register(word(""))
	gob.Register(map[string]string{})
}

var noon = time.Date(2030, 1, 2, 12, 0, 0, 123_456_789, time.UTC)

var now = time.Now()

// specimens are values that have a kind, and some that need gob.
func specimens() map[string]any {
	return map[string]any{
		"wechatauth.wx00000000000000a1": "2sy1nq8\noFakeOpenidForTests000000000\noFakeUnionidForTests00000000\nb\nw",
		"wechatauth.bearer":             true, "wechatauth": 1, "wechatauth.": int64(2), "": "no name", "\xff\x00": "odd name",
		"nil": nil, "true": true, "false": false,
		"zero": 0, "int": -7, "max": math.MaxInt, "min": math.MinInt, "int32": int32(math.MinInt32), "int64": int64(math.MaxInt64),
		"float": 0.1, "-0": math.Copysign(0, -1), "NaN": math.Float64frombits(0x7ff8000000000123), "Inf": math.Inf(-1),
		"text": "你好\x00\xff\xfe", "empty": "", "bytes": []byte{0, 1, 255}, "no bytes": []byte{}, "nil bytes": []byte(nil),
		"now": now, "utc": noon, "zone": noon.In(time.FixedZone("CST", 8*3600)), "odd zone": noon.In(time.FixedZone("", -3600-7)),
		"zero time": time.Time{}, "far": time.Date(9999, 1, 1, 0, 0, 0, 1, time.UTC), "long ago": time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), "gmt": noon.In(time.FixedZone("GMT", 0)),
		"1677": time.Unix(0, math.MinInt64).UTC(), "2262": time.Unix(0, math.MaxInt64).UTC(),
		"uint": uint(3), "rune slice": []int32{1, 2}, "words": []string{"a", "b"}, "struct": cart{[]string{"book", "pen"}}, "named": word("w"),
		"map": map[string]string{"a": "b"}, "float32": float32(1.5), "array of any": []any{1, "a"},
	}
}

func init() { gob.Register([]any{}) }

// byGob returns a session as encoded and decoded by scs's own codec.
func byGob(t testing.TB, deadline time.Time, values map[string]any) (time.Time, map[string]any) {
	t.Helper()
	b, err := scs.GobCodec{}.Encode(deadline, values)
	require.NoError(t, err)
	deadline, decoded, err := scs.GobCodec{}.Decode(b)
	require.NoError(t, err)
	if decoded == nil {
		decoded = map[string]any{}
	}
	return deadline, decoded
}

// assertSame compares two sessions to the last bit, also those of NaN and of the
// zone of a time.
func assertSame(t testing.TB, wantDeadline time.Time, want map[string]any, deadline time.Time, values map[string]any) {
	t.Helper()
	assert.Equal(t, wantDeadline, deadline)
	assert.Equal(t, fmt.Sprintf("%#v", wantDeadline), fmt.Sprintf("%#v", deadline))
	if !assert.Len(t, values, len(want)) {
		return
	}
	for name, w := range want {
		got, found := values[name]
		assert.True(t, found, "%q", name)
		if f, ok := w.(float64); ok {
			g, ok := got.(float64)
			assert.True(t, ok && math.Float64bits(f) == math.Float64bits(g), "%q: %v, not %v", name, got, w)
			continue
		}
		assert.Equal(t, w, got, "%q", name)
		assert.Equal(t, fmt.Sprintf("%T %#v", w, w), fmt.Sprintf("%T %#v", got, got), "%q", name)
	}
}

func roundTrip(t testing.TB, deadline time.Time, values map[string]any) (time.Time, map[string]any) {
	t.Helper()
	b, err := Encode(deadline, values)
	require.NoError(t, err)
	deadline, values, err = Decode(b)
	require.NoError(t, err)
	return deadline, values
}

// TestEncode_values covers every kind of value: it is decoded as gob decodes it.
func TestEncode_values(t *testing.T) {
	for name, value := range specimens() {
		t.Run(name, func(t *testing.T) {
			values := map[string]any{name: value}
			wantDeadline, want := byGob(t, noon, values)
			deadline, got := roundTrip(t, noon, values)
			assertSame(t, wantDeadline, want, deadline, got)
		})
	}
	t.Run("all together", func(t *testing.T) {
		wantDeadline, want := byGob(t, noon, specimens())
		deadline, got := roundTrip(t, noon, specimens())
		assertSame(t, wantDeadline, want, deadline, got)
	})
	for name, deadline := range map[string]time.Time{"none": {}, "local": time.Now(), "far": time.Date(9999, 1, 1, 0, 0, 0, 1, time.UTC), "zone": noon.In(time.FixedZone("", 90))} {
		t.Run("deadline "+name, func(t *testing.T) {
			for _, values := range []map[string]any{nil, {}, {"a": "b"}} {
				wantDeadline, want := byGob(t, deadline, values)
				got, decoded := roundTrip(t, deadline, values)
				assertSame(t, wantDeadline, want, got, decoded)
				assert.NotNil(t, decoded, "scs writes into it")
			}
		})
	}
}

// TestEncode_random round-trips random sessions: they are decoded as gob decodes them.
func TestEncode_random(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all []any
	for _, value := range specimens() {
		all = append(all, value)
	}
	for range 500 {
		values := map[string]any{}
		for range random.IntN(12) {
			name := make([]byte, random.IntN(200))
			for i := range name {
				name[i] = byte(random.IntN(256))
			}
			if random.IntN(3) == 0 {
				name = append([]byte(Prefix), name...)
			}
			values[string(name)] = all[random.IntN(len(all))]
		}
		deadline := time.Unix(random.Int64N(1<<33), random.Int64N(1e9)).In(time.FixedZone("", random.IntN(86_000)-43_000))
		wantDeadline, want := byGob(t, deadline, values)
		got, decoded := roundTrip(t, deadline, values)
		assertSame(t, wantDeadline, want, got, decoded)
	}
}

// TestEncode_deterministic checks that a session has exactly one record.
func TestEncode_deterministic(t *testing.T) {
	values := map[string]any{}
	for i := range 100 {
		values[fmt.Sprint(i)], values[Prefix+fmt.Sprint(i)] = i, fmt.Sprint(i)
	}
	first, err := Encode(noon, values)
	require.NoError(t, err)
	for range 20 {
		again, err := Encode(noon, values)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}

// TestEncode_errors covers values that cannot be encoded.
func TestEncode_errors(t *testing.T) {
	type unknown struct{ A int }
	far := noon.In(time.FixedZone("", 40_000*60))
	for name, values := range map[string]map[string]any{
		"a type not registered with gob": {"a": unknown{1}},
		"a function":                     {"a": func() {}},
		"a time in an impossible zone":   {"a": far, "b": 1},
	} {
		_, err := Encode(noon, values)
		assert.Error(t, err, name)
	}
	_, err := Encode(far, map[string]any{"a": 1})
	assert.Error(t, err, "such a deadline")
}

// TestRecord_ownValues reads this library's values without decoding the others.
func TestRecord_ownValues(t *testing.T) {
	b, err := Encode(noon, specimens())
	require.NoError(t, err)
	rec, err := Open(b)
	require.NoError(t, err)
	assert.Equal(t, noon, rec.Deadline())
	text, found := rec.String("wechatauth.wx00000000000000a1")
	assert.True(t, found)
	assert.Equal(t, specimens()["wechatauth.wx00000000000000a1"], string(text))
	assert.True(t, rec.Bool("wechatauth.bearer"))

	for _, name := range []string{"wechatauth.bearer", "wechatauth.wx00000000000000a", "wechatauth.wx00000000000000a12", "wechatauth."} {
		_, found := rec.String(name)
		assert.False(t, found, name)
	}
	assert.False(t, rec.Bool("wechatauth.wx00000000000000a1"))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		rec, _ := Open(b)
		rec.String("wechatauth.wx00000000000000a1")
		rec.Bool("wechatauth.bearer")
	}))
}

// oldRecord is how this library wrote sessions first.
func oldRecord(t testing.TB, deadline time.Time, values map[string]any) []byte {
	t.Helper()
	b, err := scs.GobCodec{}.Encode(deadline, values)
	require.NoError(t, err)
	return sumOld(b)
}

func sumOld(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(append(bytes.Clone(b), oldMark...), sum[:oldSumSize]...)
}

// TestDecode_gob reads records that gob wrote.
func TestDecode_gob(t *testing.T) {
	for _, values := range []map[string]any{nil, {}, {"a": "b"}, specimens()} {
		wantDeadline, want := byGob(t, noon, values)
		plain, err := scs.GobCodec{}.Encode(noon, values)
		require.NoError(t, err)
		for name, b := range map[string][]byte{"scs's own": plain, "with a sum": oldRecord(t, noon, values)} {
			deadline, got, err := Decode(b)
			require.NoError(t, err, name)
			assertSame(t, wantDeadline, want, deadline, got)
			_, err = Open(b)
			assert.ErrorIs(t, err, ErrGob, name)
		}
	}
}

// Gob writes values in any order, and interrupts them to define a type.
func TestDecode_gobTypePosition(t *testing.T) {
	values := map[string]any{"cart": cart{[]string{"book"}}, "named": word("w")}
	for i := range 50 {
		values[fmt.Sprint(i)] = nil
	}
	for range 100 {
		plain, err := scs.GobCodec{}.Encode(noon, values)
		require.NoError(t, err)
		_, got, err := Decode(plain)
		require.NoError(t, err)
		require.Equal(t, values, got)
		_, got = roundTrip(t, noon, values)
		require.Equal(t, values, got)
	}
}

// TestDecode_gobWrongSum rejects a record in gob with a wrong checksum.
func TestDecode_gobWrongSum(t *testing.T) {
	b := oldRecord(t, noon, map[string]any{"a": "b"})
	for i := range b {
		for bit := range 8 {
			damaged := bytes.Clone(b)
			damaged[i] ^= 1 << bit
			if i < len(b)-oldSumSize-len(oldMark) || i >= len(b)-oldSumSize {
				_, _, err := Decode(damaged)
				assert.ErrorIs(t, err, ErrCorrupt, "bit %d of byte %d", bit, i)
			}
		}
	}
}

// allocated is how many bytes of heap a call took.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// maxAllocated is what damage may cost.
const maxAllocated = 64 << 10

// mostFor is what a deliberately forged record of that length may cost.
func mostFor(length int) int { return maxAllocated + 64*length }

// TestOpen_damage flips every bit and truncates at every length: each is detected.
func TestOpen_damage(t *testing.T) {
	b, err := Encode(noon, specimens())
	require.NoError(t, err)
	assert.LessOrEqual(t, allocated(func() {
		for i := range b {
			for bit := range 8 {
				b[i] ^= 1 << bit
				if _, _, err := Decode(b); err == nil {
					t.Errorf("bit %d of byte %d is not missed", bit, i)
				}
				b[i] ^= 1 << bit
			}
			if _, _, err := Decode(b[:i]); err == nil {
				t.Errorf("%d bytes are taken for the whole", i)
			}
		}
	}), uint64(maxAllocated), "for all of them together")
}

// TestOpen_mutations applies a hundred thousand mutations: each is detected.
func TestOpen_mutations(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	b, err := Encode(noon, specimens())
	require.NoError(t, err)
	damaged := make([]byte, len(b))
	for range 1000 {
		got := allocated(func() {
			for range 100 {
				copy(damaged, b)
				for range 1 + random.IntN(8) {
					damaged[random.IntN(len(b))] = byte(random.IntN(256))
				}
				if _, _, err := Decode(damaged); (err == nil) != bytes.Equal(b, damaged) {
					t.Errorf("%x", damaged)
				}
			}
		})
		require.LessOrEqual(t, got, uint64(maxAllocated), "for a hundred of them")
	}
}

// resum gives bytes the sum that makes a record of them.
func resum(body []byte) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(body), crc64.Checksum(body, sums))
}

// TestDecode_memory decodes forged records, which take no more memory than their size allows.
func TestDecode_memory(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	own := specimens()
	for name, value := range own {
		if kindOf(value) == kindGob {
			delete(own, name)
		}
	}
	for name, values := range map[string]map[string]any{"values of our own": own, "with some that gob has": specimens()} {
		t.Run(name, func(t *testing.T) {
			b, err := Encode(noon, values)
			require.NoError(t, err)
			whole := b[:len(b)-sumSize]
			for range 5_000 {
				forged := bytes.Clone(whole)
				for range 1 + random.IntN(4) {
					forged[random.IntN(len(forged))] = byte(random.IntN(256))
				}
				if at := random.IntN(len(forged) - 8); random.IntN(4) == 0 {
					copy(forged[at:], []byte{0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}[random.IntN(7):])
				}
				if random.IntN(4) == 0 {
					forged = forged[:1+random.IntN(len(forged))]
				}
				forged = resum(forged)
				require.LessOrEqual(t, allocated(func() { _, _, _ = Decode(forged) }), uint64(mostFor(len(forged))), "%x", forged)
			}
		})
	}
}

// TestOpen_wrongForm rejects malformed records even if their checksum is right.
func TestOpen_wrongForm(t *testing.T) {
	const when = "\x0a\x00\x00\x00\x00\x00\x00\x00\x00"
	gobOf := func(values map[string]any) string {
		b, err := scs.GobCodec{}.Encode(time.Time{}, values)
		require.NoError(t, err)
		return string(b)
	}
	for name, body := range map[string]string{
		"no deadline":                    "",
		"a deadline that is no time":     "\x01",
		"half a deadline":                when[:5],
		"a deadline in a broken form":    "\x09\x0f" + "\x07aaaaaaaaaaaaaa",
		"a name cut short":               when + "\x01\x05ab",
		"a name without end":             when + "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"no such kind":                   when + "\x20\x01a",
		"a number cut short":             when + "\x03\x01a\xff",
		"an int32 that is none":          when + "\x04\x01a\xff\xff\xff\xff\xff\x01",
		"half a float":                   when + "\x06\x01a\x00\x00",
		"a text longer than all":         when + "\x07\x01a\xff\xff\x03ab",
		"one name twice":                 when + "\x01\x01a\x02\x01a",
		"names in disorder":              when + "\x01\x01b\x01\x01a",
		"an own name after another":      when + "\x01\x01a\x41\x01a",
		"an own name written out":        when + "\x01\x0dwechatauth.wx",
		"a name of gob's that is here":   when + "\x01\x01a\xff" + gobOf(map[string]any{"a": []string{"x"}}),
		"no gob behind its mark":         when + "\x01\x01a\xff",
		"something else behind its mark": when + "\x01\x01a\xffgarbage",
	} {
		_, _, err := Decode(resum([]byte("\x81" + body)))
		assert.Error(t, err, name)
	}
	deadline, values, err := Decode(resum([]byte("\x81" + when + "\x42\x01a\x01\x01a\xff" + gobOf(map[string]any{"b": []string{"x"}}))))
	require.NoError(t, err, "and this is a good one")
	assert.Equal(t, int64(0), deadline.Unix())
	assert.Equal(t, map[string]any{"wechatauth.a": true, "a": false, "b": []string{"x"}}, values)
}
