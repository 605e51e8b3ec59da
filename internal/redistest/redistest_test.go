package redistest

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServer_Commands(t *testing.T) {
	s := Start(t)
	s.Do("SET", "before", "1")
	got := s.Commands(func() {
		s.Do("SET", "key", `with "quotes", spaces and \`, "PX", 60000)
		s.Do("GET", []byte{0, 255})
		s.Do("PING")
	})
	s.Do("SET", "after", "1")

	assert.Equal(t, []string{
		`SET key with \"quotes\", spaces and \\ PX 60000`,
		`GET \x00\xff`,
		`PING`,
	}, got)
}

func TestServer_Commands_ManyClients(t *testing.T) {
	s := Start(t)
	pool := s.Pool()
	got := s.Commands(func() {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				conn := pool.Get()
				defer conn.Close()
				_, err := conn.Do("INCR", "n")
				assert.NoError(t, err)
			})
		}
		wg.Wait()
	})
	assert.Len(t, got, 20)
}

func TestServer_Commands_None(t *testing.T) {
	assert.Empty(t, Start(t).Commands(func() {}))
}

func TestServer_Restart(t *testing.T) {
	s := Start(t)
	addr := s.Addr()
	s.Do("SET", "k", "v")
	s.Restart()
	assert.Equal(t, addr, s.Addr())
	assert.Nil(t, s.Do("GET", "k"))
}

func TestServer_Restart_AppendOnly(t *testing.T) {
	s := Start(t, "--appendonly", "yes")
	s.Do("SET", "k", "v")
	s.Stop()
	s.Restart()
	assert.Equal(t, []byte("v"), s.Do("GET", "k"))
}

func TestServer_Stop(t *testing.T) {
	s := Start(t)
	s.Stop()
	s.Stop()
	_, err := net.Dial("tcp", s.Addr())
	require.Error(t, err)
}

func TestServer_Freeze(t *testing.T) {
	s := Start(t)
	conn, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()

	s.Freeze()
	require.NoError(t, conn.Send("PING"))
	require.NoError(t, conn.Flush())
	probe := s.Pool().Get()
	_, err = redis.DoWithTimeout(probe, 50*time.Millisecond, "PING")
	require.True(t, errors.Is(err, os.ErrDeadlineExceeded), "a frozen server responded: %v", err)
	probe.Close()

	s.Thaw()
	reply, err := redis.ReceiveWithTimeout(conn, patience)
	require.NoError(t, err)
	assert.Equal(t, "PONG", reply)
}

func TestStart_Two(t *testing.T) {
	a, b := Start(t), Start(t)
	a.Do("SET", "k", "a")
	assert.NotEqual(t, a.Addr(), b.Addr())
	assert.Nil(t, b.Do("GET", "k"))
}

func TestLaunch_PortTaken(t *testing.T) {
	s := Start(t)
	_, err := launch(s.port, t.TempDir(), nil)
	require.ErrorContains(t, err, "Address already in use")
}
