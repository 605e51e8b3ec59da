// Package redisserver runs a real redis-server for the duration of a
// measurement, on a free loopback port, and counts its commands.
package redisserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// patience bounds the wait for the server's first log line.
const patience = 10 * time.Second

// Server is a running redis-server that keeps nothing on disk.
type Server struct {
	port int
	dir  string
	cmd  *exec.Cmd
}

// Start runs a redis-server. It ends with Close, or when ctx does.
func Start(ctx context.Context) (*Server, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errors.New("redis-server is not installed (Debian and Ubuntu: apt-get install redis-server)")
	}
	dir, err := os.MkdirTemp("", "bench-redis-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for redis-server: %w", err)
	}
	for range 20 {
		s := &Server{port: 10_000 + rand.IntN(20_000), dir: dir}
		if err = s.launch(ctx); err == nil {
			return s, nil
		}
		if !taken(err) {
			break
		}
	}
	os.RemoveAll(dir)
	return nil, err
}

// taken reports whether a server ended because another process has its port, by
// its last log line, which follows the reason.
func taken(err error) bool { return strings.Contains(err.Error(), "Failed listening on port") }

// launch waits for the server's own log line that it listens: a connection to
// the port would not prove that it is this server's.
func (s *Server) launch(ctx context.Context) error {
	s.cmd = exec.CommandContext(ctx, "redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1",
		"--port", strconv.Itoa(s.port), "--dir", s.dir, "--daemonize", "no", "--logfile", "")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	ready := make(chan error, 1)
	go func() {
		log := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				ready <- nil
			}
			log = lines.Text()
		}
		select {
		case ready <- fmt.Errorf("redis-server ended: %s", log):
		default:
		}
	}()
	select {
	case err = <-ready:
	case <-time.After(patience):
		err = errors.New("redis-server is not ready in time")
	}
	if err != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	return err
}

// Close ends the server and removes its folder.
func (s *Server) Close() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// Addr returns the server's address, host:port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// URL returns the server's address as a Redis URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// PID returns the id of the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Do sends one command on a new connection.
func (s *Server) Do(command string, args ...any) (any, error) {
	conn, err := redis.Dial("tcp", s.Addr())
	if err != nil {
		return nil, fmt.Errorf("connect to redis-server: %w", err)
	}
	defer conn.Close()
	reply, err := conn.Do(command, args...)
	if err != nil {
		return nil, fmt.Errorf("redis %s: %w", command, err)
	}
	return reply, nil
}

// Calls returns how often each command was called so far. It leaves out
// connecting, testing a connection and reading these counts.
func (s *Server) Calls() (map[string]int, error) {
	text, err := redis.String(s.Do("INFO", "commandstats"))
	if err != nil {
		return nil, err
	}
	calls := map[string]int{}
	for line := range strings.Lines(text) {
		name, stats, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		switch base, _, _ := strings.Cut(name, "|"); base {
		case "info", "config", "client", "hello", "ping", "command", "flushall", "memory", "select", "auth":
			continue
		}
		count, _, _ := strings.Cut(stats, ",")
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, fmt.Errorf("read command statistics: %w", err)
		}
		calls[name] = n
	}
	return calls, nil
}

// Memory returns the bytes that Redis counts for its data.
func (s *Server) Memory() (int, error) {
	text, err := redis.String(s.Do("INFO", "memory"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(text, "used_memory:")
	count, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.Atoi(count)
	if err != nil {
		return 0, fmt.Errorf("read used_memory: %w", err)
	}
	return n, nil
}
