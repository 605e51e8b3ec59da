package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Checker looks at the store behind an interface, at start-up.
type Checker interface {
	// Check returns what would make sessions fail or vanish, all of it joined
	// in one error, each line saying what to do; nil if nothing was found.
	Check(ctx context.Context) error
}

// maxClockSkew is how far apart the clocks of an instance and of Redis may be
// before Check says so. Expiries are relative, so nothing breaks; logs are
// hard to read then, and pending logins are not far from being refused.
const maxClockSkew = time.Minute

// Check implements [Checker]: it writes, reads and deletes a mark of its own,
// compares the clocks, and reads the eviction policy where it may (CONFIG is
// often denied, which is no finding).
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkWriting(ctx); err != nil {
		return err // the rest would say the same again
	}
	return errors.Join(s.checkClock(ctx), s.checkEviction(ctx))
}

func (s *Store) checkWriting(ctx context.Context) error {
	key, value := "check "+rand.Text(), []byte(rand.Text())
	if err := s.PutMark(ctx, key, value, time.Minute); err != nil {
		return fmt.Errorf("session store: Redis cannot be written: %w; check its address, password, ACL (SET, GET, UNLINK, PEXPIRE, ZADD and ZRANGE on the keys of this store) and that it is no replica", err)
	}
	got, found, err := s.Mark(ctx, key)
	if err != nil {
		return fmt.Errorf("session store: Redis cannot be read: %w; check its ACL", err)
	}
	if !found || string(got) != string(value) {
		return errors.New("session store: Redis lost a value at once; does it evict, or do reads go to another server than writes?")
	}
	if err := s.DeleteMark(ctx, key); err != nil {
		return fmt.Errorf("session store: Redis cannot delete: %w; allow UNLINK", err)
	}
	return nil
}

func (s *Store) checkClock(ctx context.Context) error {
	before := s.now()
	replies, err := s.do(ctx, "read clock", cmd("TIME"))
	if err != nil {
		return nil // not allowed to ask
	}
	parts, err := redis.Int64s(replies[0], nil)
	if err != nil || len(parts) != 2 {
		return nil
	}
	skew := time.Unix(parts[0], parts[1]*1000).Sub(before)
	if skew.Abs() > maxClockSkew {
		return fmt.Errorf("session store: the clocks of Redis and of this machine are %v apart; set both by NTP", skew.Abs().Round(time.Second))
	}
	return nil
}

func (s *Store) checkEviction(ctx context.Context) error {
	replies, err := s.do(ctx, "read eviction policy", cmd("CONFIG", "GET", "maxmemory-policy"))
	if err != nil {
		return nil // not allowed to ask
	}
	pair, err := redis.Strings(replies[0], nil)
	if err != nil || len(pair) != 2 {
		return nil
	}
	if strings.HasPrefix(pair[1], "allkeys-") {
		return fmt.Errorf("session store: Redis evicts sessions when its memory is full (maxmemory-policy %s): users are logged out then without an error; use noeviction, or volatile-ttl in a Redis of their own", pair[1])
	}
	return nil
}

// Check implements [Checker]: memory is always there.
func (m *Memory) Check(context.Context) error { return nil }

// Check implements [Checker].
func (s *sealed) Check(ctx context.Context) error {
	if c, ok := s.Sessions.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}
