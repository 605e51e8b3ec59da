// Command soak checks that sessions survive faults of Redis over a long time. The
// application under test is a separate process: the middleware on a real
// net/http server, with a real redis-server behind a proxy that fails on
// command. This process runs WeChat, the users and the faults.
//
//	go run ./internal/soak -for 10m
//
// makes users log in, come back and log out, sends floods of strangers, and
// causes a fault of Redis every 20 seconds. It ends with exit code 1 if
//
//   - a login or a value of a session was lost,
//   - a session outlived its logout,
//   - a stranger or a public page got a wrong response,
//   - a user got a response that is neither their page nor a 503,
//   - the application has more goroutines than after the warm-up, or 5 MB more
//     memory, or
//   - strangers have left keys in Redis.
//
// Its last line has the counts.
//
//	go run ./internal/soak -frozen
//
// freezes Redis for 30 seconds under 200 requests a second and measures which
// requests wait, and how long.
//
// It needs redis-server and, for the memory of a process, Linux.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if setup := os.Getenv(setupVariable); setup != "" {
		if err := serve(setup); err != nil {
			fmt.Fprintln(os.Stderr, "soak: application:", err)
			os.Exit(1)
		}
		return
	}

	var (
		mixed     = flag.Duration("for", 10*time.Minute, "how long users log in")
		pause     = flag.Duration("every", 20*time.Second, "time from one fault to the next")
		users     = flag.Int("users", 16, "number of concurrent users")
		strangers = flag.Int("strangers", 100_000, "hits without a session whose keys are counted at the end")
		frozen    = flag.Bool("frozen", false, "freeze Redis under load, instead")
		ice       = flag.Duration("ice", 30*time.Second, "with -frozen: how long")
		rate      = flag.Int("rate", 200, "with -frozen: requests a second")
	)
	flag.Parse()
	h := &host{}
	ok := false
	func() {
		defer h.close()
		if *frozen {
			ok = runFrozen(h, *ice, *rate)
			return
		}
		ok = runSoak(h, plan{mixed: *mixed, pause: *pause, users: *users, strangers: *strangers})
	}()
	if !ok {
		os.Exit(1)
	}
}
