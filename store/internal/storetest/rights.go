package storetest

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth/internal/redistest"
)

// sessionsPage returns docs/sessions.md.
func sessionsPage(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for range 5 {
		if text, err := os.ReadFile(filepath.Join(dir, "docs", "sessions.md")); err == nil {
			return string(text)
		}
		dir = filepath.Dir(dir)
	}
	require.Fail(t, "docs/sessions.md not found")
	return ""
}

// ACL returns the arguments of ACL SETUSER in docs/sessions.md, the name first.
func ACL(t *testing.T) (words []any) {
	t.Helper()
	_, line, found := strings.Cut(sessionsPage(t), "\nACL SETUSER ")
	require.True(t, found, "the page has no ACL line")
	line, _, _ = strings.Cut(line, "\n")
	for _, word := range strings.Fields(line) {
		words = append(words, word)
	}
	return words
}

// rights returns the permissions that docs/sessions.md lists for iteration and
// for this store, and those that follow where, if it is not empty.
func (c Client) rights(t *testing.T, where string) (rights []any) {
	t.Helper()
	text := sessionsPage(t)
	patterns := []string{"needs `([^`]+)` too"}
	if c.Module != "store" {
		patterns = append(patterns, "`"+c.Module+"` also needs `([^`]+)`")
	}
	if where != "" {
		patterns = append(patterns, where+" `([^`]+)`")
	}
	for _, pattern := range patterns {
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		require.NotNil(t, found, pattern)
		for _, right := range strings.Fields(found[1]) {
			rights = append(rights, right)
		}
	}
	return rights
}

// needed returns the permissions that a login needs. Redis 7 permits HELLO to
// all users.
func needed(rights []any) []any {
	return slices.DeleteFunc(rights, func(right any) bool { return right == "+scan" || right == "+hello" })
}

// setUser creates the user of docs/sessions.md on the servers, with additional
// permissions.
func setUser(t *testing.T, servers []*redistest.Server, more []any) {
	t.Helper()
	for _, s := range servers {
		s.Do("ACL", append([]any{"SETUSER"}, append(ACL(t), more...)...)...)
	}
}

// asWeChat returns the config with that user.
func (c Config) asWeChat() Config {
	c.Username, c.Password = "wechat", "password"
	return c
}

// ownPrefix lists prefixes whose keys that user may access.
const ownPrefix = "scs:session:%d:"

func testRights(t *testing.T, c Client) {
	t.Run("conformance with those of the docs", func(t *testing.T) {
		server := redistest.Start(t)
		setUser(t, []*redistest.Server{server}, c.rights(t, ""))
		c.Each(t, func(t *testing.T, variant string) {
			Run(t, c.opener(One(server).In(variant).asWeChat(), ownPrefix))
		})
	})
	t.Run("each one missing", func(t *testing.T) {
		server := redistest.Start(t)
		c.missingRights(t, One(server), []*redistest.Server{server}, c.rights(t, ""))
		keys, _ := server.Do("KEYS", "*").([]any) // left behind without the right to delete
		for _, key := range keys {
			assert.Positive(t, server.Do("PTTL", key), "the keys of the check expire")
		}
	})
}

// connecting lists permissions without which there is no connection.
var connecting = []string{"+client", "+cluster", "+asking", "+role"}

// missingRights checks that Check names each missing permission, and all
// together those without which a store can still connect.
func (c Client) missingRights(t *testing.T, config Config, servers []*redistest.Server, more []any) {
	config = config.asWeChat()
	if len(c.Variants) > 0 {
		config.Variant = c.Variants[len(c.Variants)-1] // the one that needs most
	}
	check := func(t *testing.T, user []any) error {
		for _, s := range servers {
			s.Do("ACL", "SETUSER", user[0], "reset")
			s.Do("ACL", append([]any{"SETUSER"}, user...)...)
		}
		return c.Open(t, config).Check(context.Background())
	}
	user := append(ACL(t), needed(more)...)
	var rights []string
	var without []any
	for _, word := range user {
		right := word.(string)
		if slices.Contains(connecting, right) || right[0] != '+' && right[0] != '~' {
			without = append(without, word)
		}
		if right[0] != '+' && right[0] != '~' {
			continue
		}
		rights = append(rights, right)
		t.Run("without "+right, func(t *testing.T) {
			var rest []any
			for _, w := range user {
				if w != word {
					rest = append(rest, w)
				}
			}
			err := check(t, rest)
			require.Error(t, err)
			assert.Regexp(t, ` grant `+escaped(right)+`(\s|$)`, err.Error())
		})
	}
	require.Greater(t, len(rights), 10)
	t.Run("without any command", func(t *testing.T) {
		err := check(t, append(without, "~*"))
		require.Error(t, err)
		for _, right := range rights {
			if right[0] == '+' && !slices.Contains(connecting, right) {
				assert.Regexp(t, escaped(right)+`(\s|$)`, err.Error())
			}
		}
	})
}

func escaped(right string) string {
	return strings.NewReplacer("+", `\+`, "*", `\*`, "|", `\|`).Replace(right)
}
