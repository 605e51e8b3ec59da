// Command wechatsim serves the simulated WeChat of package wechattest on a
// loopback port, for applications in any language.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/wechatauth/wechatauth/wechattest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "wechatsim:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("wechatsim", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8081", "address to listen on")
	anyBrowser := flags.Bool("any-browser", false, "show the authorize page in every browser, not in WeChat only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var opts []wechattest.Option
	if *anyBrowser {
		opts = append(opts, wechattest.WithAnyBrowser())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	base := "http://" + listener.Addr().String()
	fmt.Printf("open and api base URLs: %s  control page: %s/\n", base, base)
	srv := &http.Server{Handler: wechattest.NewHandler(opts...), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	if err := srv.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}
