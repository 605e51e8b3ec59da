package record

import (
	"math"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A session of any values is decoded exactly as gob decodes it.
func FuzzRoundTrip(f *testing.F) {
	f.Add("wechatauth.wx00000000000000a1", "2sy1nq8\no1", "n", int64(-7), []byte{0, 255}, uint64(0x7ff8000000000123), int64(1_800_000_000), int64(1), 28_800)
	f.Add("", "", "", int64(0), []byte{}, uint64(0), int64(0), int64(0), 0)
	f.Add("a", "\xff", "a", int64(math.MinInt64), []byte(nil), uint64(1)<<63, int64(-62135596800), int64(999_999_999), -3607)
	f.Fuzz(func(t *testing.T, name, text, other string, n int64, bytes []byte, bits uint64, seconds, nanos int64, zone int) {
		when := time.Unix(seconds, nanos).In(time.FixedZone("", zone%86_400))
		values := map[string]any{
			name: text, other: n, name + "i": int(n), name + "i32": int32(n), name + "b": bytes, name + "f": math.Float64frombits(bits),
			name + "t": when, name + "u": when.UTC(), name + "bool": n > 0, name + "s": []string{text, other},
			name + "m": map[string]any{other: shelf{map[string]string{text: other, name: text}}, text: tree{other: {text: nil}}},
			name + "h": holder{Extra: []any{secret{text}, chain{Name: text}, n}, Items: []string{other}},
			name + "x": mixed{Small: int8(n), Wave: complex(float64(n), 1), Raw: bytes, Fixed: [3]uint8{uint8(n)}, When: noon, ByPair: map[[2]int]struct{ A bool }{{int(n)}: {n > 0}}},
		}
		assertAsByGob(t, when, values)
		if written, err := (scs.GobCodec{}).Encode(when, values); err == nil {
			wantDeadline, want := byGob(t, when, values)
			for _, b := range [][]byte{written, sumOld(written)} {
				deadline, got, err := Decode(b)
				require.NoError(t, err)
				assertSame(t, wantDeadline, want, deadline, got)
			}
		}
	})
}

// Any bytes in place of a record take little memory to decode, and are either
// rejected or the only record of the session that is decoded from them.
func FuzzDecode(f *testing.F) {
	for _, values := range []map[string]any{{}, {"wechatauth.wx00000000000000a1": "2sy1nq8\no1", "n": 1, "t": noon, "f": 0.5, "b": []byte{1}}, {"wechatauth.b": []byte("no text")}} {
		b, err := Encode(noon, values)
		require.NoError(f, err)
		f.Add(b, false)
		f.Add(b[:len(b)-sumSize], true)
		f.Add(oldRecord(f, noon, values), false)
	}
	for _, values := range applications() {
		b, err := Encode(noon, values)
		require.NoError(f, err)
		f.Add(b[:len(b)-sumSize], true)
		b, err = scs.GobCodec{}.Encode(noon, values)
		require.NoError(f, err)
		f.Add(b, false)
	}
	f.Add([]byte("\x81\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x07\x01a\xff\xff\xff\xff\x0f"), true)
	f.Fuzz(func(t *testing.T, b []byte, forged bool) {
		if forged {
			b = resum(b)
		}
		assert.LessOrEqual(t, allocated(func() { _, _, _ = Decode(b) }), uint64(max(1<<20, mostFor(len(b)))))
		rec, err := Open(b)
		if err != nil {
			return
		}
		values, err := rec.Values()
		if err != nil || rec.gob != nil {
			return
		}
		for name, value := range values {
			if len(name) < len(Prefix) || name[:len(Prefix)] != Prefix {
				continue
			}
			text, found := rec.String(name)
			want, isText := value.(string)
			assert.Equal(t, isText, found, "%q", name)
			assert.Equal(t, want, string(text), "%q", name)
			assert.Equal(t, value == true, rec.Bool(name), "%q", name)
		}
		assertAsByGob(t, rec.Deadline(), values)
	})
}

// assertAsByGob asserts that a session is decoded as gob decodes it, and
// rejected if gob rejects it: some zones have no binary form, and some have
// another one when they are written a second time.
func assertAsByGob(t *testing.T, deadline time.Time, values map[string]any) {
	t.Helper()
	if _, err := (scs.GobCodec{}).Encode(deadline, values); err != nil {
		_, err = Encode(deadline, values)
		assert.Error(t, err)
		return
	}
	wantDeadline, want := byGob(t, deadline, values)
	deadline, got := roundTrip(t, deadline, values)
	assertSame(t, wantDeadline, want, deadline, got)
}
