package rueidisstore

import (
	"context"
	"strconv"
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
		cmd("ZADD", key, millis(expiry.UnixMilli()), keyspace.Member(key, token)),
		cmd("PEXPIRE", key, millis(keyspace.Millis(life))),
		cmd("ZREMRANGEBYSCORE", key, "-inf", millis(now.Add(-indexGrace).UnixMilli())),
		cmd("ZRANGE", key, "-1", "-1", "WITHSCORES"))
	if err != nil {
		return err
	}
	last := lastScore(replies[3])
	if last <= expiry.UnixMilli() {
		return nil
	}
	_, err = s.do(ctx, op, cmd("PEXPIRE", key, millis(last-now.UnixMilli())))
	return err
}

// lastScore is the score of the one member in the reply, 0 if there is none.
func lastScore(reply rueidis.RedisMessage) int64 {
	members, _ := membersOf(reply, true)
	if len(members) != 1 {
		return 0
	}
	score, _ := strconv.ParseFloat(members[0].score, 64)
	return int64(score)
}

// SessionsOf implements store.Index.
func (s *Store) SessionsOf(ctx context.Context, user string) ([]string, error) {
	key := s.userKey(user)
	replies, err := s.do(ctx, "read index of sessions", cmd("ZRANGE", key, "0", "-1"))
	if err != nil {
		return nil, err
	}
	members, _ := membersOf(replies[0], false)
	tokens := make([]string, len(members))
	for i, m := range members {
		tokens[i], _ = keyspace.TokenOf(key, m.name) // exchange has looked at it
	}
	return tokens, nil
}

// RemoveSession implements store.Index.
func (s *Store) RemoveSession(ctx context.Context, user string, tokens ...string) error {
	key := s.userKey(user)
	var members []string
	for _, token := range keyspace.ValidTokens(tokens) {
		members = append(members, keyspace.Member(key, token))
	}
	if len(members) == 0 {
		return nil
	}
	_, err := s.do(context.WithoutCancel(ctx), "remove session from index", cmd("ZREM", key, members...))
	return err
}

func (s *Store) userKey(user string) string { return keyspace.User(s.prefix, user) }
