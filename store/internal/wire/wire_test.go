package wire

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/store/internal/resp"
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

func TestFrames_malformed(t *testing.T) {
	for name, stream := range map[string]string{
		"negative string":      "$-2\r\n",
		"huge string":          "$9223372036854775807\r\n",
		"larger than any":      "$99999999999999999999\r\n",
		"negative array":       "*-2\r\n",
		"huge array":           "*9223372036854775807\r\n",
		"negative map":         "%-1\r\n",
		"huge map":             "%4611686018427387904\r\n",
		"negative set":         "~-2\r\n",
		"length that is none":  "*a\r\n",
		"no length":            "*\r\n",
		"streamed string":      "$?\r\n",
		"integer that is none": ":1a\r\n",
		"boolean that is none": "#x\r\n",
		"null with a text":     "_a\r\n",
		"no carriage return":   "+OK\n",
		"empty line":           "\r\n",
		"unknown type":         "?a\r\n",
		"attributes":           "|1\r\n+a\r\n+b\r\n+OK\r\n",
		"end of a stream":      ".\r\n",
		"push in an array":     "*2\r\n+a\r\n>2\r\n+invalidate\r\n_\r\n",
		"empty push":           ">0\r\n",
		"deep":                 strings.Repeat("*1\r\n", 1000),
		"endless line":         strings.Repeat("+", 1<<17),
	} {
		for _, size := range []int{1, 3, len(stream)} {
			var f frames
			for chunk := range slices.Chunk([]byte(stream), size) {
				f.feed(chunk)
			}
			assert.True(t, f.bad, "%s in pieces of %d", name, size)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("+OK\r\n*2\r\n$1\r\na\r\n:1\r\n"), uint8(3))
	f.Add([]byte(">2\r\n$9\r\nsubscribe\r\n_\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		var whole, pieces frames
		want, got := whole.feed(stream), 0
		for chunk := range slices.Chunk(stream, int(size)+1) {
			got += pieces.feed(chunk)
		}
		require.Equal(t, want, got)
		require.Equal(t, whole.subscription, pieces.subscription)
		if !whole.bad && !pieces.bad { // a line without an end may be too long in one of them only
			require.Equal(t, whole.open, pieces.open)
		}
	})
}

// pipe is a connection in conns, and its other end.
func pipe(t *testing.T, conns *Conns) (ours, theirs net.Conn) {
	a, b := net.Pipe()
	ours, _ = conns.add("", a)
	t.Cleanup(func() { ours.Close(); b.Close() })
	return ours, b
}

// ask sends a command and reads it at the other end.
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
	t.Run("so does a malformed reply, and one about a subscription that it does not have", func(t *testing.T) {
		for reply, want := range map[string]error{
			"$-2\r\n": net.ErrClosed,
			">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n":      net.ErrClosed,
			">3\r\n+punsubscribe\r\n$1\r\na\r\n:1\r\n+OK\r\n": net.ErrClosed,
		} {
			var conns Conns
			ours, theirs := pipe(t, &conns)
			ask(t, ours, theirs)
			require.NoError(t, say(ours, theirs, "+PONG\r\n"))
			ask(t, ours, theirs)
			require.ErrorIs(t, say(ours, theirs, reply), want, "%q", reply)
			assert.Empty(t, conns.conns)
		}
		var conns Conns
		ours, theirs := pipe(t, &conns)
		ask(t, ours, theirs)
		require.ErrorIs(t, say(ours, theirs, "HTTP/1.1 400 Bad Request\r\n"), resp.ErrNoRedis)
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
	t.Run("another server", func(t *testing.T) {
		servers := 0
		conns := Conns{OnServer: func() { servers++ }}
		open := func(addr string) {
			_, err := conns.Dial(addr, func() (net.Conn, error) { ours, _ := net.Pipe(); return ours, nil })
			require.NoError(t, err)
		}
		open("a")
		open("a")
		assert.Zero(t, servers)
		open("b")
		assert.Equal(t, 1, servers)
		open("a")
		assert.Equal(t, 1, servers)
		open("c")
		assert.Equal(t, 2, servers)
	})
	t.Run("silence of those that read", func(t *testing.T) {
		var now time.Duration
		conns := Conns{Clock: func() time.Duration { return now }}
		pipe(t, &conns) // sends no GET, as one to a Sentinel
		reading, other := pipe(t, &conns)
		now = time.Minute
		assert.Zero(t, conns.Silence())
		const get = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
		go reading.Write([]byte(get))
		_, err := other.Read(make([]byte, len(get)))
		require.NoError(t, err)
		assert.Equal(t, time.Minute, conns.Silence())
		require.NoError(t, say(reading, other, "$-1\r\n"))
		assert.Zero(t, conns.Silence())
		now += time.Second
		assert.Equal(t, time.Second, conns.Silence())
		reading.Close()
		assert.Zero(t, conns.Silence())
	})
	t.Run("by age, by debt and by silence", func(t *testing.T) {
		var conns Conns
		idle, _ := pipe(t, &conns)
		owing, other := pipe(t, &conns)
		ask(t, owing, other)
		before := time.Now()
		asked, another := pipe(t, &conns)
		ask(t, asked, another)

		conns.Shared = true
		conns.DropSilent(before)
		assert.True(t, isClosed(owing))
		assert.False(t, isClosed(idle))
		assert.False(t, isClosed(asked))

		conns.Shared = false
		conns.DropSilent(before)
		assert.True(t, isClosed(idle))
		assert.False(t, isClosed(asked), "it was used later")

		conns.Refresh(before)
		assert.False(t, isClosed(asked))
		conns.Refresh(time.Now().Add(time.Second))
		assert.True(t, isClosed(asked))
		assert.Empty(t, conns.conns)
	})
}
