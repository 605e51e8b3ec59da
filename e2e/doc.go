// Package e2e holds what only whole programs can show: a real Chromium logs in
// to the quickstart, as it is built and started by a user, with its sessions
// in memory and in a real Redis. The library never imports it.
package e2e
