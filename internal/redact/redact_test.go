package redact

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	token   = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF"
	openID  = "oABCDE1234567890abcdefghijkl"
	unionID = "uVWXYZ1234567890abcdefghijkl"
)

func TestTokens(t *testing.T) {
	assert.NoError(t, Tokens(nil))
	plain := errors.New("connection refused")
	assert.Same(t, plain, Tokens(plain))

	assertHides(t, token, func(err error) error { return Tokens(err) })
	for name, c := range map[string]struct{ text, want string }{
		"a token":            {"unknown command GET scs:session:" + token, "unknown command GET scs:session:…"},
		"two tokens":         {token + " and " + token, "… and …"},
		"a token's hash":     {"key " + strings.Repeat("A", 44), "key …"},
		"a user":             {"mark tokens wx0123456789abcdef " + openID + " in use", "mark tokens wx0123456789abcdef oABCDE… in use"},
		"an AppID in a text": {"wx0123456789abcdef unauthorized by WeChat", "wx0123456789abcdef unauthorized by WeChat"},
		"shorter than those": {"key " + strings.Repeat("A", 42), "key " + strings.Repeat("A", 42)},
	} {
		assert.EqualError(t, Tokens(errors.New(c.text)), c.want, name)
	}
}

func TestOpenIDs(t *testing.T) {
	assert.NoError(t, OpenIDs(nil, openID))
	plain := errors.New("database is down")
	assert.Same(t, plain, OpenIDs(plain, openID, ""))

	assertHides(t, openID, func(err error) error { return OpenIDs(err, openID, unionID) })
	assertHides(t, unionID, func(err error) error { return OpenIDs(err, openID, unionID) })
	assert.EqualError(t, OpenIDs(fmt.Errorf("user %s (%s) is blocked", openID, unionID), openID, unionID), "user oABCDE… (uVWXYZ…) is blocked")
}

// assertHides asserts that no verb prints secret, and that the errors behind the
// text are still found.
func assertHides(t *testing.T, secret string, redacted func(error) error) {
	t.Helper()
	cause := &fs.PathError{Op: "load", Path: secret, Err: fs.ErrNotExist}
	err := redacted(fmt.Errorf("find %s: %w", secret, cause))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		printed := fmt.Sprintf(verb, err)
		assert.NotContains(t, printed, secret, verb)
		assert.NotContains(t, printed, fmt.Sprintf("%x", secret), verb)
	}
	assert.ErrorIs(t, err, fs.ErrNotExist)
	var found *fs.PathError
	assert.ErrorAs(t, err, &found)
	assert.Same(t, cause, found)
}

func TestOpenID(t *testing.T) {
	for id, want := range map[string]string{"": "…", "o1234567": "…", "o12345678": "o12345…", openID: "oABCDE…"} {
		assert.Equal(t, want, OpenID(id))
	}
}
