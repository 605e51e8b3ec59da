package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/config"
	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/nearcache"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

const (
	// maxRecord is the maximum size of a session record in bytes. A larger
	// one is an error when it is written and is not decoded when it is
	// read.
	maxRecord = 1 << 20

	// indexGrace is how long an ended session stays in its user's index, so
	// that an instance whose clock is ahead does not remove a valid one.
	indexGrace = 24 * time.Hour
)

// Store keeps sessions in one Redis server (3.2 or later), or in the primary of
// a Sentinel group if the pool connects to that. It is safe for concurrent use
// by multiple goroutines.
//
// Each call is one round trip with one deadline ([WithTimeout]) for waiting,
// dialing and the reply. Sending has the connection's write timeout in addition
// ([NewPool]: 1 second), which matters if the network accepts no more data: in
// the worst case a call ends that much after its deadline. Reads return early
// when their context is done, but only before they get a connection. Writes are
// not canceled with their context, because a user whose browser disconnects
// must not lose the login that WeChat has already granted. A call that uses a
// dead connection, or reaches a server that cannot serve (READONLY, LOADING …),
// closes that connection and retries on another: every command here may be
// executed twice without harm.
//
// The keys are those of scs/redisstore, whose records can be read, and a record
// always has an expiry. Each value contains a hash of its key: if a reply
// belongs to another key, the call fails, its connection is closed, and nothing
// is deleted.
type Store struct {
	transport resp.Transport
	near      *nearcache.Cache // nil without
	idle      resp.Idler       // nil if the transport is none
	prefix    string
	timeout   time.Duration
	acks      int
	now       func() time.Time
	answered  atomic.Bool // Redis has replied to a call
}

var _ Whole = (*Store)(nil)

// Option changes a setting of a store.
type Option func(*config.Options)

// WithPrefix sets the prefix of session keys. Applications that share a Redis
// need different prefixes. It also keeps marks and indexes apart. The default
// is "scs:session:", as in scs/redisstore. It has no effect on NewMemory.
func WithPrefix(prefix string) Option { return func(o *config.Options) { o.Prefix = prefix } }

// WithTimeout sets the time limit for a call, including waiting for a
// connection and retries, but not sending (see [Store]). The default is 1
// second, which also replaces a d that is not positive. It has no effect on
// NewMemory.
func WithTimeout(d time.Duration) Option { return func(o *config.Options) { o.Timeout = d } }

// WithClock sets the clock by which expiries are converted to lifetimes, and by
// which a near cache measures time. It must be safe for concurrent use. The
// default is time.Now.
func WithClock(now func() time.Time) Option { return func(o *config.Options) { o.Now = now } }

// WithReplicaAcks makes DeleteAndReportAllCtx, and so RevokeUser, wait until n
// replicas have the deletions (Redis: WAIT), because a replica that lacks one
// restores the session if it becomes the primary. It waits for at most half of
// the call's timeout. If fewer replicas have them by then, the sessions are
// deleted, and the error states how many have. The default, 0, does not
// wait. It has no effect on NewMemory.
//
// Every program that revokes needs the option: one without it leaves nothing to
// wait for. Only sessions are waited for, not tokens. A read timeout of the
// client library must be longer than half of the call's timeout.
func WithReplicaAcks(n int) Option { return func(o *config.Options) { o.Acks = n } }

// New returns a store on the connections of pool. It does not connect until the
// first call.
func New(pool Pool, opts ...Option) *Store {
	o := config.Resolve(opts)
	o.Near = nil // redigo does not report changes
	s, _ := Over(&redigo{conns: pool}, o)
	return s
}

