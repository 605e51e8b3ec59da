// Package redisserver runs a real redis-server for as long as a measurement
// takes, on a free loopback port, and tells what it was asked.
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

// patience bounds the wait for the server's first word.
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

// taken reports whether a server ended because another process has its port: by
// its last line, which the reason comes before.
func taken(err error) bool { return strings.Contains(err.Error(), "Failed listening on port") }

// launch waits for the server's own word that it listens: connecting to the
// port would not tell it from a stranger.
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

// Addr is the server's address, host:port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// URL is the server's address in the form of a Redis URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Do sends one command on a connection of its own.
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

// Calls returns how often each command was called so far, of those that a
// client sends for its own sake: connecting, testing a connection and asking
// for these counts are left out.
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
