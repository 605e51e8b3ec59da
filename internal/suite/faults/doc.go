// Package faults injects each fault of Redis in each phase of a login. Its test
// needs the build tag faults.
package faults
