package rueidisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/rueidis"

	"github.com/wechatauth/wechatauth/store"
	"github.com/wechatauth/wechatauth/store/internal/checks"
)

// Check implements store.Checker: it tries each command of a session's life, and
// of every primary it compares the clock and reads the eviction policy where it
// may (TIME and CONFIG are often denied, which is a note).
func (s *Store) Check(ctx context.Context) error {
	denied, err := checks.Rights(ctx, s.prefix, s.now(), func(ctx context.Context, name, key string, args ...string) error {
		_, err := s.do(ctx, "check", cmd(name, key, args...))
		return err
	}, "HELLO") // whose right is not asked for until a connection has its user
	switch {
	case err != nil:
		return found(checks.Unwritable(err)) // the rest would say the same again
	case denied != nil:
		return found(denied)
	}
	primaries, err := s.primaries(ctx, "list servers")
	if err != nil {
		return unlisted(err)
	}
	findings := []error{found(checks.Kept(ctx, s))}
	for _, primary := range primaries {
		if len(primaries) > 1 { // a Cluster, where a key on its way is asked for with ASKING
			if _, err := s.ask(ctx, "check", primary, cmd("ASKING", "")); err != nil {
				findings = append(findings, unlisted(err))
			}
		}
		findings = append(findings, found(s.checkClock(ctx, primary)), found(s.checkEviction(ctx, primary)))
	}
	return errors.Join(findings...)
}

// unlisted is the finding that not every server of a Cluster can be asked.
func unlisted(err error) error {
	if right := checks.Right(err); right != "" {
		return found(checks.Denied(err, right))
	}
	return &store.Finding{
		English: fmt.Sprintf("session store: not all servers can be asked: %v; check that each of them can be reached from here", err),
		Chinese: fmt.Sprintf("会话存储：有服务器无法访问（%v）；请确认本机能连到每一台。", err),
		Err:     err,
	}
}

func (s *Store) checkClock(ctx context.Context, primary rueidis.Client) *checks.Finding {
	before := s.now()
	reply, err := s.ask(ctx, "read clock", primary, cmd("TIME", ""))
	if err != nil {
		return checks.UnseenClock(err)
	}
	parts, _ := reply.AsStrSlice()
	return checks.Clock(before, parts)
}

func (s *Store) checkEviction(ctx context.Context, primary rueidis.Client) *checks.Finding {
	reply, err := s.ask(ctx, "read eviction policy", primary, cmd("CONFIG", "", "GET", "maxmemory*"))
	if err != nil {
		return checks.UnseenEviction(err)
	}
	settings, _ := reply.AsStrMap()
	return checks.Eviction(settings)
}

// found is a finding as an error.
func found(f *checks.Finding) error {
	if f == nil {
		return nil
	}
	one := store.Finding(*f)
	return &one
}
