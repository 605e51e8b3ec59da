// Package serve starts the HTTP servers of the examples. An application would
// use its own code or http.ListenAndServe.
package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// UntilInterrupted serves h at ADDR, or at addr if ADDR is not set, prints the
// address and returns after an interrupt.
func UntilInterrupted(addr string, h http.Handler) {
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), addr))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Listening on http://%s\n", listener.Addr())
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
