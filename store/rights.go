package store

import (
	"bytes"
	"context"
	"crypto/rand"
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

// found returns a finding in both languages. Its last argument is the error, if
// there is one.
func found(english, chinese string, args ...any) *Finding {
	f := &Finding{
		English: "session store: " + fmt.Sprintf(english, args...),
		Chinese: "会话存储：" + fmt.Sprintf(chinese, args...),
	}
	f.Err, _ = args[len(args)-1].(error)
	return f
}

// denied returns the finding that Redis denies permissions.
func denied(rights []string, err error) error {
	return found("the ACL of Redis denies what the store needs (%[2]v): grant %[1]s",
		"Redis 的 ACL 没有授予会话存储所需的权限（%[2]v）；请授予 %[1]s。", strings.Join(rights, " "), err)
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

// live takes a test session through its whole life, with a separate key, user
// and mark, and compares what is read with what was written. wrong is the first
// reply that no primary of Redis sends. err is everything that Redis does not
// permit, in one finding, and the first other error, after which it tries no
// more.
func (s *Store) live(ctx context.Context) (wrong, err error) {
	var lacking []string
	var refused, failed error
	for _, t := range s.trials() {
		if failed != nil || t.last && refused != nil {
			break
		}
		reply, err := s.inTurn(ctx, t.commands)
		right := rightOf(err)
		if right == "~" {
			right += t.keys
		}
		switch {
		case right != "":
			if refused = err; !slices.Contains(lacking, right) {
				lacking = append(lacking, right)
			}
		case t.want == nil: // the connection works all the same
		case err != nil:
			failed = unwritable(t.commands[0].Name, err)
		case wrong == nil && refused == nil && !t.want(reply):
			wrong = found("%s returned what no primary of Redis returns: send reads to the primary, not to a replica or through a proxy that splits reads from writes; turn off the query cache of a proxy; and check the eviction policy",
				"%s 返回了 Redis 主节点不会返回的结果：请从主节点读取，不要使用只读副本或读写分离代理；请关闭代理的查询缓存，并检查淘汰策略。", t.name)
		}
	}
	if refused != nil {
		refused = denied(lacking, refused)
	}
	return wrong, errors.Join(refused, failed)
}

// inTurn executes the commands in order, in one round trip if the transport
// preserves it, and returns the last reply.
func (s *Store) inTurn(ctx context.Context, cmds []resp.Command) (reply resp.Reply, err error) {
	if s.ordered() {
		replies, err := s.do(ctx, "check", cmds...)
		if err != nil {
			return resp.Reply{}, err
		}
		return replies[len(replies)-1], nil
	}
	for _, c := range cmds {
		if reply, err = s.ask(ctx, "check", s.transport, c); err != nil {
			break
		}
	}
	return reply, err
}

// trial is a step in the life of a test session.
type trial struct {
	name     string                // in a finding
	keys     string                // the pattern of its key in an ACL
	want     func(resp.Reply) bool // whether a primary returns that; nil if the command may fail
	commands []resp.Command
	last     bool // only if everything before is permitted
}

// trials returns the life of a session, and the commands for connecting. Whatever
// is denied, what they leave behind expires within three minutes: a member is
// added to the index only in the last ones.
func (s *Store) trials() (all []trial) {
	const minute = int64(60000)
	var (
		token    = newToken()
		session  = s.key(token)
		mark     = s.markKey("check " + rand.Text())
		user     = s.userKey("check " + rand.Text())
		member   = keyspace.Member(user, token)
		now      = s.now().UnixMilli()
		one, two = []byte("one"), []byte("two")
	)
	keys, last := s.prefix+"*", false
	try := func(name string, want func(resp.Reply) bool, commands ...resp.Command) {
		all = append(all, trial{name, keys, want, commands, last})
	}
	try("SET", done, resp.Set(session, one, time.Minute))
	try("GET after SET", is(session, one), resp.Cmd("GET", session))
	try("SET XX", done, resp.Set(session, two, time.Minute, "XX"))
	try("GET after SET XX", is(session, two), resp.Cmd("GET", session))
	try("PTTL after SET PX", between(1, minute), resp.Cmd("PTTL", session))
	try("PEXPIRE", done, resp.Cmd("PEXPIRE", session, 3*minute))
	try("PTTL after PEXPIRE", between(minute+1, 3*minute), resp.Cmd("PTTL", session))
	keys = "wechat:*"
	try("SET NX", done, resp.Set(mark, one, time.Minute, "NX"))
	try("GET after SET NX", is(mark, one), resp.Cmd("GET", mark))
	try("DEL", done, resp.Cmd("DEL", mark))
	try("GET after DEL", nothing, resp.Cmd("GET", mark))
	try("ZADD", anything, resp.Cmd("ZADD", user, "XX", now, member)) // adds nothing
	try("PEXPIRE", anything, resp.Cmd("PEXPIRE", user, minute))
	try("ZREMRANGEBYSCORE", anything, resp.Cmd("ZREMRANGEBYSCORE", user, "-inf", now))
	try("ZRANGE", members(), resp.Cmd("ZRANGE", user, int64(-1), int64(-1), "WITHSCORES"))
	try("ZREM", anything, resp.Cmd("ZREM", user, member))
	try("PING", anything, resp.Cmd("PING", ""))
	if s.acks > 0 {
		try("WAIT", anything, resp.Cmd("WAIT", "", int64(0), int64(1)))
	}
	if t, ok := s.transport.(resp.Connecting); ok {
		for _, name := range t.Connecting() {
			try(name, nil, resp.Cmd(name, ""))
		}
	}
	last = true
	try("ZADD", done, resp.Cmd("ZADD", user, now, member), resp.Cmd("PEXPIRE", user, minute))
	try("ZRANGE after ZADD", members(member), resp.Cmd("ZRANGE", user, int64(0), int64(-1)))
	try("a batch of ZREM, SET and DEL", done,
		resp.Cmd("ZREM", user, member), resp.Set(mark, two, time.Minute), resp.Cmd("DEL", session))
	try("ZRANGE after ZREM", members(), resp.Cmd("ZRANGE", user, int64(0), int64(-1)))
	try("GET after SET in a batch", is(mark, two), resp.Cmd("GET", mark))
	try("GET after DEL in a batch", nothing, resp.Cmd("GET", session))
	try("DEL", done, resp.Cmd("DEL", mark))
	return all
}

func anything(resp.Reply) bool  { return true }
func nothing(r resp.Reply) bool { return r.Kind == resp.Nil }
func done(r resp.Reply) bool    { return r.Int == 1 || r.Content() == "OK" }

func between(atLeast, atMost int64) func(resp.Reply) bool {
	return func(r resp.Reply) bool { return atLeast <= r.Int && r.Int <= atMost }
}

// is returns a function that reports whether a reply is the value that was bound
// to the key.
func is(key string, value []byte) func(resp.Reply) bool {
	return func(r resp.Reply) bool { return bytes.Equal(r.Bytes, keyspace.Bind(key, value)) }
}

func members(want ...string) func(resp.Reply) bool {
	return func(r resp.Reply) bool { return slices.Equal(r.Contents(), want) }
}

// newToken returns a token that belongs to no session.
func newToken() string { return (rand.Text() + rand.Text())[:43] }

// confirmed checks that there are as many replicas as [WithReplicaAcks] names.
func (s *Store) confirmed(ctx context.Context) error {
	err := s.confirm(ctx, "check", []string{newToken()})
	if err == nil {
		return nil
	}
	return found("replicas do not confirm a revocation: %v; connect more replicas, or lower WithReplicaAcks",
		"从节点未能确认强制下线（%v）；请增加从节点，或调低 WithReplicaAcks。", err)
}

// unlisted returns the finding that not every server of a Cluster can be
// queried.
func unlisted(err error) error {
	if right := rightOf(err); right != "" {
		return denied([]string{right}, err)
	}
	return found("not all servers can be asked: %v; check that each of them can be reached from here",
		"有服务器无法访问（%v）；请确认本机可以连接每台服务器。", err)
}

// unwritable returns the finding that a command failed. The error includes how
// to fix it, if that is known.
func unwritable(command string, err error) error {
	return found("Redis cannot be written: %s: %v; check its address, password and ACL, and that it is no replica",
		"无法写入 Redis（%s：%v）；请检查其地址、密码和 ACL，并确认它不是只读副本。", command, err)
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
	return found("the clocks of Redis and of this machine are %v apart; set both by NTP",
		"Redis 与本机的时钟相差 %v；请用 NTP 校准两者。", apart)
}

// eviction checks the eviction policy of a server.
//
// All sessions have an expiry, so each volatile-… policy affects them like the
// allkeys-… policies; volatile-ttl evicts the sessions that would expire
// soonest.
func (s *Store) eviction(ctx context.Context, server resp.Transport) error {
	reply, err := s.ask(ctx, "read eviction policy", server, resp.Cmd("CONFIG", "", "GET", "maxmemory*"))
	settings := map[string]string{}
	for pair := range slices.Chunk(reply.Contents(), 2) {
		settings[pair[0]] = pair[len(pair)-1]
	}
	policy := settings["maxmemory-policy"]
	if err == nil && policy == "" {
		err = errors.New("CONFIG GET returned no maxmemory-policy")
	}
	switch {
	case err != nil:
		return unseen("eviction policy", "淘汰策略", "+config|get", err)
	case policy == "noeviction", policy == "volatile-ttl", settings["maxmemory"] == "0":
		return nil
	}
	if strings.Trim(policy, "abcdefghijklmnopqrstuvwxyz-") != "" || len(policy) > 30 {
		policy = "unknown"
	}
	return found("Redis evicts sessions when its memory is full (maxmemory-policy %s): users are logged out then without an error; use noeviction, or in a Redis only for sessions volatile-ttl, which evicts the sessions that would end soonest",
		"内存写满时 Redis 会淘汰会话（maxmemory-policy %s），用户会在没有任何报错的情况下退出登录；请改用 noeviction，或为会话单独部署 Redis 并使用 volatile-ttl（优先淘汰最早过期的会话）。", policy)
}

// unseen returns the note that something could not be read.
func unseen(english, chinese, right string, err error) error {
	note := found("the %[1]s of Redis could not be seen: %[4]v; to have it checked, grant %[3]s",
		"无法查看 Redis 的%[2]s（%[4]v）；如需检查，请授予 %[3]s。", english, chinese, right, err)
	note.Note = true
	return note
}
