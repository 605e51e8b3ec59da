// Package wire monitors the connections of a client library. It closes
// connections that do not break by themselves but are useless: those to a
// server that has become a replica or no longer responds, and those whose
// replies are out of step or malformed.
package wire

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// errNotOwed means that a reply arrived that belongs to no command. The replies
// after it also belong to other commands.
var errNotOwed = fmt.Errorf("a reply to no command: %w", net.ErrClosed)

// errMalformed means that a frame arrived that Redis does not send.
var errMalformed = fmt.Errorf("a malformed reply: %w", net.ErrClosed)

// Conns holds the open connections of a client. The zero value is empty.
type Conns struct {
	// Named lists the addresses that the caller configured. All others were
	// announced by a Cluster or by Sentinels.
	Named []string

	// Shared is true if a connection serves several calls at the same time.
	Shared bool

	// Clock returns the time since some moment. Silence needs it.
	Clock func() time.Duration
	// OnServer, if not nil, is called when a connection is opened to another
	// server than those to which there are connections already.
	OnServer func()

	mu        sync.Mutex
	conns     map[*conn]struct{}
	announced map[string]time.Time // when the last try to connect began; zero once one succeeded
}

var (
	_ resp.Refresher      = (*Conns)(nil)
	_ resp.SilenceDropper = (*Conns)(nil)
	_ resp.Connecting     = (*Conns)(nil)
	_ resp.Adviser        = (*Conns)(nil)
)

// Dial returns a connection that dial opens to addr.
func (d *Conns) Dial(addr string, dial func() (net.Conn, error)) (net.Conn, error) {
	d.note(addr, false)
	inner, err := dial()
	if err != nil {
		return nil, err
	}
	d.note(addr, true)
	c, another := d.add(addr, inner)
	if another && d.OnServer != nil {
		d.OnServer()
	}
	return c, nil
}

func (d *Conns) note(addr string, reached bool) {
	if slices.Contains(d.Named, addr) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.announced == nil {
		d.announced = map[string]time.Time{}
	}
	last, known := d.announced[addr]
	switch {
	case reached:
		d.announced[addr] = time.Time{}
	case !known || !last.IsZero():
		d.announced[addr] = time.Now()
	}
}

// adviceTime is how long a failed try counts, because the address of a server
// that has been removed is not tried again.
const adviceTime = time.Minute

// Advice returns a message about an announced address that was tried within the
// last minute and to which no connection was ever opened. It is empty if there
// is none.
func (d *Conns) Advice() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, addr := range slices.Sorted(maps.Keys(d.announced)) {
		if time.Since(d.announced[addr]) < adviceTime {
			return "cannot connect to " + addr + ", which a Cluster or Sentinel announces; have it announce an address that can be reached from here (cluster-announce-ip, replica-announce-ip)"
		}
	}
	return ""
}

// add wraps a connection, which Conns then holds until it is closed, and reports
// whether all others are to other servers.
func (d *Conns) add(addr string, inner net.Conn) (wrapped net.Conn, another bool) {
	c := &conn{Conn: inner, home: d, addr: addr, opened: time.Now()}
	c.hear()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns == nil {
		d.conns = map[*conn]struct{}{}
	}
	another = len(d.conns) > 0
	for other := range d.conns {
		another = another && other.addr != addr
	}
	d.conns[c] = struct{}{}
	if raw, ok := inner.(syscall.Conn); ok {
		return rawConn{c, raw}, another
	}
	return c, another
}

// Silence returns the longest time for which nothing has been received over any
// connection over which GET was sent.
func (d *Conns) Silence() (longest time.Duration) {
	now := d.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		if c.reads.Load() {
			longest = max(longest, now-time.Duration(c.word.Load()))
		}
	}
	return longest
}

// rawConn allows a client library to check whether a connection has ended.
type rawConn struct {
	*conn
	syscall.Conn
}

// Refresh closes every connection that was opened before t.
func (d *Conns) Refresh(t time.Time) {
	d.close(func(c *conn) bool { return c.opened.Before(t) })
}

// DropSilent closes every connection from which nothing has been read since t,
// unless the first write since its last read was after t. If calls share
// connections, it only closes those that owe a reply.
func (d *Conns) DropSilent(t time.Time) {
	d.close(func(c *conn) bool {
		asked := c.asked.Load()
		return asked <= t.UnixNano() && c.heard.Load() <= t.UnixNano() && (asked != 0 || !d.Shared)
	})
}

// Connecting returns the command that both client libraries send first. The
// permission for it is not checked until a connection has its user.
func (d *Conns) Connecting() []string { return []string{"HELLO"} }

func (d *Conns) close(unfit func(*conn) bool) {
	d.mu.Lock()
	open := maps.Clone(d.conns)
	d.mu.Unlock()
	for c := range open {
		if unfit(c) {
			c.Close()
		}
	}
}

// conn records how many replies the server owes, and since when.
type conn struct {
	net.Conn
	home   *Conns
	addr   string
	opened time.Time
	asked  atomic.Int64 // when the first write since the last read started; 0 for none
	heard  atomic.Int64 // time of the last read
	word   atomic.Int64 // time of the last read, by the clock of home
	reads  atomic.Bool  // GET was sent

	sent, received frames
	replied        bool         // a complete reply has arrived
	owed           atomic.Int64 // replies
	subscribed     atomic.Bool  // messages arrive unrequested, and in RESP2 they look like replies
}

func (c *conn) Write(b []byte) (int, error) {
	c.asked.CompareAndSwap(0, time.Now().UnixNano())
	if bytes.Contains(b, []byte("SUBSCRIBE\r\n")) || bytes.Contains(b, []byte("subscribe\r\n")) {
		c.subscribed.Store(true)
	}
	if c.home.Clock != nil && !c.reads.Load() && bytes.Contains(b, []byte("\r\nGET\r\n")) {
		c.reads.Store(true)
	}
	c.owed.Add(int64(c.sent.feed(b)))
	return c.Conn.Write(b)
}

// hear records that something was read.
func (c *conn) hear() {
	c.heard.Store(time.Now().UnixNano())
	if c.home.Clock != nil {
		c.word.Store(int64(c.home.Clock()))
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	c.asked.Store(0)
	c.hear()
	if bad := c.check(b[:n]); bad != nil {
		c.Close()
		return 0, bad
	}
	return n, err
}

// check returns an error if the client library must not read b.
func (c *conn) check(b []byte) error {
	ended := c.received.feed(b)
	c.replied = c.replied || ended > 0
	switch owed := c.owed.Add(-int64(ended)); {
	case c.received.bad && !c.replied:
		return resp.ErrNoRedis
	case c.received.bad:
		return errMalformed
	case !c.subscribed.Load() && (owed < 0 || c.received.subscription):
		return errNotOwed
	}
	return nil
}

func (c *conn) Close() error {
	c.home.mu.Lock()
	delete(c.home.conns, c)
	c.home.mu.Unlock()
	return c.Conn.Close()
}
