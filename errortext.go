package wechatauth

import (
	"context"
	"errors"
	"regexp"
	"strings"
)

// tokenForm is what session tokens look like, and their hashes.
var tokenForm = regexp.MustCompile(`[A-Za-z0-9_-]{43,}`)

// withoutTokens returns err fit for a log: a session store that is not ours may
// repeat the key that it was asked for, as Redis does for a command that it
// does not know.
func withoutTokens(err error) error {
	if err == nil || !tokenForm.MatchString(err.Error()) {
		return err
	}
	return &retold{tokenForm.ReplaceAllString(err.Error(), "…"), func() error { return err }}
}

// quiet makes the errors of an application's hook fit for a log: they may
// repeat whom they concern.
func (h hook) quiet() hook {
	if h == nil {
		return nil
	}
	return func(ctx context.Context, id Identity) error { return withoutUser(h(ctx, id), id) }
}

func withoutUser(err error, id Identity) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, whole := range []string{id.OpenID, id.UnionID} {
		if whole != "" {
			text = strings.ReplaceAll(text, whole, maskOpenID(whole))
		}
	}
	if text == err.Error() {
		return err
	}
	return &retold{text, func() error { return err }}
}

// retold is an error in other words. errors.Is and errors.As find what it
// stands for; no verb prints it.
type retold struct {
	text string
	err  func() error // a func, so that no printer of struct fields finds it
}

func (e *retold) Error() string { return e.text }

func (e *retold) Is(target error) bool { return errors.Is(e.err(), target) }

func (e *retold) As(target any) bool { return errors.As(e.err(), target) }
