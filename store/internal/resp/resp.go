// Package resp defines what a store and a client library exchange: commands,
// replies, and the small interfaces through which the client library sends them
// to Redis. It checks that a reply is one that Redis sends to its command.
package resp

import (
	"slices"
	"strconv"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// An Exchange holds the commands of one round trip and their replies.
type Exchange struct {
	Commands []Command
	// Replies has an element for each of Commands, which the transport
	// sets.
	Replies []Reply
	// Sent is when the commands were sent. It is zero if they were not. A
	// transport that is no [Idler], or no [SilenceDropper], does not set it.
	Sent time.Time

	// commands and replies are the backing arrays of an exchange of few
	// commands, which is the common case.
	commands [2]Command
	replies  [2]Reply
}

// Waits reports whether the exchange waits for replicas (WAIT). Its commands are
// then for one server, and sent over one connection, which no other call shares
// meanwhile; a redirect is not followed.
func (x *Exchange) Waits() bool {
	return len(x.Commands) > 1 && x.Commands[len(x.Commands)-1].Name == "WAIT"
}

// Judge returns the first refusal, or the first reply that Redis does not send
// to its command. If the class of that error is RetryFresh, the connection of the
// replies must not be used again: they belong to other commands, or the server
// can no longer serve. A transport that knows which connection that is closes it;
// for the others there is [Refresher].
func (x *Exchange) Judge() error {
	for i, c := range x.Commands {
		if err := c.check(x.Replies[i]); err != nil {
			return err
		}
	}
	return nil
}

// NewExchange returns an exchange without replies.
func NewExchange(commands []Command) *Exchange {
	x := &Exchange{}
	x.Commands = append(x.commands[:0], commands...)
	x.Reset()
	return x
}

// Reset prepares the exchange for another try.
func (x *Exchange) Reset() {
	x.Replies = slices.Grow(x.replies[:0], len(x.Commands))[:len(x.Commands)]
	clear(x.Replies)
	x.Sent = time.Time{}
}

// A Command is a command for one key, or for none.
type Command struct {
	Name string
	Key  string // empty for a command that concerns no key
	Args []any  // string, []byte or int64, without the key
}

// Cmd returns a command with the given arguments.
func Cmd(name, key string, args ...any) Command { return Command{name, key, args} }

// Arguments returns the key, if there is one, and the arguments.
func (c Command) Arguments() []any {
	if c.Key == "" {
		return c.Args
	}
	return slices.Concat([]any{c.Key}, c.Args)
}

// Set returns a command that stores a value under a key, to which it is bound.
func Set(key string, value []byte, life time.Duration, condition ...any) Command {
	args := make([]any, 0, 4)
	args = append(args, keyspace.Bind(key, value), "PX", keyspace.Millis(life))
	return Command{"SET", key, append(args, condition...)}
}

// A Reply is the reply of Redis to one command.
type Reply struct {
	Kind  Kind
	Bytes []byte  // of a bulk string
	Text  string  // of a status or a refusal
	Int   int64   // of an integer
	Array []Reply // of an array
}

// Kind is the type of a [Reply].
type Kind int

const (
	// Other is a reply of a type that no command of the store returns. It
	// is the zero value.
	Other Kind = iota
	// Nil is a null of RESP2 or RESP3.
	Nil
	// Status is a simple string.
	Status
	// Bulk is a bulk string, or any string if the client library does not
	// distinguish them. A double of RESP3 is also one, in decimal.
	Bulk
	// Integer is an integer.
	Integer
	// Array is an array, a set, or a map of RESP3 as alternating keys and
	// values.
	Array
	// Refused is an error of the server.
	Refused
)

// ReplyOf returns the reply for a value of a client library, whose strings are of
// the given kind.
func ReplyOf(value any, strings Kind) Reply {
	switch v := value.(type) {
	case nil:
		return Reply{Kind: Nil}
	case string:
		if strings == Bulk {
			return Reply{Kind: Bulk, Bytes: []byte(v)}
		}
		return Reply{Kind: strings, Text: v}
	case []byte:
		return Reply{Kind: Bulk, Bytes: v}
	case int64:
		return Reply{Kind: Integer, Int: v}
	case float64:
		return Reply{Kind: Bulk, Bytes: strconv.AppendFloat(nil, v, 'f', -1, 64)}
	case error:
		return Reply{Kind: Refused, Text: v.Error()}
	case []any:
		all := make([]Reply, len(v))
		for i, one := range v {
			all[i] = ReplyOf(one, strings)
		}
		return Reply{Kind: Array, Array: all}
	case map[any]any:
		r := Reply{Kind: Array}
		for key, value := range v {
			r.Array = append(r.Array, ReplyOf(key, strings), ReplyOf(value, strings))
		}
		return r
	}
	return Reply{}
}

// Content returns the text of a string or a refusal.
func (r Reply) Content() string {
	if r.Kind == Bulk {
		return string(r.Bytes)
	}
	return r.Text
}

// Contents returns the texts of an array of bulk strings.
func (r Reply) Contents() []string {
	all := make([]string, len(r.Array))
	for i, one := range r.Array {
		all[i] = one.Content()
	}
	return all
}

// areBulk reports whether r is an array of bulk strings.
func (r Reply) areBulk() bool {
	return r.Kind == Array && !slices.ContainsFunc(r.Array, func(one Reply) bool { return one.Kind != Bulk })
}

// check returns an error if the reply is a refusal, or not one that Redis sends
// to the command.
func (c Command) check(r Reply) error {
	const texts = "an array of strings"
	want, ok, another := "an integer", r.Kind == Integer && r.Int >= 0, false
	switch c.Name {
	case "PEXPIRE", "DEL", "WAIT", "ZADD", "ZREM", "ZREMRANGEBYSCORE":
	case "PTTL":
		ok = r.Kind == Integer && validLife(r.Int)
	case "GET":
		want, ok = "a bulk string or nil", r.Kind == Nil
		if r.Kind == Bulk {
			_, ok = keyspace.Unbind(c.Key, r.Bytes)
			another = !ok
		}
	case "SET":
		want, ok = "OK", r.Kind == Nil && len(c.Args) > 3 || r.Content() == "OK"
	case "ASKING", "AUTH", "SELECT":
		want, ok = "OK", r.Content() == "OK"
	case "PING":
		want, ok = "PONG", r.Content() == "PONG"
	case "SCAN":
		want, ok = texts, r.Kind == Array && len(r.Array) == 2 && r.Array[0].Kind == Bulk &&
			r.Array[1].areBulk() && validCursor(r.Array[0].Bytes)
	case "TIME", "CONFIG":
		want, ok = texts, r.areBulk()
	case "ROLE":
		want, ok = texts, r.Kind == Array && len(r.Array) > 0 && r.Array[0].Kind == Bulk
	case "ZRANGE":
		want = texts
		ok, another = c.checkMembers(r)
	default:
		ok = true
	}
	switch {
	case r.Kind == Refused:
		return ParseRefusal(r.Text)
	case ok:
		return nil
	}
	return &UnexpectedReply{Command: c.Name, Got: typeNames[r.Kind], Want: want, Another: another}
}

// checkMembers checks the reply to ZRANGE: members of the index with the
// command's key, each with its score if the command requests scores.
func (c Command) checkMembers(r Reply) (ok, another bool) {
	all, each := r, 1
	if c.Args[len(c.Args)-1] == "WITHSCORES" {
		all, each = r.Pairs(), 2
	}
	if !all.areBulk() || len(all.Array)%each != 0 {
		return false, false
	}
	for i := 0; i < len(all.Array); i += each {
		if _, ok := keyspace.TokenOf(c.Key, all.Array[i].Content()); !ok {
			return false, true
		}
	}
	return true, false
}

// Pairs returns the reply to ZRANGE WITHSCORES as one array, in which each score
// follows its member. In RESP3, each pair is a nested array.
func (r Reply) Pairs() Reply {
	flat := Reply{Kind: r.Kind}
	for _, one := range r.Array {
		if one.Kind == Array {
			flat.Array = append(flat.Array, one.Array...)
		} else {
			flat.Array = append(flat.Array, one)
		}
	}
	return flat
}
