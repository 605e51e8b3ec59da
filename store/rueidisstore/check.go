package rueidisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
)

// maxClockSkew is how far apart the clocks of an instance and of Redis may be
// before Check says so, as in package store.
const maxClockSkew = time.Minute

// Check implements store.Checker: it writes, reads and deletes a mark of its
// own, and of every primary it compares the clock and reads the eviction policy
// where it may (CONFIG is often denied, which is a note).
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkWriting(ctx); err != nil {
		return err // the rest would say the same again
	}
	primaries, err := s.primaries(ctx, "list servers")
	if err != nil {
		return &store.Finding{
			English: fmt.Sprintf("session store: not all servers can be asked: %v; check that each of them can be reached from here", err),
			Chinese: fmt.Sprintf("会话存储：有服务器无法访问（%v）；请确认本机能连到每一台。", err),
			Err:     err,
		}
	}
	var findings []error
	for _, primary := range primaries {
		findings = append(findings, s.checkClock(ctx, primary), s.checkEviction(ctx, primary))
	}
	return errors.Join(findings...)
}

func (s *Store) checkWriting(ctx context.Context) error {
	key, value := "check "+rand.Text(), []byte(rand.Text())
	if err := s.PutMark(ctx, key, value, time.Minute); err != nil {
		return &store.Finding{
			English: fmt.Sprintf("session store: Redis cannot be written: %v; check its address, password and ACL (SET, GET, UNLINK, PTTL, PEXPIRE, ZADD and ZRANGE on the keys of this store; HELLO and CLIENT; CLUSTER or ROLE)", err),
			Chinese: fmt.Sprintf("会话存储：无法写入 Redis（%v）；请检查其地址、密码和 ACL（对本存储的键放行 SET、GET、UNLINK、PTTL、PEXPIRE、ZADD 和 ZRANGE；另放行 HELLO 和 CLIENT，以及 CLUSTER 或 ROLE）。", err),
			Err:     err,
		}
	}
	got, found, err := s.Mark(ctx, key)
	if err != nil {
		return &store.Finding{
			English: fmt.Sprintf("session store: Redis cannot be read: %v; check its ACL", err),
			Chinese: fmt.Sprintf("会话存储：无法读取 Redis（%v）；请检查其 ACL。", err),
			Err:     err,
		}
	}
	if !found || string(got) != string(value) {
		return &store.Finding{
			English: "session store: Redis lost a value at once; does it evict, or do reads go to another server than writes?",
			Chinese: "会话存储：刚写入 Redis 的值立刻丢失；请检查是否发生了淘汰，或读写是否走了不同的服务器。",
		}
	}
	if err := s.DeleteMark(ctx, key); err != nil {
		return &store.Finding{
			English: fmt.Sprintf("session store: Redis cannot delete: %v; allow UNLINK", err),
			Chinese: fmt.Sprintf("会话存储：无法在 Redis 中删除（%v）；请放行 UNLINK。", err),
			Err:     err,
		}
	}
	return nil
}

func (s *Store) checkClock(ctx context.Context, primary rueidis.Client) error {
	before := s.now()
	reply, err := s.ask(ctx, "read clock", primary, cmd("TIME", ""))
	if err != nil {
		return unseen("clock", "时钟", "+time", err)
	}
	parts, err := reply.AsIntSlice()
	if err != nil || len(parts) != 2 {
		return nil
	}
	skew := time.Unix(parts[0], parts[1]*1000).Sub(before)
	if skew.Abs() > maxClockSkew {
		apart := skew.Abs().Round(time.Second)
		return &store.Finding{
			English: fmt.Sprintf("session store: the clocks of Redis and of this machine are %v apart; set both by NTP", apart),
			Chinese: fmt.Sprintf("会话存储：Redis 与本机的时钟相差 %v；请用 NTP 校准两者。", apart),
		}
	}
	return nil
}

func (s *Store) checkEviction(ctx context.Context, primary rueidis.Client) error {
	reply, err := s.ask(ctx, "read eviction policy", primary, cmd("CONFIG", "", "GET", "maxmemory*"))
	if err != nil {
		return unseen("eviction policy", "淘汰策略", "+config|get", err)
	}
	settings, err := reply.AsStrMap()
	policy := settings["maxmemory-policy"]
	switch {
	case err != nil || policy == "":
		return unseen("eviction policy", "淘汰策略", "+config|get", errors.New("the answer to CONFIG GET has none"))
	case keepsSessions(settings):
		return nil
	}
	return &store.Finding{
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
	return &store.Finding{
		English: fmt.Sprintf("session store: the %s of Redis could not be seen: %v; to have it checked, grant %s", english, err, right),
		Chinese: fmt.Sprintf("会话存储：无法查看 Redis 的%s（%v）；如需检查，请授予 %s。", chinese, err, right),
		Err:     err, Note: true,
	}
}
