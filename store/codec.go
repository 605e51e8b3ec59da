package store

import (
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/wechatauth/wechatauth/internal/record"
)

// Codec is how sessions are written to the store: in a compact record with a
// check sum, where scs has encoding/gob. The gate's own manager has it; an
// application that brings its own (WithSessionManager) can set it:
//
//	manager.Codec = store.Codec{}
//
// Values of the types that scs has getters for (string, bool, int, int32,
// int64, float64, []byte, time.Time) come back exactly as they do from gob, and
// time.Time needs no gob.Register. Values of all other types are left to gob,
// which has to know them (gob.Register), and cost as much as they do there.
//
// It reads what gob wrote, for scs's own codec or in an earlier version of this
// library, so that nobody is logged out when it comes; such a record stays as it
// is until the session changes. Neither scs's own codec nor an earlier version
// reads what this one writes. An instance that is set back to one of them, or
// runs beside this one, takes new sessions for damaged ones: it deletes them,
// and their visitors log in again, which inside WeChat they do not notice. To go
// back without that, replace all instances at once.
//
// A record that was damaged is told by its sum before anything is made of it,
// and is an error. The sum is no secret: who can write to the store can make
// records, unless WithSessionEncryption is set.
//
// Safe for concurrent use.
type Codec struct{}

var _ scs.Codec = Codec{}

// Encode implements scs.Codec. The error is gob's, for a value of a type that
// it does not know, or time's, for one in a zone that cannot be written.
func (Codec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return record.Encode(deadline, values)
}

// Decode implements scs.Codec. Whoever wrote the record, it takes memory in
// proportion to len(b): what is left to gob is followed to its end before gob is
// asked, and a number of entries that are not there is an error. By how much the
// proportion is depends on the application's types: an element of a slice has one
// byte of the record at least, and takes as much memory as its type does.
func (Codec) Decode(b []byte) (deadline time.Time, values map[string]any, err error) {
	return record.Decode(b)
}
