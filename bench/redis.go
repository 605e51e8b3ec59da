package main

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/bench/internal/redisserver"
	"github.com/wechatauth/wechatauth/store"
)

// countingPool counts round trips: redigo writes once for each, however many
// commands it has.
func countingPool(server *redisserver.Server, trips *atomic.Int64) (*redis.Pool, error) {
	dialer := &net.Dialer{}
	return store.NewPool(server.URL(), redis.DialContextFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countingConn{Conn: conn, writes: trips}, nil
	}))
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// commands runs f and returns how often each Redis command was called
// meanwhile.
func commands(server *redisserver.Server, f func() error) (map[string]int, error) {
	before, err := server.Calls()
	if err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	after, err := server.Calls()
	if err != nil {
		return nil, err
	}
	called := map[string]int{}
	for name, n := range after {
		if n -= before[name]; n > 0 {
			called[name] = n
		}
	}
	return called, nil
}

func total(calls map[string]int) (n int) {
	for _, c := range calls {
		n += c
	}
	return n
}
