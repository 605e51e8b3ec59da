// Package fuzz fuzzes whole logins: cookies, states, callbacks, session records
// and headers.
package fuzz
