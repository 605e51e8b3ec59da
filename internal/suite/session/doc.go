// Package session tests the sessions of a whole application: what a request loads
// and saves, renewals, late writers, damaged records, and what scs promises.
package session
