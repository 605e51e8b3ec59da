package wire

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFrames(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		ended  int
	}{
		"a simple string":      {"+OK\r\n", 1},
		"an error":             {"-ERR no\r\n", 1},
		"integers":             {":1\r\n:-2\r\n", 2},
		"a bulk string":        {"$3\r\na\r\n\r\n", 1},
		"an empty string":      {"$0\r\n\r\n", 1},
		"nil":                  {"$-1\r\n*-1\r\n_\r\n", 3},
		"an array":             {"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", 1},
		"an empty array":       {"*0\r\n", 1},
		"a map":                {"%1\r\n+a\r\n:1\r\n", 1},
		"a push":               {">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n", 0},
		"scalars of RESP3":     {"#t\r\n,1.5\r\n(12345678901234567890\r\n=5\r\ntxt:a\r\n!2\r\nno\r\n", 5},
		"another protocol":     {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 0},
		"one and then rubbish": {"+OK\r\nrubbish\r\n+OK\r\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size <= len(c.stream); size++ {
				var f frames
				ended := 0
				for rest := c.stream; rest != ""; {
					n := min(size, len(rest))
					ended += f.feed([]byte(rest[:n]))
					rest = rest[n:]
				}
				require.Equal(t, c.ended, ended, "in pieces of %d", size)
			}
		})
	}
}

// pipe is a connection in conns, and its other end.
func pipe(t *testing.T, conns *Conns) (ours, theirs net.Conn) {
	a, b := net.Pipe()
	ours = conns.Add(a)
	t.Cleanup(func() { ours.Close(); b.Close() })
	return ours, b
}

// ask sends a command, which the other end reads.
func ask(t *testing.T, ours, theirs net.Conn) {
	t.Helper()
	const command = "*1\r\n$4\r\nPING\r\n"
	go ours.Write([]byte(command))
	_, err := theirs.Read(make([]byte, len(command)))
	require.NoError(t, err)
}

// say sends text from the other end and returns the error of reading it.
func say(ours, theirs net.Conn, text string) error {
	go theirs.Write([]byte(text))
	_, err := ours.Read(make([]byte, len(text)))
	return err
}

func isClosed(c net.Conn) bool { return c.SetDeadline(time.Time{}) != nil }

func TestConns(t *testing.T) {
	t.Run("a reply to no command closes the connection", func(t *testing.T) {
		var conns Conns
		ours, theirs := pipe(t, &conns)
		ask(t, ours, theirs)
		require.NoError(t, say(ours, theirs, "+PONG\r\n"))
		require.ErrorIs(t, say(ours, theirs, "+PONG\r\n"), net.ErrClosed)
		assert.Empty(t, conns.conns)
	})
	t.Run("a message to a subscriber does not", func(t *testing.T) {
		for _, name := range []string{"SUBSCRIBE", "subscribe"} {
			var conns Conns
			ours, theirs := pipe(t, &conns)
			go ours.Write([]byte("*2\r\n$9\r\n" + name + "\r\n$1\r\na\r\n"))
			_, err := theirs.Read(make([]byte, 64))
			require.NoError(t, err)
			for range 3 {
				require.NoError(t, say(ours, theirs, "*1\r\n+message\r\n"))
			}
		}
	})
	t.Run("by age, by debt and by silence", func(t *testing.T) {
		var conns Conns
		idle, _ := pipe(t, &conns)
		owing, other := pipe(t, &conns)
		ask(t, owing, other)
		before := time.Now()
		asked, another := pipe(t, &conns)
		ask(t, asked, another)

		conns.CloseOwing(before)
		assert.True(t, isClosed(owing))
		assert.False(t, isClosed(idle))
		assert.False(t, isClosed(asked))

		conns.CloseSilent(before)
		assert.True(t, isClosed(idle))
		assert.False(t, isClosed(asked), "it was asked later")

		conns.CloseOlder(before)
		assert.False(t, isClosed(asked))
		conns.CloseOlder(time.Now().Add(time.Second))
		assert.True(t, isClosed(asked))
		assert.Empty(t, conns.conns)
	})
}
