package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// PutMarkNX implements [Marks]. If there is a mark already, it makes a second
// round trip to read the mark and compare it with value.
func (s *Store) PutMarkNX(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	const op = "claim mark"
	if err := lasting(op, ttl); err != nil {
		return false, err
	}
	ctx = context.WithoutCancel(ctx)
	replies, err := s.do(ctx, op, resp.Set(s.markKey(key), value, ttl, "NX"))
	if err != nil {
		return false, err
	}
	if replies[0].Kind != resp.Nil {
		return true, nil
	}
	held, found, err := s.Mark(ctx, key)
	return err == nil && found && bytes.Equal(held, value), err
}

// PutMark implements [Marks].
func (s *Store) PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.writeAll(ctx, "put mark", write{kind: writePutMark, key: key, value: value, ttl: ttl})
}

// Mark implements [Marks].
func (s *Store) Mark(ctx context.Context, key string) ([]byte, bool, error) {
	const op = "read mark"
	replies, err := s.do(ctx, op, resp.Cmd("GET", s.markKey(key)))
	if err != nil || replies[0].Kind == resp.Nil {
		return nil, false, err
	}
	value, _ := keyspace.Unbind(s.markKey(key), replies[0].Bytes) // do has checked it
	return value, true, nil
}

// DeleteMark implements [Marks].
func (s *Store) DeleteMark(ctx context.Context, key string) error {
	_, err := s.do(context.WithoutCancel(ctx), "delete mark", resp.Cmd("DEL", s.markKey(key)))
	return err
}

func (s *Store) markKey(key string) string { return keyspace.Mark(s.prefix, key) }

// lasting returns an error unless ttl is positive. Otherwise the mark would
// expire immediately or never.
func lasting(op string, ttl time.Duration) error {
	if ttl > 0 {
		return nil
	}
	return &Error{Op: op, Class: ClassConfiguration, Err: errors.New("the life of a mark must be positive")}
}
