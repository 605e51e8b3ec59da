package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

const (
	// defaultTimeout is the time for one call, unless WithTimeout says other.
	defaultTimeout = time.Second

	// maxRecord bounds a session record. A larger one is refused when it is
	// written and not handed to a decoder when it is read.
	maxRecord = 1 << 20

	// indexGrace is how long an ended session stays in its user's index, so
	// that an instance whose clock is ahead does not drop a live one.
	indexGrace = 24 * time.Hour

	// scanCount is how many keys one step of a scan looks at.
	scanCount = 1000
)

// Getter hands out connections: a *redis.Pool, or whatever wraps one.
//
// The connections must support timeouts (redis.ConnWithTimeout), as all of
// redigo's do. Timeouts for dialling and writing are the getter's own business;
// [NewPool] sets them.
type Getter interface {
	// GetContext returns a connection for one call, which gives it back with
	// Close. It waits for a free one no longer than ctx lasts.
	GetContext(ctx context.Context) (redis.Conn, error)
}

// Store keeps sessions in one Redis server (5 or newer), or in the primary of a
// Sentinel group if the getter leads there. It is safe for concurrent use.
//
// Each call is one round trip with one deadline ([WithTimeout]) for waiting,
// dialling and the answer. Sending has the connection's own write timeout beside
// it ([NewPool]: 1 s), which counts where the network takes nothing more: at worst
// a call ends that much after its deadline. Reads end early when their context does, before they
// take a connection; writes are detached from the context's end, because a
// visitor who goes away must not lose the login that WeChat has already
// granted. A call that meets a dead connection, or a server that cannot serve
// (READONLY, LOADING …), drops that connection and repeats on another: every
// command here may be executed twice without harm.
//
// The keys are those of scs/redisstore, whose records are read, and a record
// never lacks an expiry. A value names its key: a reply that belongs to another
// key is an error, for which the connection is dropped and nothing deleted. The
// embedded RedisStore is there for its type; all its methods are replaced.
type Store struct {
	*redisstore.RedisStore

	conns   Getter
	prefix  string
	timeout time.Duration
	now     func() time.Time
	silence silence
}

var _ Sessions = (*Store)(nil)

// Option changes a store from its defaults.
type Option func(*options)

type options struct {
	prefix  string
	timeout time.Duration
	now     func() time.Time
}

// WithPrefix sets what session keys begin with; the default is "scs:session:",
// as in scs/redisstore. Applications that share a Redis need different ones.
// Marks and indexes are kept apart by it too. It does not concern NewMemory.
func WithPrefix(prefix string) Option { return func(o *options) { o.prefix = prefix } }

// WithTimeout sets the time for one call, waiting for a connection and
// repeating included, sending not (see [Store]); the default is 1 s, and what is not positive means the
// default. It does not concern NewMemory.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithClock sets the clock that tells how far off an expiry is; the default is
// time.Now. It must be safe for concurrent use.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

func resolve(opts []Option) options {
	o := options{prefix: keyspace.DefaultPrefix}
	for _, opt := range opts {
		opt(&o)
	}
	if o.timeout <= 0 {
		o.timeout = defaultTimeout
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

// New returns a store on the connections of pool. It does not connect yet.
func New(pool Getter, opts ...Option) *Store {
	o := resolve(opts)
	base, _ := pool.(*redis.Pool)
	return &Store{
		RedisStore: redisstore.NewWithPrefix(base, o.prefix),
		conns:      pool,
		prefix:     o.prefix,
		timeout:    o.timeout,
		now:        o.now,
	}
}

// FindCtx implements scs.CtxStore. For a key that holds something else than a
// record, or a record of more than 1 MiB, the error is [ErrDamaged].
func (s *Store) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	const op = "find session"
	if !keyspace.ValidToken(token) {
		return nil, false, nil
	}
	replies, err := s.do(ctx, op, cmd("GET", s.key(token)))
	if err != nil {
		return nil, false, unusable(op, err)
	}
	return s.record(op, token, replies[0])
}

// FindTTLCtx implements [TTLFinder].
func (s *Store) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	const op = "find session"
	if !keyspace.ValidToken(token) {
		return nil, 0, false, nil
	}
	key := s.key(token)
	replies, err := s.do(ctx, op, cmd("GET", key), cmd("PTTL", key))
	if err != nil {
		return nil, 0, false, unusable(op, err)
	}
	b, found, err := s.record(op, token, replies[0])
	if err != nil {
		return nil, 0, false, err
	}
	ttl, alive := keyspace.Life(replies[1].(int64))
	if !found || !alive {
		return nil, 0, false, nil
	}
	return b, ttl, true, nil
}

// CommitCtx implements scs.CtxStore.
func (s *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	const op = "commit session"
	if err := writable(op, token, b); err != nil {
		return err
	}
	life := expiry.Sub(s.now())
	if life <= 0 {
		return s.DeleteCtx(ctx, token)
	}
	_, err := s.do(context.WithoutCancel(ctx), op,
		set(s.key(token), b, life))
	return err
}

