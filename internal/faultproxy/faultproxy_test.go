package faultproxy_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/faultproxy"
	"github.com/wechatauth/wechatauth/internal/redistest"
)

// patience ends a hung test and is never waited out in a good run.
const patience = 10 * time.Second

// echo is a server that sends back what it receives, and reports how many bytes
// that were.
func echo(t *testing.T) (addr string, got func() int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var (
		mu    sync.Mutex
		total int
		all   sync.WaitGroup
	)
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				buf := make([]byte, 1024)
				for {
					n, err := c.Read(buf)
					mu.Lock()
					total += n
					mu.Unlock()
					if err != nil {
						return
					}
					_, _ = c.Write(buf[:n])
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String(), func() int { mu.Lock(); defer mu.Unlock(); return total }
}

func through(t *testing.T) (*faultproxy.Proxy, func() int) {
	addr, got := echo(t)
	p, err := faultproxy.Start(addr)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p, got
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends six bytes and returns what was received before the end.
func ask(c net.Conn) (string, error) {
	if _, err := c.Write([]byte("abcdef")); err != nil {
		return "", err
	}
	b := make([]byte, 6)
	n, err := io.ReadFull(c, b)
	return string(b[:n]), err
}

// TestProxy_Pass checks that without a fault all bytes pass in both directions.
func TestProxy_Pass(t *testing.T) {
	p, _ := through(t)
	c := dial(t, p)
	for range 3 {
		got, err := ask(c)
		require.NoError(t, err)
		assert.Equal(t, "abcdef", got)
	}
	assert.Equal(t, 1, p.Links())
}

// TestProxy_Cut cuts after exactly n bytes, and after the server has received everything.
func TestProxy_Cut(t *testing.T) {
	for n := range 6 {
		p, served := through(t)
		open := dial(t, p)
		_, err := ask(open)
		require.NoError(t, err)
		p.Cut(n)
		for i, c := range []net.Conn{open, dial(t, p)} {
			got, err := ask(c)
			assert.Error(t, err)
			assert.Equal(t, "abcdef"[:n], got)
			assert.Equal(t, 6*(i+2), served(), "the server has read the command")
		}
		p.Pass()
		got, err := ask(dial(t, p))
		require.NoError(t, err)
		assert.Equal(t, "abcdef", got)
	}
}

// TestProxy_CutOnce cuts only one connection.
func TestProxy_CutOnce(t *testing.T) {
	p, _ := through(t)
	p.CutOnce(2)
	got, err := ask(dial(t, p))
	assert.Error(t, err)
	assert.Equal(t, "ab", got)
	_, err = ask(dial(t, p))
	assert.NoError(t, err)
}

func TestProxy_Blackhole(t *testing.T) {
	p, served := through(t)
	open := dial(t, p)
	_, err := ask(open)
	require.NoError(t, err)
	p.Blackhole()
	for _, c := range []net.Conn{open, dial(t, p)} {
		require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := ask(c)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	assert.Equal(t, 6, served())
	p.Pass()
	require.NoError(t, open.SetDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = ask(open)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "what has lost bytes stays useless")
	_, err = ask(dial(t, p))
	assert.NoError(t, err)
}

// TestProxy_HalfOpen breaks open connections but not new ones.
func TestProxy_HalfOpen(t *testing.T) {
	p, _ := through(t)
	open := dial(t, p)
	_, err := ask(open)
	require.NoError(t, err)
	p.HalfOpen()
	require.NoError(t, open.SetDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = ask(open)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = ask(dial(t, p))
	assert.NoError(t, err)
}

func TestProxy_Reset(t *testing.T) {
	p, _ := through(t)
	open := dial(t, p)
	_, err := ask(open)
	require.NoError(t, err)
	p.Reset()
	_, err = open.Read(make([]byte, 1))
	assert.True(t, errors.Is(err, syscall.ECONNRESET), "%v", err)
	_, err = ask(dial(t, p))
	assert.Error(t, err)
	p.Pass()
	_, err = ask(dial(t, p))
	assert.NoError(t, err)
}

// TestProxy_Delay delays a response, which arrives complete.
func TestProxy_Delay(t *testing.T) {
	p, _ := through(t)
	p.Delay(50 * time.Millisecond)
	c := dial(t, p)
	begun := time.Now()
	got, err := ask(c)
	require.NoError(t, err)
	assert.Equal(t, "abcdef", got)
	assert.GreaterOrEqual(t, time.Since(begun), 50*time.Millisecond)
}

func TestProxy_Retarget(t *testing.T) {
	p, first := through(t)
	addr, second := echo(t)
	open := dial(t, p)
	_, err := ask(open)
	require.NoError(t, err)
	p.Retarget(addr)
	_, err = ask(open)
	require.NoError(t, err)
	_, err = ask(dial(t, p))
	require.NoError(t, err)
	assert.Equal(t, 12, first())
	assert.Equal(t, 6, second())
}

// TestProxy_Close leaves no goroutine and no connection.
func TestProxy_Close(t *testing.T) {
	p, _ := through(t)
	c := dial(t, p)
	_, err := ask(c)
	require.NoError(t, err)
	p.Blackhole()
	p.Close()
	assert.Zero(t, p.Links())
	_, err = net.Dial("tcp", p.Addr())
	assert.Error(t, err)
}

func TestReplies_Reject(t *testing.T) {
	server := redistest.Start(t)
	p, err := faultproxy.StartReplies(server.Addr())
	require.NoError(t, err)
	t.Cleanup(p.Close)
	p.Reject(func(command []string) string {
		if command[0] == "SET" {
			return "ERR command 'SET' is not allowed"
		}
		return ""
	})
	conn, err := redis.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer conn.Close()
	for _, c := range [][]any{{"ECHO", "first"}, {"SET", "k", "v"}, {"ECHO", "second"}} {
		require.NoError(t, conn.Send(c[0].(string), c[1:]...))
	}
	require.NoError(t, conn.Flush())
	first, err := redis.String(conn.Receive())
	require.NoError(t, err)
	assert.Equal(t, "first", first)
	_, err = conn.Receive()
	assert.EqualError(t, err, "ERR command 'SET' is not allowed")
	second, err := redis.String(conn.Receive())
	require.NoError(t, err)
	assert.Equal(t, "second", second)
	assert.Zero(t, server.Do("EXISTS", "k"), "a rejected command was executed")
}
