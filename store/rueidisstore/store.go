package rueidisstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// Store keeps sessions in Redis, as the Store of package store does: the same
// keys and bytes, and no record without an expiry. It is safe for concurrent
// use.
//
// Each call is one round trip with one deadline ([WithTimeout]) for connecting,
// repeating and talking. Reads end early at the deadline of their context;
// writes are detached from it, because a visitor who goes away must not lose the
// login that WeChat has already granted. A call that meets a dead connection, or
// a server that cannot serve (READONLY, LOADING …), repeats over another: every
// command here may be executed twice without harm. Errors are those of package
// store; store.ClassOf tells what can be done about them.
type Store struct {
	connector *connector
	dialer    *dialer
	near      *nearCache // nil without
	prefix    string
	timeout   time.Duration
	now       func() time.Time
}

var (
	_ store.Sessions = (*Store)(nil)
	_ store.Checker  = (*Store)(nil)
)

// New returns a store for the Redis that client names, and does not connect
// yet: it does with the first call, and with each further one until it has
// succeeded. Close it when it is no longer used.
//
// Of client, what is not set gets values fit for a web server: the store's
// timeout (1 s) for dialling and for silence, also towards Sentinels, which are
// asked for the primary every 5 s; buffers of 64 KiB. The store itself decides
// about repetitions, pipelining and client-side caching (DisableRetry,
// AlwaysPipelining, DisableAutoPipelining, DisableCache, NewCacheStoreFn,
// OnInvalidations, ClientTrackingOptions are overwritten), and refuses what
// would read from replicas.
func New(client rueidis.ClientOption, opts ...Option) (*Store, error) {
	o, err := resolve(opts)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	s := &Store{dialer: newDialer(client), prefix: o.prefix, timeout: o.timeout, now: o.now}
	if o.nearCache {
		s.near = newNearCache(o.prefix, o.maxBytes, o.maxAge)
	}
	option, err := clientOption(client, o, s.dialer, s.near)
	if err != nil {
		return nil, fmt.Errorf("new session store: %w", err)
	}
	s.connector = &connector{option: option}
	return s, nil
}

// Close ends all connections after what is under way, and waits a second for
// each at most where Redis is silent. Later calls fail.
func (s *Store) Close() { s.connector.close() }

// FindCtx implements scs.CtxStore. For a key that holds something else than a
// record, or a record of more than 1 MiB, the error is store.ErrDamaged.
func (s *Store) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if s.near == nil {
		return s.get(ctx, token)
	}
	b, _, found, err := s.FindTTLCtx(ctx, token)
	return b, found, err
}

// get asks Redis for a record.
func (s *Store) get(ctx context.Context, token string) ([]byte, bool, error) {
	if !keyspace.ValidToken(token) {
		return nil, false, nil
	}
	const op = "find session"
	replies, err := s.do(ctx, op, cmd("GET", s.key(token)))
	if err != nil {
		return nil, false, unusable(op, err)
	}
	return s.record(op, token, replies[0])
}

// FindTTLCtx implements store.TTLFinder. The remaining life of a record from the
// near cache is counted down from what Redis said.
func (s *Store) FindTTLCtx(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	if !keyspace.ValidToken(token) {
		return nil, 0, false, nil
	}
	if s.near == nil {
		return s.getTTL(ctx, token)
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, false, newError("find session", err)
	}
	asked := s.now()
	if b, ttl, found := s.near.get(token, asked); found {
		return b, ttl, true, nil
	}
	reading := s.near.begin(token)
	b, ttl, found, err := s.getTTL(ctx, token)
	if err != nil || !found {
		s.near.abandon(reading)
		return nil, 0, false, err
	}
	s.near.keep(reading, bytes.Clone(b), ttl, asked)
	return b, ttl, true, nil
}

// getTTL asks Redis for a record and its remaining life.
func (s *Store) getTTL(ctx context.Context, token string) ([]byte, time.Duration, bool, error) {
	const op = "find session"
	key := s.key(token)
	replies, err := s.do(ctx, op, cmd("GET", key), cmd("PTTL", key))
	if err != nil {
		return nil, 0, false, unusable(op, err)
	}
	b, found, err := s.record(op, token, replies[0])
	if err != nil {
		return nil, 0, false, err
	}
	ms, _ := replies[1].ToInt64()
	ttl, alive := keyspace.Life(ms)
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
	_, err := s.write(ctx, op, token, set(s.key(token), b, life))
	return err
}

// UpdateCtx implements store.Updater.
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
	reply, err := s.write(ctx, op, token, set(s.key(token), b, life, "XX"))
	return err == nil && !reply.IsNil(), err
}

// TouchCtx implements store.Toucher.
func (s *Store) TouchCtx(ctx context.Context, token string, expiry time.Time) (bool, error) {
	const op = "touch session"
	if !keyspace.ValidToken(token) {
		return false, nil
	}
	life := expiry.Sub(s.now())
	if life <= 0 {
		return false, s.DeleteCtx(ctx, token)
	}
	reply, err := s.write(ctx, op, token, cmd("PEXPIRE", s.key(token), millis(keyspace.Millis(life))))
	if err != nil {
		return false, err
	}
	touched, _ := reply.ToInt64()
	return touched == 1, nil
}

// DeleteCtx implements scs.CtxStore.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.DropCtx(ctx, token)
	return err
}

// DropCtx implements store.Dropper.
func (s *Store) DropCtx(ctx context.Context, token string) (bool, error) {
	if !keyspace.ValidToken(token) {
		return false, nil
	}
	reply, err := s.write(ctx, "delete session", token, cmd("UNLINK", s.key(token)))
	if err != nil {
		return false, err
	}
	deleted, _ := reply.ToInt64()
	return deleted == 1, nil
}

// DropAllCtx implements store.Dropper. In a Cluster the servers are asked at the
// same time.
func (s *Store) DropAllCtx(ctx context.Context, tokens []string) (dropped []string, err error) {
	for some := range slices.Chunk(keyspace.ValidTokens(tokens), keyspace.BatchSize) {
		cmds := make([]command, len(some))
		for i, token := range some {
			cmds[i] = cmd("UNLINK", s.key(token))
		}
		replies, err := s.do(ctx, "delete sessions", cmds...)
		for i, token := range some {
			if s.near != nil {
				s.near.forget(token) // also after an error: it may be deleted
			}
			if err != nil {
				continue
			}
			if n, _ := replies[i].ToInt64(); n == 1 {
				dropped = append(dropped, token)
			}
		}
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// write changes one record. What the near cache holds of it is forgotten after,
// also if the write failed: it may have been executed all the same.
func (s *Store) write(ctx context.Context, op, token string, c command) (rueidis.RedisMessage, error) {
	if s.near != nil {
		defer s.near.forget(token)
	}
	replies, err := s.do(context.WithoutCancel(ctx), op, c)
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	return replies[0], nil
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
func (s *Store) record(op, token string, reply rueidis.RedisMessage) (b []byte, found bool, err error) {
	if reply.IsNil() {
		return nil, false, nil
	}
	b, _ = keyspace.Unbind(s.key(token), stored(reply)) // exchange has looked at it
	if len(b) > maxRecord {
		return nil, false, newError(op, store.ErrDamaged)
	}
	return b, true, nil
}

// globLiteral escapes what MATCH would take for a pattern.
func globLiteral(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
