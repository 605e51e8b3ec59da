package store

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// Pool hands out connections: a *redis.Pool, or whatever wraps one.
//
// The connections must support timeouts (redis.ConnWithTimeout), as all of
// redigo's do. Timeouts for dialling and writing are the pool's own business;
// [NewPool] sets them.
type Pool interface {
	// GetContext returns a connection for one call, which gives it back with
	// Close. It waits for a free one no longer than ctx lasts.
	GetContext(ctx context.Context) (redis.Conn, error)
}

// redigo is the [resp.Transport] over a pool of redigo's.
type redigo struct {
	conns   Pool
	silence silence
}

var (
	_ resp.Ordered        = (*redigo)(nil)
	_ resp.Idler          = (*redigo)(nil)
	_ resp.SilenceDropper = (*redigo)(nil)
)

// RoundTrip implements [resp.Transport]. It drops the connection if another one might
// do better.
func (t *redigo) RoundTrip(ctx context.Context, x *resp.Exchange) error {
	conn, err := t.conns.GetContext(context.WithValue(ctx, silenceKey{}, &t.silence))
	if err != nil {
		return ofRedigo(err)
	}
	defer conn.Close()
	if err := safely(ctx, conn, x); err != nil {
		if err = ofRedigo(err); ClassOf(err) == ClassRetryFresh {
			drop(conn)
		}
		return err
	}
	if !x.Fit() {
		drop(conn)
	}
	return nil
}

// safely is exchange for a server that sends a length that redigo cannot
// allocate: it panics.
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

// onlyLength panics again, unless p is about a length that cannot be allocated. Any
// other panic is that of a caller's connection, and must be seen.
func onlyLength(p any) {
	if err, ok := p.(runtime.Error); !ok || !strings.Contains(err.Error(), "makeslice") {
		panic(p)
	}
}

// exchange sends the commands and reads all their replies before the context's
// deadline. The context's cancellation does not interrupt it: that would cost a
// healthy connection.
func exchange(ctx context.Context, conn redis.Conn, x *resp.Exchange) error {
	deadline, _ := ctx.Deadline()
	x.Sent = time.Now()
	left := deadline.Sub(x.Sent)
	if left <= 0 {
		return context.DeadlineExceeded
	}
	if len(x.Commands) == 1 {
		reply, err := redis.DoWithTimeout(conn, left, x.Commands[0].Name, argsOf(x.Commands[0])...)
		x.Replies[0] = replyOf(reply, err)
		return unlessRefusal(err)
	}
	for _, c := range x.Commands {
		if err := conn.Send(c.Name, argsOf(c)...); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	for i := range x.Replies {
		reply, err := redis.ReceiveWithTimeout(conn, remaining(deadline))
		x.Replies[i] = replyOf(reply, err)
		if err := unlessRefusal(err); err != nil {
			return err
		}
	}
	return nil
}

// argsOf returns the arguments of the command as redigo wants them.
func argsOf(c resp.Command) []any {
	if c.Key == "" {
		return c.Args
	}
	args := make([]any, 1, 1+len(c.Args))
	args[0] = c.Key
	return append(args, c.Args...)
}

// unlessRefusal returns the error if it is not one of the server.
func unlessRefusal(err error) error {
	if _, ok := err.(redis.Error); ok {
		return nil
	}
	return err
}

// replyOf returns the reply that redigo returned as one of two values.
func replyOf(reply any, err error) resp.Reply {
	if refusal, ok := err.(redis.Error); ok {
		reply = refusal
	}
	switch r := reply.(type) {
	case nil:
		return resp.Reply{Kind: resp.Nil}
	case string:
		return resp.Reply{Kind: resp.Status, Text: r}
	case []byte:
		return resp.Reply{Kind: resp.Bulk, Bytes: r}
	case int64:
		return resp.Reply{Kind: resp.Integer, Int: r}
	case redis.Error:
		return resp.Reply{Kind: resp.Refused, Text: string(r)}
	case []any:
		all := make([]resp.Reply, len(r))
		for i, one := range r {
			all[i] = replyOf(one, nil)
		}
		return resp.Reply{Kind: resp.Array, Array: all}
	}
	return resp.Reply{}
}

// ofRedigo returns what the store knows the error as.
func ofRedigo(err error) error {
	var reply redis.Error
	if errors.As(err, &reply) {
		return resp.ParseRefusal(string(reply))
	}
	if isNoRedis(err) {
		return resp.ErrNoRedis
	}
	return err
}

// redigoClass returns the class of an error of redigo, 0 if it is none.
func redigoClass(err error) Class {
	var reply redis.Error
	switch {
	case errors.As(err, &reply):
		return Class(resp.ParseRefusal(string(reply)).Class)
	case errors.Is(err, redis.ErrPoolExhausted):
		return ClassRetryNow
	case isNoRedis(err):
		return ClassConfiguration
	}
	return 0
}

// isNoRedis reports whether redigo could not read a reply as one.
func isNoRedis(err error) bool {
	return strings.Contains(err.Error(), "redigo: ") && strings.Contains(err.Error(), "possible server error")
}

// Ordered implements [resp.Ordered].
func (t *redigo) Ordered() bool { return true }

// IdleCount implements [resp.Idler]. A *redis.Pool knows it; what wraps one may not.
func (t *redigo) IdleCount() int {
	if pool, ok := t.conns.(resp.Idler); ok {
		return pool.IdleCount()
	}
	return 0
}

// DropSilent implements [resp.SilenceDropper]. [NewPool] does not hand out again what
// has rested since before: each of these connections would cost one call its
// whole deadline.
func (t *redigo) DropSilent(since time.Time) { t.silence.Store(since.UnixNano()) }

// silenceKey is where a call's context has the silence of its store.
type silenceKey struct{}

// silence is when a command was sent that got no reply in time, in Unix
// nanoseconds; 0 for never.
type silence struct{ atomic.Int64 }

// silentSince reports whether a store has been left without a reply since the
// connection was last used.
func silentSince(ctx context.Context, lastUsed time.Time) bool {
	s, ok := ctx.Value(silenceKey{}).(*silence)
	return ok && lastUsed.UnixNano() < s.Load()
}

// drop makes a healthy connection unusable, so that its pool closes it instead
// of handing it out again. Redigo has no call for this, but gives up every
// connection on which a read failed; the time for the read is up before
// it starts.
func drop(conn redis.Conn) {
	for conn.Err() == nil { // replies that are there already are still read
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
