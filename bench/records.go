package main

import (
	"fmt"

	"github.com/gomodule/redigo/redis"
)

// A footprint is what one session of a contender uses in Redis.
type footprint struct {
	bytes int // of the record itself
	redis int // of the key with the record, as MEMORY USAGE counts
}

// footprintOf reads the session of a key. Its openid, unionid and time are
// those of the same user for all contenders.
func (f *field) footprintOf(key string) (footprint, error) {
	record, err := redis.Bytes(f.redis.Do("GET", key))
	if err != nil {
		return footprint{}, fmt.Errorf("read a session record: %w", err)
	}
	usage, err := redis.Int(f.redis.Do("MEMORY", "USAGE", key))
	if err != nil {
		return footprint{}, fmt.Errorf("memory of a session: %w", err)
	}
	return footprint{bytes: len(record), redis: usage}, nil
}

// footprints returns those of a session of ours and of scs.
func (f *field) footprints() (ours, scs footprint, err error) {
	if ours, err = f.footprintOf(ourKey(f.cookies[0])); err != nil {
		return ours, scs, err
	}
	scs, err = f.footprintOf(scsKey(named(f.stored, "scs").users[0].request.Header.Get("Cookie")))
	return ours, scs, err
}

func named(all []*contender, name string) *contender {
	for _, c := range all {
		if c.name == name {
			return c
		}
	}
	panic("bench: no contender " + name)
}

// indexUsage returns the bytes that Redis holds for a user with one session,
// besides the session: the index by which RevokeUser finds it. It must be
// called while every user has one session.
func (f *field) indexUsage() (int, error) {
	page, err := redis.Values(f.redis.Do("SCAN", 0, "COUNT", 100_000, "TYPE", "zset"))
	if err != nil {
		return 0, fmt.Errorf("find an index: %w", err)
	}
	keys, err := redis.Strings(page[1], nil)
	if err != nil || len(keys) != maxVisitors {
		return 0, fmt.Errorf("find an index: %d instead of one for each user: %w", len(keys), err)
	}
	usage, err := redis.Int(f.redis.Do("MEMORY", "USAGE", keys[0]))
	if err != nil {
		return 0, fmt.Errorf("memory of an index: %w", err)
	}
	return usage, nil
}
