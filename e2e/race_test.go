//go:build race

package e2e

// Tests with the race detector run a program with the race detector.
var buildFlags = []string{"-race"}
