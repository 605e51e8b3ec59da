// Package redact removes from errors what must not be logged: session tokens
// and whole openids.
package redact

import (
	"errors"
	"regexp"
	"strings"
)

// tokenForm matches session tokens and their hashes.
var tokenForm = regexp.MustCompile(`[A-Za-z0-9_-]{43,}`)

// userForm matches the name of a user in marks and indexes: AppID and openid.
var userForm = regexp.MustCompile(`\b(wx[A-Za-z0-9]+ [A-Za-z0-9_-]{6})[A-Za-z0-9_-]{14,}`)

// Tokens returns err without session tokens, so that it can be logged: a
// session store that is not ours may repeat the requested key, as Redis does
// for an unknown command. The key is a token, or names a user.
func Tokens(err error) error {
	if err == nil {
		return nil
	}
	text := tokenForm.ReplaceAllString(err.Error(), "…")
	text = userForm.ReplaceAllString(text, "${1}…")
	if text == err.Error() {
		return err
	}
	return &retold{text, func() error { return err }}
}

// OpenIDs returns err without the openids and unionids given. An empty id is
// ignored.
func OpenIDs(err error, ids ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, whole := range ids {
		if whole != "" {
			text = strings.ReplaceAll(text, whole, OpenID(whole))
		}
	}
	if text == err.Error() {
		return err
	}
	return &retold{text, func() error { return err }}
}

// retold replaces the text of an error. errors.Is and errors.As still find the
// error; no verb prints it.
type retold struct {
	text string
	err  func() error // a func, so that no printer of struct fields finds it
}

func (e *retold) Error() string { return e.text }

func (e *retold) Is(target error) bool { return errors.Is(e.err(), target) }

func (e *retold) As(target any) bool { return errors.As(e.err(), target) }

// OpenID shortens an openid: enough is left to distinguish two in a log, too
// little to use it.
func OpenID(openID string) string {
	if len(openID) <= 8 {
		return "…"
	}
	return openID[:6] + "…"
}

// Clean returns the first 100 bytes of what a client sent, fit for a log: a
// character that is not printable ASCII becomes a question mark.
func Clean(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e {
			return '?'
		}
		return c
	}, s)
}
