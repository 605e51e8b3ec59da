package main

import (
	"fmt"
	"os"
	"slices"
)

// A host is what redistest starts its servers for. A server that does not start
// ends the program.
type host struct{ cleanups []func() }

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
	fmt.Fprintln(os.Stderr, append([]any{"soak:"}, args...)...)
	h.close()
	os.Exit(1)
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
