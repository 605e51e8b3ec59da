package redistest

import (
	"fmt"
	"syscall"
)

// endWithParent makes the kernel end the server when the test binary exits
// without cleaning up, as it does after a test's time limit.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// awaitStopped returns when the child has received its SIGSTOP: the signal is
// asynchronous, and a running server could execute one more command.
func awaitStopped(pid int) error {
	const (
		byPID   = 1          // P_PID
		stopped = 0x2        // WSTOPPED
		keep    = 0x01000000 // WNOWAIT: exec.Cmd waits for the same child
	)
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, stopped|keep, 0, 0)
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
			continue
		default:
			return fmt.Errorf("wait for the stop: %w", errno)
		}
	}
}
