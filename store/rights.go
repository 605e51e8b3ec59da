package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatauth/wechatauth/store/internal/keyspace"
	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// maxClockSkew is the maximum difference between the clocks of an instance and
// of Redis. Expiries are relative, so nothing in Redis breaks. But if the clock
// of an instance is wrong, so are the times in its sealed cookies, which other
// instances read.
const maxClockSkew = 10 * time.Second

// rights tries every command of a session, from its login to its revocation,
// and those for connecting. It returns everything that Redis does not permit in
// one finding, and the first other error with the command that failed, after
// which it tries no more.
func (s *Store) rights(ctx context.Context) error {
	var lacking []string
	var denied, failed error
	commands := life(s.prefix, s.now())
	if s.acks > 0 {
		commands = append(commands, trial{Command: resp.Cmd("WAIT", "", int64(0), int64(1))})
	}
	needed := len(commands)
	if t, ok := s.transport.(resp.Connecting); ok {
		for _, name := range t.Connecting() {
			commands = append(commands, trial{Command: resp.Cmd(name, "")})
		}
	}
	for i, c := range commands {
		_, err := s.do(ctx, "check", c.Command)
		right := rightOf(err)
		switch {
		case err == nil, right == "" && i >= needed: // the connection works all the same
			continue
		case right == "":
			failed = unwritable(c.Name, err)
		case right == "~":
			right += c.pattern
		}
		if failed != nil {
			break
		}
		if denied = err; !slices.Contains(lacking, right) {
			lacking = append(lacking, right)
		}
	}
	if lacking != nil {
		denied = deniedRights(denied, lacking...)
	}
	return errors.Join(denied, failed)
}

// deniedRights returns the finding that Redis denies permissions.
func deniedRights(err error, rights ...string) error {
	grant := strings.Join(rights, " ")
	return &Finding{
		English: fmt.Sprintf("session store: the ACL of Redis denies what the store needs (%v): grant %s", err, grant),
		Chinese: fmt.Sprintf("会话存储：Redis 的 ACL 没有授予会话存储所需的权限（%v）；请授予 %s。", err, grant),
		Err:     err,
	}
}

// rightOf returns the permission to grant according to an error of Redis:
// "+pttl", "~" for the key, or "" if it is a different error.
func rightOf(err error) string {
	var refusal *resp.Refusal
	switch {
	case !errors.As(err, &refusal) || refusal.Code != "NOPERM":
		return ""
	case refusal.Command == "":
		return "~"
	}
	return "+" + strings.ToLower(refusal.Command)
}

// trial is a command of a session's life, with the pattern of its key in an
// ACL.
type trial struct {
	resp.Command
	pattern string
}

// life returns commands that leave nothing behind, even if some of them are
// denied: what they write expires after at most a minute.
func life(prefix string, now time.Time) []trial {
	const minute = int64(60000)
	var (
		session  = keyspace.Session(prefix, newToken())
		mark     = keyspace.Mark(prefix, "check "+rand.Text())
		user     = keyspace.User(prefix, "check "+rand.Text())
		sessions = prefix + "*"
		marks    = "wechat:*"
		score    = now.UnixMilli()
		member   = keyspace.Member(user, strings.Repeat("-", 43))
		value    = []byte("check")
	)
	return []trial{
		{resp.Set(session, value, time.Minute), sessions},
		{resp.Cmd("GET", session), sessions},
		{resp.Cmd("PTTL", session), sessions},
		{resp.Cmd("PEXPIRE", session, minute), sessions},
		{resp.Cmd("DEL", session), sessions},
		{resp.Set(mark, value, time.Minute, "NX"), marks},
		{resp.Cmd("GET", mark), marks},
		{resp.Cmd("DEL", mark), marks},
		{resp.Cmd("ZADD", user, "XX", score, member), marks}, // adds nothing
		{resp.Cmd("PEXPIRE", user, minute), marks},
		{resp.Cmd("ZREMRANGEBYSCORE", user, "-inf", score), marks},
		{resp.Cmd("ZRANGE", user, int64(-1), int64(-1), "WITHSCORES"), marks},
		{resp.Cmd("ZREM", user, member), marks},
		{resp.Cmd("PING", ""), ""},
	}
}

