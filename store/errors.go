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

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// Class says what can be done about an error of a store.
type Class int

const (
	// ClassRetryNow: the store cannot be reached or is busy, and that may pass.
	// Repeat after a short pause, as long as the visitor can wait: connection
	// refused, no answer in time, no free connection in the pool, BUSY,
	// TRYAGAIN. A request that was given up belongs here too.
	ClassRetryNow Class = iota + 1
	// ClassRetryFresh: the connection was dead or led to a server that does not
	// serve (any more), and it was dropped. A repetition goes over another one:
	// connection closed or reset, READONLY, LOADING, MASTERDOWN, CLUSTERDOWN,
	// too many clients, a reply to another command. The store has repeated
	// already.
	ClassRetryFresh
	// ClassFailClosed: the store answers and refuses, and repeating does not
	// help: OOM, MISCONF, NOREPLICAS, WRONGTYPE, and everything unknown.
	ClassFailClosed
	// ClassConfiguration: only the operator can mend it: wrong password or
	// right (NOAUTH, WRONGPASS, NOPERM), a cluster behind a client for one
	// server (MOVED, ASK, CROSSSLOT), a Redis too old, a certificate that does
	// not fit, no Redis at this address, a record or token that is no good.
	ClassConfiguration
)

// String names the class for logs.
func (c Class) String() string {
	switch c {
	case ClassRetryNow:
		return "retry now"
	case ClassRetryFresh:
		return "retry fresh"
	case ClassFailClosed:
		return "fail closed"
	case ClassConfiguration:
		return "configuration"
	}
	return "none"
}

// What a store finds under a token and cannot hand out as a session. Both come
// inside an [Error].
var (
	// ErrCorrupt: a key of another type, or a record of more than 1 MiB. No
	// session store has written that, so it may be deleted.
	ErrCorrupt = errors.New("this is no session record")
	// ErrDecrypt: no key of [Encrypt] opens the record. It is damaged, or is
	// older than its encryption, or another instance has its key already, or
	// still; so it is not to be deleted. It is also the error for a record that
	// was stored under another token.
	ErrDecrypt = errors.New("no key opens this session record")
)

// Error is trouble with the store. Its text names what was being done and what
// Redis or the network said, never a key, token or value.
type Error struct {
	Op    string // what was being done: "find session", "claim mark" …
	Class Class  // what can be done about it
	Err   error  // what was said; never nil
}

// Error implements error.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf tells the class of an error of this package or, as far as it can be
// told, of any other store on redigo. It is 0 for nil.
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

// newError returns err with its class, and with what to do about it if the error
// does not say so itself.
func newError(op string, err error) *Error {
	var known *Error // by the transport
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
	// cureClosed is for a store that has never got a reply.
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
		isTimeout  = errors.As(err, &timeout) && timeout.Timeout()
	)
	if class := redigoClass(err); class != 0 {
		return class
	}
	switch {
	case errors.As(err, &refusal):
		return Class(refusal.Class)
	case errors.As(err, &unexpected):
		return ClassRetryFresh
	case isTimeout, errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return ClassRetryNow
	case isClosed(err):
		return ClassRetryFresh
	case errors.As(err, &badCert), errors.As(err, &notTLS), errors.Is(err, resp.ErrNoRedis):
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
