// Command load runs real processes over loopback: a redis-server, two instances
// of examples/nethttp that share it, and the WeChat simulator cmd/wechatsim.
// Simulated browsers log in, read pages and log out; their requests go to the
// two instances in turn. See bench/README.md.
//
// It fails if a single response is wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	set := settings{}
	flag.IntVar(&set.browsers, "browsers", 1000, "how many browsers there are")
	flag.IntVar(&set.pages, "pages", 20, "how many pages each reads")
	flag.StringVar(&set.plot, "plot", "", "`file` to draw the latencies into, as SVG")
	flag.Parse()
	if err := run(ctx, os.Stdout, set); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

type settings struct {
	browsers, pages int
	plot            string
}

// paceShare is the share of the measured throughput at which the paced browsers
// send requests.
const paceShare = 0.5

// run starts everything, drives it, and ends it.
func run(ctx context.Context, out io.Writer, set settings) error {
	if set.browsers < 1 || set.pages < 1 {
		return fmt.Errorf("-browsers %d and -pages %d must be positive", set.browsers, set.pages)
	}
	p, err := startPlant(ctx, set.browsers)
	defer p.close()
	if err != nil {
		return err
	}
	return p.measure(ctx, out, set)
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
