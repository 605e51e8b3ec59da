package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	// ioTimeout bounds dialling, the TLS handshake, each write and, where a
	// call sets no deadline of its own, each read.
	ioTimeout = time.Second

	poolSize = 64

	// idleTimeout is less than the 5 minutes after which load balancers and
	// servers ("timeout 300") commonly cut an idle connection.
	idleTimeout = 4 * time.Minute

	// lifetime makes connections follow a name that leads elsewhere by now.
	lifetime = 30 * time.Minute

	// testAfter is how long a connection may rest unproved.
	testAfter = 30 * time.Second
)

// NewPool returns a pool of connections for [New] with values fit for a web
// server: 1 s for dialling, reading and writing; at most 64 connections, all of
// which may idle, for 4 minutes; whoever finds none free waits (as long as the
// context of the call allows); a connection lives 30 minutes, and is tried with
// PING if it has rested for more than 30 s. When a server gives no answer in
// time, the connections that rested meanwhile are not used again by the store
// that waited. The fields of the pool may be changed before its first use.
//
// The URL is redis://[[user]:password@]host[:port][/database], with the scheme
// rediss for TLS; port and database default to 6379 and 0. Characters such as
// "/", "#" and "%" in a password are percent-encoded. The options come after
// those of NewPool and before what the URL says; redis.DialTLSConfig is one of
// use.
//
// NewPool does not connect. Its errors never contain any part of the URL, which
// holds the password.
func NewPool(rawURL string, opts ...redis.DialOption) (*redis.Pool, error) {
	if err := checkURL(rawURL); err != nil {
		return nil, fmt.Errorf("parse Redis URL: %w", err)
	}
	return &redis.Pool{
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialURLContext(ctx, rawURL, append(defaults(ctx), opts...)...)
		},
		TestOnBorrowContext: testOnBorrow,
		MaxIdle:             poolSize,
		MaxActive:           poolSize,
		Wait:                true,
		IdleTimeout:         idleTimeout,
		MaxConnLifetime:     lifetime,
	}, nil
}

// defaults are the options of one dialling. Redigo minds the context in all of
// it but the TLS handshake, which therefore gets what time is left.
func defaults(ctx context.Context) []redis.DialOption {
	handshake := ioTimeout
	if deadline, ok := ctx.Deadline(); ok {
		handshake = remaining(deadline)
	}
	return []redis.DialOption{
		redis.DialConnectTimeout(ioTimeout),
		redis.DialTLSHandshakeTimeout(handshake),
		redis.DialReadTimeout(ioTimeout),
		redis.DialWriteTimeout(ioTimeout),
	}
}

// remaining is the time until the deadline, and never 0, which redigo takes for
// "without limit".
func remaining(deadline time.Time) time.Duration {
	return max(time.Until(deadline), time.Nanosecond)
}

var databasePath = regexp.MustCompile(`^(/\d{0,5})?$`)

// checkURL finds what redigo would find when it dials, and what it would take
// for something else: an unescaped "#" or "?" in a password silently ends the
// host.
func checkURL(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return errors.New("not a URL; characters such as / # ? % in a password must be percent-encoded")
	}
	switch u.Scheme {
	case "redis", "rediss", "valkey", "valkeys":
	default:
		return errors.New("the scheme must be redis or, for TLS, rediss")
	}
	switch {
	case u.Opaque != "" || u.Hostname() == "":
		return errors.New("no host; the form is redis://:password@host:port/database")
	case !databasePath.MatchString(u.Path):
		return errors.New("the path must be a database number")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("no query or fragment is understood; # and ? in a password must be percent-encoded")
	}
	return nil
}

var errRestedInSilence = errors.New("the connection rested while the server did not answer")

// testOnBorrow tries a connection that has rested, within the deadline of the
// call that wants it. When that has passed, the connection is handed over
// unproved: closing it would be no fault of its own, and the pool would go on
// to close all others in the same way.
func testOnBorrow(ctx context.Context, conn redis.Conn, lastUsed time.Time) error {
	if silentSince(ctx, lastUsed) {
		return errRestedInSilence
	}
	if time.Since(lastUsed) < testAfter || ctx.Err() != nil {
		return nil
	}
	timeout := ioTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = remaining(deadline)
	}
	_, err := redis.DoWithTimeout(conn, timeout, "PING")
	return err
}
