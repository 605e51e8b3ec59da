package wechatauth

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func aRecord(t testing.TB, codec scs.Codec) []byte {
	t.Helper()
	b, err := codec.Encode(time.Unix(1_800_000_000, 0), map[string]any{
		"wechatauth.wx00000000000000a1": `{"v":1,"o":"` + aliceOpenID + `","s":"snsapi_base","c":"wechat","t":1700000000}`,
		"cart":                          []string{"book", "pen"}, "n": 3,
	})
	require.NoError(t, err)
	return b
}

func TestSessionRecordsAreReadByScsItselfAndItsOwnAreReadHere(t *testing.T) {
	for name, codecs := range map[string][2]scs.Codec{
		"ours by ours":      {recordCodec{}, recordCodec{}},
		"ours by scs's":     {recordCodec{}, scs.GobCodec{}},
		"scs's by ours":     {scs.GobCodec{}, recordCodec{}},
		"scs's, once more ": {scs.GobCodec{}, scs.GobCodec{}},
	} {
		t.Run(name, func(t *testing.T) {
			deadline, values, err := codecs[1].Decode(aRecord(t, codecs[0]))
			require.NoError(t, err)
			assert.Equal(t, int64(1_800_000_000), deadline.Unix())
			assert.Equal(t, 3, values["n"])
			assert.Equal(t, []string{"book", "pen"}, values["cart"])
			assert.Contains(t, values["wechatauth.wx00000000000000a1"], aliceOpenID)
		})
	}
	for name, values := range map[string]map[string]any{"empty": {}, "nil": nil, "many": manyValues()} {
		for _, codec := range []scs.Codec{recordCodec{}, scs.GobCodec{}} {
			b, err := codec.Encode(time.Now(), values)
			require.NoError(t, err, name)
			_, decoded, err := recordCodec{}.Decode(b)
			require.NoError(t, err, name)
			assert.NotNil(t, decoded, name)
			assert.Len(t, decoded, len(values), name)
		}
	}
	b, err := recordCodec{}.Encode(time.Time{}, map[string]any{"a": nil})
	if err == nil {
		_, _, err = recordCodec{}.Decode(b)
	}
	require.NoError(t, err, "no deadline")
}

func manyValues() map[string]any {
	values := map[string]any{}
	for i := range 1000 {
		values[fmt.Sprint(i)] = i
	}
	return values
}

func TestADamagedRecordIsToldBeforeItIsDecoded(t *testing.T) {
	good := aRecord(t, recordCodec{})
	decode := func(b []byte) (err error) {
		allocated := allocatedBy(func() { _, _, err = recordCodec{}.Decode(b) })
		require.LessOrEqual(t, allocated, uint64(1<<20), "%x", b)
		return err
	}
	body := len(good) - len(sumMark) - sumSize
	for i := range good {
		for bit := range 8 {
			damaged := append([]byte(nil), good...)
			damaged[i] ^= 1 << bit
			err := decode(damaged)
			if i < body || i >= body+len(sumMark) {
				assert.ErrorIs(t, err, errNoRecord, "bit %d of byte %d", bit, i)
			}
		}
		decode(good[:i])
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		damaged := append([]byte(nil), good...)
		for range 1 + random.IntN(4) {
			damaged[random.IntN(body)] = byte(random.IntN(256))
		}
		decode(damaged)
	}
}

func TestAPlainRecordThatClaimsTooManyValuesIsNotDecoded(t *testing.T) {
	plain := aRecord(t, scs.GobCodec{})
	require.True(t, plausibleGob(plain))
	// The number of values stands before the first key, which stands behind its
	// length.
	for i := range plain {
		damaged := append(append(append([]byte(nil), plain[:i]...), 0xfd, 0x10, 0x00, 0x00), plain[i:]...) // a million
		allocated := allocatedBy(func() { _, _, _ = recordCodec{}.Decode(damaged) })
		assert.Less(t, allocated, uint64(32<<20), "at %d", i)
	}
}
