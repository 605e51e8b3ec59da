package rueidisstore

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// connector creates the client for the first call, and tries again with the
// next call if that fails: an application with public pages can start before
// its Redis does. After that, rueidis reconnects by itself.
type connector struct {
	option rueidis.ClientOption

	mu     sync.Mutex
	last   *attempt // in progress or successful; nil if there is none
	closed bool
}

// attempt is one attempt to connect, shared by all calls that wait for it.
type attempt struct {
	done   chan struct{} // closed at its end
	client rueidis.Client
	err    error
}

// get returns the client, connecting first if necessary. rueidis has no way to
// stop connecting, so the attempt continues after ctx is done, for the next
// call.
func (c *connector) get(ctx context.Context) (rueidis.Client, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, resp.ErrClosed
	}
	if c.last == nil {
		c.last = &attempt{done: make(chan struct{})}
		go c.connect(c.last)
	}
	a := c.last
	c.mu.Unlock()

	select {
	case <-a.done:
		return a.client, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connected returns the client, or nil before the first connection.
func (c *connector) connected() rueidis.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		return nil
	}
	return c.last.client
}

func (c *connector) connect(a *attempt) {
	client, err := rueidis.NewClient(c.option)
	if err != nil && client != nil {
		client.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.last, a.err = nil, err
	case c.closed:
		a.err = resp.ErrClosed
		client.Close()
	default:
		a.client = client
	}
	close(a.done)
}

func (c *connector) close() {
	c.mu.Lock()
	last := c.last
	c.last, c.closed = nil, true
	c.mu.Unlock()
	if last != nil && last.client != nil { // nothing sets it any more
		last.client.Close()
	}
}
