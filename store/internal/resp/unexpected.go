package resp

import (
	"math"
	"strconv"
	"time"
)

// An UnexpectedReply is a reply that Redis does not send to the command: one of
// another type, or the value of another key. The connection is out of step, or
// the server is not Redis. It contains nothing of the reply.
type UnexpectedReply struct {
	Command string // "GET"
	Got     string // the type of the reply
	Want    string
	Another bool // the type is right, but the value is that of another key
}

// Error implements error.
func (e *UnexpectedReply) Error() string {
	if e.Another {
		return e.Command + ": the reply is the value of another key"
	}
	return e.Command + ": unexpected reply: got " + e.Got + ", want " + e.Want
}

var typeNames = [...]string{
	Other: "another type", Nil: "nil", Status: "a simple string", Bulk: "a bulk string",
	Integer: "an integer", Array: "an array",
}

// Life returns the remaining lifetime that PTTL reports, or 0 for a key without
// an expiry. alive is false if there is no such key, or if it has less than a
// millisecond left.
func Life(ms int64) (life time.Duration, alive bool) {
	const forever = -1
	if ms == forever {
		return 0, true
	}
	return time.Duration(ms) * time.Millisecond, ms > 0
}

// validLife reports whether ms is a valid reply to PTTL.
func validLife(ms int64) bool { return ms >= -2 && ms <= math.MaxInt64/int64(time.Millisecond) }

// validCursor reports whether cursor is a valid reply to SCAN.
func validCursor(cursor []byte) bool {
	_, err := strconv.ParseUint(string(cursor), 10, 64)
	return err == nil
}
