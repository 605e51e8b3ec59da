package storetest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ACL returns the words of the user in a page of the docs, its name first.
func ACL(t *testing.T, page string) (words []any) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	_, line, found := strings.Cut(string(text), "\nACL SETUSER ")
	require.True(t, found, "the page has no line of an ACL")
	line, _, _ = strings.Cut(line, "\n")
	for _, word := range strings.Fields(line) {
		words = append(words, word)
	}
	return words
}

// MissingRights proves that a check names each of the rights of a user that is
// missing, and together all of them without which a store can still connect.
// check does it for a user with these words.
func MissingRights(t *testing.T, user []any, check func(t *testing.T, user []any) error, connecting ...string) {
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
