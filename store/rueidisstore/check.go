package rueidisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// maxClockSkew is how far apart the clocks of an instance and of Redis may be
// before Check says so, as in package store.
const maxClockSkew = time.Minute

// Check implements store.Checker: it writes, reads and deletes a mark of its
// own, and of every primary it compares the clock and reads the eviction policy
// where it may (CONFIG is often denied, which is no finding).
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkWriting(ctx); err != nil {
		return err // the rest would say the same again
	}
	primaries, err := s.primaries(ctx, "list servers")
	if err != nil {
		return fmt.Errorf("session store: not all servers can be asked: %w", err)
	}
	var findings []error
	for _, primary := range primaries {
		findings = append(findings, s.checkClock(ctx, primary), s.checkEviction(ctx, primary))
	}
	return errors.Join(findings...)
}

func (s *Store) checkWriting(ctx context.Context) error {
	key, value := "check "+rand.Text(), []byte(rand.Text())
	if err := s.PutMark(ctx, key, value, time.Minute); err != nil {
		return fmt.Errorf("session store: Redis cannot be written: %w; check its address, password and ACL (SET, GET, UNLINK, PTTL, PEXPIRE, ZADD and ZRANGE on the keys of this store; HELLO and CLIENT; CLUSTER or ROLE)", err)
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

func (s *Store) checkClock(ctx context.Context, primary rueidis.Client) error {
	before := s.now()
	reply, err := s.ask(ctx, "read clock", primary, cmd("TIME", ""))
	if err != nil {
		return nil // not allowed to ask
	}
	parts, err := reply.AsIntSlice()
	if err != nil || len(parts) != 2 {
		return nil
	}
	skew := time.Unix(parts[0], parts[1]*1000).Sub(before)
	if skew.Abs() > maxClockSkew {
		return fmt.Errorf("session store: the clocks of Redis and of this machine are %v apart; set both by NTP", skew.Abs().Round(time.Second))
	}
	return nil
}

func (s *Store) checkEviction(ctx context.Context, primary rueidis.Client) error {
	reply, err := s.ask(ctx, "read eviction policy", primary, cmd("CONFIG", "", "GET", "maxmemory-policy"))
	if err != nil {
		return nil // not allowed to ask
	}
	settings, err := reply.AsStrMap()
	if err != nil {
		return nil
	}
	if policy := settings["maxmemory-policy"]; strings.HasPrefix(policy, "allkeys-") {
		return fmt.Errorf("session store: Redis evicts sessions when its memory is full (maxmemory-policy %s): users are logged out then without an error; use noeviction, or volatile-ttl in a Redis of their own", policy)
	}
	return nil
}
