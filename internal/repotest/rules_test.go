package repotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The limits of the architecture. If a comment has a goal, the limit is the
// measured number: lower it with each change that lowers the number. No limit
// is ever raised.
const (
	maxRootLines     = 3675 // of code: neither blank nor a comment, so that a doc comment may say what it has to
	maxRootFiles     = 22
	maxRootTestFiles = 8
	maxFileCycle     = 1 // files of the root that reach each other: none does
	maxRootWithSCS   = 2 // for the types of the options and of Auth.Sessions: files of the root that import scs
	maxFunctionLines = 60
	maxStructFields  = 15
)

// Functions and structs above the limits, with their measured sizes. The goal
// is to have none.
var (
	longFunctions = map[string]int{}
	wideStructs   = map[string]int{}
)

// configuration has the structs that hold a user's settings. They may have any
// number of fields.
var configuration = map[string]bool{"config": true, "settings": true, "Account": true}

const module = "github.com/wechatauth/wechatauth"

// aboveRoot matches the packages of internal that use the root: tests, their
// harness, and programs. Others are below it.
var aboveRoot = regexp.MustCompile(`^internal/(authtest|suite|repotest|soak|mutants)(/|$)`)

// A listedPackage is what go list reports about a package of this module.
type listedPackage struct {
	ImportPath                               string
	Export                                   string
	GoFiles, TestGoFiles, XTestGoFiles       []string
	Imports, Deps, TestImports, XTestImports []string
	dir                                      string // below the root
}

// listPackages lists packages by their folders.
func listPackages(t *testing.T, args ...string) map[string]*listedPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Export,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps,TestImports,XTestImports"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	all := map[string]*listedPackage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &listedPackage{}
		if err := dec.Decode(p); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
		p.dir = p.ImportPath
		if below, ok := strings.CutPrefix(p.ImportPath, module); ok {
			p.dir = strings.TrimPrefix(below, "/")
			if p.dir == "" {
				p.dir = "."
			}
		}
		all[p.dir] = p
	}
	require.NotEmpty(t, all)
	return all
}

// below reports whether dir is a folder or inside of it.
func below(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

func TestArchitectureImports(t *testing.T) {
	packages := listPackages(t, "./...")
	require.Contains(t, packages, ".")
	checked := 0
	for dir, p := range packages {
		if dir != "environment" && !below(dir, "client") && dir != "store" && !strings.HasPrefix(dir, "internal/") && !strings.HasPrefix(dir, "store/") {
			continue
		}
		if aboveRoot.MatchString(dir) {
			continue
		}
		checked++
		assert.NotContains(t, p.Deps, module, "%s is below the root", dir)
		if !below(dir, "client") && !strings.HasPrefix(dir, "store") {
			assert.NotContains(t, append(p.TestImports, p.XTestImports...), module, "the tests of %s need the root", dir)
		}
	}
	assert.Greater(t, checked, 10)

	for dir, p := range packages {
		for _, imported := range p.Imports {
			in := strings.TrimPrefix(imported, module+"/")
			assert.False(t, in != imported && aboveRoot.MatchString(in) && !aboveRoot.MatchString(dir), "%s imports %s, which is for tests", dir, in)
		}
	}
}

func TestArchitectureSCS(t *testing.T) {
	importing := map[string]int{}
	for dir := range listPackages(t, "./...") {
		for name, file := range filesOf(t, dir) {
			if slices.ContainsFunc(file.Imports, func(s *ast.ImportSpec) bool {
				return strings.HasPrefix(s.Path.Value, `"github.com/alexedwards/scs/`)
			}) {
				importing[path.Dir(filepath.ToSlash(name))]++
			}
		}
	}
	t.Logf("files that import scs, by package: %v", importing)
	assert.LessOrEqual(t, importing["."], maxRootWithSCS, "files of the root")
	delete(importing, ".")
	delete(importing, "internal/record") // which becomes a part of internal/session
	for dir := range importing {
		assert.True(t, strings.HasPrefix(dir, "store") || strings.HasPrefix(dir, "internal/session") || aboveRoot.MatchString(dir), "%s imports scs", dir)
	}
}

var weChatURL = regexp.MustCompile(`weixin\.qq\.com|qlogo\.cn|^/?(sns|cgi-bin|wxa)/|connect/(oauth2|qrconnect)`)

func TestArchitectureWeChatURLs(t *testing.T) {
	var found []string
	for dir := range listPackages(t, "./...") {
		if below(dir, "client") || dir == "wechattest" || aboveRoot.MatchString(dir) {
			continue
		}
		for name, file := range filesOf(t, dir) {
			for _, text := range texts(t, file) {
				if weChatURL.MatchString(text) {
					found = append(found, name+": "+strconv.Quote(text))
				}
			}
		}
	}
	assert.Empty(t, found, "only client has WeChat's URLs")
}

func TestArchitectureSizes(t *testing.T) {
	lines, all, tests, longest, widest := 0, 0, 0, 0, 0
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_test.go") {
			tests++
		}
	}
	root := filesOf(t, ".")
	for name := range root {
		for line := range strings.Lines(readFile(t, name)) {
			all++
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	t.Logf("root: %d lines of code, %d with comments, %d files, %d test files", lines, all, len(root), tests)
	assert.LessOrEqual(t, lines, maxRootLines, "lines of code of the root")
	assert.LessOrEqual(t, len(root), maxRootFiles, "files of the root")
	assert.LessOrEqual(t, tests, maxRootTestFiles, "test files of the root")

	for dir := range listPackages(t, "./...") {
		if dir == "store/internal/storetest" { // its functions are tests
			continue
		}
		fset, files := packageFiles(t, dir)
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					name, size := n.Name.Name, fset.Position(n.End()).Line-fset.Position(n.Pos()).Line+1
					if n.Recv != nil {
						name = receiver(n.Recv.List[0].Type) + "." + name
					}
					name = path.Join(dir, name)
					assert.LessOrEqual(t, size, max(maxFunctionLines, longFunctions[name]), "lines of %s", name)
					longest = max(longest, size)
				case *ast.TypeSpec:
					name := path.Join(dir, n.Name.Name)
					if s, ok := n.Type.(*ast.StructType); ok && !configuration[name] {
						assert.LessOrEqual(t, s.Fields.NumFields(), max(maxStructFields, wideStructs[name]), "fields of %s", name)
						widest = max(widest, s.Fields.NumFields())
					}
				}
				return true
			})
		}
	}
	t.Logf("longest function: %d lines; widest struct: %d fields", longest, widest)
}

