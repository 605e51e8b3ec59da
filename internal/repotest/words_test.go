package repotest

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/words.txt
var englishList string

//go:embed testdata/words.zh-CN.txt
var chineseList string

// wordList returns the words of a list, which has one pattern in a line.
func wordList(list, before, after string) *regexp.Regexp {
	return regexp.MustCompile(before + "(" + strings.Join(strings.Fields(list), "|") + ")" + after)
}

// Words that no text of the repository contains. In English, the space in a phrase
// may be a line break.
var (
	englishWords = wordList(englishList, `(?i)\b`, `\b`)
	chineseWords = wordList(chineseList, "", "")
	clauseFirst  = regexp.MustCompile(`^\s*(Who|What) `) // as in "Who reads the store ..."
	notProse     = regexp.MustCompile("firewall|防火墙|推送到|发送到|传送到|visitors=[%0-9]|`[^`\n]*`")
	wordInName   = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	testName     = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)`)
)

// allowedWords are words that are a wire format or a quote, by file and word, with
// the reason.
var allowedWords = map[string]string{
	"docs/images/texts.json 你":                     "WeChat's consent page",
	"identityheader/identityheader_test.go answer": "field of the simulator's form",
	"internal/authtest/site.go answer":             "field of the simulator's form",
	"internal/repotest/repository_test.go nobody":  "user of the container",
	"middleware_test.go answer":                    "field of the simulator's form",
	"wechattest/authorize_test.go answer":          "field of the simulator's form",
	"wechattest/browser.go answer":                 "field of the simulator's form",
	"wechattest/consent.go answer":                 "field of the simulator's form",
	"wechattest/qrconnect.go answer":               "field of the simulator's form",
	"wechattest/qrconnect_test.go answer":          "field of the simulator's form",
}

// checkWords fails for each of the words in a text that begins at a line of a file.
// It adds the words that are allowed there to used.
func checkWords(t *testing.T, words *regexp.Regexp, file string, line int, text string, used map[string]bool) {
	t.Helper()
	text = notProse.ReplaceAllString(text, "")
	for _, at := range words.FindAllStringIndex(text, -1) {
		word := text[at[0]:at[1]]
		key := file + " " + strings.ToLower(word)
		if allowedWords[key] != "" {
			used[key] = true
			continue
		}
		assert.Fail(t, fmt.Sprintf("%s:%d: %q", file, line+strings.Count(text[:at[0]], "\n"), word))
	}
}

// TestWords looks for the words in the docs, in the texts of pages, and in the
// comments, strings and test names of all modules.
func TestWords(t *testing.T) {
	used, pages, sources := map[string]bool{}, 0, 0
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || file == "internal/repotest/words_test.go": // which names what is allowed
		case strings.HasSuffix(file, ".zh-CN.md"):
			pages++
			checkWords(t, chineseWords, file, 1, readFile(t, file), used)
		case strings.HasSuffix(file, ".md"):
			pages++
			checkWords(t, englishWords, file, 1, readFile(t, file), used)
		case d.Name() == "texts.json":
			pages++
			checkWords(t, chineseWords, file, 1, readFile(t, file), used)
			checkWords(t, englishWords, file, 1, readFile(t, file), used)
		case strings.HasSuffix(file, ".go"):
			sources++
			checkSource(t, file, used)
		}
		return nil
	}))
	for key := range allowedWords {
		assert.True(t, used[key], "%s: allowed, and not there", key)
	}
	assert.Greater(t, pages, 40)
	assert.Greater(t, sources, 400)
	t.Logf("pages %d, sources %d", pages, sources)
}

// checkSource checks the comments, the strings and the test names of a Go file. In
// tests, Chinese strings are input.
func checkSource(t *testing.T, file string, used map[string]bool) {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	require.NoError(t, err)
	lineOf := func(n ast.Node) int { return fset.Position(n.Pos()).Line }
	for _, group := range parsed.Comments {
		var lines []string
		for _, c := range group.List {
			lines = append(lines, strings.ReplaceAll(c.Text, "//", "  "))
		}
		text := strings.Join(lines, "\n")
		checkWords(t, englishWords, file, lineOf(group), text, used)
		assert.NotRegexp(t, clauseFirst, text, "%s:%d: a comment begins with its subject", file, lineOf(group))
	}
	isTest := strings.HasSuffix(file, "_test.go")
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if n.Kind != token.STRING {
				break
			}
			text := strings.ReplaceAll(n.Value, "`", `"`)
			checkWords(t, englishWords, file, lineOf(n), text, used)
			if !isTest {
				checkWords(t, chineseWords, file, lineOf(n), text, used)
			}
		case *ast.FuncDecl:
			if name := n.Name.Name; isTest && n.Recv == nil && testName.MatchString(name) {
				assert.LessOrEqual(t, len(name), 40, "%s:%d: %s", file, lineOf(n), name)
				name = wordInName.ReplaceAllString(strings.ReplaceAll(name, "_", " "), "$1 $2")
				checkWords(t, englishWords, file, lineOf(n), name, used)
			}
		}
		return true
	})
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
