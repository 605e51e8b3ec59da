package keyspace

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An UnexpectedReply is a reply that Redis does not give to the command: of
// another type, or the value of another key. The connection is out of step, or
// the server is no Redis. It holds nothing of the reply.
type UnexpectedReply struct {
	Command string // "GET"
	Got     string // the type of the reply
	Another bool   // the type is right, but the value is that of another key
}

// Error implements error.
func (e *UnexpectedReply) Error() string {
	if e.Another {
		return e.Command + ": the reply is the value of another key"
	}
	want := "an integer"
	switch e.Command {
	case "GET":
		want = "a bulk string or nil"
	case "SET":
		want = "OK"
	case "PING":
		want = "PONG"
	case "CONFIG", "ROLE", "SCAN", "TIME", "ZRANGE":
		want = "an array of strings"
	}
	return e.Command + ": unexpected reply: got " + e.Got + ", want " + want
}

// Life returns the remaining life that PTTL reports: 0 for a key without an
// expiry. The key is not alive if there is none, or if it has less than a
// millisecond left.
func Life(ms int64) (life time.Duration, alive bool) {
	const forever = -1
	if ms == forever {
		return 0, true
	}
	return time.Duration(ms) * time.Millisecond, ms > 0
}

// ValidLife reports whether PTTL can have replied ms.
func ValidLife(ms int64) bool { return ms >= -2 && ms <= math.MaxInt64/int64(time.Millisecond) }

// ValidCursor reports whether SCAN can have replied with the cursor.
func ValidCursor(cursor []byte) bool {
	_, err := strconv.ParseUint(string(cursor), 10, 64)
	return err == nil
}

// The classes of errors, with the numbers of store.Class.
const (
	RetryNow = iota + 1
	RetryFresh
	FailClosed
	Configuration
)

// refusals are the errors of Redis that a store distinguishes, by how they
// begin. The codes are part of its protocol; the texts after ERR are not, so the
// few here are those that have not changed since Redis 5.
var refusals = []struct {
	prefix string
	class  int
}{
	{"READONLY", RetryFresh},
	{"LOADING", RetryFresh},
	{"MASTERDOWN", RetryFresh},
	{"CLUSTERDOWN", RetryFresh},
	{"ERR max number of clients", RetryFresh},

	{"BUSY", RetryNow},
	{"TRYAGAIN", RetryNow},

	{"OOM", FailClosed},
	{"MISCONF", FailClosed},
	{"NOREPLICAS", FailClosed},
	{"WRONGTYPE", FailClosed},

	{"NOAUTH", Configuration},
	{"WRONGPASS", Configuration},
	{"NOPERM", Configuration},
	{"DENIED", Configuration},
	{"MOVED", Configuration},
	{"ASK", Configuration},
	{"CROSSSLOT", Configuration},
	{"ERR unknown command", Configuration},
	{"ERR syntax error", Configuration},
	{"ERR AUTH", Configuration},
	{"ERR Client sent AUTH", Configuration},
	{"ERR invalid password", Configuration},
	{"ERR DB index is out of range", Configuration},
	{"ERR invalid DB index", Configuration},
	{"ERR No such master", Configuration},
}

// Refusal returns the class of an error of Redis, and what may be repeated of
// it. The rest of its text may hold anything, such as the key and the value of a
// command that the server does not know.
func Refusal(text string) (safe string, class int) {
	for _, known := range refusals {
		bare := strings.TrimPrefix(known.prefix, "ERR ") // rueidis removes it
		switch {
		case !strings.HasPrefix(text, known.prefix) && !strings.HasPrefix(text, bare):
		case known.prefix == "NOPERM":
			return "NOPERM" + lacking(text), known.class
		default:
			return known.prefix, known.class
		}
	}
	return "an error that the store does not know", FailClosed
}

// rights are the commands that Redis may not permit.
var rights = strings.Fields("asking auth client cluster config del get hello pexpire ping pttl role scan select set time zadd zrange zrem zremrangebyscore")

// lacking returns what a NOPERM says that is not permitted.
func lacking(text string) string {
	_, quoted, _ := strings.Cut(strings.ToLower(text), "'")
	name, _, _ := strings.Cut(quoted, "'")
	name, _, _ = strings.Cut(name, "|")
	switch {
	case slices.Contains(rights, name):
		return ": no permission to run " + strings.ToUpper(name)
	case strings.Contains(text, "key"):
		return ": no permission to access the key"
	}
	return ""
}
