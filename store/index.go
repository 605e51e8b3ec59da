package store

import (
	"context"
	"strconv"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// AddSession implements [Index]. The index of a user is a sorted set of tokens,
// scored by expiry in milliseconds, which expires with its last member.
//
// A second round trip is needed only if an earlier session expires after the
// new one, that is, after the lifetime of sessions was shortened.
func (s *Store) AddSession(ctx context.Context, user, token string, expiry time.Time) error {
	return s.writeAll(ctx, "add session to index", write{kind: writeAddSession, user: user, key: token, expiry: expiry})
}

// addSession returns the commands that add a session to the index. The last one
// reads the member with the latest expiry. For a session that has ended, it
// returns the single command that removes it.
func (s *Store) addSession(user, token string, expiry time.Time) ([]resp.Command, error) {
	if !keyspace.ValidToken(token) {
		return nil, &Error{Op: "add session to index", Class: ClassConfiguration, Err: errMalformedToken}
	}
	now, key := s.now(), s.userKey(user)
	life := expiry.Sub(now)
	if life <= 0 {
		return []resp.Command{s.removeSession(user, token)}, nil
	}
	return []resp.Command{
		resp.Cmd("ZADD", key, expiry.UnixMilli(), keyspace.Member(key, token)),
		resp.Cmd("PEXPIRE", key, keyspace.Millis(life)),
		resp.Cmd("ZREMRANGEBYSCORE", key, "-inf", now.Add(-indexGrace).UnixMilli()),
		resp.Cmd("ZRANGE", key, int64(-1), int64(-1), "WITHSCORES"),
	}, nil
}

// outlive extends the expiry of the index to the latest expiry of its sessions,
// if that is later than expiry. latest is the reply with that session.
func (s *Store) outlive(ctx context.Context, user string, expiry time.Time, latest resp.Reply) error {
	pair := latest.Pairs().Contents()
	if len(pair) != 2 {
		return nil
	}
	score, _ := strconv.ParseFloat(pair[1], 64)
	if int64(score) <= expiry.UnixMilli() {
		return nil
	}
	_, err := s.do(ctx, "add session to index", resp.Cmd("PEXPIRE", s.userKey(user), int64(score)-s.now().UnixMilli()))
	return err
}

// SessionsOf implements [Index].
func (s *Store) SessionsOf(ctx context.Context, user string) ([]string, error) {
	key := s.userKey(user)
	replies, err := s.do(ctx, "read index of sessions", resp.Cmd("ZRANGE", key, int64(0), int64(-1)))
	if err != nil {
		return nil, err
	}
	tokens := replies[0].Contents()
	for i, member := range tokens {
		tokens[i], _ = keyspace.TokenOf(key, member) // do has checked it
	}
	return tokens, nil
}

// RemoveSession implements [Index].
func (s *Store) RemoveSession(ctx context.Context, user string, tokens ...string) error {
	if tokens = keyspace.ValidTokens(tokens); len(tokens) == 0 {
		return nil
	}
	_, err := s.do(context.WithoutCancel(ctx), "remove session from index", s.removeSession(user, tokens...))
	return err
}

func (s *Store) removeSession(user string, tokens ...string) resp.Command {
	key := s.userKey(user)
	c := resp.Cmd("ZREM", key)
	for _, token := range tokens {
		c.Args = append(c.Args, keyspace.Member(key, token))
	}
	return c
}

func (s *Store) userKey(user string) string { return keyspace.User(s.prefix, user) }
