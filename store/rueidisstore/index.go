package rueidisstore

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
)

// indexGrace is how long an ended session stays in its user's index, so that an
// instance whose clock is ahead does not drop a live one; as in package store.
const indexGrace = 24 * time.Hour

// AddSession implements store.Index. The index of a user is a sorted set of
// tokens, scored by expiry in milliseconds, which lives as long as its last
// member.
//
// A second round trip is needed only where an earlier session outlives the new
// one, that is after the sessions' lifetime was shortened.
func (s *Store) AddSession(ctx context.Context, user, token string, expiry time.Time) error {
	const op = "add session to index"
	if !keyspace.ValidToken(token) {
		return malformedToken(op)
	}
	now := s.now()
	life := expiry.Sub(now)
	if life <= 0 {
		return s.RemoveSession(ctx, user, token)
	}

	ctx = context.WithoutCancel(ctx)
	key := s.userKey(user)
	replies, err := s.do(ctx, op,
		cmd("ZADD", key, millis(expiry.UnixMilli()), token),
		cmd("PEXPIRE", key, millis(keyspace.Millis(life))),
		cmd("ZREMRANGEBYSCORE", key, "-inf", millis(now.Add(-indexGrace).UnixMilli())),
		cmd("ZRANGE", key, "-1", "-1", "WITHSCORES"))
	if err != nil {
		return err
	}
	last, err := lastScore(replies[3])
	if err != nil {
		return newError(op, err)
	}
	if last <= expiry.UnixMilli() {
		return nil
	}
	_, err = s.do(ctx, op, cmd("PEXPIRE", key, millis(last-now.UnixMilli())))
	return err
}

// lastScore is the score of the one member in the reply, 0 if there is none.
func lastScore(reply rueidis.RedisMessage) (int64, error) {
	members, err := reply.AsZScores()
	if err != nil || len(members) != 1 {
		return 0, err
	}
	return int64(members[0].Score), nil
}

// SessionsOf implements store.Index.
func (s *Store) SessionsOf(ctx context.Context, user string) ([]string, error) {
	const op = "read index of sessions"
	replies, err := s.do(ctx, op, cmd("ZRANGE", s.userKey(user), "0", "-1"))
	if err != nil {
		return nil, err
	}
	tokens, err := replies[0].AsStrSlice()
	if err != nil {
		return nil, newError(op, err)
	}
	return tokens, nil
}

// RemoveSession implements store.Index.
func (s *Store) RemoveSession(ctx context.Context, user, token string) error {
	if !keyspace.ValidToken(token) {
		return nil
	}
	_, err := s.do(context.WithoutCancel(ctx), "remove session from index", cmd("ZREM", s.userKey(user), token))
	return err
}

func (s *Store) userKey(user string) string { return keyspace.User(s.prefix, user) }
