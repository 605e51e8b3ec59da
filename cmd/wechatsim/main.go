// Command wechatsim serves the WeChat simulator of package wechattest, for
// applications in any language.
//
//	go run ./cmd/wechatsim -any-browser
//
// It listens on 127.0.0.1:8081 by default (see -addr). Anyone who can reach it
// can log in as any user, so it accepts only loopback addresses, unless -expose
// is set, for example for a container. Clients then need a proxy with TLS in
// front of it, because they accept plain http only for loopback hosts.
//
// It prints one line with the base URLs that replace https://open.weixin.qq.com
// and https://api.weixin.qq.com, which are the same here, and with the URL of
// the control page, where you choose a scenario, the current user and which
// faults occur. The control page links to the application at -site.
// Without -config it has the accounts of wechattest.DefaultAccounts:
//
//	official account      wx00000000000000a1  official-account-secret-for-tests
//	website application   wx00000000000000b2  website-app-secret-for-tests
//	mini program          wx00000000000000c3  mini-program-secret-for-tests
//	third-party platform  wx00000000000000d4  component-secret-for-tests
//
// -config names a YAML or JSON file in the format of wechattest.ReadConfig:
//
//		accounts:
//	  - {app_id: wx0123456789abcdef, secret: secret-for-tests, domains:
//	    [www.example.com]}
//		people:
//	  - {name: Lin}
//	  - {name: 阿青, follows: true}
//		faults:
//		  sns/userinfo: ["errcode:40001"]
//
// Tests in any language can post the forms of the control page, to which it
// responds with JSON: /sim/scenario (scenario), /sim/hold (person),
// /sim/environment (environment: normal, menu, snapshot), /sim/fault (endpoint,
// fault, times), /sim/clear-faults, /sim/switch (switch, on), /sim/switches (a
// field for each quirk that is on), /sim/advance (by), /sim/reset-clock,
// /sim/change-password (person), /sim/js-code and /sim/phone-code (appid,
// person), /sim/component-token and /sim/verify-ticket (appid). GET /sim/state
// and GET /sim/journal?after=N return the state and the calls.
//
// The exit code is 0 after an interrupt, 1 if the simulator cannot serve, and 2
// if the command line or the file of -config is invalid.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wechatauth/wechatauth/internal/command"
	"github.com/wechatauth/wechatauth/wechattest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command.Code(os.Stderr, "wechatsim", run(ctx, os.Args[1:], os.Stdout), ""))
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, out io.Writer) error {
	set, err := parse(args, out)
	if err != nil {
		return err
	}
	handler, err := simulator(set.opts)
	if err != nil {
		return err
	}
	if set.gallery {
		all, err := samples()
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("/", handler)
		mux.Handle("GET /gallery/", gallery{set.logo, all})
		handler = mux
	}
	listener, err := listen(set.addr, set.expose)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends long polls
	}
	base := baseURL(listener.Addr().(*net.TCPAddr))
	line := fmt.Sprintf("wechatsim: open base URL %s, api base URL %s, control page %s/\n", base, base, base)
	if set.gallery {
		line += fmt.Sprintf("wechatsim: gallery %s/gallery/\n", base)
	}
	_, _ = io.WriteString(out, line) // it also serves if no one reads it

	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	}()
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}

// listen returns an error for an address that other machines can reach, unless
// expose is set.
func listen(addr string, expose bool) (net.Listener, error) {
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, command.Usagef("listen: %w", err)
	}
	if !to.IP.IsLoopback() && !expose {
		return nil, command.Usagef("-addr %s is not loopback: other machines could log in as any user; use 127.0.0.1:%d, or -expose to allow it", addr, to.Port)
	}
	listener, err := net.ListenTCP("tcp", to)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// baseURL returns the URL at which this machine reaches a listening address,
// which may be that of all interfaces.
func baseURL(at *net.TCPAddr) string {
	ip := at.IP
	if ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	return "http://" + net.JoinHostPort(ip.String(), strconv.Itoa(at.Port))
}

// simulator returns as an error the panic for contradictory options, such as an
// account that both a scenario and the file define.
func simulator(opts []wechattest.Option) (h http.Handler, err error) {
	defer func() {
		if mistake := recover(); mistake != nil {
			err = command.Usagef("%v", mistake)
		}
	}()
	return wechattest.NewHandler(opts...), nil
}

// settings are the settings from the command line.
type settings struct {
	addr   string
	expose bool
	opts   []wechattest.Option

	gallery bool
	logo    string // the image for the gallery
}

const about = `Usage: wechatsim [flags]

Serves a WeChat simulator for applications in any language, until it is
interrupted. It prints the base URLs to use instead of WeChat's, and the URL of
its control page, where you choose a scenario, the user and the faults.
`

// parse parses flags and reads the configuration file. Flags take precedence.
func parse(args []string, out io.Writer) (set settings, err error) {
	flags := flag.NewFlagSet("wechatsim", flag.ContinueOnError)
	flags.StringVar(&set.addr, "addr", "127.0.0.1:8081", "loopback `address` to listen on")
	flags.BoolVar(&set.expose, "expose", false, "allow an -addr that other machines can reach")
	file := flags.String("config", "", "YAML or JSON `file` with accounts and people")
	anyBrowser := flags.Bool("any-browser", false, "show the authorize page in all browsers, not only in WeChat")
	strict := flags.Bool("strict-domains", false, "reject callbacks to loopback hosts unless configured")
	scenario := flags.String("scenario", "", "`name` of a scenario; an unknown name lists all")
	site := flags.String("site", "", "`URL` of your application, to which the control page links (default: where the last login came from)")
	flags.BoolVar(&set.gallery, "gallery", false, "also serve a gallery of the library's pages, at /gallery/")
	logo := flags.String("logo", "", "image `file` of the brand in the gallery")
	if err := command.Parse(flags, args, about, out); err != nil {
		return settings{}, err
	}
	if err := command.NoArguments(flags); err != nil {
		return settings{}, err
	}
	if *logo != "" {
		image, err := os.ReadFile(*logo)
		if err != nil {
			return settings{}, command.Usagef("-logo: %w", err)
		}
		set.logo = string(image)
	}
	if *file != "" {
		if set.opts, err = readConfig(*file); err != nil {
			return settings{}, err
		}
	}
	if *anyBrowser {
		set.opts = append(set.opts, wechattest.WithAnyBrowser())
	}
	if *strict {
		set.opts = append(set.opts, wechattest.WithStrictDomains())
	}
	if *site != "" {
		set.opts = append(set.opts, wechattest.WithSite(*site))
	}
	if *scenario != "" {
		if !scenarioExists(*scenario) {
			return settings{}, command.Usagef("-scenario: choose one of\n%s", scenarioList())
		}
		set.opts = append(set.opts, wechattest.WithScenario(*scenario))
	}
	return set, nil
}

func readConfig(name string) ([]wechattest.Option, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, command.Usagef("-config: %w", err)
	}
	defer f.Close()
	opts, err := wechattest.ReadConfig(f)
	if err != nil {
		return nil, command.Usagef("-config %s: %w", name, err)
	}
	return opts, nil
}

func scenarioExists(name string) bool {
	for _, s := range wechattest.Scenarios() {
		if s.Name == name {
			return true
		}
	}
	return false
}

func scenarioList() string {
	var b strings.Builder
	for _, s := range wechattest.Scenarios() {
		fmt.Fprintf(&b, "  %-26s %s\n", s.Name, s.About)
	}
	return b.String()
}
