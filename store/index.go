package store

import (
	"context"
	"strconv"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// AddSession implements [Index]. The index of a user is a sorted set of tokens,
// scored by expiry in milliseconds, which lives as long as its last member.
//
// A second round trip is needed only where an earlier session outlives the new
// one, that is after the sessions' lifetime was shortened.
func (s *Store) AddSession(ctx context.Context, user, token string, expiry time.Time) error {
	const op = "add session to index"
	cmds, err := s.addSession(user, token, expiry)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	replies, err := s.do(ctx, op, cmds...)
	if err != nil || len(cmds) == 1 {
		return err
	}
	return s.outlive(ctx, user, expiry, replies[len(replies)-1])
}

// addSession are the commands that note a session, of which the last one asks
// for what lives longest. For a session that has ended it is the one that
// forgets it.
func (s *Store) addSession(user, token string, expiry time.Time) ([]command, error) {
	if !keyspace.ValidToken(token) {
		return nil, &Error{Op: "add session to index", Class: ClassConfiguration, Err: errMalformedToken}
	}
	now, key := s.now(), s.userKey(user)
	life := expiry.Sub(now)
	if life <= 0 {
		return []command{s.removeSession(user, token)}, nil
	}
	return []command{
		cmd("ZADD", key, expiry.UnixMilli(), keyspace.Member(key, token)),
		cmd("PEXPIRE", key, keyspace.Millis(life)),
		cmd("ZREMRANGEBYSCORE", key, "-inf", now.Add(-indexGrace).UnixMilli()),
		cmd("ZRANGE", key, -1, -1, "WITHSCORES"),
	}, nil
}

// outlive gives the index the life of the session that lives longest, if that
// is not the one with this expiry.
func (s *Store) outlive(ctx context.Context, user string, expiry time.Time, longest any) error {
	const op = "add session to index"
	last := lastScore(longest)
	if last <= expiry.UnixMilli() {
		return nil
	}
	_, err := s.do(ctx, op, cmd("PEXPIRE", s.userKey(user), last-s.now().UnixMilli()))
	return err
}

// lastScore is the score of the one member in the reply, 0 if there is none.
func lastScore(reply any) int64 {
	pair := reply.([]any)
	if len(pair) != 2 {
		return 0
	}
	score, _ := strconv.ParseFloat(string(pair[1].([]byte)), 64)
	return int64(score)
}

// SessionsOf implements [Index].
func (s *Store) SessionsOf(ctx context.Context, user string) ([]string, error) {
	const op = "read index of sessions"
	key := s.userKey(user)
	replies, err := s.do(ctx, op, cmd("ZRANGE", key, 0, -1))
	if err != nil {
		return nil, err
	}
	members := replies[0].([]any)
	tokens := make([]string, len(members))
	for i, m := range members {
		tokens[i], _ = keyspace.TokenOf(key, string(m.([]byte))) // do has looked at it
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

func (s *Store) removeSession(user string, tokens ...string) command {
	key := s.userKey(user)
	c := cmd("ZREM", key)
	for _, token := range tokens {
		c.args = append(c.args, keyspace.Member(key, token))
	}
	return c
}

func (s *Store) userKey(user string) string { return keyspace.User(s.prefix, user) }
