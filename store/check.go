package store

import (
	"context"
	"errors"

	"github.com/wechatauth/wechatauth/store/internal/resp"
)

// A Checker tests its store, for example at startup.
type Checker interface {
	// Check returns everything that would make sessions fail or disappear,
	// joined in one error, each line with how to fix it. It returns nil if
	// it finds no problems. The errors may be of type *Finding; one that is
	// a note is not a fault.
	Check(ctx context.Context) error
}

// Finding is one result of a check. Its error text is English. It contains no
// secret, key or token.
type Finding struct {
	// English is one line that names the problem and how to fix it.
	English string
	// Chinese is the same in simplified Chinese.
	Chinese string
	// Err is the underlying error, or nil if there is none.
	Err error
	// Note is true if nothing is known to be wrong, but something could not
	// be checked.
	Note bool
}

// Error implements error.
func (f *Finding) Error() string { return f.English }

// Unwrap returns the underlying error, for errors.Is and errors.As.
func (f *Finding) Unwrap() error { return f.Err }

// Check implements [Checker]. It tries each command of the store, saves,
// updates and deletes a test session under a separate key, compares the clock
// of every primary, and reads the eviction policy of each. If TIME or CONFIG is
// denied, as is common, the finding is a note. A finding names the command that
// failed, and the permission that it needs or what the server is, as far as
// that is known.
func (s *Store) Check(ctx context.Context) error {
	wrong, err := s.live(ctx)
	if err != nil {
		return err // the other checks would fail in the same way
	}
	primaries, err := s.primaries(ctx, "list servers")
	if err != nil {
		return unlisted(err)
	}
	findings := []error{wrong, s.confirmed(ctx)}
	for _, primary := range primaries {
		if len(primaries) > 1 { // a Cluster, where a key that is being moved is read with ASKING
			if _, err := s.ask(ctx, "check", primary, resp.Cmd("ASKING", "")); err != nil {
				findings = append(findings, unlisted(err))
			}
		}
		findings = append(findings, s.clock(ctx, primary), s.eviction(ctx, primary))
	}
	return errors.Join(findings...)
}

// Check implements [Checker]. It returns nil, because memory is always
// available.
func (m *Memory) Check(context.Context) error { return nil }
