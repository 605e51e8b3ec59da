package rueidisstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// maxTries is how often a call is begun at most when connections turn out to be
// dead: four to one server may be, and the fifth is fresh.
const maxTries = 5

// command is one command for one key, or for no key.
type command struct {
	name string
	key  string
	args []string
}

func cmd(name, key string, args ...string) command { return command{name, key, args} }

func (c command) build(b rueidis.Builder) rueidis.Completed {
	built := b.Arbitrary(c.name)
	if c.key != "" {
		built = built.Keys(c.key)
	}
	return built.Args(c.args...).Build()
}

// set stores a value under a key, to which it is bound.
func set(key string, value []byte, life time.Duration, condition ...string) command {
	args := []string{rueidis.BinaryString(keyspace.Bind(key, value)), "PX", millis(keyspace.Millis(life))}
	return cmd("SET", key, append(args, condition...)...)
}

// check returns an error if reply is none that Redis gives to the command.
func (c command) check(reply rueidis.RedisMessage) error {
	ok, another := true, false
	switch c.name {
	case "GET":
		if ok = reply.IsNil(); reply.IsString() {
			_, ok = keyspace.Unbind(c.key, stored(reply))
			another = !ok
		}
	case "SET":
		text, _ := reply.ToString()
		ok = text == "OK" || reply.IsNil() && len(c.args) > 3
	case "PTTL":
		n, err := reply.ToInt64()
		ok = err == nil && keyspace.ValidLife(n)
	case "PEXPIRE", "UNLINK", "ZADD", "ZREM", "ZREMRANGEBYSCORE":
		n, err := reply.ToInt64()
		ok = err == nil && n >= 0
	case "PING":
		text, _ := reply.ToString()
		ok = text == "PONG"
	case "SCAN":
		page, _ := reply.ToArray()
		ok = len(page) == 2 && page[0].IsString() && areStrings(page[1]) && keyspace.ValidCursor(stored(page[0]))
	case "TIME":
		ok = areStrings(reply)
	case "CONFIG":
		_, err := reply.AsStrMap()
		ok = err == nil
	case "ROLE":
		role, _ := reply.ToArray()
		ok = len(role) > 0 && role[0].IsString()
	case "ZRANGE":
		ok, another = c.checkMembers(reply)
	}
	if ok {
		return nil
	}
	return &keyspace.UnexpectedReply{Command: c.name, Got: typeOf(reply), Another: another}
}

// checkMembers looks at the reply to ZRANGE: members of the index whose key the
// command has.
func (c command) checkMembers(reply rueidis.RedisMessage) (ok, another bool) {
	members, ok := membersOf(reply, c.args[len(c.args)-1] == "WITHSCORES")
	for _, m := range members {
		if _, ok := keyspace.TokenOf(c.key, m.name); !ok {
			return false, true
		}
	}
	return ok, false
}

// member is one of an index, with its score if that was read too.
type member struct{ name, score string }

// membersOf takes the reply to ZRANGE apart: scores follow their members in
// RESP2, and each pair is an array in RESP3.
func membersOf(reply rueidis.RedisMessage, scores bool) (members []member, ok bool) {
	all, err := reply.ToArray()
	if err != nil {
		return nil, false
	}
	for i := 0; i < len(all); i++ {
		pair := all[i : i+1]
		switch {
		case scores && all[i].IsArray():
			pair, _ = all[i].ToArray()
		case scores:
			pair = all[i:min(i+2, len(all))]
			i++
		}
		switch {
		case scores && len(pair) != 2, len(pair) == 0, !pair[0].IsString(),
			scores && !pair[1].IsString() && !pair[1].IsFloat64():
			return nil, false
		}
		m := member{name: string(stored(pair[0]))}
		if scores {
			m.score = string(stored(pair[1]))
		}
		members = append(members, m)
	}
	return members, true
}

