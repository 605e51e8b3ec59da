//go:build race

package e2e

// Under the race detector, the programs are built with it too.
var buildFlags = []string{"-race"}