// Over returns a store over any transport; the modules below this package call
// it with theirs. It does not connect until the first call. A near cache
// requires a resp.Invalidator.
func Over(t resp.Transport, o config.Options) (*Store, error) {
	idle, _ := t.(resp.Idler)
	s := &Store{transport: t, idle: idle, prefix: o.Prefix, timeout: o.Timeout, acks: o.Acks, now: o.Now}
	if _, clustered := t.(resp.Clustered); clustered && o.Acks > 0 && strings.ContainsAny(o.Prefix, "{}") {
		return nil, errors.New("WithReplicaAcks: the prefix must not contain { or }")
	}
	if o.Near == nil {
		return s, nil
	}
	if err := o.Near.Validate(); err != nil {
		return nil, err
	}
	i, ok := t.(resp.Invalidator)
	if !ok {
		return nil, errors.New("WithNearCache: this client library does not report changes in Redis")
	}
	s.near = nearcache.New(s.prefix, *o.Near)
	return s, i.OnInvalidation(s.near.Invalidate)
}

// FindCtx implements [scs.CtxStore]. If the key has another type, or the record
// exceeds 1 MiB, the error is [ErrCorrupt].
func (s *Store) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	if s.near != nil {
		b, _, found, err = s.FindTTLCtx(ctx, token)
	} else {
		b, _, found, err = s.read(ctx, token, "GET")
	}
	return b, found, err
}

// FindTTLCtx implements [TTLFinder]. The remaining lifetime of a record from
// the near cache is counted down from the value that Redis reported.
func (s *Store) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	if s.near == nil || !keyspace.ValidToken(token) {
		return s.read(ctx, token, "GET", "PTTL")
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, false, newError("find session", err)
	}
	asked := s.now()
	if s.transport.(resp.Invalidator).Fresh() {
		if b, ttl, found := s.near.Get(token, asked); found {
			return b, ttl, true, nil
		}
	}
	changes := s.near.Begin(token)
	b, ttl, found, err := s.read(ctx, token, "GET", "PTTL")
	if found {
		s.near.Keep(token, changes, bytes.Clone(b), ttl, asked)
	}
	return b, ttl, found, err
}

// read reads a record from Redis by GET, and by PTTL its remaining lifetime.
func (s *Store) read(ctx context.Context, token string, commands ...string) (b []byte, ttl time.Duration, found bool, err error) {
	const op = "find session"
	if !keyspace.ValidToken(token) {
		return nil, 0, false, nil
	}
	key, cmds := s.key(token), make([]resp.Command, 0, 2)
	for _, name := range commands {
		cmds = append(cmds, resp.Cmd(name, key))
	}
	replies, err := s.do(ctx, op, cmds...)
	if err != nil {
		return nil, 0, false, unusable(op, err)
	}
	alive := true
	if len(replies) > 1 {
		ttl, alive = resp.Life(replies[1].Int)
	}
	b, _ = keyspace.Unbind(key, replies[0].Bytes) // do has checked it
	switch {
	case len(b) > maxRecord:
		return nil, 0, false, newError(op, ErrCorrupt)
	case replies[0].Kind == resp.Nil || !alive:
		return nil, 0, false, nil
	}
	return b, ttl, true, nil
}

// CommitCtx implements scs.CtxStore.
func (s *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return s.writeAll(ctx, "commit session", write{kind: writeCommit, key: token, value: b, expiry: expiry})
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
	return s.change(ctx, op, token, life, resp.Set(s.key(token), b, life, "XX"))
}

// TouchCtx implements [Toucher].
func (s *Store) TouchCtx(ctx context.Context, token string, expiry time.Time) (bool, error) {
	life := expiry.Sub(s.now())
	return s.change(ctx, "touch session", token, life, resp.Cmd("PEXPIRE", s.key(token), keyspace.Millis(life)))
}

// DeleteCtx implements scs.CtxStore.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.DeleteAndReportCtx(ctx, token)
	return err
}

// DeleteAndReportCtx implements [DeleteReporter].
func (s *Store) DeleteAndReportCtx(ctx context.Context, token string) (bool, error) {
	return s.change(ctx, "delete session", token, 1, resp.Cmd("DEL", s.key(token)))
}

