// Package servers tests every store against the servers and services that teams
// use. Servers that are available from Debian or as a Go module are run; for
// the others, it reproduces what they reject.
package servers
