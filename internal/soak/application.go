package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/client"
	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/wechattest"
)

// setupVariable makes this program the application under test.
const setupVariable = "SOAK_APPLICATION"

// setup is the configuration of the application.
type setup struct {
	RedisURL  string
	Endpoints client.Endpoints
	Idle      time.Duration
}

// ready is the first line of the application: the URLs of the site and of its
// state.
type ready struct{ Site, State string }

// A state is the resource use of a process.
type state struct {
	Goroutines int
	Resident   int64 // bytes of memory
}

// serve runs the application under test. It ends with its standard input.
func serve(text string) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	site, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	pool, err := store.NewPool(s.RedisURL)
	if err != nil {
		return err
	}
	toWeChat := &http.Transport{}
	opts := []wechatauth.Option{
		wechatauth.WithApp(wechattest.DefaultAppID, wechattest.DefaultSecret),
		wechatauth.WithBaseURL("http://" + site.Addr().String()),
		wechatauth.WithEndpoints(s.Endpoints),
		wechatauth.WithRedis(pool),
		wechatauth.WithHTTPClient(&http.Client{Transport: toWeChat}),
		wechatauth.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if s.Idle > 0 {
		opts = append(opts, wechatauth.WithIdleTimeout(s.Idle))
	}
	auth, err := wechatauth.New(opts...)
	if err != nil {
		return err
	}
	go http.Serve(site, routes(auth))
	go http.Serve(own, serveState(toWeChat))
	if err := json.NewEncoder(os.Stdout).Encode(ready{"http://" + site.Addr().String(), "http://" + own.Addr().String()}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// routes has a page that requires a login and keeps a value in the session, one
// that loads the session if there is one, and one without middleware.
func routes(auth *wechatauth.Auth) http.Handler {
	sessions := auth.Sessions()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if value := r.URL.Query().Get("put"); value != "" {
			sessions.Put(r.Context(), "cart", value)
		}
		id, ok := wechatauth.IdentityFromContext(r.Context())
		fmt.Fprintf(w, "logged-in=%t openid=%s cart=%s", ok, id.OpenID, sessions.GetString(r.Context(), "cart"))
	})
	mux := http.NewServeMux()
	mux.Handle("/wechat/", auth)
	mux.Handle("/", auth.RequireWeChat(page))
	mux.Handle("/public", auth.LoadWeChat(page))
	mux.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "open") })
	return mux
}

// serveState responds with the state of this process. Before it reads the
// memory, it closes idle connections and returns free memory to the system, so
// that growth is what is retained and not what waits to be freed.
func serveState(toWeChat *http.Transport) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := state{Goroutines: runtime.NumGoroutine()}
		if r.URL.Path == "/memory" {
			toWeChat.CloseIdleConnections()
			debug.FreeOSMemory()
			resident, err := residentMemory()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			s.Resident = resident
		}
		_ = json.NewEncoder(w).Encode(s)
	})
}

// residentMemory reads Linux's statm, whose second number counts pages.
func residentMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read resident memory: %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// An application is the process under test, seen from this one.
type application struct {
	h      *host
	site   string
	states string
	asking *http.Client
}

func startApplication(h *host, s setup) *application {
	text, err := json.Marshal(s)
	h.must(err)
	program, err := os.Executable()
	h.must(err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), setupVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	h.must(err)
	out, err := cmd.StdoutPipe()
	h.must(err)
	h.must(cmd.Start())
	h.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	h.must(err)
	var r ready
	h.must(json.Unmarshal(line, &r))
	return &application{h: h, site: r.Site, states: r.State,
		asking: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// state returns the number of goroutines, including those that respond.
func (a *application) state() state { return a.ask("/") }

// memory returns the resident memory too.
func (a *application) memory() state { return a.ask("/memory") }

func (a *application) ask(path string) state {
	resp, err := a.asking.Get(a.states + path)
	a.h.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		a.h.Fatal("the application's state:", resp.Status)
	}
	var s state
	a.h.must(json.NewDecoder(resp.Body).Decode(&s))
	return s
}
