package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/config"
	"github.com/wechatauth/wechatauth/store/internal/nearcache"
	"github.com/wechatauth/wechatauth/store/internal/resp"
	"github.com/wechatauth/wechatauth/store/internal/storetest"
)

// bare is a transport without any of the optional interfaces.
type bare struct{ pool *redis.Pool }

func (t bare) RoundTrip(ctx context.Context, x *resp.Exchange) (err error) {
	defer func() { // redigo panics at a length that cannot be allocated
		if recover() != nil {
			err = resp.ErrNoRedis
		}
	}()
	conn, err := t.pool.GetContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for i, c := range x.Commands {
		args := c.Args
		if c.Key != "" {
			args = append([]any{c.Key}, args...)
		}
		reply, err := conn.Do(c.Name, args...)
		var refusal redis.Error
		if errors.As(err, &refusal) {
			reply = refusal
		} else if err != nil {
			return err
		}
		x.Replies[i] = resp.ReplyOf(reply, resp.Status)
	}
	return nil
}

func over(t *testing.T, transport resp.Transport, opts ...store.Option) *store.Store {
	t.Helper()
	s, err := store.Over(transport, config.Resolve(append(opts, store.WithTimeout(time.Minute))))
	require.NoError(t, err)
	return s
}

// A transport needs none of the optional interfaces.
func TestOver(t *testing.T) {
	pool := redistest.Start(t).Pool()
	var stores atomic.Int64
	storetest.Run(t, func(t *testing.T) store.Sessions {
		return over(t, bare{pool}, store.WithPrefix(fmt.Sprintf("app %d:", stores.Add(1))))
	})
}

// Without the optional interfaces, a batch is one round trip for each write.
func TestOver_batch(t *testing.T) {
	ctx := context.Background()
	var trips atomic.Int64
	s := over(t, counted{bare{redistest.Start(t).Pool()}, &trips})
	token := storetest.Token()
	require.NoError(t, s.DoBatch(ctx, loginBatches(token, storetest.Token())[0]))
	assert.EqualValues(t, 2, trips.Load())
	tokens, err := s.SessionsOf(ctx, "user")
	require.NoError(t, err)
	assert.Equal(t, []string{token}, tokens)
}

// counted counts round trips.
type counted struct {
	resp.Transport
	trips *atomic.Int64
}

func (t counted) RoundTrip(ctx context.Context, x *resp.Exchange) error {
	t.trips.Add(1)
	return t.Transport.RoundTrip(ctx, x)
}

// twoNodes is a transport to a Cluster of two nodes, both of which are one server.
type twoNodes struct{ bare }

func (t twoNodes) Nodes(context.Context) ([]resp.Transport, error) {
	return []resp.Transport{t.bare, t.bare}, nil
}

// No error contains any part of a reply of a node.
func TestOver_nodeReplies(t *testing.T) {
	ofNodes := []string{"ASKING", "ROLE"}
	sent := storetest.Misreplies(t, redistest.Start(t), ofNodes, func(t *testing.T, addr string) store.Sessions {
		pool, err := store.NewPool("redis://" + addr)
		require.NoError(t, err)
		t.Cleanup(func() { pool.Close() })
		pool.MaxIdle = 0 // no connection is used twice
		return over(t, twoNodes{bare{pool}})
	})
	assert.Subset(t, sent, ofNodes)
}

// A near cache requires a transport that reports changes.
func TestOver_nearCache(t *testing.T) {
	_, err := store.Over(bare{}, config.Options{Near: &nearcache.Limits{MaxBytes: 1, MaxAge: time.Minute}})
	require.ErrorContains(t, err, "WithNearCache: this client library does not report changes")
}

// empty is a transport to a Redis without any key.
type empty struct{}

func (empty) RoundTrip(_ context.Context, x *resp.Exchange) error {
	for i := range x.Replies {
		x.Replies[i] = resp.Reply{Kind: resp.Nil}
	}
	return nil
}

// Each of the modules below this package has a transport over its client
// library.
func ExampleOver() {
	sessions, err := store.Over(empty{}, config.Resolve([]store.Option{store.WithPrefix("shop:")}))
	if err != nil {
		log.Fatal(err)
	}
	_, found, err := sessions.Find(storetest.Token())
	fmt.Println(found, err)
	// Output: false <nil>
}
