package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store/internal/config"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

const (
	// ioTimeout limits dialing, the TLS handshake, each write and, if a
	// call sets no read deadline, each read.
	ioTimeout = time.Second

	poolSize = 64

	// testAfter is how long a connection may be idle before it is tested.
	testAfter = 30 * time.Second
)

// NewPool returns a pool of connections for [New] with settings that suit a web
// server. The timeout for dialing, reading and writing is 1 second. There are
// at most 64 connections, all of which may be idle, for up to 4 minutes. If
// none is free, a call waits as long as its context allows. A connection is
// used for at most 30 minutes, and is tested with PING if it has been idle for
// more than 30 seconds. After a call to a server has timed out, the store no
// longer uses the connections that were idle at the time. The fields of the
// pool may be changed before its first use.
//
// The URL is redis://[[user]:password@]host[:port][/database], with the scheme
// rediss for TLS; port and database default to 6379 and 0. Characters such as
// "/", "#" and "%" in a password must be percent-encoded. The options, such as
// redis.DialTLSConfig, are applied after those of NewPool and before the
// settings in the URL.
//
// NewPool does not connect. Its errors never contain any part of the URL, which
// contains the password.
func NewPool(rawURL string, opts ...redis.DialOption) (*redis.Pool, error) {
	u, err := checkURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("parse Redis URL: %w", err)
	}
	first := greeting(u)
	u.User, u.Path = nil, ""
	return &redis.Pool{
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			conn, err := redis.DialURLContext(ctx, u.String(), append(defaults(ctx), opts...)...)
			if err != nil || len(first) == 0 {
				return conn, err
			}
			x := resp.NewExchange(first)
			if err = safely(ctx, conn, x); err == nil {
				err = x.Judge()
			}
			if err != nil {
				conn.Close()
				return nil, err
			}
			return conn, nil
		},
		TestOnBorrowContext: testOnBorrow,
		MaxIdle:             poolSize,
		MaxActive:           poolSize,
		Wait:                true,
		IdleTimeout:         config.IdleTimeout,
		MaxConnLifetime:     config.ConnLifetime,
	}, nil
}

// greeting returns the commands that the URL requires on each connection. Redigo
// would send them from another goroutine, where the panic at a length that it
// cannot allocate ends the process; see safely.
func greeting(u *url.URL) (cmds []resp.Command) {
	if password, _ := u.User.Password(); password != "" {
		auth := resp.Cmd("AUTH", "")
		if name := u.User.Username(); name != "" {
			auth.Args = append(auth.Args, name)
		}
		auth.Args = append(auth.Args, password)
		cmds = append(cmds, auth)
	}
	if database := strings.TrimLeft(u.Path, "/0"); database != "" {
		cmds = append(cmds, resp.Cmd("SELECT", "", database))
	}
	return cmds
}

// defaults returns the options for dialing once. Redigo observes the context
// throughout, except in the TLS handshake, which is therefore limited to the
// remaining time.
func defaults(ctx context.Context) []redis.DialOption {
	return []redis.DialOption{
		redis.DialConnectTimeout(ioTimeout),
		redis.DialTLSHandshakeTimeout(remaining(ctx)),
		redis.DialReadTimeout(ioTimeout),
		redis.DialWriteTimeout(ioTimeout),
	}
}

// remaining returns the time until the deadline of ctx, or ioTimeout if there is
// none. It never returns 0, which redigo interprets as "without limit".
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ioTimeout
	}
	return max(time.Until(deadline), time.Nanosecond)
}

var databasePath = regexp.MustCompile(`^(/\d{0,5})?$`)

// checkURL parses the URL. It rejects what redigo would reject when it dials, and
// what it would misinterpret: an unescaped "#" or "?" in a password silently ends
// the host.
func checkURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL; characters such as / # ? % in a password must be percent-encoded")
	}
	switch u.Scheme {
	case "redis", "rediss", "valkey", "valkeys":
	default:
		return nil, errors.New("the scheme must be redis or, for TLS, rediss")
	}
	switch {
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("no host; the form is redis://:password@host:port/database")
	case !databasePath.MatchString(u.Path):
		return nil, errors.New("the path must be a database number")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("no query or fragment is understood; # and ? in a password must be percent-encoded")
	}
	return u, nil
}

var errRestedInSilence = errors.New("the connection was idle while the server did not respond")

// testOnBorrow tests a connection that has been idle, within the deadline of
// the call that uses it. If the deadline has passed, the connection is returned
// untested: it is not known to be bad, and after closing it the pool would
// close all others in the same way.
func testOnBorrow(ctx context.Context, conn redis.Conn, lastUsed time.Time) error {
	if silence, ok := ctx.Value(silenceKey{}).(*atomic.Int64); ok && lastUsed.UnixNano() < silence.Load() {
		return errRestedInSilence
	}
	if time.Since(lastUsed) < testAfter || ctx.Err() != nil {
		return nil
	}
	_, err := redis.DoWithTimeout(conn, remaining(ctx), "PING")
	return err
}
