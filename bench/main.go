// Command bench does the same work with wechatauth and with its peers, in one
// process and in turns, and prints what it took: lines that benchstat reads,
// and then one line "ratio NAME VALUE GOAL" for each goal. See README.md.
//
//	BENCHTIME  time for each measurement, default 300ms
//	ROUNDS     how often everything is measured, default 7
//	ONLY       a pattern of names: only these are measured, and no goals printed
//	PROFILE    a file to write a processor profile of the measurements to
//	GOALS      "must": a goal that is missed makes the program fail
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
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
	only      *regexp.Regexp // nil for all
	profile   string
	must      bool // reach all goals
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
		s.rounds = 3
	}
	if text := os.Getenv("ROUNDS"); text != "" {
		if s.rounds, err = strconv.Atoi(text); err != nil || s.rounds < 1 {
			return s, fmt.Errorf("ROUNDS %q is no number of rounds", text)
		}
	}
	if text := os.Getenv("ONLY"); text != "" {
		if s.only, err = regexp.Compile(text); err != nil {
			return s, fmt.Errorf("ONLY: %w", err)
		}
	}
	s.profile = os.Getenv("PROFILE")
	switch text := os.Getenv("GOALS"); text {
	case "":
	case "must":
		s.must = true
	default:
		return s, fmt.Errorf("GOALS %q is not must", text)
	}
	return s, nil
}

// quick reports whether the run should take less than a minute.
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
	rs := &rounds{out: out, n: set.rounds}
	pair, err := f.newLoginPair()
	if err != nil {
		return err
	}
	if err := profiled(set.profile, func() error { return rs.measure(f.groups(pair, set.only)...) }); err != nil {
		return err
	}
	if set.only != nil {
		return nil
	}
	if err := f.memoryFigures(rs); err != nil {
		return err
	}
	if err := f.growth(rs, set); err != nil {
		return err
	}
	missed, err := f.conclude(rs, pair, set.benchtime*time.Duration(set.rounds))
	if err != nil {
		return err
	}
	return set.judge(missed)
}

// judge returns the error of a run that missed these goals.
func (s settings) judge(missed []string) error {
	if s.must && len(missed) > 0 {
		return fmt.Errorf("goals missed: %s", strings.Join(missed, ", "))
	}
	return nil
}

// profiled runs f, with a processor profile if there is a file for it.
func profiled(file string, f func() error) error {
	if file == "" {
		return f()
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return f()
}
