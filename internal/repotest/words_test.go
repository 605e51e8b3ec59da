package repotest

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Words that the docs do without, with the words of the glossary in their place.
// A key of the benchmarks and names of files are no prose.
var (
	englishWords = regexp.MustCompile(`(?i)\b(tells?|told|telling|whoever|nobody|somebody|everybody|anybody|mend(s|ed|ing)?|he|him|his|himself|desks?|walls?|walled|lately|likewise|in vain|under way|(is|are|was) asked|of (its|his|their) own|beside|(goes?|going) on|hands? (on|over|out)|handed (on|over|out)|visitors?|answer(s|ed)?)\b`)
	chineseWords = regexp.MustCompile(`墙|访客|应答|登出|帐号|模拟的?微信|端点|复活|你`)
	notProse     = regexp.MustCompile("firewall|防火墙|visitors=\\d+|`[^`\n]*`|推送到|发送到")
)

func TestDocsWords(t *testing.T) {
	pages := 0
	for _, file := range markdownFiles(t) {
		if file == "CHANGELOG.md" { // which quotes old names
			continue
		}
		pages++
		words := englishWords
		if strings.HasSuffix(file, ".zh-CN.md") {
			words = chineseWords
		}
		for n, line := range strings.Split(readFile(t, file), "\n") {
			assert.Empty(t, words.FindAllString(notProse.ReplaceAllString(line, ""), -1), "%s:%d: %s", file, n+1, line)
		}
	}
	t.Logf("pages %d", pages)
}

// TestDocs_Flow: the drawings of a login are the same in both languages, and
// their text has at least 11 pixels on a phone, which is 360 pixels wide.
func TestDocs_Flow(t *testing.T) {
	const phone, readable = 360, 11
	steps := map[string]int{}
	for _, file := range []string{"docs/flow.svg", "docs/flow.zh-CN.svg"} {
		text := readFile(t, file)
		width := regexp.MustCompile(`viewBox="0 0 (\d+) \d+"`).FindStringSubmatch(text)
		require.NotNil(t, width, file)
		sizes := regexp.MustCompile(`font-size: (\d+)px`).FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, sizes, file)
		wide, err := strconv.Atoi(width[1])
		require.NoError(t, err)
		for _, m := range sizes {
			size, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			assert.GreaterOrEqual(t, size*phone/wide, readable, "%s: %s", file, m[0])
		}
		steps[file] = strings.Count(text, "<circle")
	}
	assert.NotZero(t, steps["docs/flow.svg"])
	assert.Equal(t, steps["docs/flow.svg"], steps["docs/flow.zh-CN.svg"])
}
