package storetest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Balancer forwards one address to any server. It can drop one reply and
// close the connection, or delay one.
type Balancer struct {
	net.Listener
	target  atomic.Value // string
	swallow atomic.Bool
	holding atomic.Pointer[hold]
}

// A hold delays the first reply that arrives.
type hold struct{ held, released chan struct{} }

// NewBalancer returns a balancer that forwards to target and is closed at the
// end of the test.
func NewBalancer(t *testing.T, target string) *Balancer {
	b := &Balancer{}
	b.Lead(target)
	b.Listener = Forward(t, func() string { return b.target.Load().(string) }, b.forward)
	return b
}

// Forward accepts connections until the end of the test. For each it dials target,
// forwards what the client sends, and calls replies to forward what the server
// replies; both connections are closed when replies returns.
func Forward(t *testing.T, target func() string, replies func(client, server net.Conn)) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serve := func(client net.Conn) {
		defer client.Close()
		server, err := net.Dial("tcp", target())
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			io.Copy(server, client)
			server.Close()
		}()
		replies(client, server)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l
}

// Config returns a [Config] for the server behind the balancer.
func (b *Balancer) Config() Config { return Config{Addrs: []string{b.Addr().String()}} }

// Lead forwards new connections to another server.
func (b *Balancer) Lead(target string) { b.target.Store(target) }

// Hold delays the next reply and all that follow it. The channel is closed when
// the reply arrives; release forwards it.
func (b *Balancer) Hold() (held <-chan struct{}, release func()) {
	h := &hold{make(chan struct{}), make(chan struct{})}
	b.holding.Store(h)
	return h.held, func() { close(h.released) }
}

func (b *Balancer) forward(client, server net.Conn) {
	reply := make([]byte, 64<<10)
	for {
		n, err := server.Read(reply)
		if err != nil || b.swallow.CompareAndSwap(true, false) {
			return
		}
		if h := b.holding.Swap(nil); h != nil {
			close(h.held)
			<-h.released
		}
		if _, err := client.Write(reply[:n]); err != nil {
			return
		}
	}
}
