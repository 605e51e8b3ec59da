package store

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
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
	ctx, cancel := s.withDeadline(ctx)
	defer cancel()

	triesLeft := -1 // not known before the first failure
	for {
		replies, err := s.try(ctx, op, cmds)
		if err == nil {
			return replies, nil
		}
		if triesLeft < 0 {
			triesLeft = 1 + idleCount(s.conns)
		}
		if err.Class != ClassRetryFresh || triesLeft == 0 || ctx.Err() != nil {
			return nil, err
		}
		triesLeft--
	}
}

// try executes the commands on one connection, and drops it if another one
// might do better.
func (s *Store) try(ctx context.Context, op string, cmds []command) ([]any, *Error) {
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
	if errors.Is(err, os.ErrDeadlineExceeded) {
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
	if pool, ok := conns.(idleCounter); ok {
		return pool.IdleCount()
	}
	return 0
}
