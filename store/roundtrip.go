package store

import (
	"context"
	"time"

	"github.com/gomodule/redigo/redis"
)

// command is one command with its arguments.
type command struct {
	name string
	args []any
}

func cmd(name string, args ...any) command { return command{name, args} }

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
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	triesLeft := -1 // not known before the first failure
	for {
		conn, err := s.conns.GetContext(ctx)
		if err != nil {
			return nil, newError(op, err)
		}
		replies, err := s.exchange(ctx, conn, cmds)
		if err == nil {
			conn.Close()
			return replies, nil
		}

		failure := newError(op, err)
		if failure.Class == ClassRetryFresh {
			drop(conn)
		}
		conn.Close()
		if triesLeft < 0 {
			triesLeft = 1 + idleCount(s.conns)
		}
		if failure.Class != ClassRetryFresh || triesLeft == 0 || ctx.Err() != nil {
			return nil, failure
		}
		triesLeft--
	}
}

// exchange sends the commands and reads all their replies before the context's
// deadline. The context's cancellation does not interrupt it: that would cost a
// healthy connection.
func (s *Store) exchange(ctx context.Context, conn redis.Conn, cmds []command) ([]any, error) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if left <= 0 {
		return nil, context.DeadlineExceeded
	}
	if len(cmds) == 1 {
		reply, err := redis.DoWithTimeout(conn, left, cmds[0].name, cmds[0].args...)
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
	for _, reply := range replies {
		if err, ok := reply.(redis.Error); ok {
			return nil, err
		}
	}
	return replies, nil
}

// drop makes a healthy connection unusable, so that its pool closes it instead
// of handing it out again. Redigo has no call for this, but gives up every
// connection on which a read failed; nothing is owed here, and the time for the
// read is up before it starts.
func drop(conn redis.Conn) {
	if conn.Err() == nil {
		_, _ = redis.ReceiveWithTimeout(conn, -time.Nanosecond)
	}
}

// idleCount asks the pool how many connections it keeps; other getters do not
// tell.
func idleCount(conns Getter) int {
	if pool, ok := conns.(interface{ IdleCount() int }); ok {
		return pool.IdleCount()
	}
	return 0
}
