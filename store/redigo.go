package store

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// Pool provides connections. It is a *redis.Pool or a type that wraps one.
//
// The connections must support timeouts (redis.ConnWithTimeout), as all of
// redigo's do. The pool itself sets the timeouts for dialing and writing;
// [NewPool] does.
type Pool interface {
	// GetContext returns a connection for one call, which returns it to the
	// pool with Close. If none is free, it waits until ctx is done at the
	// latest.
	GetContext(ctx context.Context) (redis.Conn, error)
}

// redigo is the [resp.Transport] over a redigo pool.
type redigo struct {
	conns   Pool
	silence atomic.Int64 // see silenceKey
}

var (
	_ resp.Ordered        = (*redigo)(nil)
	_ resp.Idler          = (*redigo)(nil)
	_ resp.SilenceDropper = (*redigo)(nil)
)

// RoundTrip implements [resp.Transport]. It closes the connection if another
// one might succeed.
func (t *redigo) RoundTrip(ctx context.Context, x *resp.Exchange) error {
	conn, err := t.conns.GetContext(context.WithValue(ctx, silenceKey{}, &t.silence))
	if err != nil {
		return ofRedigo(err)
	}
	defer conn.Close()
	if err = safely(ctx, conn, x); err != nil {
		err = ofRedigo(err)
	}
	if ClassOf(cmp.Or(err, x.Judge())) == ClassRetryFresh {
		drop(conn)
	}
	return err
}

// safely is like exchange, but returns an error if the server sends a length
// that redigo cannot allocate, at which redigo panics.
func safely(ctx context.Context, conn redis.Conn, x *resp.Exchange) (err error) {
	defer func() {
		if p := recover(); p != nil {
			onlyLength(p)
			drop(conn)
			err = resp.ErrNoRedis
		}
	}()
	return exchange(ctx, conn, x)
}

// onlyLength panics again unless p is about a length that cannot be allocated.
// Any other panic comes from a caller's connection and must not be hidden.
func onlyLength(p any) {
	if err, ok := p.(runtime.Error); !ok || !strings.Contains(err.Error(), "makeslice") {
		panic(p)
	}
}

// exchange sends the commands and reads all their replies before the context's
// deadline. Cancellation of the context does not interrupt it, because that
// would cost a healthy connection.
func exchange(ctx context.Context, conn redis.Conn, x *resp.Exchange) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 0 {
		return context.DeadlineExceeded
	}
	x.Sent = time.Now()
	if len(x.Commands) == 1 {
		reply, err := redis.DoWithTimeout(conn, remaining(ctx), x.Commands[0].Name, x.Commands[0].Arguments()...)
		return setReply(&x.Replies[0], reply, err)
	}
	for _, c := range x.Commands {
		if err := conn.Send(c.Name, c.Arguments()...); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	for i := range x.Replies {
		reply, err := redis.ReceiveWithTimeout(conn, remaining(ctx))
		if err := setReply(&x.Replies[i], reply, err); err != nil {
			return err
		}
	}
	return nil
}

// setReply sets the reply from the results of redigo. The error is one of the
// connection, not one that the server sent.
func setReply(reply *resp.Reply, value any, err error) error {
	if refusal, ok := err.(redis.Error); ok {
		value, err = refusal, nil
	}
	*reply = resp.ReplyOf(value, resp.Status)
	return err
}

// ofRedigo returns the store's equivalent of an error of redigo.
func ofRedigo(err error) error {
	var reply redis.Error
	if errors.As(err, &reply) {
		return resp.ParseRefusal(string(reply))
	}
	if text := err.Error(); strings.Contains(text, "redigo: ") && strings.Contains(text, "possible server error") {
		return resp.ErrNoRedis // it could not parse a reply
	}
	return err
}

// Ordered implements [resp.Ordered].
func (t *redigo) Ordered() bool { return true }

// IdleCount implements [resp.Idler]. A *redis.Pool has this method; a type that
// wraps one may not.
func (t *redigo) IdleCount() int {
	if pool, ok := t.conns.(resp.Idler); ok {
		return pool.IdleCount()
	}
	return 0
}

// DropSilent implements [resp.SilenceDropper]. [NewPool] does not use a
// connection again that has been idle since before that time, because each of
// them would cost one call its whole deadline.
func (t *redigo) DropSilent(since time.Time) { t.silence.Store(since.UnixNano()) }

// silenceKey is the context key for the time at which the store that makes the
// call sent a command that got no reply in time: an *atomic.Int64 of Unix
// nanoseconds, 0 if there is none.
type silenceKey struct{}

// drop makes a healthy connection unusable, so that its pool closes it instead
// of reusing it. Redigo has no call for this, but discards every connection on
// which a read failed; the deadline of this read has passed before it starts.
func drop(conn redis.Conn) {
	for conn.Err() == nil { // replies that have already arrived are still read
		readLate(conn)
	}
}

func readLate(conn redis.Conn) {
	defer func() { // see safely
		if p := recover(); p != nil {
			onlyLength(p)
		}
	}()
	_, _ = redis.ReceiveWithTimeout(conn, -time.Nanosecond)
}
