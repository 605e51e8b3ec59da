package store

import (
	"context"
	"errors"

	"github.com/wechatauth/wechatauth/store/internal/resp"
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

// Check implements [Checker]. It tries each command of the store, takes a made-up
// session through its whole life under a key of its own, and compares the clock
// and reads the eviction policy of every primary, if it may: TIME and CONFIG are
// often denied, which is a note. A finding names the command that failed, and the
// right that it needs or what the server is, as far as that is known.
func (s *Store) Check(ctx context.Context) error {
	if err := s.rights(ctx); err != nil {
		return err // the rest would say the same again
	}
	primaries, err := s.primaries(ctx, "list servers")
	if err != nil {
		return unlisted(err)
	}
	findings := []error{s.lived(ctx)}
	for _, primary := range primaries {
		if len(primaries) > 1 { // a Cluster, where a key on its way is asked for with ASKING
			if _, err := s.ask(ctx, "check", primary, resp.Cmd("ASKING", "")); err != nil {
				findings = append(findings, unlisted(err))
			}
		}
		findings = append(findings, s.clock(ctx, primary), s.eviction(ctx, primary))
	}
	return errors.Join(findings...)
}

// Check implements [Checker]: memory is always there.
func (m *Memory) Check(context.Context) error { return nil }
