package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/wechatauth/wechatauth/internal/command"
)

// A host is what redistest starts its servers for. A server that does not start
// ends the program. It also shows the progress, and prints.
type host struct {
	cleanups []func()
	progress *command.Progress

	mu    sync.Mutex
	phase string
}

func newHost() *host {
	h := &host{phase: "starting"}
	h.progress = command.StartProgress(os.Stderr, func(elapsed time.Duration) string {
		h.mu.Lock()
		defer h.mu.Unlock()
		return fmt.Sprintf("soak: %v: %s", elapsed, h.phase)
	})
	h.Cleanup(h.progress.Stop)
	return h
}

// enter sets the text of the progress.
func (h *host) enter(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = fmt.Sprintf(format, args...)
}

// printf prints one line.
func (h *host) printf(format string, args ...any) {
	fmt.Fprintf(h.progress.Writer(os.Stdout), format+"\n", args...)
}

func (h *host) Helper() {}

func (h *host) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }

func (h *host) TempDir() string {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (h *host) Fatal(args ...any) {
	h.progress.Stop()
	fmt.Fprintln(os.Stderr, append([]any{"soak:"}, args...)...)
	h.close()
	os.Exit(command.Verdict(os.Stdout, false))
}

func (h *host) Fatalf(format string, args ...any) { h.Fatal(fmt.Sprintf(format, args...)) }

// must ends the program at an error.
func (h *host) must(err error) {
	if err != nil {
		h.Fatal(err)
	}
}

// close undoes everything, the last first.
func (h *host) close() {
	for _, f := range slices.Backward(h.cleanups) {
		f()
	}
	h.cleanups = nil
}
