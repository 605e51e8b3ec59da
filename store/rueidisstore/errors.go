package rueidisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"
	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// maxRecord bounds a session record, as in package store.
const maxRecord = 1 << 20

var errMalformedToken = errors.New("malformed session token")

// newError sorts the error and cuts from it what the server repeats of a
// command that it does not know: the key and the record.
func newError(op string, err error) *store.Error {
	class := classOf(err)
	if text, _, cut := strings.Cut(err.Error(), ", with args"); cut {
		err = errors.New(text)
	}
	return &store.Error{Op: op, Class: class, Err: err}
}

// classOf adds what rueidis says to what package store knows.
func classOf(err error) store.Class {
	if errors.Is(err, rueidis.ErrNoCache) {
		return store.ClassConfiguration // a Redis too old for the near cache, or not permitted
	}
	if text, ok := replyText(err); ok {
		return classOfReply(text)
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

// classOfReply asks package store's table. rueidis strips "ERR " from replies,
// by which the table knows some.
func classOfReply(text string) store.Class {
	if strings.HasPrefix(text, "No such master") {
		return store.ClassConfiguration
	}
	class := store.ClassOf(redis.Error(text))
	if class == store.ClassFailClosed {
		class = store.ClassOf(redis.Error("ERR " + text))
	}
	return class
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

// damagedIfWrongType tells trouble with Redis from a key that no session store
// has written: that one would lock its visitor out for as long as it lives.
func damagedIfWrongType(op string, err error) error {
	if text, ok := replyText(err); ok && strings.HasPrefix(text, "WRONGTYPE") {
		return newError(op, store.ErrDamaged)
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
