package wechatauth

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The threats that concern this library's code, by their ids: the gate (1 to
// 45), floods (56 to 62), logouts and other people's session middleware (73 to
// 75). Each has at least one test whose name begins with its id.
var threatIDs = func() (ids []string) {
	for _, span := range [][2]int{{1, 45}, {56, 62}, {73, 75}} {
		for n := span[0]; n <= span[1]; n++ {
			ids = append(ids, fmt.Sprintf("T%02d", n))
		}
	}
	return ids
}()

func TestEveryThreatHasATest(t *testing.T) {
	tests := threatTests(t)
	covered := 0
	for _, id := range threatIDs {
		if assert.NotEmpty(t, tests[id], "no test is named after %s", id) {
			covered++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(tests)) {
		assert.Regexp(t, `^T(0[1-9]|[1-6][0-9]|7[0-5])$`, id, "no threat has this id: %v", tests[id])
	}
	t.Logf("ids %d/%d", covered, len(threatIDs))
}

var fuzzTargetName = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// What fuzzing has found worth keeping is run by every go test.
func TestEveryFuzzTargetHasACorpusOfItsOwn(t *testing.T) {
	targets := 0
	for _, pkg := range []string{".", "client"} {
		files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, found := range fuzzTargetName.FindAllSubmatch(source, -1) {
				targets++
				corpus, err := filepath.Glob(filepath.Join(pkg, "testdata", "fuzz", string(found[1]), "*"))
				require.NoError(t, err)
				assert.GreaterOrEqual(t, len(corpus), 10, "%s in %s", found[1], file)
			}
		}
	}
	assert.GreaterOrEqual(t, targets, 10)
}

var threatTestName = regexp.MustCompile(`^Test(T[0-9]+)_[A-Z]`)

// threatTests reads the tests of this module that are named after a threat, by
// its id. A test without a body, or that skips itself, is none.
func threatTests(t *testing.T) map[string][]string {
	t.Helper()
	tests := map[string][]string{}
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			match := threatTestName.FindStringSubmatch(f.Name.Name)
			if match == nil {
				continue
			}
			require.NotEmpty(t, f.Body.List, f.Name.Name)
			ast.Inspect(f.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				assert.False(t, ok && strings.HasPrefix(call.Sel.Name, "Skip"), "%s skips itself", f.Name.Name)
				return true
			})
			tests[match[1]] = append(tests[match[1]], f.Name.Name)
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, tests)
	return tests
}
