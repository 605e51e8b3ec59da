// Package redistest runs a real redis-server for one test, or another [Host]:
// on a free loopback port, in a temporary folder, until the test ends. The
// server can be stopped, restarted and frozen, and its commands can be
// recorded. Several servers make a replicated pair with Sentinels
// ([StartSentinels]) or a Redis Cluster ([StartCluster]).
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Ports are chosen at random below the range from which kernels assign ports to
// outgoing connections, so a port stays free between Stop and Restart. The bus
// of a Redis Cluster listens 10,000 above.
const (
	firstPort = 10_000
	lastPort  = 29_999
)

// patience bounds every wait of this package for the server. It ends a hung
// test with an explanation and is never reached in a good run.
const patience = 10 * time.Second

// A Host is a test, or a program that takes the place of one. It is the part of
// testing.TB that this package needs.
type Host interface {
	Helper()
	Cleanup(f func())
	TempDir() string
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// A Server is a running redis-server. Its methods end the test when they fail.
// They must be called from the test's own goroutine; Addr and URL may be called
// from any.
type Server struct {
	t    Host
	args []string
	dir  string
	port int
	proc *process // nil while stopped
}

// Start runs a redis-server and returns when it accepts connections. It has no
// password, keeps nothing on disk unless args say so ("--appendonly", "yes"),
// and is killed when the test ends. The args are options of redis-server, two
// words each; they cannot change port, address, folder or log.
//
// Without a redis-server on the machine, Start fails the test: it is never
// skipped.
func Start(t Host, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redistest: redis-server is not installed; install Redis 7 or newer (Debian and Ubuntu: apt-get install redis-server, macOS: brew install redis)")
	}
	return onFreePort(t, args, launch)
}

// onFreePort launches a server on the first free port. If another process has
// the port, redis-server reports it and exits.
func onFreePort(t Host, args []string, launch func(port int, dir string, args []string) (*process, error)) *Server {
	t.Helper()
	s := &Server{t: t, args: args, dir: t.TempDir()}
	t.Cleanup(s.Stop)
	var lastErr error
	for range 20 {
		s.port = firstPort + rand.IntN(lastPort-firstPort+1)
		if s.proc, lastErr = launch(s.port, s.dir, s.args); lastErr == nil {
			return s
		}
		if !strings.Contains(lastErr.Error(), "in use") {
			break
		}
	}
	t.Fatalf("redistest: %v", lastErr)
	return nil
}

// Addr returns the server's address, host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port returns the server's TCP port. Restart does not change it.
func (s *Server) Port() int { return s.port }

// URL returns the server's address as a Redis URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Pool returns a new pool of connections to the server, closed when the test
// ends. It has at most 64 connections, waits for a free one, and allows 10 s
// for dialing, reading and writing, so that a busy machine fails no test. It
// does not test connections on borrowing, so a restart leaves stale connections
// in it.
func (s *Server) Pool() *redis.Pool {
	p := &redis.Pool{
		MaxIdle:   64,
		MaxActive: 64,
		Wait:      true,
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", s.Addr(),
				redis.DialConnectTimeout(patience),
				redis.DialReadTimeout(patience),
				redis.DialWriteTimeout(patience))
		},
	}
	s.t.Cleanup(func() { p.Close() })
	return p
}

// Do sends one command on a new connection and returns the reply. An error of
// the server ends the test.
func (s *Server) Do(command string, args ...any) any {
	s.t.Helper()
	conn := s.dial()
	defer conn.Close()
	reply, err := conn.Do(command, args...)
	if err != nil {
		s.t.Fatalf("redistest: %s: %v", command, err)
	}
	return reply
}

// Stop kills the server, frozen or not. Connections to it break, and data that
// is not on disk is lost. Stopping a stopped server does nothing.
func (s *Server) Stop() {
	if s.proc == nil {
		return
	}
	s.proc.kill()
	s.proc = nil
}

// Running reports whether the server has been started and not stopped; a frozen
// one runs.
func (s *Server) Running() bool { return s.proc != nil }

// Restart stops the server if it runs and starts it again on the same port, in
// the same folder, with the same options.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	proc, err := launch(s.port, s.dir, s.args)
	if err != nil {
		s.t.Fatalf("redistest: restart: %v", err)
	}
	s.proc = proc
}

