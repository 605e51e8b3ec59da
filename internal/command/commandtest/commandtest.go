// Package commandtest builds the programs of this repository and runs them as
// processes.
package commandtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A Program is a built program.
type Program struct{ path, name string }

// Build builds the program in the folder of the test.
func Build(t *testing.T, name string) Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return Program{path, name}
}

// A Result is what a process has left.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// LastLine returns the last line of stdout.
func (r Result) LastLine() string {
	lines := strings.Split(strings.TrimSuffix(r.Stdout, "\n"), "\n")
	return lines[len(lines)-1]
}

// Run runs the program until it exits, with env added to the environment.
func (p Program) Run(t *testing.T, env []string, args ...string) (r Result) {
	t.Helper()
	cmd := exec.Command(p.path, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit), "%v", err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Usage checks the help, and what happens to an unknown flag, an argument and
// each of the invalid command lines.
func (p Program) Usage(t *testing.T, invalid ...[]string) {
	t.Helper()
	english := []string{"LANG=en_US.UTF-8"}
	for _, flag := range []string{"-h", "-help", "--help"} {
		r := p.Run(t, english, flag)
		assert.Zero(t, r.Code, flag)
		assert.Contains(t, r.Stdout, "Usage: "+p.name+" [flags]\n", flag)
		assert.Contains(t, r.Stdout, "\n  -", "%s: no flag", flag)
		assert.Empty(t, r.Stderr, flag)
	}
	invalid = append(invalid, []string{"-no-such-flag"}, []string{"argument"})
	for _, args := range invalid {
		r := p.Run(t, english, args...)
		assert.Equal(t, 2, r.Code, "%q", args)
		assert.Empty(t, r.Stdout, "%q", args)
		lines := strings.Split(strings.TrimSuffix(r.Stderr, "\n"), "\n")
		assert.Len(t, lines, 2, "%q: the error and the hint: %s", args, r.Stderr)
		assert.Regexp(t, "^"+p.name+": .", lines[0], "%q", args)
		assert.Equal(t, "Run "+p.name+" -h for usage.", lines[len(lines)-1], "%q", args)
	}
}
