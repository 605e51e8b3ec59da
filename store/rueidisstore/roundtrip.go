package rueidisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
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
	if _, refused := replyText(failure.Err); !refused {
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
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
		replies[i] = reply
	}
	return replies, nil
}
