package commandtest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// OnTerminal runs the program with stderr on a terminal until it exits, and
// returns what the terminal received. Stdout is discarded.
func (p Program) OnTerminal(t *testing.T, args ...string) string {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	defer terminal.Close()
	var locked, number int32
	control(t, terminal, syscall.TIOCSPTLCK, &locked)
	control(t, terminal, syscall.TIOCGPTN, &number)
	end, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)

	cmd := exec.Command(p.path, args...)
	cmd.Stderr = end
	err = cmd.Start()
	end.Close() // the program has its own; when it exits, reading ends
	require.NoError(t, err)
	received, _ := io.ReadAll(terminal) // at the end, an error that the other end is closed
	_ = cmd.Wait()
	return string(received)
}

func control(t *testing.T, f *os.File, request uintptr, value *int32) {
	t.Helper()
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(value)))
	require.Zero(t, errno)
}
