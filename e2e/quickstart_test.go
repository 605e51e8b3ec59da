package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds every wait for another process. It ends a hung test with an
// explanation and is never waited out in a good run.
const patience = 2 * time.Minute

// quickstartBinary is the program under test, built once.
var quickstartBinary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "wechatauth-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		quickstartBinary = filepath.Join(dir, "quickstart")
		build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", quickstartBinary, "./quickstart")...)
		build.Dir = filepath.Join("..", "examples")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the quickstart: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// quickstart is a running process of the program.
type quickstart struct {
	t      *testing.T
	url    string // of the site, without a trailing slash
	sim    string // of the simulated WeChat
	cmd    *exec.Cmd
	exited chan struct{}
	stderr *syncBuffer
}

var openLine = regexp.MustCompile(`^Open (http://\S+) \(simulated WeChat: (http://\S+)\)$`)

// startQuickstart starts the program on free ports and returns when it says
// which. When the test ends it is stopped as a user would, with an interrupt,
// and has to end well.
func startQuickstart(t *testing.T, args ...string) *quickstart {
	t.Helper()
	q := &quickstart{t: t, exited: make(chan struct{}), stderr: &syncBuffer{}}
	q.cmd = exec.Command(quickstartBinary, append([]string{"-addr", "127.0.0.1:0", "-sim-addr", "127.0.0.1:0"}, args...)...)
	q.cmd.Env = environmentWithoutApp()
	q.cmd.Stderr = q.stderr
	q.cmd.SysProcAttr = endWithParent()
	stdout, err := q.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, q.cmd.Start())
	t.Cleanup(q.stop)

	line := make(chan string, 1)
	go func() {
		defer close(q.exited)
		out := bufio.NewScanner(stdout)
		if out.Scan() {
			line <- out.Text()
		}
		_, _ = io.Copy(io.Discard, stdout)
		_ = q.cmd.Wait() // stop reads the state
	}()
	select {
	case first := <-line:
		found := openLine.FindStringSubmatch(first)
		require.NotNil(t, found, "the first line is %q", first)
		q.url, q.sim = found[1], found[2]
	case <-q.exited:
		require.FailNow(t, "the quickstart ended at once", q.stderr.String())
	case <-time.After(patience):
		require.FailNow(t, "the quickstart says nothing", q.stderr.String())
	}
	return q
}

// stop interrupts the process, waits for its end, and looks at how it ended.
func (q *quickstart) stop() {
	q.t.Helper()
	if err := q.cmd.Process.Signal(os.Interrupt); errors.Is(err, os.ErrProcessDone) {
		<-q.exited
	}
	select {
	case <-q.exited:
	case <-time.After(patience):
		_ = q.cmd.Process.Kill()
		<-q.exited
		q.t.Errorf("the quickstart does not stop on an interrupt")
	}
	assert.Zero(q.t, q.cmd.ProcessState.ExitCode(), "the quickstart ended badly")
	assert.NotContains(q.t, q.stderr.String(), "DATA RACE")
	if q.t.Failed() {
		q.t.Logf("the quickstart's log:\n%s", q.stderr)
	}
}

// environmentWithoutApp is our environment without what would make the
// quickstart talk to the real WeChat.
func environmentWithoutApp() []string {
	var env []string
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "WECHAT_") && name != "BASE_URL" {
			env = append(env, v)
		}
	}
	return env
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
