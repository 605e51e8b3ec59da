package client

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// wire counts the responses and faults that the wire suite (go test -v -run
// '^TestWire') sent to the client, and what went wrong.
var wire struct{ responses, faults, vectors, sentTwice, panics, leaks atomic.Int64 }

// stdlog captures what net/http writes to the standard logger, so that tests
// can look for secrets in it.
var stdlog lockedBuffer

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMain(m *testing.M) {
	log.SetOutput(&stdlog)
	status := m.Run()
	if wire.responses.Load()+wire.faults.Load()+wire.vectors.Load() > 0 {
		fmt.Printf("wire: responses %d, faults %d, vectors %d, sent-twice %d, panics %d, leaks %d\n",
			wire.responses.Load(), wire.faults.Load(), wire.vectors.Load(),
			wire.sentTwice.Load(), wire.panics.Load(), wire.leaks.Load())
	}
	os.Exit(status)
}
