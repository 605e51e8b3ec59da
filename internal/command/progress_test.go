package command

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// a clock whose ticks come when a test sends them.
type clock struct {
	began time.Time
	ticks chan time.Time
}

func newClock() *clock { return &clock{time.Now(), make(chan time.Time)} }

// at sends the tick of this moment.
func (c *clock) at(elapsed time.Duration) { c.ticks <- c.began.Add(elapsed) }

func status(elapsed time.Duration) string { return fmt.Sprintf("working for %v", elapsed) }

func TestProgress_Terminal(t *testing.T) {
	var screen bytes.Buffer // stdout and stderr of a program
	c := newClock()
	p := startProgress(&screen, true, c.began, c.ticks, status)
	c.at(time.Second)
	c.at(2 * time.Second) // is received once the first is on the screen
	p.Stop()
	assert.Equal(t, "\r\x1b[Kworking for 1s\r\x1b[Kworking for 2s\r\x1b[K", screen.String())
	p.Stop()
	assert.Equal(t, 3, bytes.Count(screen.Bytes(), []byte("\r")), "the second Stop does nothing")
}

func TestProgress_TerminalAndOutput(t *testing.T) {
	var screen bytes.Buffer
	p := startProgress(&screen, true, time.Now(), nil, status)
	p.show(time.Second)
	fmt.Fprintln(p.Writer(&screen), "a result")
	fmt.Fprintln(p.Writer(&screen), "another")
	p.Stop()
	assert.Equal(t, "\r\x1b[Kworking for 1s\r\x1b[Ka result\nanother\n", screen.String())
}

func TestProgress_NoTerminal(t *testing.T) {
	var stderr, stdout bytes.Buffer
	c := newClock()
	p := startProgress(&stderr, false, c.began, c.ticks, status)
	c.at(10 * time.Second)
	fmt.Fprintln(p.Writer(&stdout), "a result")
	c.at(20 * time.Second)
	p.Stop()
	assert.Equal(t, "working for 10s\nworking for 20s\n", stderr.String())
	assert.Equal(t, "a result\n", stdout.String())
	assert.Equal(t, 10*time.Second, elsewhere)
}

func TestIsTerminal(t *testing.T) {
	for _, device := range []string{"/dev/ptmx", os.DevNull} {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		assert.True(t, isTerminal(f), device)
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	assert.False(t, isTerminal(w))
	assert.False(t, isTerminal(&bytes.Buffer{}))
	file, err := os.Create(t.TempDir() + "/log")
	require.NoError(t, err)
	assert.False(t, isTerminal(file))
	require.NoError(t, file.Close())
	assert.False(t, isTerminal(file), "closed")
}
