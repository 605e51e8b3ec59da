// Command bench does the same work with wechatauth and with its peers, in one
// process and in turns, and prints what it took: lines that benchstat reads,
// and then one line "ratio NAME VALUE GOAL" for each goal. See README.md.
//
//	BENCHTIME  time for each measurement, default 300ms
//	ROUNDS     how often everything is measured, default 7
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings come from the environment, as in BENCHTIME=50ms make bench.
type settings struct {
	benchtime time.Duration
	rounds    int
}

func readSettings() (settings, error) {
	s := settings{benchtime: 300 * time.Millisecond, rounds: 7}
	var err error
	if text := os.Getenv("BENCHTIME"); text != "" {
		if s.benchtime, err = time.ParseDuration(text); err != nil || s.benchtime <= 0 {
			return s, fmt.Errorf("BENCHTIME %q is no duration such as 50ms", text)
		}
	}
	if s.quick() {
		s.rounds = 5
	}
	if text := os.Getenv("ROUNDS"); text != "" {
		if s.rounds, err = strconv.Atoi(text); err != nil || s.rounds < 1 {
			return s, fmt.Errorf("ROUNDS %q is no number of rounds", text)
		}
	}
	return s, nil
}

// quick is a run that is to be over in under a minute.
func (s settings) quick() bool { return s.benchtime <= 100*time.Millisecond }

func run(ctx context.Context, out io.Writer) error {
	set, err := readSettings()
	if err != nil {
		return err
	}
	testing.Init() // the flags of package testing, of which Benchmark reads one
	if err := flag.Set("test.benchtime", set.benchtime.String()); err != nil {
		return fmt.Errorf("set benchtime: %w", err)
	}
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\npkg: github.com/wechatauth/wechatauth/bench\n", runtime.GOOS, runtime.GOARCH)

	f, err := newField(ctx)
	defer f.close()
	if err != nil {
		return err
	}
	rs := &rounds{out: out, n: set.rounds, results: map[string][]testing.BenchmarkResult{}}
	sites, err := f.measureAll(rs)
	if err != nil {
		return err
	}
	if err := f.memoryFigures(rs); err != nil {
		return err
	}
	if err := f.growth(rs, set); err != nil {
		return err
	}
	return f.conclude(rs, sites)
}
