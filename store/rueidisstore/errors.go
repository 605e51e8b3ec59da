package rueidisstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// known returns what the store knows an error of rueidis as.
func known(err error) error {
	if errors.Is(err, rueidis.ErrNoCache) { // it begins with what Redis said
		safe, _ := keyspace.Refusal(err.Error())
		return &store.Error{Class: store.ClassConfiguration, Err: fmt.Errorf("%s: %w", safe, rueidis.ErrNoCache)}
	}
	var reply *rueidis.RedisError
	if errors.As(err, &reply) {
		return resp.Refusal(reply.Error())
	}
	switch text := err.Error(); {
	case errors.Is(err, errClosed), strings.HasPrefix(text, "received un"):
		return &store.Error{Class: store.ClassConfiguration, Err: err} // what speaks there is no Redis
	case errors.Is(err, rueidis.ErrClosing), errors.Is(err, rueidis.ErrNoSlot), text == "the redis role is not master":
		return &store.Error{Class: store.ClassRetryFresh, Err: err} // in the middle of a failover
	case errors.Is(err, rueidis.ErrNoAddr):
		return &store.Error{Class: store.ClassRetryNow, Err: err}
	}
	return err
}
