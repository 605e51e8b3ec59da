package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// maxRepetitions is the maximum number of retries when connections turn out to
// be dead, for a transport that does not know how many may be.
const maxRepetitions = 4

// do executes the commands in one round trip and returns their replies, none of
// which is a refusal. All commands must be safe to execute twice: if a
// connection turns out to be dead, or its server unfit, do retries them over
// another one.
//
// After a restart of Redis every idle connection is dead, and only using one
// shows whether it is. So the number of tries is the number of idle
// connections, plus one for the new connection that comes after them. Each dead
// connection costs no more than the attempt to write to it.
func (s *Store) do(ctx context.Context, op string, cmds ...resp.Command) ([]resp.Reply, error) {
	return s.doOn(ctx, op, s.transport, resp.NewExchange(cmds))
}

// doOn is like do, but over the transport to one of several servers.
func (s *Store) doOn(ctx context.Context, op string, t resp.Transport, x *resp.Exchange) ([]resp.Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, newError(op, err)
	}
	r := repetition{store: s, began: time.Now(), left: -1}
	r.deadline, r.own = s.deadline(ctx, r.began)
	if s.idle == nil {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, r.deadline)
	defer cancel()
	for {
		err := t.RoundTrip(ctx, x)
		if err == nil {
			err = x.Judge()
		}
		if err == nil {
			if !s.answered.Load() {
				s.answered.Store(true)
			}
			return x.Replies, nil
		}
		failure := newError(op, err)
		if !r.worthwhile(ctx, x, failure) {
			return nil, s.advise(failure)
		}
		x.Reset()
	}
}

// advise adds to the error of a call how to fix the problem.
func (s *Store) advise(failure *Error) *Error {
	cure := ""
	if isClosed(failure) && !s.answered.Load() {
		cure = cureClosed
	}
	if t, ok := s.transport.(resp.Adviser); ok && failure.Class == ClassRetryNow && t.Advice() != "" {
		cure = t.Advice()
	}
	if cure != "" {
		failure.Err = fmt.Errorf("%w: %s", failure.Err, cure)
	}
	return failure
}

// deadline returns the time at which a call that starts now must end: after the
// store's timeout, in which case own is true, or at the deadline of ctx if that
// is earlier.
func (s *Store) deadline(ctx context.Context, now time.Time) (deadline time.Time, own bool) {
	deadline = now.Add(s.timeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		return earlier, false
	}
	return deadline, true
}

// repetition is the state of the retries of one call.
type repetition struct {
	store    *Store
	began    time.Time
	deadline time.Time
	own      bool // the deadline is the store's
	left     int  // tries; -1 before the first failure
	misled   bool // a reply belonged to another key
	refused  bool
}

// worthwhile reports whether another try may succeed. If this connection led to
// a server that refuses commands, it ensures that the next try uses another
// one.
func (r *repetition) worthwhile(ctx context.Context, x *resp.Exchange, failure *Error) bool {
	if r.left < 0 {
		r.left = maxRepetitions
		if r.store.idle != nil {
			r.left = 1 + r.store.idle.IdleCount()
		}
	}
	r.silence(ctx, x, failure)
	if ctx.Err() != nil || r.left == 0 {
		return false
	}
	r.left--
	if errors.Is(failure, context.Canceled) || errors.Is(failure, context.DeadlineExceeded) {
		return true // of another call, which opened a connection for all waiting calls
	}
	if failure.Class != ClassRetryFresh {
		return false
	}
	var (
		unexpected *resp.UnexpectedReply
		refusal    *resp.Refusal
		fresh, _   = r.store.transport.(resp.Refresher)
	)
	switch {
	case errors.As(failure, &unexpected):
		// A value that belongs to another key over the next connection
		// as well is stored like that in Redis. No more connections are
		// dropped for it.
		if r.misled {
			return false
		}
		r.misled = true
		if fresh != nil { // which connection is out of step is not known
			fresh.Refresh(time.Now())
		}
	case errors.As(failure, &refusal) && fresh != nil:
		if r.refused {
			return false
		}
		r.refused = true
		fresh.Refresh(r.began)
	}
	return true
}

// silence makes the transport drop connections after a call that got no reply
// in time. Neither the caller's deadline nor the rest of the store's timeout
// after the wait for a connection indicates anything about the server.
func (r *repetition) silence(ctx context.Context, x *resp.Exchange, failure *Error) {
	quiet, ok := r.store.transport.(resp.SilenceDropper)
	switch {
	case !ok || !errors.Is(failure, os.ErrDeadlineExceeded) && ctx.Err() == nil:
	case r.store.idle == nil: // it is not known when the commands were sent
		quiet.DropSilent(time.Now().Add(-r.store.timeout))
	case !x.Sent.IsZero() && r.own && errors.Is(failure, os.ErrDeadlineExceeded) && r.deadline.Sub(x.Sent) >= r.store.timeout/2:
		quiet.DropSilent(x.Sent)
	}
}
