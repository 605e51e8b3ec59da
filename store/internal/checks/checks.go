// Package checks is what the stores' Check does and reports, whichever client
// library asks Redis.
package checks

import (
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
)

// Finding has the fields of store.Finding.
type Finding struct {
	English string
	Chinese string
	Err     error
	Note    bool
}

// maxClockSkew is how far apart the clocks of an instance and of Redis may be.
// Expiries are relative, so nothing in Redis breaks. But what is wrong with the
// clock of an instance is wrong with the times in its sealed cookies, which
// other instances read.
const maxClockSkew = 10 * time.Second

// Ask executes one command on Redis.
type Ask func(ctx context.Context, name, key string, args ...string) error

// Rights tries every command of a session's life, from its login to its
// revocation, and others by their names, and returns all that Redis does not permit in one finding. The
// error is another one, for which the commands could not be tried.
func Rights(ctx context.Context, prefix string, now time.Time, ask Ask, others ...string) (*Finding, error) {
	var lacking []string
	var denied error
	commands := life(prefix, now)
	for _, name := range others {
		commands = append(commands, command{name: name})
	}
	for _, c := range commands {
		err := ask(ctx, c.name, c.key, c.args...)
		if err == nil {
			continue
		}
		right := Right(err)
		if right == "" {
			return nil, err
		}
		if right == "~" {
			right += c.pattern
		}
		if denied = err; !slices.Contains(lacking, right) {
			lacking = append(lacking, right)
		}
	}
	if lacking == nil {
		return nil, nil
	}
	return Denied(denied, lacking...), nil
}

// Denied is the finding that Redis does not permit something.
func Denied(err error, rights ...string) *Finding {
	grant := strings.Join(rights, " ")
	return &Finding{
		English: fmt.Sprintf("session store: the ACL of Redis denies what the store needs (%v): grant %s", err, grant),
		Chinese: fmt.Sprintf("会话存储：Redis 的 ACL 拒绝了本存储需要的权限（%v）；请授予 %s。", err, grant),
		Err:     err,
	}
}

// Right returns what to grant according to an error of Redis: "+pttl", "~" for
// the key, or nothing if the error is another one.
func Right(err error) string {
	_, what, denied := strings.Cut(err.Error(), "NOPERM")
	if !denied {
		return ""
	}
	if _, name, found := strings.Cut(what, "permission to run "); found {
		name, _, _ = strings.Cut(name, ":")
		return "+" + strings.ToLower(name)
	}
	return "~"
}

// command is one of a session's life.
type command struct {
	name, key, pattern string
	args               []string
}

// life returns commands that leave nothing behind, whichever of them are denied:
// what they write lives a minute at most.
func life(prefix string, now time.Time) []command {
	const minute = "60000"
	token := make([]byte, 32)
	rand.Read(token)
	var (
		session  = keyspace.Session(prefix, base64.RawURLEncoding.EncodeToString(token))
		mark     = keyspace.Mark(prefix, "check "+rand.Text())
		user     = keyspace.User(prefix, "check "+rand.Text())
		sessions = prefix + "*"
		marks    = "wechat:*"
		score    = strconv.FormatInt(now.UnixMilli(), 10)
		member   = keyspace.Member(user, strings.Repeat("-", 43))
		of       = func(key string) string { return string(keyspace.Bind(key, []byte("check"))) }
	)
	return []command{
		{"SET", session, sessions, []string{of(session), "PX", minute}},
		{"GET", session, sessions, nil},
		{"PTTL", session, sessions, nil},
		{"PEXPIRE", session, sessions, []string{minute}},
		{"UNLINK", session, sessions, nil},
		{"SET", mark, marks, []string{of(mark), "PX", minute, "NX"}},
		{"GET", mark, marks, nil},
		{"UNLINK", mark, marks, nil},
		{"ZADD", user, marks, []string{"XX", score, member}}, // adds nothing
		{"PEXPIRE", user, marks, []string{minute}},
		{"ZREMRANGEBYSCORE", user, marks, []string{"-inf", score}},
		{"ZRANGE", user, marks, []string{"-1", "-1", "WITHSCORES"}},
		{"ZREM", user, marks, []string{member}},
		{"PING", "", "", nil},
	}
}

