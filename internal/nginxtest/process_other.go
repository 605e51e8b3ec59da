//go:build !linux

package nginxtest

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
