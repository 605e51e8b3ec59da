// Command quickstart is a small site that requires a login, together with a
// WeChat simulator:
//
//	go run ./examples/quickstart
//
// It prints the URL to open. If WECHAT_APP_ID, WECHAT_APP_SECRET and BASE_URL
// are set, it uses the real WeChat instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/wechattest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, getenv func(string) string, out, logs io.Writer) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	addr := flags.String("addr", "127.0.0.1:8080", "`address` of the site")
	simAddr := flags.String("sim-addr", "127.0.0.1:8081", "`address` of the WeChat simulator")
	redisURL := flags.String("redis", "", "`URL` of a Redis for sessions, such as redis://127.0.0.1:6379/0 (default: in memory)")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.Usage()
		return err
	case err != nil:
		return fmt.Errorf("%w; run quickstart -h for usage", err)
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; run quickstart -h for usage", flags.Arg(0))
	}

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return fmt.Errorf("the site cannot listen; choose another -addr: %w", err)
	}
	defer listener.Close()
	opts := []wechatauth.Option{
		wechatauth.WithLogger(slog.New(slog.NewTextHandler(logs, nil))),
		wechatauth.WithPageVisit(isPage),
	}
	if *redisURL != "" {
		opts = append(opts, wechatauth.WithRedisURL(*redisURL))
	}

	if real, err := usesWeChat(getenv); err != nil {
		return err
	} else if real {
		opts = append(opts,
			wechatauth.WithApp(getenv("WECHAT_APP_ID"), getenv("WECHAT_APP_SECRET")),
			wechatauth.WithBaseURL(getenv("BASE_URL")))
		auth, err := wechatauth.New(opts...)
		if err != nil {
			return fmt.Errorf("WECHAT_APP_ID, WECHAT_APP_SECRET and BASE_URL: %w", err)
		}
		fmt.Fprintf(out, "Open %s in WeChat\n", getenv("BASE_URL"))
		return serve(ctx, listener, site(auth, ""))
	}

	simListener, err := net.Listen("tcp", *simAddr)
	if err != nil {
		return fmt.Errorf("the WeChat simulator cannot listen; choose another -sim-addr: %w", err)
	}
	defer simListener.Close()
	base, sim := "http://"+reachable(listener.Addr()), "http://"+reachable(simListener.Addr())
	opts = append(opts,
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL(base),
		wechatauth.WithEndpoints(client.Endpoints{Open: sim, API: sim}))
	auth, err := wechatauth.New(opts...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Open %s (WeChat simulator: %s)\n", base, sim)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	simDone := make(chan error, 1)
	go func() {
		defer cancel()
		simDone <- serve(ctx, simListener, simulator(sim, base))
	}()
	err = serve(ctx, listener, site(auth, sim))
	cancel()
	return errors.Join(err, <-simDone)
}

// simulator returns a WeChat simulator for all browsers, with avatars of its
// people and a link to the site.
func simulator(base, site string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", wechattest.NewHandler(wechattest.WithAnyBrowser(), wechattest.WithPerson(people(base)...), wechattest.WithSite(site)))
	mux.HandleFunc("GET /avatar/{person}", avatar)
	return mux
}

// grace is how long requests may take to finish after an interrupt. Browsers
// keep connections open that they never use.
const grace = time.Second

// usesWeChat reports whether to use the real WeChat. If only some of its
// settings are set, it returns an error: using the simulator instead would let
// anyone log in.
func usesWeChat(getenv func(string) string) (bool, error) {
	var missing []string
	names := []string{"WECHAT_APP_ID", "WECHAT_APP_SECRET", "BASE_URL"}
	for _, name := range names {
		if getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 && len(missing) < len(names) {
		return false, fmt.Errorf("to use the real WeChat, set %s; to use the simulator, set none of %s", strings.Join(missing, " and "), strings.Join(names, ", "))
	}
	return len(missing) == 0, nil
}

// reachable returns an address in the form used by a browser on this machine.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// serve serves until ctx is done, and then waits for open requests.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if server.Shutdown(deadline) != nil {
			stopped <- server.Close()
			return
		}
		stopped <- nil
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
