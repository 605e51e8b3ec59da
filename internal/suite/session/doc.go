// Package session tests the sessions of a whole application: loading and saving,
// renewal, late writers, corrupt records, and the behavior that scs promises.
package session
