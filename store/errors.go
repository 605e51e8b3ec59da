package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// Class describes how to handle an error of a store.
type Class int

const (
	// ClassRetryNow means that the store is unreachable or busy, perhaps
	// only for a moment. Retry after a short pause, as long as the user can
	// wait. The errors are: connection refused, no reply in time, no free
	// connection in the pool, BUSY, TRYAGAIN. A canceled request also
	// belongs here.
	ClassRetryNow Class = iota + 1
	// ClassRetryFresh means that the connection was dead, or led to a
	// server that does not serve or no longer serves, and was closed. A
	// retry uses another connection. The errors are: connection closed or
	// reset, READONLY, LOADING, MASTERDOWN, CLUSTERDOWN, too many clients,
	// a reply to another command. The store has already retried.
	ClassRetryFresh
	// ClassFailClosed means that the store responds with an error that a
	// retry does not fix: OOM, MISCONF, NOREPLICAS, WRONGTYPE, and every
	// unknown error.
	ClassFailClosed
	// ClassConfiguration means that only the operator can fix the error: a
	// wrong password or missing permission (NOAUTH, WRONGPASS, NOPERM), a
	// cluster behind a client for one server (MOVED, ASK, CROSSSLOT), a
	// Redis that is too old, a certificate that does not match, no Redis at
	// this address, an invalid record or token.
	ClassConfiguration
)

// String returns the name of the class for logs.
func (c Class) String() string {
	if c < ClassRetryNow || c > ClassConfiguration {
		return "none"
	}
	return [...]string{"retry now", "retry fresh", "fail closed", "configuration"}[c-ClassRetryNow]
}

// These errors are returned if the record of a token is not a usable session.
// An [Error] wraps them.
var (
	// ErrCorrupt means that the key has the wrong type or the record
	// exceeds 1 MiB. No session store has written it, so it may be deleted.
	ErrCorrupt = errors.New("this is no session record")
	// ErrDecrypt means that no key of [Encrypt] opens the record. The record
	// may be corrupt, from before encryption was enabled, or, while keys are
	// being rotated, encrypted with a key that only other instances have; so it
	// must not be deleted. A record that was stored under another token causes
	// the same error.
	ErrDecrypt = errors.New("no key opens this session record")
)

// Error describes a failed call of a store. Its text names the operation and
// what Redis or the network reported, and never contains a key, token or value.
type Error struct {
	Op    string // the operation: "find session", "claim mark" …
	Class Class  // how to handle it
	Err   error  // the cause; never nil
}

// Error implements error.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of an error of this package or, as far as it can be
// determined, of any other store on redigo. It returns 0 for nil.
func ClassOf(err error) Class {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return classify(err)
}

// newError returns err with its class, and with how to fix it if the error does
// not already include that.
func newError(op string, err error) *Error {
	var known *Error // from the transport
	if errors.As(err, &known) {
		return &Error{Op: op, Class: known.Class, Err: known.Err}
	}
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) {
		err = fmt.Errorf("%w: %s", err, cureNoTLS)
	}
	return &Error{Op: op, Class: classify(err), Err: err}
}

const (
	cureNoTLS = "the port does not speak TLS; use redis:// or no TLSConfig"
	// cureClosed is the advice for a store that has never received a reply.
	cureClosed = "each connection ends before its first reply: a TLS port needs rediss:// or a TLSConfig; a proxy that closes on HELLO needs WithRedis"
)

func classify(err error) Class {
	var (
		refusal    *resp.Refusal
		unexpected *resp.UnexpectedReply
		opError    *net.OpError
		dnsError   *net.DNSError
		timeout    net.Error
		badCert    *tls.CertificateVerificationError
		notTLS     tls.RecordHeaderError
	)
	err = ofRedigo(err) // of another store on redigo
	switch {
	case errors.As(err, &refusal):
		return Class(refusal.Class)
	case errors.As(err, &unexpected):
		return ClassRetryFresh
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, redis.ErrPoolExhausted):
		return ClassRetryNow
	case isClosed(err):
		return ClassRetryFresh
	case errors.As(err, &badCert), errors.As(err, &notTLS), errors.Is(err, resp.ErrNoRedis), errors.Is(err, resp.ErrClosed):
		return ClassConfiguration
	case errors.As(err, &opError), errors.As(err, &dnsError):
		return ClassRetryNow
	}
	return ClassFailClosed
}

// isClosed reports whether the connection was closed or reset.
func isClosed(err error) bool {
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE} {
		if errors.Is(err, closed) {
			return true
		}
	}
	return false
}