// Freeze stops the server's process (SIGSTOP) without ending it: connections
// stay open, the kernel accepts new ones, and nothing responds until Thaw.
func (s *Server) Freeze() {
	s.t.Helper()
	if err := s.signal(syscall.SIGSTOP); err != nil {
		s.t.Fatalf("redistest: freeze: %v", err)
	}
	if err := awaitStopped(s.proc.cmd.Process.Pid); err != nil {
		s.t.Fatalf("redistest: freeze: %v", err)
	}
}

// Thaw resumes a frozen server (SIGCONT). It then executes the commands that
// have arrived meanwhile.
func (s *Server) Thaw() {
	s.t.Helper()
	if err := s.signal(syscall.SIGCONT); err != nil {
		s.t.Fatalf("redistest: thaw: %v", err)
	}
}

func (s *Server) signal(sig syscall.Signal) error {
	if s.proc == nil {
		return fmt.Errorf("the server is stopped")
	}
	return s.proc.cmd.Process.Signal(sig)
}

// Commands runs f and returns the commands that the server executed meanwhile,
// from every client, in order: "SET key value PX 1000". Arguments are as in
// MONITOR (unprintable bytes are escaped). The server hides commands that carry
// a password (AUTH, HELLO).
func (s *Server) Commands(f func()) []string {
	s.t.Helper()
	monitor, control := s.dial(), s.dial()
	defer monitor.Close()
	defer control.Close()
	if _, err := monitor.Do("MONITOR"); err != nil {
		s.t.Fatalf("redistest: monitor: %v", err)
	}

	f()

	// MONITOR shows everything executed before the marker before it.
	marker := fmt.Sprintf("redistest-%d", rand.Uint64())
	if _, err := control.Do("ECHO", marker); err != nil {
		s.t.Fatalf("redistest: send marker: %v", err)
	}
	commands := []string{}
	for {
		line, err := redis.String(monitor.Receive())
		if err != nil {
			s.t.Fatalf("redistest: read monitor: %v", err)
		}
		command := monitored(line)
		if command == "ECHO "+marker {
			return commands
		}
		commands = append(commands, command)
	}
}

// monitored returns the command in a line of MONITOR:
//
//	1700000000.123456 [0 127.0.0.1:50000] "SET" "key" "a \"b\""
func monitored(line string) string {
	_, quoted, ok := strings.Cut(line, "] ")
	if !ok {
		return line
	}
	var words []string
	for len(quoted) > 1 && quoted[0] == '"' {
		end := 1
		for end < len(quoted) && quoted[end] != '"' {
			if quoted[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(quoted))
		words = append(words, quoted[1:end])
		quoted = strings.TrimPrefix(quoted[min(end+1, len(quoted)):], " ")
	}
	return strings.Join(words, " ")
}

func (s *Server) dial() redis.Conn {
	s.t.Helper()
	conn, err := redis.Dial("tcp", s.Addr(),
		redis.DialConnectTimeout(patience), redis.DialReadTimeout(patience), redis.DialWriteTimeout(patience))
	if err != nil {
		s.t.Fatalf("redistest: connect: %v", err)
	}
	return conn
}

// A process is one run of redis-server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended

	mu  sync.Mutex
	log []string
}

// launch starts redis-server and waits for its log line that it listens: a
// connection to the port would not prove that it is this server's.
func launch(port int, dir string, args []string) (*process, error) {
	args = append([]string{"--save", ""}, args...)
	return start("Ready to accept connections", append(args, fixed(port, dir)...)...)
}

// fixed returns the options that no test may change.
func fixed(port int, dir string) []string {
	return []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--daemonize", "no", "--logfile", "", "--loglevel", "notice"}
}

// start runs redis-server and waits until it logs the word.
func start(word string, args ...string) (*process, error) {
	cmd := exec.Command("redis-server", args...)
	cmd.SysProcAttr = endWithParent()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}

	p := &process{cmd: cmd, done: make(chan struct{})}
	ready := make(chan struct{})
	go p.read(out, word, ready)

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("redis-server exited immediately:\n%s", p.tail())
	case <-timer.C:
		p.kill()
		return nil, fmt.Errorf("redis-server is not ready after %v:\n%s", patience, p.tail())
	}
}

// read keeps the last lines of the log, closes ready when the server has logged
// the word, and reaps the process when its output ends.
func (p *process) read(out io.Reader, word string, ready chan<- struct{}) {
	said := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.mu.Lock()
		p.log = append(p.log[max(0, len(p.log)-39):], lines.Text())
		p.mu.Unlock()
		if !said && strings.Contains(lines.Text(), word) {
			said = true
			close(ready)
		}
	}
	_ = p.cmd.Wait()
	close(p.done)
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// kill ends the process, even a frozen one, and waits until it has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
