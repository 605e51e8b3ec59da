package repotest

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
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// threatIDs are the ids of the threats. Each has at least one test. For most of
// them, its name begins with the id; "go test -run /T06" runs such sub-tests.
var threatIDs = func() (ids []string) {
	for n := 1; n <= 104; n++ {
		ids = append(ids, fmt.Sprintf("T%02d", n))
	}
	return ids
}()

// threatsElsewhere has the threats whose tests have no ids: those of WeChat's
// responses (package client), and the faults of Redis.
var threatsElsewhere = map[string][]string{
	"T46": {"client/TestEndpoints_InvalidURLs"},
	"T47": {"client/TestWire_ResponseMemory", "client/TestWire_Faults"},
	"T48": {"client/TestWire_Faults", "client/TestWithHTTPClient_DialTimeout"},
	"T49": {"client/TestWire_ResponseShapes"},
	"T50": {"client/TestWire_UserInfo_OtherUser", "client/TestWire_AmbiguousIdentity"},
	"T51": {"client/TestWire_AmbiguousIdentity", "client/TestWire_ErrcodeBeatsIdentity"},
	"T52": {"client/TestWire_StaleConnection", "client/TestWire_RetryWhenBusy"},
	"T53": {"client/FuzzTokenResponse", "client/FuzzUserInfoResponse"},
	"T54": {"client/TestWire_TLSFaults"},
	"T55": {"client/TestWire_CanceledCalls"},
	"T63": {"TestRequireWeChat_storeDown"},
	"T64": {"TestFaultMatrix"},
	"T66": {"store/TestStore"}, // refusals, a failover behind one address
	"T67": {"internal/record/FuzzDecode", "internal/identity/FuzzDecode", "FuzzSessionRecord"},
	"T69": {"store/TestStore_skewedClock", "TestFlowCookie/T08 expires by its sealed time"},
}

func TestEveryThreat(t *testing.T) {
	tests, all := threatTests(t)
	covered := 0
	for _, id := range threatIDs {
		for _, name := range threatsElsewhere[id] {
			if assert.True(t, all[name], "the test of %s is gone or has another name: %s", id, name) {
				tests[id] = append(tests[id], name)
			}
		}
		if assert.NotEmpty(t, tests[id], "no test is named after %s", id) {
			covered++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(tests)) {
		assert.Regexp(t, `^T(0[1-9]|[1-9][0-9]|10[0-4])$`, id, "no threat has this id: %v", tests[id])
		for _, name := range tests[id] {
			t.Logf("threat-test %s", name) // which make gate must have run
		}
	}
	t.Logf("ids %d/%d", covered, len(threatIDs))
}

var fuzzTargetName = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// Every go test also runs the inputs that fuzzing has found worth keeping.
func TestEveryFuzzTarget(t *testing.T) {
	targets := 0
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go", "*/*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, found := range fuzzTargetName.FindAllSubmatch(source, -1) {
				targets++
				corpus, err := filepath.Glob(filepath.Join(filepath.Dir(file), "testdata", "fuzz", string(found[1]), "*"))
				require.NoError(t, err)
				assert.GreaterOrEqual(t, len(corpus), 10, "%s in %s: copy what go test -fuzz has found from the build cache", found[1], file)
			}
		}
	}
	assert.GreaterOrEqual(t, targets, 10)
}

var (
	threatTestName    = regexp.MustCompile(`^Test(T[0-9]+)_[A-Z]`)
	threatSubtestName = regexp.MustCompile(`^(T[0-9]+) `)
)

// threatTests returns the tests of this module that are named after a threat, by
// its id, and the names of all tests with their folders; those of the suites also
// without. A sub-test has its test's name before its own. A test must have a body
// and must not skip itself.
func threatTests(t *testing.T) (tests map[string][]string, all map[string]bool) {
	t.Helper()
	tests, all = map[string][]string{}, map[string]bool{}
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		add := func(name, id string, body *ast.BlockStmt) {
			all[strings.TrimPrefix(filepath.Dir(path)+"/", "./")+name] = true
			if strings.HasPrefix(path, "internal/suite/") {
				all[name] = true
			}
			if id != "" {
				requireTestBody(t, name, body)
				tests[id] = append(tests[id], name)
			}
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			id := ""
			if match := threatTestName.FindStringSubmatch(f.Name.Name); match != nil {
				id = match[1]
			}
			add(f.Name.Name, id, f.Body)
			if !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			for name, body := range subtests(f.Body) {
				if match := threatSubtestName.FindStringSubmatch(name); match != nil {
					add(f.Name.Name+"/"+name, match[1], body)
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, tests)
	return tests, all
}

// subtests returns the sub-tests of a test whose names are literals.
func subtests(body *ast.BlockStmt) map[string]*ast.BlockStmt {
	found := map[string]*ast.BlockStmt{}
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			return true
		}
		run, ok := call.Fun.(*ast.SelectorExpr)
		name, isLiteral := call.Args[0].(*ast.BasicLit)
		f, isFunc := call.Args[1].(*ast.FuncLit)
		if ok && run.Sel.Name == "Run" && isLiteral && isFunc {
			if name, err := strconv.Unquote(name.Value); err == nil {
				found[name] = f.Body
			}
		}
		return true
	})
	return found
}

func requireTestBody(t *testing.T, name string, body *ast.BlockStmt) {
	t.Helper()
	require.NotEmpty(t, body.List, name)
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.SelectorExpr)
		assert.False(t, ok && strings.HasPrefix(call.Sel.Name, "Skip"), "%s skips itself", name)
		return true
	})
}