// lived runs a test session through its whole life, with a separate key, user
// and mark, and compares what is read with what was written. It stops at the
// first mismatch; what is left then expires within three minutes.
func (s *Store) lived(ctx context.Context) error {
	made := &madeUp{s, newToken(), "check " + rand.Text()}
	for _, step := range made.life(ctx) {
		works, err := step.works()
		switch {
		case err != nil:
			return unwritable(step.command, err)
		case !works:
			return &Finding{
				English: fmt.Sprintf("session store: %s returned what no primary of Redis returns: send reads to the primary, not to a replica or through a proxy that splits reads from writes; turn off the query cache of a proxy; and check the eviction policy", step.command),
				Chinese: fmt.Sprintf("会话存储：%s 返回了 Redis 主节点不会返回的结果：请从主节点读取，不要使用只读副本或读写分离代理；请关闭代理的查询缓存，并检查淘汰策略。", step.command),
			}
		}
	}
	return nil
}

// madeUp is a session that exists only for a check.
type madeUp struct {
	store       *Store
	token, user string
}

// step is one step of the session's life. It works if Redis returns what a
// primary returns.
type step struct {
	command string
	works   func() (bool, error)
}

func (m *madeUp) life(ctx context.Context) []step {
	const minute = time.Minute
	one, two := []byte("one"), []byte("two")
	in := func(d time.Duration) time.Time { return m.store.now().Add(d) }
	done := func(err error) (bool, error) { return true, err }
	s, token, user := m.store, m.token, m.user
	return []step{
		{"SET", func() (bool, error) { return done(s.CommitCtx(ctx, token, one, in(minute))) }},
		{"GET after SET", func() (bool, error) { return is(one)(s.FindCtx(ctx, token)) }},
		{"SET XX", func() (bool, error) { return s.UpdateCtx(ctx, token, two, in(minute)) }},
		{"GET after SET XX", func() (bool, error) { return is(two)(s.FindCtx(ctx, token)) }},
		{"PTTL after SET PX", func() (bool, error) { return m.lasts(ctx, 0, minute) }},
		{"PEXPIRE", func() (bool, error) { return s.TouchCtx(ctx, token, in(3*minute)) }},
		{"PTTL after PEXPIRE", func() (bool, error) { return m.lasts(ctx, minute, 3*minute) }},
		{"ZADD", func() (bool, error) { return done(s.AddSession(ctx, user, token, in(minute))) }},
		{"ZRANGE after ZADD", func() (bool, error) { return m.indexed(ctx, token) }},
		{"SET NX", func() (bool, error) { return s.PutMarkNX(ctx, user, one, minute) }},
		{"GET after SET NX", func() (bool, error) { return is(one)(s.Mark(ctx, user)) }},
		{"a batch of ZREM, SET and DEL", func() (bool, error) {
			var b Batch
			b.RemoveSession(user, token)
			b.PutMark(user, two, minute)
			b.Delete(token)
			return done(s.DoBatch(ctx, b))
		}},
		{"ZRANGE after ZREM", func() (bool, error) { return m.indexed(ctx) }},
		{"GET after SET in a batch", func() (bool, error) { return is(two)(s.Mark(ctx, user)) }},
		{"GET after DEL in a batch", func() (bool, error) { return is(nil)(s.FindCtx(ctx, token)) }},
		{"DEL", func() (bool, error) { return done(s.DeleteMark(ctx, user)) }},
		{"GET after DEL", func() (bool, error) { return is(nil)(s.Mark(ctx, user)) }},
	}
}

// is returns a function that reports whether want was found, or, if want is
// nil, whether nothing was.
func is(want []byte) func(b []byte, found bool, err error) (bool, error) {
	return func(b []byte, found bool, err error) (bool, error) {
		return found == (want != nil) && bytes.Equal(b, want), err
	}
}

func (m *madeUp) lasts(ctx context.Context, longerThan, atMost time.Duration) (bool, error) {
	_, ttl, found, err := m.store.FindTTLCtx(ctx, m.token)
	return found && longerThan < ttl && ttl <= atMost, err
}

func (m *madeUp) indexed(ctx context.Context, want ...string) (bool, error) {
	tokens, err := m.store.SessionsOf(ctx, m.user)
	return slices.Equal(tokens, want), err
}

// newToken returns a token that belongs to no session.
func newToken() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// confirmed checks that there are as many replicas as [WithReplicaAcks] names.
func (s *Store) confirmed(ctx context.Context) error {
	err := s.confirm(ctx, "check", []string{newToken()})
	if err == nil {
		return nil
	}
	return &Finding{
		English: fmt.Sprintf("session store: replicas do not confirm a revocation: %v; connect more replicas, or lower WithReplicaAcks", err),
		Chinese: fmt.Sprintf("会话存储：从节点未能确认强制下线（%v）；请增加从节点，或调低 WithReplicaAcks。", err),
		Err:     err,
	}
}

