package rueidisstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// errNotOwed: a reply came that no command had. What follows it belongs to
// other commands, too.
var errNotOwed = fmt.Errorf("a reply to no command: %w", net.ErrClosed)

// dialer opens the connections of a client and keeps an eye on them. rueidis
// gives up a connection that breaks; the dialer breaks those that do not break
// by themselves but lead nowhere: to a server that has become a replica, or to
// one that has fallen silent, or whose replies are out of step.
type dialer struct {
	open dialFunc

	mu    sync.Mutex
	conns map[*conn]struct{}
}

type dialFunc func(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error)

// newDialer dials as the option says.
func newDialer(o rueidis.ClientOption) *dialer {
	d := &dialer{open: dialTCP, conns: map[*conn]struct{}{}}
	switch {
	case o.DialCtxFn != nil:
		d.open = o.DialCtxFn
	case o.DialFn != nil:
		d.open = func(_ context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
			return o.DialFn(addr, dialer, config)
		}
	}
	return d
}

func dialTCP(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if config == nil {
		return dialer.DialContext(ctx, "tcp", addr)
	}
	overTLS := tls.Dialer{NetDialer: dialer, Config: config}
	return overTLS.DialContext(ctx, "tcp", addr)
}

func (d *dialer) dial(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	inner, err := d.open(ctx, addr, dialer, config)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, home: d, dialled: time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns[c] = struct{}{}
	return c, nil
}

// dropDialledBefore breaks every connection that is older.
func (d *dialer) dropDialledBefore(t time.Time) {
	d.drop(func(c *conn) bool { return c.dialled.Before(t) })
}

// dropSilent breaks every connection that has owed an answer for so long.
func (d *dialer) dropSilent(patience time.Duration) {
	since := time.Now().Add(-patience).UnixNano()
	d.drop(func(c *conn) bool {
		asked := c.asked.Load()
		return asked != 0 && asked <= since
	})
}

func (d *dialer) drop(unfit func(*conn) bool) {
	var drop []*conn
	d.mu.Lock()
	for c := range d.conns {
		if unfit(c) {
			drop = append(drop, c)
		}
	}
	d.mu.Unlock()
	for _, c := range drop {
		c.Close()
	}
}

// conn knows since when it has owed a reply, and how many.
type conn struct {
	net.Conn
	home    *dialer
	dialled time.Time
	asked   atomic.Int64 // when the first write since the last read began; 0 for none

	sent, received frames
	owed           atomic.Int64 // replies
	subscribed     atomic.Bool  // messages come unasked, and in RESP2 they look like replies
}

func (c *conn) Write(b []byte) (int, error) {
	c.asked.CompareAndSwap(0, time.Now().UnixNano())
	if bytes.Contains(b, []byte("SUBSCRIBE\r\n")) {
		c.subscribed.Store(true)
	}
	c.owed.Add(int64(c.sent.feed(b)))
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.asked.Store(0)
		if c.owed.Add(-int64(c.received.feed(b[:n]))) < 0 && !c.subscribed.Load() {
			c.Close()
			return 0, errNotOwed
		}
	}
	return n, err
}

func (c *conn) Close() error {
	c.home.mu.Lock()
	delete(c.home.conns, c)
	c.home.mu.Unlock()
	return c.Conn.Close()
}
