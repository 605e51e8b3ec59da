package store

import (
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/internal/record"
)

// Codec encodes sessions for the store in a compact record with a checksum, in
// place of scs's encoding/gob. The middleware's own manager uses it; an
// application that supplies a manager (WithSessionManager) can set it:
//
//	manager.Codec = store.Codec{}
//
// Values of the types that scs has getters for (string, bool, int, int32,
// int64, float64, []byte, time.Time) are decoded exactly as gob would decode
// them, and time.Time needs no gob.Register. Values of all other types are
// encoded with gob, must be registered (gob.Register), and cost as much as with
// scs's own codec.
//
// A Codec decodes gob records, written by scs's own codec or by an earlier
// version of this library, so that an upgrade logs no one out. Such a record
// stays unchanged until the session changes. Neither scs's own codec nor an
// earlier version decodes the records of this one. An instance that uses one of
// those, because it was reverted or not yet upgraded, treats new sessions as
// corrupt and deletes them. Their users log in again, which they do not notice
// inside WeChat. To avoid this in a revert, replace all instances at the same
// time.
//
// A corrupt record is detected by its checksum before anything is decoded, and
// is an error. The checksum is not a secret: an attacker who can write to the
// store can create records, unless WithSessionEncryption is set.
//
// A Codec is safe for concurrent use by multiple goroutines.
type Codec struct{}

var _ scs.Codec = Codec{}

// Encode implements [scs.Codec]. It returns gob's error for a value of a type
// that is not registered, and the error of package time for a time in a zone
// that cannot be encoded.
func (Codec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return record.Encode(deadline, values)
}

// Decode implements [scs.Codec]. Even for a record from an untrusted source, it
// uses memory in proportion to len(b): the gob part of a record is scanned to
// its end before gob decodes it, and a count of more entries than the record
// has is an error. The factor depends on the application's types: an element of
// a slice takes at least one byte of the record, and as much memory as its
// type.
func (Codec) Decode(b []byte) (deadline time.Time, values map[string]any, err error) {
	return record.Decode(b)
}