// stored is the text of a reply that is one.
func stored(reply rueidis.RedisMessage) []byte {
	text, err := reply.AsBytes()
	if err != nil { // a number of RESP3, whose text rueidis gives as such only
		if f, err := reply.ToFloat64(); err == nil {
			text = strconv.AppendFloat(nil, f, 'f', -1, 64)
		}
	}
	return text
}

// areStrings reports whether reply is an array of strings.
func areStrings(reply rueidis.RedisMessage) bool {
	all, err := reply.ToArray()
	for _, one := range all {
		if !one.IsString() {
			return false
		}
	}
	return err == nil
}

func typeOf(reply rueidis.RedisMessage) string {
	switch {
	case reply.IsNil():
		return "nil"
	case reply.IsString():
		return "a string"
	case reply.IsInt64():
		return "an integer"
	case reply.IsArray():
		return "an array"
	case reply.IsMap():
		return "a map"
	}
	return "another type"
}

func millis(n int64) string { return strconv.FormatInt(n, 10) }

// do executes the commands in one round trip and returns their replies, of which
// none is an error. All of them must bear repetition.
//
// It ends early at ctx's deadline, not at its cancellation: what is under way
// is of use to others, too.
func (s *Store) do(ctx context.Context, op string, cmds ...command) ([]rueidis.RedisMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, newError(op, err)
	}
	start := time.Now()
	own, cancel := s.deadline(ctx)
	defer cancel()

	for try := 1; ; try++ {
		replies, err := s.try(own, cmds)
		if err == nil {
			return replies, nil
		}
		failure := newError(op, err)
		if own.Err() != nil {
			s.dialer.dropSilent(s.timeout)
			return nil, failure
		}
		if try == maxTries || !s.worthRepeating(failure, own, start, try) {
			return nil, failure
		}
	}
}

// deadline is the call's own: the store's timeout from now, or that of ctx if it
// is earlier.
func (s *Store) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(s.timeout)
	if asked, ok := ctx.Deadline(); ok && asked.Before(end) {
		end = asked
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// worthRepeating reports whether another try may succeed, and makes it go over
// another connection where this one led to a server that refuses.
func (s *Store) worthRepeating(failure *store.Error, own context.Context, start time.Time, try int) bool {
	if ofAnother(failure.Err, own) {
		return true
	}
	if failure.Class != store.ClassRetryFresh {
		return false
	}
	var unexpected *keyspace.UnexpectedReply
	if errors.As(failure, &unexpected) {
		// Which connection is out of step is not known. A value that is still
		// another's over a new one stands so in Redis.
		s.dialer.dropDialledBefore(time.Now())
		return try == 1
	}
	if said := refusal(""); !errors.As(failure, &said) {
		return true
	}
	if try == 1 {
		s.dialer.dropDialledBefore(start)
		return true
	}
	return false
}

func (s *Store) try(ctx context.Context, cmds []command) ([]rueidis.RedisMessage, error) {
	client, err := s.connector.get(ctx)
	if err != nil {
		return nil, err
	}
	return exchange(ctx, client, cmds)
}

// exchange sends the commands together and waits for all replies.
func exchange(ctx context.Context, client rueidis.Client, cmds []command) ([]rueidis.RedisMessage, error) {
	var results []rueidis.RedisResult
	if len(cmds) == 1 {
		results = []rueidis.RedisResult{client.Do(ctx, cmds[0].build(client.B()))}
	} else {
		built := make([]rueidis.Completed, len(cmds))
		for i, c := range cmds {
			built[i] = c.build(client.B())
		}
		results = client.DoMulti(ctx, built...)
	}
	replies := make([]rueidis.RedisMessage, len(results))
	for i, result := range results {
		reply, err := result.ToMessage()
		if err == nil || rueidis.IsRedisNil(err) {
			err = cmds[i].check(reply)
		}
		if err != nil {
			return nil, err
		}
		replies[i] = reply
	}
	return replies, nil
}
