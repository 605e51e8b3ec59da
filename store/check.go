package store

import (
	"context"
	"errors"

	"github.com/gomodule/redigo/redis"

	"github.com/wechatauth/wechatauth/store/internal/checks"
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

// Check implements [Checker]: it tries each command of a session's life, compares
// the clocks, and reads the eviction policy where it may (TIME and CONFIG are
// often denied, which is a note).
func (s *Store) Check(ctx context.Context) error {
	const op = "check"
	denied, err := checks.Rights(ctx, s.prefix, s.now(), func(ctx context.Context, name, key string, args ...string) error {
		c := cmd(name)
		if key != "" {
			c.args = append(c.args, key)
		}
		for _, arg := range args {
			c.args = append(c.args, arg)
		}
		_, err := s.do(ctx, op, c)
		return err
	})
	switch {
	case err != nil:
		return found(checks.Unwritable(err)) // the rest would say the same again
	case denied != nil:
		return found(denied)
	}
	return errors.Join(found(checks.Kept(ctx, s)), found(s.checkClock(ctx)), found(s.checkEviction(ctx)))
}

func (s *Store) checkClock(ctx context.Context) *checks.Finding {
	before := s.now()
	replies, err := s.do(ctx, "read clock", cmd("TIME"))
	if err != nil {
		return checks.UnseenClock(err)
	}
	parts, _ := redis.Strings(replies[0], nil)
	return checks.Clock(before, parts)
}

func (s *Store) checkEviction(ctx context.Context) *checks.Finding {
	replies, err := s.do(ctx, "read eviction policy", cmd("CONFIG", "GET", "maxmemory*"))
	if err != nil {
		return checks.UnseenEviction(err)
	}
	settings, _ := redis.StringMap(replies[0], nil)
	return checks.Eviction(settings)
}

// found is a finding as an error.
func found(f *checks.Finding) error {
	if f == nil {
		return nil
	}
	one := Finding(*f)
	return &one
}

// Check implements [Checker]: memory is always there.
func (m *Memory) Check(context.Context) error { return nil }