// unlisted returns the finding that not every server of a Cluster can be
// queried.
func unlisted(err error) error {
	if right := rightOf(err); right != "" {
		return deniedRights(err, right)
	}
	return &Finding{
		English: fmt.Sprintf("session store: not all servers can be asked: %v; check that each of them can be reached from here", err),
		Chinese: fmt.Sprintf("会话存储：有服务器无法访问（%v）；请确认本机可以连接每台服务器。", err),
		Err:     err,
	}
}

// unwritable returns the finding that a command failed. The error includes how
// to fix it, if that is known.
func unwritable(command string, err error) error {
	return &Finding{
		English: fmt.Sprintf("session store: Redis cannot be written: %s: %v; check its address, password and ACL, and that it is no replica", command, err),
		Chinese: fmt.Sprintf("会话存储：无法写入 Redis（%s：%v）；请检查其地址、密码和 ACL，并确认它不是只读副本。", command, err),
		Err:     err,
	}
}

// clock compares the clock of this machine with the clock of a server.
func (s *Store) clock(ctx context.Context, server resp.Transport) error {
	before := s.now()
	reply, err := s.ask(ctx, "read clock", server, resp.Cmd("TIME", ""))
	if err != nil {
		return unseen("clock", "时钟", "+time", err)
	}
	parts := reply.Contents()
	if len(parts) != 2 {
		return nil
	}
	seconds, err1 := strconv.ParseInt(parts[0], 10, 64)
	micros, err2 := strconv.ParseInt(parts[1], 10, 64)
	apart := time.Unix(seconds, micros*1000).Sub(before).Abs().Round(time.Second)
	if err1 != nil || err2 != nil || apart <= maxClockSkew {
		return nil
	}
	return &Finding{
		English: fmt.Sprintf("session store: the clocks of Redis and of this machine are %v apart; set both by NTP", apart),
		Chinese: fmt.Sprintf("会话存储：Redis 与本机的时钟相差 %v；请用 NTP 校准两者。", apart),
	}
}

// eviction checks the eviction policy of a server.
//
// All sessions have an expiry, so each volatile-… policy affects them like the
// allkeys-… policies; volatile-ttl evicts the sessions that would expire
// soonest.
func (s *Store) eviction(ctx context.Context, server resp.Transport) error {
	reply, err := s.ask(ctx, "read eviction policy", server, resp.Cmd("CONFIG", "", "GET", "maxmemory*"))
	if err != nil {
		return unseenEviction(err)
	}
	settings := map[string]string{}
	for pair := range slices.Chunk(reply.Contents(), 2) {
		settings[pair[0]] = pair[len(pair)-1]
	}
	policy := settings["maxmemory-policy"]
	switch {
	case policy == "":
		return unseenEviction(errors.New("CONFIG GET returned no maxmemory-policy"))
	case policy == "noeviction", policy == "volatile-ttl", settings["maxmemory"] == "0":
		return nil
	}
	if strings.Trim(policy, "abcdefghijklmnopqrstuvwxyz-") != "" || len(policy) > 30 {
		policy = "unknown"
	}
	return &Finding{
		English: fmt.Sprintf("session store: Redis evicts sessions when its memory is full (maxmemory-policy %s): users are logged out then without an error; use noeviction, or in a Redis only for sessions volatile-ttl, which evicts the sessions that would end soonest", policy),
		Chinese: fmt.Sprintf("会话存储：内存写满时 Redis 会淘汰会话（maxmemory-policy %s），用户会在没有任何报错的情况下退出登录；请改用 noeviction，或为会话单独部署 Redis 并使用 volatile-ttl（优先淘汰最早过期的会话）。", policy),
	}
}

// unseenEviction returns the note that the eviction policy could not be read.
func unseenEviction(err error) error {
	return unseen("eviction policy", "淘汰策略", "+config|get", err)
}

func unseen(english, chinese, right string, err error) error {
	return &Finding{
		English: fmt.Sprintf("session store: the %s of Redis could not be seen: %v; to have it checked, grant %s", english, err, right),
		Chinese: fmt.Sprintf("会话存储：无法查看 Redis 的%s（%v）；如需检查，请授予 %s。", chinese, err, right),
		Err:     err, Note: true,
	}
}