// UpdateCtx implements [Updater].
func (s *Store) UpdateCtx(ctx context.Context, token string, b []byte, expiry time.Time) (bool, error) {
	const op = "update session"
	if !keyspace.ValidToken(token) {
		return false, nil
	}
	if err := writable(op, token, b); err != nil {
		return false, err
	}
	life := expiry.Sub(s.now())
	if life <= 0 {
		return false, s.DeleteCtx(ctx, token)
	}
	replies, err := s.do(context.WithoutCancel(ctx), op,
		set(s.key(token), b, life, "XX"))
	return err == nil && replies[0] != nil, err
}

// TouchCtx implements [Toucher].
func (s *Store) TouchCtx(ctx context.Context, token string, expiry time.Time) (bool, error) {
	const op = "touch session"
	if !keyspace.ValidToken(token) {
		return false, nil
	}
	life := expiry.Sub(s.now())
	if life <= 0 {
		return false, s.DeleteCtx(ctx, token)
	}
	replies, err := s.do(context.WithoutCancel(ctx), op,
		cmd("PEXPIRE", s.key(token), keyspace.Millis(life)))
	return err == nil && replies[0] == int64(1), err
}

// DeleteCtx implements scs.CtxStore.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.DropCtx(ctx, token)
	return err
}

// DropCtx implements [Dropper].
func (s *Store) DropCtx(ctx context.Context, token string) (bool, error) {
	if !keyspace.ValidToken(token) {
		return false, nil
	}
	replies, err := s.do(context.WithoutCancel(ctx), "delete session", cmd("UNLINK", s.key(token)))
	return err == nil && replies[0] == int64(1), err
}

// DropAllCtx implements [Dropper].
func (s *Store) DropAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	for some := range slices.Chunk(keyspace.ValidTokens(tokens), keyspace.BatchSize) {
		cmds := make([]command, len(some))
		for i, token := range some {
			cmds[i] = cmd("UNLINK", s.key(token))
		}
		replies, err := s.do(ctx, "delete sessions", cmds...)
		if err != nil {
			return dropped, err
		}
		for i, token := range some {
			if replies[i] == int64(1) {
				dropped = append(dropped, token)
			}
		}
	}
	return dropped, nil
}

// AllCtx implements scs.IterableCtxStore. It walks over all keys of the server
// in steps (SCAN), each with a deadline of its own, and holds every session in
// memory: a tool for the operator, not for a request.
func (s *Store) AllCtx(ctx context.Context) (map[string][]byte, error) {
	const op = "list sessions"
	all := map[string][]byte{}
	for cursor := "0"; ; {
		replies, err := s.do(ctx, op, cmd("SCAN", cursor, "MATCH", globLiteral(s.prefix)+"*", "COUNT", scanCount))
		if err != nil {
			return nil, err
		}
		page := replies[0].([]any)
		keys, _ := redis.Strings(page[1], nil)
		for _, key := range keys {
			token := strings.TrimPrefix(key, s.prefix)
			b, found, err := s.FindCtx(ctx, token)
			if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnopened) {
				return nil, err
			}
			if found {
				all[token] = b
			}
		}
		if cursor = string(page[0].([]byte)); cursor == "0" {
			return all, nil
		}
	}
}

// Find is FindCtx without a context.
func (s *Store) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (s *Store) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// Delete is DeleteCtx without a context.
func (s *Store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// All is AllCtx without a context.
func (s *Store) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }

func (s *Store) key(token string) string { return keyspace.Session(s.prefix, token) }

// record takes a session record from the reply to GET.
func (s *Store) record(op, token string, reply any) (b []byte, found bool, err error) {
	stored, found := reply.([]byte)
	if !found {
		return nil, false, nil
	}
	b, _ = keyspace.Unbind(s.key(token), stored) // do has looked at it
	if len(b) > maxRecord {
		return nil, false, newError(op, ErrDamaged)
	}
	return b, true, nil
}

// writable tells why a record cannot be stored under the token.
func writable(op, token string, b []byte) error {
	if !keyspace.ValidToken(token) {
		return &Error{Op: op, Class: ClassConfiguration, Err: errMalformedToken}
	}
	if len(b) > maxRecord {
		return &Error{Op: op, Class: ClassConfiguration,
			Err: fmt.Errorf("a record of %d bytes is larger than %d", len(b), maxRecord)}
	}
	return nil
}

var errMalformedToken = errors.New("malformed session token")

// unusable tells trouble with Redis from a key that holds no session of this
// token: that one would lock its user out for as long as it lives.
func unusable(op string, err error) error {
	var (
		reply redis.Error
		other *keyspace.UnexpectedReply
	)
	switch {
	case errors.As(err, &reply) && reply == "WRONGTYPE":
		return newError(op, ErrDamaged)
	case errors.As(err, &other) && other.Another:
		return &Error{Op: op, Class: ClassFailClosed, Err: fmt.Errorf("%w: %w", ErrUnopened, other)}
	}
	return err
}

// globLiteral escapes what MATCH would take for a pattern.
func globLiteral(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
