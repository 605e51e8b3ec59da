// Command load runs real processes over loopback: a redis-server, two instances
// of examples/nethttp that share it, and the WeChat simulator cmd/wechatsim.
// Simulated browsers log in, read pages and log out; their requests go to the
// two instances in turn. See bench/README.md.
//
// It fails if a single response is wrong. Its last line is PASS or FAIL; its
// progress and errors are on stderr. The exit code is 0 for PASS, 1 for FAIL,
// and 2 if the command line is invalid.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wechatauth/wechatauth/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

type settings struct {
	browsers, pages int
	plot            string
}

// paceShare is the share of the measured throughput at which the paced browsers
// send requests.
const paceShare = 0.5

const about = `Usage: load [flags]

Runs Redis, two instances of an application and the WeChat simulator as
processes, under simulated browsers. It prints PASS or FAIL at the end.
`

func parse(args []string, out io.Writer) (set settings, err error) {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.IntVar(&set.browsers, "browsers", 1000, "how many browsers there are")
	flags.IntVar(&set.pages, "pages", 20, "how many pages each reads")
	flags.StringVar(&set.plot, "plot", "", "`file` to draw the latencies into, as SVG")
	if err := command.Parse(flags, args, about, out); err != nil {
		return set, err
	}
	if set.browsers < 1 || set.pages < 1 {
		return set, command.Usagef("-browsers %d and -pages %d must be positive", set.browsers, set.pages)
	}
	return set, command.NoArguments(flags)
}

// run starts everything, drives it, and ends it. It returns the exit code.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	set, err := parse(args, out)
	if err != nil {
		return command.Code(errs, "load", err, "")
	}
	var started atomic.Pointer[plant]
	progress := command.StartProgress(errs, func(elapsed time.Duration) string {
		now := "starting"
		if p := started.Load(); p != nil {
			now = p.status()
		}
		return fmt.Sprintf("load: %v: %s", elapsed, now)
	})
	err = func() error {
		p, err := startPlant(ctx, set.browsers)
		defer p.close()
		if err != nil {
			return err
		}
		started.Store(p)
		return p.measure(ctx, progress.Writer(out), set)
	}()
	progress.Stop()
	command.Code(errs, "load", err, "")
	return command.Verdict(out, err == nil)
}

// measure has two parts. In the first, all browsers send requests without
// pauses: that gives the throughput, and latencies that are those of a queue.
// In the second, they send half of that rate: these latencies are what users
// see. A wrong response in either is an error, after everything has been
// printed.
func (p *plant) measure(ctx context.Context, out io.Writer, set settings) error {
	flatOut, err := p.drive(ctx, "flat out", set, 0)
	if err != nil {
		return err
	}
	flatOut.print(out)
	paced, err := p.drive(ctx, "paced", set, flatOut.throughput()*paceShare)
	if err != nil {
		return err
	}
	paced.print(out)
	if set.plot != "" {
		if err := writePlot(set, flatOut, paced); err != nil {
			return err
		}
	}
	if n := len(flatOut.errors) + len(paced.errors); n > 0 {
		return fmt.Errorf("%d errors; 0 are allowed", n)
	}
	return nil
}
