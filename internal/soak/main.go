// Command soak checks that sessions survive faults of Redis over a long time. The
// application under test is a separate process: the middleware on a real
// net/http server, with a real redis-server behind a proxy that fails on
// command. This process runs WeChat, the users and the faults.
//
//	go run ./internal/soak -for 10m
//
// makes users log in, come back and log out, sends floods of strangers, and
// causes a fault of Redis every 20 seconds. It fails if
//
//   - a login or a value of a session was lost,
//   - a session outlived its logout,
//   - a stranger or a public page got a wrong response,
//   - a user got a response that is neither their page nor a 503,
//   - the application has more goroutines than after the warm-up, or 5 MB more
//     memory, or
//   - strangers have left keys in Redis.
//
// Its last lines are the counts, and PASS or FAIL.
//
//	go run ./internal/soak -frozen
//
// freezes Redis for 30 seconds under 200 requests a second and measures which
// requests wait, and how long.
//
// It shows its progress on stderr. The exit code is 0 for PASS, 1 for FAIL, and 2
// if the command line is invalid.
//
// It needs redis-server and, for the memory of a process, Linux.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/wechatauth/wechatauth/internal/command"
)

func main() {
	if setup := os.Getenv(setupVariable); setup != "" {
		if err := serve(setup); err != nil {
			fmt.Fprintln(os.Stderr, "soak: application:", err)
			os.Exit(1)
		}
		return
	}

	set, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(command.Code(os.Stderr, "soak", err, ""))
	}
	h := newHost()
	ok := false
	func() {
		defer h.close()
		if set.frozen {
			ok = runFrozen(h, set.ice, set.rate)
			return
		}
		ok = runSoak(h, set.plan)
	}()
	os.Exit(command.Verdict(os.Stdout, ok))
}

// settings are the settings from the command line.
type settings struct {
	plan
	frozen bool
	ice    time.Duration
	rate   int
}

const about = `Usage: soak [flags]

Runs sessions for a long time while Redis fails again and again, or, with
-frozen, freezes Redis under load. It prints PASS or FAIL at the end.
`

func parse(args []string) (set settings, err error) {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&set.mixed, "for", 10*time.Minute, "how long users log in")
	flags.DurationVar(&set.pause, "every", 20*time.Second, "time from one fault to the next")
	flags.IntVar(&set.users, "users", 16, "number of concurrent users")
	flags.IntVar(&set.strangers, "strangers", 100_000, "hits without a session whose keys are counted at the end")
	flags.BoolVar(&set.frozen, "frozen", false, "freeze Redis under load, instead")
	flags.DurationVar(&set.ice, "ice", 30*time.Second, "with -frozen: how long")
	flags.IntVar(&set.rate, "rate", 200, "with -frozen: requests a second")
	if err := command.Parse(flags, args, about, os.Stdout); err != nil {
		return set, err
	}
	if set.mixed <= 0 || set.pause <= 0 || set.ice <= 0 {
		return set, command.Usagef("-for %v, -every %v and -ice %v must be positive", set.mixed, set.pause, set.ice)
	}
	if set.users < 1 || set.rate < 1 || set.strangers < 0 {
		return set, command.Usagef("-users %d and -rate %d must be positive, and -strangers %d must not be negative", set.users, set.rate, set.strangers)
	}
	return set, command.NoArguments(flags)
}
