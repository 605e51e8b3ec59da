// Package servers tests every store against the servers and services that teams
// use: those that Debian and a Go module offer run for real, and of the others it
// repeats what they reject.
package servers
