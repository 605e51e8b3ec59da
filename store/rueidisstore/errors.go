package rueidisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// maxRecord bounds a session record, as in package store.
const maxRecord = 1 << 20

var errMalformedToken = errors.New("malformed session token")

// newError sorts the error, and cuts from what Redis said all that may be of a
// key or a value.
func newError(op string, err error) *store.Error {
	class := classOf(err)
	if text, ok := replyText(err); ok {
		safe, _ := keyspace.Refusal(text)
		err = refusal(safe)
	} else if errors.Is(err, rueidis.ErrNoCache) { // it begins with what Redis said
		safe, _ := keyspace.Refusal(err.Error())
		err = fmt.Errorf("%s: %w", safe, rueidis.ErrNoCache)
	}
	return &store.Error{Op: op, Class: class, Err: err}
}

// refusal is what may be repeated of an error of Redis.
type refusal string

func (r refusal) Error() string { return string(r) }

// classOf adds what rueidis says to what package store knows.
func classOf(err error) store.Class {
	if errors.Is(err, rueidis.ErrNoCache) {
		return store.ClassConfiguration // a Redis too old for the near cache, or not permitted
	}
	if text, ok := replyText(err); ok {
		_, class := keyspace.Refusal(text)
		return store.Class(class)
	}
	switch text := err.Error(); {
	case errors.Is(err, errClosed), strings.HasPrefix(text, "received un"):
		return store.ClassConfiguration // what speaks there is no Redis
	case errors.Is(err, rueidis.ErrClosing), errors.Is(err, rueidis.ErrNoSlot), text == "the redis role is not master":
		return store.ClassRetryFresh // in the middle of a failover
	case errors.Is(err, rueidis.ErrNoAddr):
		return store.ClassRetryNow
	}
	return store.ClassOf(err)
}

// replyText is what the server itself answered, if the error is that.
func replyText(err error) (string, bool) {
	var reply *rueidis.RedisError
	if !errors.As(err, &reply) {
		return "", false
	}
	return reply.Error(), true
}

// ofAnother reports whether the error is the end of somebody else's context:
// connections are dialled by one call for all that wait for them.
func ofAnother(err error, own context.Context) bool {
	return own.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

// unusable tells trouble with Redis from a key that holds no session of this
// token: that one would lock its user out for as long as it lives.
func unusable(op string, err error) error {
	var other *keyspace.UnexpectedReply
	switch {
	case errors.Is(err, refusal("WRONGTYPE")):
		return newError(op, store.ErrDamaged)
	case errors.As(err, &other) && other.Another:
		return &store.Error{Op: op, Class: store.ClassFailClosed, Err: fmt.Errorf("%w: %w", store.ErrUnopened, other)}
	}
	return err
}

// writable tells why a record cannot be stored under the token.
func writable(op, token string, b []byte) error {
	if !keyspace.ValidToken(token) {
		return malformedToken(op)
	}
	if len(b) > maxRecord {
		return &store.Error{Op: op, Class: store.ClassConfiguration,
			Err: fmt.Errorf("a record of %d bytes is larger than %d", len(b), maxRecord)}
	}
	return nil
}

func malformedToken(op string) error {
	return &store.Error{Op: op, Class: store.ClassConfiguration, Err: errMalformedToken}
}
