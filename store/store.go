package store

import (
	"context"
	"time"

	"github.com/alexedwards/scs/v2"
)

// A token in this package is the string that scs passes to its store: 43
// characters of the base64url alphabet, either the session token itself or,
// with SessionManager.HashTokenInStore, its hash. Any other string is not a
// token: it is not found, it is never sent to Redis, and writing it is an
// error.
//
// An expiry is a point in time by the store's clock ([WithClock]). A record
// whose expiry has been reached is not found. A write with an expiry that is
// not in the future removes the record.
//
// Every method of these interfaces is safe for concurrent use. An error always
// means that the store failed, or that it has an unusable value under the token
// ([ErrCorrupt], [ErrDecrypt]); it never means "not found". [ClassOf] reports
// how to handle an error.

// Updater overwrites a session record only if it still exists (Redis: SET … PX
// … XX). A request that loads its session before a logout and saves it
// afterwards cannot restore the session with UpdateCtx, as it can with
// CommitCtx.
type Updater interface {
	// UpdateCtx replaces the record and its expiry. It reports false, and
	// writes nothing, if the token no longer has a record.
	UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (found bool, err error)
}

// Toucher moves the expiry of a record without rewriting the record (Redis:
// PEXPIRE). Keeping a session alive can therefore neither undo a logout nor
// overwrite what another request saved.
type Toucher interface {
	// TouchCtx sets the expiry, which may be earlier or later than before.
	// It reports false if the token no longer has a record.
	TouchCtx(ctx context.Context, token string, expiry time.Time) (found bool, err error)
}

// A DeleteReporter deletes a record and reports whether there was one, in the
// same round trip (Redis: the reply to DEL). If found is false, another request
// deleted the session first, and the caller's copy of it is outdated.
type DeleteReporter interface {
	// DeleteAndReportCtx is like DeleteCtx, but reports whether the token
	// had a record. It may report false for a record that this very call
	// deleted, if the connection broke before the reply arrived and the
	// call was retried.
	DeleteAndReportCtx(ctx context.Context, token string) (found bool, err error)

	// DeleteAndReportAllCtx deletes the records of many tokens, up to a
	// hundred in a round trip, and returns the tokens that had one. Unlike
	// a write for a single token, it is canceled with ctx. If it returns an
	// error, dropped lists the tokens whose records are known to be
	// deleted, and the call may be retried.
	DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error)
}

// TTLFinder reads a record and its remaining lifetime in one round trip (Redis:
// GET and PTTL, pipelined). A caller that knows the remaining lifetime can
// touch the record when that is worthwhile instead of on every request.
type TTLFinder interface {
	// FindTTLCtx is like FindCtx, but also returns the record's remaining
	// lifetime. It is 0 for a record without an expiry; this package writes
	// none, but other programs might.
	FindTTLCtx(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error)
}

// Marks stores small values, each with its own expiry, next to the sessions.
// They implement the lease of a callback: of all requests that carry the same
// state, one acquires it and the others read the result that it saves.
//
// A key is any string. It is stored as its SHA-256, so it may contain what must
// not be readable in Redis. A ttl is rounded up to milliseconds and must be
// positive.
type Marks interface {
	// PutMarkNX sets the mark if there is none and reports whether the mark now
	// has the given value (Redis: SET … NX PX). The value must differ from
	// attempt to attempt (16 random bytes will do), because a command that is
	// retried after a broken connection recognizes its own mark by it. A caller
	// has won if the mark has exactly its value; this includes a caller that
	// calls again, with the same value, after an error. Two callers with the
	// same value both win.
	PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (won bool, err error)

	// PutMark sets the mark, whether or not there was one.
	PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Mark reads the mark.
	Mark(ctx context.Context, key string) (value []byte, found bool, err error)

	// DeleteMark removes the mark. A missing mark is not an error.
	DeleteMark(ctx context.Context, key string) error
}

// Index records which sessions belong to a user, so that all of them can be
// ended without scanning the sessions of other users: call SessionsOf, delete
// each session (DeleteCtx), then remove each from the index. A session that is
// added in the meantime stays in the index.
//
// A user is any string, for example the AppID and openid; Redis only receives
// its SHA-256. The index of a user expires with the last of its sessions.
type Index interface {
	// AddSession records that the session belongs to the user. The expiry
	// is the latest time at which the session can still be valid, however
	// often it is touched, because touching a session does not touch the
	// index. Adding a session again replaces its expiry.
	AddSession(ctx context.Context, user, token string, expiry time.Time) error

	// SessionsOf returns the sessions of the user, in no particular order.
	// Some of them may have ended already; every valid one is included.
	SessionsOf(ctx context.Context, user string) ([]string, error)

	// RemoveSession removes sessions from the index and does not change the
	// sessions themselves. A session that is not in the index is not an
	// error.
	RemoveSession(ctx context.Context, user string, tokens ...string) error
}

// Sessions combines the interfaces that every store of this package implements.
type Sessions interface {
	scs.CtxStore
	scs.IterableStore
	scs.IterableCtxStore
	Updater
	Toucher
	DeleteReporter
	TTLFinder
	Marks
	Index
}