// filesOf returns the files of a package that are not tests, or none if it has
// only tests.
func filesOf(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	_, files := packageFiles(t, dir)
	return files
}

// TestArchitectureFileCycles counts the files of the root that reach each other
// through the names they use.
func TestArchitectureFileCycles(t *testing.T) {
	fset, files := packageFiles(t, ".")
	exports := map[string]string{}
	for _, p := range listPackages(t, "-export", "-deps", ".") {
		exports[p.ImportPath] = p.Export
	}
	imports := importer.ForCompiler(fset, "gc", func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, fmt.Errorf("no export data of %s", name)
		}
		return os.Open(exports[name])
	})
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	pkg, err := (&types.Config{Importer: imports}).Check(module, fset, slices.Collect(maps.Values(files)), info)
	require.NoError(t, err)

	uses := map[string]map[string]bool{}
	references := 0
	for id, obj := range info.Uses {
		if obj.Pkg() != pkg {
			continue
		}
		from, to := fset.Position(id.Pos()).Filename, fset.Position(obj.Pos()).Filename
		if from == to || to == "" {
			continue
		}
		references++
		if uses[from] == nil {
			uses[from] = map[string]bool{}
		}
		uses[from][to] = true
	}
	pairs := 0
	for _, to := range uses {
		pairs += len(to)
	}
	cycle := largestCycle(uses)
	t.Logf("root: %d references between %d pairs of files; %d of %d files reach each other: %s", references, pairs, len(cycle), len(files), strings.Join(cycle, " "))
	assert.LessOrEqual(t, len(cycle), maxFileCycle, "files of the root that reach each other: %v", cycle)
}

// largestCycle returns the largest set of nodes of which each reaches all
// others.
func largestCycle(uses map[string]map[string]bool) (largest []string) {
	reach := map[string]map[string]bool{}
	var walk func(seen map[string]bool, node string)
	walk = func(seen map[string]bool, node string) {
		for next := range uses[node] {
			if !seen[next] {
				seen[next] = true
				walk(seen, next)
			}
		}
	}
	for node := range uses {
		reach[node] = map[string]bool{}
		walk(reach[node], node)
	}
	for node := range reach {
		var cycle []string
		for other := range reach[node] {
			if reach[other][node] {
				cycle = append(cycle, other)
			}
		}
		if len(cycle) > len(largest) {
			slices.Sort(cycle)
			largest = cycle
		}
	}
	return largest
}

func TestLargestCycle(t *testing.T) {
	for name, tt := range map[string]struct {
		uses string
		want []string
	}{
		"none":     {"ab bc ac", nil},
		"two":      {"ab ba bc", []string{"a", "b"}},
		"a chain":  {"ab bc ca cd", []string{"a", "b", "c"}},
		"two sets": {"ab ba cd de ec ac", []string{"c", "d", "e"}},
	} {
		uses := map[string]map[string]bool{}
		for pair := range strings.FieldsSeq(tt.uses) {
			from, to := pair[:1], pair[1:]
			if uses[from] == nil {
				uses[from] = map[string]bool{}
			}
			uses[from][to] = true
		}
		assert.Equal(t, tt.want, largestCycle(uses), name)
	}
}
