package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const canceledCalls = 10_000

// TestWire_CanceledCalls cancels calls before they begin, while they connect,
// while they wait for a response and while they read one, and then counts
// goroutines.
func TestWire_CanceledCalls(t *testing.T) {
	before := runtime.NumGoroutine()
	var pending sync.Map // code to the cancel function of its call
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := r.URL.Query().Get("code")
		if strings.HasSuffix(code, "3") {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
		}
		if cancel, ok := pending.LoadAndDelete(code); ok {
			cancel.(context.CancelFunc)()
		}
		<-r.Context().Done()
	}))
	c, err := New(testAppID, testSecret, WithEndpoints(Endpoints{API: peer.URL}), WithTimeout(time.Minute))
	require.NoError(t, err)
	transport := c.transport.(*http.Transport)
	c.dial = cancelingDial

	var workers sync.WaitGroup
	for worker := range 20 {
		workers.Go(func() {
			for i := worker; i < canceledCalls; i += 20 {
				assert.ErrorIs(t, canceledCall(c, &pending, i), context.Canceled)
			}
		})
	}
	workers.Wait()
	transport.CloseIdleConnections()
	peer.Close()
	left := goroutinesAbove(before, 20*time.Second)
	wire.leaks.Add(int64(left))
	assert.Zero(t, left, "goroutines left")
}

func canceledCall(c *Client, pending *sync.Map, i int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	code := fmt.Sprintf("%s-%d-%d", testCode, i, i%4)
	pending.Store(code, cancel)
	defer pending.Delete(code)
	switch i % 4 {
	case 0:
		cancel()
	case 1: // unless an idle connection is available
		ctx = context.WithValue(ctx, cancelInDial{}, cancel)
	}
	_, err := c.Exchange(ctx, code)
	return err
}

// cancelInDial is the context key of a cancel function to be called while the
// connection is made.
type cancelInDial struct{}

func cancelingDial(ctx context.Context, network, addr string) (net.Conn, error) {
	if cancel, ok := ctx.Value(cancelInDial{}).(context.CancelFunc); ok {
		cancel()
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // thousands of connections in TIME_WAIT would use up the ports
	return conn, nil
}

// goroutinesAbove waits up to patience until at most most goroutines run, and
// returns the number above that.
func goroutinesAbove(most int, patience time.Duration) int {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left := runtime.NumGoroutine() - most
		if left <= 0 {
			return 0
		}
		select {
		case <-deadline.C:
			return left
		case <-tick.C:
		}
	}
}
