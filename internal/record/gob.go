package record

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Records in gob are those of scs's own codec, and those of this library's
// first releases, which end in a separate checksum: gob ignores bytes after its
// value.
//
// encoding/gob is not made for damaged bytes: a few changed bytes make it
// reserve gigabytes, or return a session without a map. A checksum detects
// damage before gob is called; if there is none, or an attacker has computed
// it, plainGob does.

// oldMark separates the record from its checksum, oldSumSize bytes of its
// SHA-256.
const oldMark = "\x00wx1"

const oldSumSize = 8

// decodeOld decodes a whole record in gob.
func decodeOld(b []byte) (time.Time, map[string]any, error) {
	at := len(b) - len(oldMark) - oldSumSize
	if at >= 0 && string(b[at:at+len(oldMark)]) == oldMark {
		sum := sha256.Sum256(b[:at])
		if !bytes.Equal(b[at+len(oldMark):], sum[:oldSumSize]) {
			return time.Time{}, nil, ErrCorrupt
		}
	}
	return decodeGob(b)
}

func decodeGob(b []byte) (time.Time, map[string]any, error) {
	plain, ok := plainGob(b)
	if !ok {
		return time.Time{}, nil, ErrCorrupt
	}
	deadline, values, err := scs.GobCodec{}.Decode(plain)
	if err == nil && values == nil {
		values = map[string]any{} // gob leaves out an empty one
	}
	return deadline, values, err
}
