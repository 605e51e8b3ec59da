package rueidisstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// known returns the store's equivalent of an error of rueidis.
func known(err error) error {
	if errors.Is(err, rueidis.ErrNoCache) { // follows the text of the server
		refusal := resp.ParseRefusal(err.Error())
		if refusal.Code == "NOPERM" || refusal.Class == resp.RetryNow || refusal.Class == resp.RetryFresh {
			return refusal // the server is busy or loading, and has tracking
		}
		return &store.Error{Class: store.ClassConfiguration, Err: fmt.Errorf("%w: %s", rueidis.ErrNoCache, resp.CureNearCache)}
	}
	var reply *rueidis.RedisError
	if errors.As(err, &reply) {
		return resp.ParseRefusal(reply.Error())
	}
	switch text := err.Error(); {
	case strings.HasPrefix(text, "received un"):
		return resp.ErrNoRedis
	case errors.Is(err, rueidis.ErrClosing), errors.Is(err, rueidis.ErrNoSlot), text == "the redis role is not master":
		return &store.Error{Class: store.ClassRetryFresh, Err: err} // in the middle of a failover
	case errors.Is(err, rueidis.ErrNoAddr):
		return &store.Error{Class: store.ClassRetryNow, Err: err}
	}
	return err
}
