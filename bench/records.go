package main

import (
	"fmt"

	"github.com/gomodule/redigo/redis"
)

// A footprint is what one session of a contender takes in Redis.
type footprint struct {
	bytes int // of the record itself
	redis int // of the key with the record, as MEMORY USAGE counts
}

// footprintOf reads one session. The openid, unionid and time in it are those of
// the same visitor for all contenders.
func (f *field) footprintOf(cookie string) (footprint, error) {
	key := sessionKeys([]string{cookie})[0]
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

// footprints are those of a session of ours and of scs.
func (f *field) footprints() (ours, scs footprint, err error) {
	if ours, err = f.footprintOf(f.cookies[0]); err != nil {
		return ours, scs, err
	}
	scs, err = f.footprintOf(named(f.stored, "scs").visitors[0].request.Header.Get("Cookie"))
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
