package store

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// command is one command with its arguments.
type command struct {
	name string
	args []any
}

func cmd(name string, args ...any) command { return command{name, args} }

// set stores a value under a key, to which it is bound.
func set(key string, value []byte, life time.Duration, condition ...any) command {
	return cmd("SET", append([]any{key, keyspace.Bind(key, value), "PX", keyspace.Millis(life)}, condition...)...)
}

// check returns an error if reply is none that Redis gives to the command.
func (c command) check(reply any) error {
	ok, another := true, false
	switch n, isInt := reply.(int64); c.name {
	case "GET":
		var b []byte
		if b, ok = reply.([]byte); ok {
			_, ok = keyspace.Unbind(c.args[0].(string), b)
			another = !ok
		} else {
			ok = reply == nil
		}
	case "SET":
		_, conditional := c.args[len(c.args)-1].(string)
		ok = reply == "OK" || reply == nil && conditional
	case "PTTL":
		ok = isInt && keyspace.ValidLife(n)
	case "PEXPIRE", "UNLINK", "ZADD", "ZREM", "ZREMRANGEBYSCORE":
		ok = isInt && n >= 0
	case "PING":
		ok = reply == "PONG"
	case "SCAN":
		page, _ := reply.([]any)
		ok = len(page) == 2 && isBulk(page[0]) && areBulk(page[1]) && keyspace.ValidCursor(page[0].([]byte))
	case "TIME", "CONFIG":
		ok = areBulk(reply)
	case "ZRANGE":
		ok, another = c.checkMembers(reply)
	}
	if ok {
		return nil
	}
	return &keyspace.UnexpectedReply{Command: c.name, Got: typeOf(reply), Another: another}
}

// checkMembers looks at the reply to ZRANGE: members of the index whose key the
// command has, each followed by its score if the command wants scores.
func (c command) checkMembers(reply any) (ok, another bool) {
	step := 1
	if c.args[len(c.args)-1] == "WITHSCORES" {
		step = 2
	}
	members, _ := reply.([]any)
	if !areBulk(reply) || len(members)%step != 0 {
		return false, false
	}
	for i := 0; i < len(members); i += step {
		if _, ok := keyspace.TokenOf(c.args[0].(string), string(members[i].([]byte))); !ok {
			return false, true
		}
	}
	return true, false
}

func isBulk(reply any) bool { _, ok := reply.([]byte); return ok }

// areBulk reports whether reply is an array of bulk strings.
func areBulk(reply any) bool {
	all, ok := reply.([]any)
	for _, one := range all {
		ok = ok && isBulk(one)
	}
	return ok
}

func typeOf(reply any) string {
	switch reply.(type) {
	case nil:
		return "nil"
	case string:
		return "a simple string"
	case []byte:
		return "a bulk string"
	case int64:
		return "an integer"
	case []any:
		return "an array"
	}
	return "another type"
}

// do executes the commands in one round trip and returns their replies. All of
// them must bear repetition: when a connection turns out to be dead, or its
// server unfit, do drops it and starts over on another one.
//
// How often? After a restart of Redis every idle connection of the pool is
// dead, and which ones are is only known by trying. So as many tries are
// granted as there are idle connections, and one more for the fresh one that
// comes after them; each dead one costs no more than the attempt to write.
func (s *Store) do(ctx context.Context, op string, cmds ...command) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, newError(op, err)
	}
	deadline := time.Now().Add(s.timeout)
	earlier, own := ctx.Deadline()
	own = !own || deadline.Before(earlier)
	ctx, cancel := context.WithDeadline(context.WithValue(ctx, silenceKey{}, &s.silence), deadline)
	defer cancel()

	triesLeft := -1 // not known before the first failure
	for misled := false; ; {
		replies, err := s.try(ctx, op, cmds, own)
		if err == nil {
			return replies, nil
		}
		if triesLeft < 0 {
			triesLeft = 1 + idleCount(s.conns)
		}
		// A value that is still another's over the next connection stands so in
		// Redis. No more connections are dropped for it.
		var unexpected *keyspace.UnexpectedReply
		twice := misled
		misled = misled || errors.As(err.Err, &unexpected)
		if err.Class != ClassRetryFresh || triesLeft == 0 || ctx.Err() != nil || twice && unexpected != nil {
			return nil, err
		}
		triesLeft--
	}
}

