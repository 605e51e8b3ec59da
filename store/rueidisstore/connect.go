package rueidisstore

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/rueidis"
)

// errClosed is returned by calls after Close.
var errClosed = errors.New("the session store is closed")

// connector creates the client for the first call, and tries again with the
// next call if that fails: an application with public pages can start before
// its Redis does. After that, rueidis reconnects by itself.
type connector struct {
	option rueidis.ClientOption

	mu      sync.Mutex
	client  rueidis.Client // nil until connected
	pending *attempt       // nil if none is in progress
	closed  bool
}

// attempt is one attempt to connect, shared by all calls that wait for it.
type attempt struct {
	done chan struct{} // closed at its end
	err  error
}

// get returns the client, connecting first if necessary. rueidis has no way to
// stop connecting, so the attempt continues after ctx is done, for the next
// call.
func (c *connector) get(ctx context.Context) (rueidis.Client, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errClosed
	}
	if c.client != nil {
		defer c.mu.Unlock()
		return c.client, nil
	}
	if c.pending == nil {
		c.pending = &attempt{done: make(chan struct{})}
		go c.connect(c.pending)
	}
	pending := c.pending
	c.mu.Unlock()

	select {
	case <-pending.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if pending.err != nil {
		return nil, pending.err
	}
	return c.get(ctx)
}

// connected returns the client, or nil before the first connection.
func (c *connector) connected() rueidis.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client
}

func (c *connector) connect(a *attempt) {
	client, err := rueidis.NewClient(c.option)
	if err != nil && client != nil {
		client.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending, a.err = nil, err
	switch {
	case err != nil:
	case c.closed:
		client.Close()
	default:
		c.client = client
	}
	close(a.done)
}

func (c *connector) close() {
	c.mu.Lock()
	client := c.client
	c.client, c.closed = nil, true
	c.mu.Unlock()
	if client != nil {
		client.Close()
	}
}
