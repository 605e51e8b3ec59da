package store

import (
	"context"
	"time"

	"github.com/alexedwards/scs/v2"
)

// A token in this package is what scs hands to its store: 43 characters of the
// base64url alphabet, be it the session token itself or, with
// SessionManager.HashTokenInStore, its hash. Any other string is no token: it
// is not found, it never reaches Redis, and writing it is an error.
//
// An expiry is a point in time by the store's clock ([WithClock]). A record
// whose expiry is reached is not found. Writing with an expiry that is not in
// the future removes the record.
//
// Every method of these interfaces is safe for concurrent use. An error is
// always trouble with the store, or with what it has under the token
// ([ErrCorrupt], [ErrDecrypt]), never "not found"; [ClassOf] tells what can be
// done about it.

// Updater overwrites a session record only if it still exists (Redis:
// SET … PX … XX). A request that loaded its session before a logout and saves
// it after cannot bring the session back that way, as it can with CommitCtx.
type Updater interface {
	// UpdateCtx replaces the record and its expiry. It reports false, and
	// writes nothing, if there is no record of this token any more.
	UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (found bool, err error)
}

// Toucher moves the expiry of a record without writing the record again
// (Redis: PEXPIRE), so that keeping a session alive can neither undo a logout
// nor overwrite what another request saved.
type Toucher interface {
	// TouchCtx sets the expiry, earlier or later than it was. It reports false
	// if there is no record of this token any more.
	TouchCtx(ctx context.Context, token string, expiry time.Time) (found bool, err error)
}

// A DeleteReporter deletes a record and reports whether there was one, in the
// same round trip (Redis: the reply to DEL). If another request was faster, the
// caller's copy of the session is outdated.
type DeleteReporter interface {
	// DeleteAndReportCtx is DeleteCtx with a report: false if there was no record of this
	// token. It may say false of a record that this very call removed, if the
	// connection broke before the answer came and the call was repeated.
	DeleteAndReportCtx(ctx context.Context, token string) (found bool, err error)

	// DeleteAndReportAllCtx deletes the records of many tokens, up to a hundred of them in
	// a round trip, and returns the tokens that had one. Unlike a write for one
	// token it ends with ctx; on an error, dropped are those that are known to be
	// deleted, and the call may be repeated.
	DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error)
}

// TTLFinder reads a record and how long it will live in one round trip (Redis:
// GET and PTTL, pipelined). Who knows the remaining life can touch the record
// when it is worth it, and not on every request.
type TTLFinder interface {
	// FindTTLCtx is FindCtx with the record's remaining life. The life is 0 for
	// a record without an expiry; this package writes none, but others might.
	FindTTLCtx(ctx context.Context, token string) (b []byte, ttl time.Duration, found bool, err error)
}

// Marks keeps small values with a life of their own beside the sessions. They
// serve the claim of a callback: of all requests that carry the same state, one
// wins and the others read the outcome that it leaves.
//
// A key is any string; it is stored as its SHA-256, so it may hold what nobody
// should read in Redis. A life is rounded up to milliseconds and must be
// positive.
type Marks interface {
	// PutMarkNX sets the mark if there is none and reports whether the mark
	// now holds value (Redis: SET … NX PX). The value must differ from attempt
	// to attempt (16 random bytes will do), because a command that is repeated
	// after a broken connection recognises its own mark by it: a caller that
	// finds exactly its value there has won, and so has one that calls again
	// after an error. Two callers with the same value both win.
	PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (won bool, err error)

	// PutMark sets the mark, whether there was one or not.
	PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Mark reads the mark.
	Mark(ctx context.Context, key string) (value []byte, found bool, err error)

	// DeleteMark removes the mark. It is no error if there is none.
	DeleteMark(ctx context.Context, key string) error
}

// Index remembers which sessions belong to a user, so that all of them can be
// ended without looking at anybody else's: read SessionsOf, delete each session
// (DeleteCtx), then remove each from the index. A session that is added
// meanwhile stays in the index.
//
// A user is any string, for example AppID and openid; Redis sees its SHA-256
// only. The index of a user expires with the last of the sessions in it.
type Index interface {
	// AddSession notes that the session belongs to the user. The expiry is the
	// latest time at which the session can still be alive, however often it is
	// touched: the index is not touched with it. Adding a session again
	// replaces its expiry.
	AddSession(ctx context.Context, user, token string, expiry time.Time) error

	// SessionsOf lists the sessions of the user, in no order. Some of them may
	// have ended already; none that is alive is missing.
	SessionsOf(ctx context.Context, user string) ([]string, error)

	// RemoveSession takes sessions out of the index and leaves the sessions
	// themselves alone. It is no error if one was not there.
	RemoveSession(ctx context.Context, user string, tokens ...string) error
}

// Sessions is everything that the stores of this package do.
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