// try executes the commands on one connection, and drops it if another one
// might do better. own says that ctx ends by the store's own timeout.
func (s *Store) try(ctx context.Context, op string, cmds []command, own bool) ([]any, *Error) {
	conn, err := s.conns.GetContext(ctx)
	if err != nil {
		return nil, newError(op, err)
	}
	defer conn.Close()
	asked := time.Now()
	replies, err := s.exchange(ctx, conn, asked, cmds)
	if err == nil {
		return replies, nil
	}
	// The caller's deadline, or what was left of the store's own after the wait
	// for a connection, says nothing of the server.
	deadline, _ := ctx.Deadline()
	if own && errors.Is(err, os.ErrDeadlineExceeded) && deadline.Sub(asked) >= s.timeout/2 {
		s.silence.Store(asked.UnixNano())
	}
	failure := newError(op, err)
	if failure.Class == ClassRetryFresh {
		drop(conn)
	}
	return nil, failure
}

// silenceKey is where a call's context has the silence of its store.
type silenceKey struct{}

// silence is when a command was sent that got no answer in time, in Unix
// nanoseconds; 0 for never. The network may have forgotten every connection
// that has rested since before: each of them would cost one call its whole
// deadline. [NewPool] does not hand them out again.
type silence struct{ atomic.Int64 }

// silentSince reports whether a store has been left without an answer since
// the connection was last used.
func silentSince(ctx context.Context, lastUsed time.Time) bool {
	s, ok := ctx.Value(silenceKey{}).(*silence)
	return ok && lastUsed.UnixNano() < s.Load()
}

// exchange sends the commands, now, and reads all their replies before the
// context's deadline. The context's cancellation does not interrupt it: that would cost a
// healthy connection.
func (s *Store) exchange(ctx context.Context, conn redis.Conn, now time.Time, cmds []command) ([]any, error) {
	deadline, _ := ctx.Deadline()
	left := deadline.Sub(now)
	if left <= 0 {
		return nil, context.DeadlineExceeded
	}
	if len(cmds) == 1 {
		reply, err := redis.DoWithTimeout(conn, left, cmds[0].name, cmds[0].args...)
		if err == nil {
			err = cmds[0].check(reply)
		}
		return []any{reply}, err
	}

	for _, c := range cmds {
		if err := conn.Send(c.name, c.args...); err != nil {
			return nil, err
		}
	}
	// No command means: flush and read what is owed, with one deadline.
	replies, err := redis.Values(redis.DoWithTimeout(conn, left, ""))
	if err != nil {
		return nil, err
	}
	if len(replies) != len(cmds) {
		return nil, &keyspace.UnexpectedReply{Command: cmds[0].name, Got: "another number of replies"}
	}
	for i, reply := range replies {
		if err, ok := reply.(redis.Error); ok {
			return nil, err
		}
		if err := cmds[i].check(reply); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

// drop makes a healthy connection unusable, so that its pool closes it instead
// of handing it out again. Redigo has no call for this, but gives up every
// connection on which a read failed; the time for the read is up before
// it starts.
func drop(conn redis.Conn) {
	for conn.Err() == nil { // replies that are there already are still read
		_, _ = redis.ReceiveWithTimeout(conn, -time.Nanosecond)
	}
}

// idleCounter is a pool that tells how many connections it keeps, as redigo's.
type idleCounter interface{ IdleCount() int }

// idleCount asks the pool how many connections it keeps; other getters do not
// tell.
func idleCount(conns Getter) int {
	if pool, ok := conns.(idleCounter); ok {
		return pool.IdleCount()
	}
	return 0
}