// change changes a record that then lives for the given time, and reports
// whether there was one. It then removes the record from the near cache, even if
// the command failed, because it may have been executed all the same.
func (s *Store) change(ctx context.Context, op, token string, life time.Duration, c resp.Command) (found bool, err error) {
	switch {
	case !keyspace.ValidToken(token):
		return false, nil
	case life <= 0:
		return false, s.DeleteCtx(ctx, token)
	}
	defer s.forget(token)
	replies, err := s.do(context.WithoutCancel(ctx), op, c)
	return err == nil && done(replies[0]), err
}

// forget removes the records from the near cache.
func (s *Store) forget(tokens ...string) {
	if s.near != nil {
		for _, token := range tokens {
			s.near.Forget(token)
		}
	}
}

// DeleteAndReportAllCtx implements [DeleteReporter]. In a Cluster, the commands
// are sent to the servers at the same time.
func (s *Store) DeleteAndReportAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	const op = "delete sessions"
	tokens = keyspace.ValidTokens(tokens)
	for some := range slices.Chunk(tokens, keyspace.BatchSize) {
		replies, err := s.do(ctx, op, s.deletions(some)...)
		s.forget(some...) // even after an error: the records may be deleted
		if err != nil {
			return dropped, err
		}
		for i, token := range some {
			if replies[i].Int == 1 {
				dropped = append(dropped, token)
			}
		}
	}
	return dropped, s.confirm(ctx, op, tokens)
}

func (s *Store) deletions(tokens []string) (cmds []resp.Command) {
	for _, token := range tokens {
		cmds = append(cmds, resp.Cmd("DEL", s.key(token)))
	}
	return cmds
}

// confirm waits until replicas have the deletions of these records
// ([WithReplicaAcks]). WAIT waits for the writes of its connection only, so the
// records are deleted once more on that one; and Redis does not replicate a
// deletion that finds nothing, so a write that it does replicate follows. A
// Cluster is called for one record at a time, whose node has all three
// commands.
func (s *Store) confirm(ctx context.Context, op string, tokens []string) error {
	if s.acks <= 0 {
		return nil
	}
	size := keyspace.BatchSize
	if !s.ordered() {
		size = 1
	}
	for some := range slices.Chunk(tokens, size) {
		deadline, _ := s.deadline(ctx, time.Now())
		replies, err := s.do(ctx, op, append(s.deletions(some),
			resp.Set(keyspace.Fence(s.key(some[0])), nil, time.Second),
			resp.Cmd("WAIT", "", int64(s.acks), max(1, time.Until(deadline).Milliseconds()/2)))...)
		var refusal *resp.Refusal
		switch {
		case errors.As(err, &refusal) && (refusal.Code == "MOVED" || refusal.Code == "ASK"):
			err = &Error{Op: op, Class: ClassRetryNow, Err: errors.New("a slot of the Cluster has moved meanwhile")}
		case err == nil && replies[len(replies)-1].Int < int64(s.acks):
			err = &Error{Op: op, Class: ClassRetryNow, Err: fmt.Errorf("the sessions are deleted, but %d of %d replicas have confirmed it: a failover may restore them",
				replies[len(replies)-1].Int, s.acks)}
		}
		if err != nil {
			return err
		}
	}
	return nil
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

func (s *Store) key(token string) string { return s.prefix + token }

// writable returns an error if the record cannot be stored under the token.
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

// unusable returns [ErrCorrupt] or [ErrDecrypt] for a key whose value is not a
// session of this token, and err otherwise. Such a key would lock its user out
// until it expires.
func unusable(op string, err error) error {
	var other *resp.UnexpectedReply
	var refusal *resp.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == "WRONGTYPE":
		return newError(op, ErrCorrupt)
	case errors.As(err, &other) && other.Another:
		return &Error{Op: op, Class: ClassFailClosed, Err: fmt.Errorf("%w: %w", ErrDecrypt, other)}
	}
	return err
}
