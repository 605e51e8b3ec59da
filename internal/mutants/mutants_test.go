package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMutants(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	require.NoError(t, check(root, mutants), "if you change a line that a mutant modifies, update the mutant in internal/mutants")
	require.GreaterOrEqual(t, len(mutants), 60)
}

func TestCheck(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	fitting := mutants[0]
	for name, tc := range map[string]struct {
		change func(*mutant)
		says   string
	}{
		"a text that is not there":  {func(m *mutant) { m.search = "not in this file" }, "occurs 0 times"},
		"a text that is everywhere": {func(m *mutant) { m.search = "\n" }, "times in the module"},
		"a text of another package": {func(m *mutant) { m.in = "store" }, "occurs 0 times in store"},
		"a subject without tests":   {func(m *mutant) { m.about, m.killer = "weather", "" }, "no test to run first"},
		"a fault that is none":      {func(m *mutant) { m.broken = m.search }, "it changes nothing"},
		"a test of another package": {func(m *mutant) { m.killer = "^TestMutants$" }, "no test to run first"},
		"a test that is gone":       {func(m *mutant) { m.killer = "TestThatIsGone" }, "no test to run first"},
		"a type error":              {func(m *mutant) { m.broken = "return missing &&" }, "does not compile"},
		"a syntax error":            {func(m *mutant) { m.broken = "return } &&" }, "does not compile"},
		"one of two tests is gone":  {func(m *mutant) { m.killer += "|^TestThatIsGone$" }, "no test matches"},
		"no pattern":                {func(m *mutant) { m.killer = "(" }, "missing closing"},
	} {
		t.Run(name, func(t *testing.T) {
			m := fitting
			tc.change(&m)
			require.ErrorContains(t, check(root, []mutant{m}), tc.says)
		})
	}
	require.ErrorContains(t, check(root, []mutant{fitting, fitting}), "two mutants have this name")
}

// A mutant of a package below the root is killed by the tests of that package
// or, if none of them fails, by those of the root or a suite.
func TestKill(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":                     "module example.com/m\n\ngo 1.25\n",
		"m.go":                       "package m\n\nimport \"example.com/m/internal/x\"\n\nfunc Three() int { return x.One() + x.Two() + 0*x.Zero() }\n\nfunc Four() int { return x.Fourth() }\n",
		"m_test.go":                  "package m\n\nimport \"testing\"\n\nfunc TestThree(t *testing.T) {\n\tif Three() != 3 {\n\t\tt.Fatal()\n\t}\n}\n",
		"internal/suite/s/s_test.go": "package s\n\nimport (\n\t\"testing\"\n\n\t\"example.com/m\"\n)\n\nfunc TestSuite(t *testing.T) {\n\tif m.Four() != 4 {\n\t\tt.Fatal()\n\t}\n}\n",
		"other/go.mod":               "module example.com/other\n",
		"other/o.go":                 "package other // return 1\n",
		"internal/x/x.go":            "package x\n\nfunc One() int { return 1 }\n\nfunc Two() int { return 2 }\n\nfunc Zero() int { return 3 }\n\nfunc Unused() int { return 4 }\n\nfunc Fourth() int { return 2 + 2 }\n",
		"internal/x/x_test.go":       "package x\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {\n\tif One() != 1 {\n\t\tt.Fatal()\n\t}\n}\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, file), []byte(text), 0o600))
	}
	broken := []mutant{
		{name: "own tests", search: "return 1 }", broken: "return 5 }", killer: "^TestOne$"},
		{name: "root's tests", search: "return 2 }", broken: "return 5 }", killer: "^TestThree$"},
		{name: "root's tests, not named", search: "return 2 }", broken: "return 6 }", killer: "^TestOne$"},
		{name: "a suite's tests", search: "return 2 + 2 }", broken: "return 2 + 3 }", killer: "^TestSuite$"},
		{name: "no test", search: "return 3 }", broken: "return 5 }", killer: "^TestOne$"},
	}
	require.NoError(t, check(root, broken))
	files, err := sources(root)
	require.NoError(t, err)
	tests, err := testsOf(root)
	require.NoError(t, err)
	r := &runner{root: root, files: files, tests: tests, dir: t.TempDir()}
	require.NoError(t, r.prepare(broken))
	var by []string
	for i, m := range broken {
		test, err := r.kill(m.name, broken[i])
		require.NoError(t, err, m.name)
		by = append(by, test)
	}
	require.Equal(t, []string{"TestOne", "TestThree", "TestThree (not among those run first)", "TestSuite", ""}, by)
	require.Equal(t, 4, r.all(broken, 2))
	unused := mutant{name: "unused", search: "return 4 }", broken: "return 5 }", killer: "^TestOne$"}
	r.dir = t.TempDir()
	require.NoError(t, r.prepare([]mutant{unused}))
	_, err = r.kill("unused", unused)
	require.ErrorContains(t, err, "does not change the program")
}

func TestReduce(t *testing.T) {
	const before = `package x

import (
	"fmt"
	"math/rand/v2"
	other "strings"
)

var registered = register()

var limit = 3

type writer struct{ n int }

func (w *writer) Flush() { unwrap(w) }

func unwrap(*writer) {}

func register() bool { return true }

func helper() { fmt.Println(limit, writer{}) }

// TestKept stays.
func TestKept(t *testing.T) { helper() }

func TestDropped(t *testing.T) { onlyDropped(rand.Int(), other.ToLower("")) }

func onlyDropped(...any) {}

func TestMain(m *testing.M) {}
`
	reduced, err := reduce(map[string]string{"x_test.go": before}, regexp.MustCompile("^TestKept$"))
	require.NoError(t, err)
	after := reduced["x_test.go"]
	for _, kept := range []string{"registered", "func register", "limit = 3", "type writer", "Flush", "func unwrap", "func helper", "func TestKept", "func TestMain"} {
		require.Contains(t, after, kept)
	}
	for _, dropped := range []string{"func TestDropped", "func onlyDropped"} {
		require.NotContains(t, after, dropped)
	}
	require.Equal(t, strings.Count(before, "\n"), strings.Count(after, "\n"))

	require.Equal(t, 2, blankUnused(reduced, "# x\n/tmp/x_test.go:5:2: \"math/rand/v2\" imported as rand and not used\n./x_test.go:6:2: \"strings\" imported as other and not used\n"))
	require.Contains(t, reduced["x_test.go"], "\t\"fmt\"\n\t_ \"math/rand/v2\"\n\t_ \"strings\"\n")
}
