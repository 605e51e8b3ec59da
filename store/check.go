package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Checker looks at the store behind an interface, at start-up.
type Checker interface {
	// Check returns what would make sessions fail or vanish, all of it joined
	// in one error, each line saying what to do; nil if nothing was found. The
	// errors may be of type *Finding; one that is a note is no fault.
	Check(ctx context.Context) error
}

// Finding is one thing that a check has found. As an error it is its English
// text. It holds no secret, key or token.
type Finding struct {
	// English says in one line what is wrong and what to do.
	English string
	// Chinese says the same in simplified Chinese.
	Chinese string
	// Err is the error behind it; nil where there is none.
	Err error
	// Note: nothing is known to be wrong; something could not be looked at.
	Note bool
}

// Error implements error.
func (f *Finding) Error() string { return f.English }

// Unwrap gives the error behind it, for errors.Is and errors.As.
func (f *Finding) Unwrap() error { return f.Err }

// maxClockSkew is how far apart the clocks of an instance and of Redis may be
// before Check says so. Expiries are relative, so nothing breaks; logs are
// hard to read then, and pending logins are not far from being refused.
const maxClockSkew = time.Minute

// Check implements [Checker]: it writes, reads and deletes a mark of its own,
// compares the clocks, and reads the eviction policy where it may (CONFIG is
// often denied, which is a note).
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkWriting(ctx); err != nil {
		return err // the rest would say the same again
	}
	return errors.Join(s.checkClock(ctx), s.checkEviction(ctx))
}

func (s *Store) checkWriting(ctx context.Context) error {
	key, value := "check "+rand.Text(), []byte(rand.Text())
	if err := s.PutMark(ctx, key, value, time.Minute); err != nil {
		return &Finding{
			English: fmt.Sprintf("session store: Redis cannot be written: %v; check its address, password, ACL (SET, GET, UNLINK, PEXPIRE, ZADD and ZRANGE on the keys of this store) and that it is no replica", err),
			Chinese: fmt.Sprintf("会话存储：无法写入 Redis（%v）；请检查其地址、密码、ACL（对本存储的键放行 SET、GET、UNLINK、PEXPIRE、ZADD 和 ZRANGE），并确认它不是只读副本。", err),
			Err:     err,
		}
	}
	got, found, err := s.Mark(ctx, key)
	if err != nil {
		return &Finding{
			English: fmt.Sprintf("session store: Redis cannot be read: %v; check its ACL", err),
			Chinese: fmt.Sprintf("会话存储：无法读取 Redis（%v）；请检查其 ACL。", err),
			Err:     err,
		}
	}
	if !found || string(got) != string(value) {
		return &Finding{
			English: "session store: Redis lost a value at once; does it evict, or do reads go to another server than writes?",
			Chinese: "会话存储：刚写入 Redis 的值立刻丢失；请检查是否发生了淘汰，或读写是否走了不同的服务器。",
		}
	}
	if err := s.DeleteMark(ctx, key); err != nil {
		return &Finding{
			English: fmt.Sprintf("session store: Redis cannot delete: %v; allow UNLINK", err),
			Chinese: fmt.Sprintf("会话存储：无法在 Redis 中删除（%v）；请放行 UNLINK。", err),
			Err:     err,
		}
	}
	return nil
}

func (s *Store) checkClock(ctx context.Context) error {
	before := s.now()
	replies, err := s.do(ctx, "read clock", cmd("TIME"))
	if err != nil {
		return unseen("clock", "时钟", "+time", err)
	}
	parts, err := redis.Int64s(replies[0], nil) // its error is not repeated: it holds the reply
	if err != nil || len(parts) != 2 {
		return nil
	}
	skew := time.Unix(parts[0], parts[1]*1000).Sub(before)
	if skew.Abs() > maxClockSkew {
		apart := skew.Abs().Round(time.Second)
		return &Finding{
			English: fmt.Sprintf("session store: the clocks of Redis and of this machine are %v apart; set both by NTP", apart),
			Chinese: fmt.Sprintf("会话存储：Redis 与本机的时钟相差 %v；请用 NTP 校准两者。", apart),
		}
	}
	return nil
}

func (s *Store) checkEviction(ctx context.Context) error {
	replies, err := s.do(ctx, "read eviction policy", cmd("CONFIG", "GET", "maxmemory*"))
	if err != nil {
		return unseen("eviction policy", "淘汰策略", "+config|get", err)
	}
	settings, err := redis.StringMap(replies[0], nil)
	policy := settings["maxmemory-policy"]
	switch {
	case err != nil || policy == "":
		return unseen("eviction policy", "淘汰策略", "+config|get", errors.New("the answer to CONFIG GET has none"))
	case keepsSessions(settings):
		return nil
	}
	return &Finding{
		English: fmt.Sprintf("session store: Redis evicts sessions when its memory is full (maxmemory-policy %s): users are logged out then without an error; use noeviction, or in a Redis of their own volatile-ttl, which evicts the sessions that would end soonest", policy),
		Chinese: fmt.Sprintf("会话存储：内存写满时 Redis 会淘汰会话（maxmemory-policy %s），用户会在没有任何报错的情况下被登出；请改用 noeviction，或为会话单独部署 Redis 并使用 volatile-ttl（它只先淘汰最快到期的会话）。", policy),
	}
}

// keepsSessions reports whether Redis with these settings does not throw away
// just any session when its memory is full. Sessions all have an expiry, so that
// each policy volatile-… concerns them like those of allkeys-…; volatile-ttl
// takes the ones that would end soonest.
func keepsSessions(settings map[string]string) bool {
	switch settings["maxmemory-policy"] {
	case "noeviction", "volatile-ttl":
		return true
	}
	return settings["maxmemory"] == "0" // as much as there is
}

// unseen is the note that something could not be looked at.
func unseen(english, chinese, right string, err error) error {
	return &Finding{
		English: fmt.Sprintf("session store: the %s of Redis could not be seen: %v; to have it checked, grant %s", english, err, right),
		Chinese: fmt.Sprintf("会话存储：无法查看 Redis 的%s（%v）；如需检查，请授予 %s。", chinese, err, right),
		Err:     err, Note: true,
	}
}

// Check implements [Checker]: memory is always there.
func (m *Memory) Check(context.Context) error { return nil }

// Check implements [Checker].
func (s *sealed) Check(ctx context.Context) error {
	if c, ok := s.Sessions.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}
