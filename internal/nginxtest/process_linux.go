package nginxtest

import "syscall"

// endWithParent makes the kernel end nginx when the test binary exits without
// cleaning up, as it does after a test's time limit.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