// Marks is the part of a store that Kept needs.
type Marks interface {
	PutMark(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Mark(ctx context.Context, key string) (value []byte, found bool, err error)
	DeleteMark(ctx context.Context, key string) error
}

// Kept finds out whether a value is still there after it was written.
func Kept(ctx context.Context, s Marks) *Finding {
	key, value := "check "+rand.Text(), []byte(rand.Text())
	if err := s.PutMark(ctx, key, value, time.Minute); err != nil {
		return Unwritable(err)
	}
	got, found, err := s.Mark(ctx, key)
	if err == nil && (!found || string(got) != string(value)) {
		return &Finding{
			English: "session store: value not found right after writing it; check the eviction policy and that reads go to the primary",
			Chinese: "会话存储：刚写入 Redis 的值立刻丢失；请检查是否发生了淘汰，或读写是否走了不同的服务器。",
		}
	}
	if err = errors.Join(err, s.DeleteMark(ctx, key)); err != nil {
		return Unwritable(err)
	}
	return nil
}

// Unwritable is the finding that Redis refuses, or cannot be reached.
func Unwritable(err error) *Finding {
	return &Finding{
		English: fmt.Sprintf("session store: Redis cannot be written: %v; check its address, password and ACL, and that it is no replica", err),
		Chinese: fmt.Sprintf("会话存储：无法写入 Redis（%v）；请检查其地址、密码和 ACL，并确认它不是只读副本。", err),
		Err:     err,
	}
}

// Clock compares the clock of this machine, read before Redis was asked, with
// the reply to TIME.
func Clock(before time.Time, reply []string) *Finding {
	if len(reply) != 2 {
		return nil
	}
	seconds, err1 := strconv.ParseInt(reply[0], 10, 64)
	micros, err2 := strconv.ParseInt(reply[1], 10, 64)
	apart := time.Unix(seconds, micros*1000).Sub(before).Abs().Round(time.Second)
	if err1 != nil || err2 != nil || apart <= maxClockSkew {
		return nil
	}
	return &Finding{
		English: fmt.Sprintf("session store: the clocks of Redis and of this machine are %v apart; set both by NTP", apart),
		Chinese: fmt.Sprintf("会话存储：Redis 与本机的时钟相差 %v；请用 NTP 校准两者。", apart),
	}
}

// Eviction judges the reply to CONFIG GET maxmemory*.
//
// Sessions all have an expiry, so that each policy volatile-… concerns them like
// those of allkeys-…; volatile-ttl takes the ones that would end soonest.
func Eviction(settings map[string]string) *Finding {
	policy := settings["maxmemory-policy"]
	switch {
	case policy == "":
		return UnseenEviction(errors.New("CONFIG GET returned no maxmemory-policy"))
	case policy == "noeviction", policy == "volatile-ttl", settings["maxmemory"] == "0":
		return nil
	}
	if strings.Trim(policy, "abcdefghijklmnopqrstuvwxyz-") != "" || len(policy) > 30 {
		policy = "unknown"
	}
	return &Finding{
		English: fmt.Sprintf("session store: Redis evicts sessions when its memory is full (maxmemory-policy %s): users are logged out then without an error; use noeviction, or in a Redis of their own volatile-ttl, which evicts the sessions that would end soonest", policy),
		Chinese: fmt.Sprintf("会话存储：内存写满时 Redis 会淘汰会话（maxmemory-policy %s），用户会在没有任何报错的情况下被登出；请改用 noeviction，或为会话单独部署 Redis 并使用 volatile-ttl（它只先淘汰最快到期的会话）。", policy),
	}
}

// UnseenClock is the note that the clock could not be looked at.
func UnseenClock(err error) *Finding { return unseen("clock", "时钟", "+time", err) }

// UnseenEviction is the note that the eviction policy could not be looked at.
func UnseenEviction(err error) *Finding {
	return unseen("eviction policy", "淘汰策略", "+config|get", err)
}

func unseen(english, chinese, right string, err error) *Finding {
	return &Finding{
		English: fmt.Sprintf("session store: the %s of Redis could not be seen: %v; to have it checked, grant %s", english, err, right),
		Chinese: fmt.Sprintf("会话存储：无法查看 Redis 的%s（%v）；如需检查，请授予 %s。", chinese, err, right),
		Err:     err, Note: true,
	}
}
