package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
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

	"github.com/wechatauth/wechatauth/internal/redistest"
)

// patience bounds every wait for another process. It ends a hung test with an
// explanation and is never reached in a good run.
const patience = 2 * time.Minute

// The programs under test, built once.
var quickstartBinary, wechatsimBinary, spaBinary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "wechatauth-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		quickstartBinary, wechatsimBinary = filepath.Join(dir, "quickstart"), filepath.Join(dir, "wechatsim")
		spaBinary = filepath.Join(dir, "spa")
		for binary, place := range map[string][2]string{
			quickstartBinary: {filepath.Join("..", "examples"), "./quickstart"},
			wechatsimBinary:  {"..", "./cmd/wechatsim"},
			spaBinary:        {filepath.Join("..", "examples"), "./spa"},
		} {
			build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", binary, place[1])...)
			build.Dir = place[0]
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build %s: %v\n%s", place[1], err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// program is a running process of a program under test.
type program struct {
	t      *testing.T
	name   string
	first  string // the first line of its output
	cmd    *exec.Cmd
	exited chan struct{}
	stderr *syncBuffer
}

// startProgram starts a program and returns when it has printed a line. When
// the test ends it is stopped as a user would, with an interrupt, and must exit
// with status 0.
func startProgram(t *testing.T, binary string, args ...string) *program {
	t.Helper()
	return startProgramIn(t, nil, binary, args...)
}

// startProgramIn is startProgram with settings in its environment.
func startProgramIn(t *testing.T, env []string, binary string, args ...string) *program {
	t.Helper()
	p := &program{t: t, name: "the " + filepath.Base(binary), exited: make(chan struct{}), stderr: &syncBuffer{}}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append(environmentWithoutApp(), env...)
	p.cmd.Stderr = p.stderr
	p.cmd.SysProcAttr = endWithParent()
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.stop)

	line := make(chan string, 1)
	go func() {
		defer close(p.exited)
		out := bufio.NewScanner(stdout)
		if out.Scan() {
			line <- out.Text()
		}
		_, _ = io.Copy(io.Discard, stdout)
		_ = p.cmd.Wait() // stop reads the state
	}()
	select {
	case p.first = <-line:
	case <-p.exited:
		require.FailNow(t, p.name+" ended immediately", p.stderr.String())
	case <-time.After(patience):
		require.FailNow(t, p.name+" prints nothing", p.stderr.String())
	}
	return p
}

// stop interrupts the process, waits for its end and checks its exit status.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); errors.Is(err, os.ErrProcessDone) {
		<-p.exited
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.t.Errorf("%s does not stop on an interrupt", p.name)
	}
	assert.Zero(p.t, p.cmd.ProcessState.ExitCode(), "%s failed", p.name)
	assert.NotContains(p.t, p.stderr.String(), "DATA RACE")
	if p.t.Failed() {
		p.t.Logf("the log of %s:\n%s", p.name, p.stderr)
	}
}

// quickstart is a running process of the quickstart.
type quickstart struct {
	*program
	url string // of the site, without a trailing slash
	sim string // of the WeChat simulator

	server *httptest.Server  // of startScanSite; nil if the site is a program
	redis  *redistest.Server // of that site
}

var openLine = regexp.MustCompile(`^Open (http://\S+) \(WeChat simulator: (http://\S+)\)$`)

// startQuickstart starts the quickstart on free ports.
func startQuickstart(t *testing.T, args ...string) *quickstart {
	t.Helper()
	p := startProgram(t, quickstartBinary, append([]string{"-addr", "127.0.0.1:0", "-sim-addr", "127.0.0.1:0"}, args...)...)
	found := openLine.FindStringSubmatch(p.first)
	require.NotNil(t, found, "the first line is %q", p.first)
	return &quickstart{program: p, url: found[1], sim: found[2]}
}

// environmentWithoutApp returns our environment without the variables that
// would make the quickstart use the real WeChat.
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
