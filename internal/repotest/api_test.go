package repotest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// surface returns the packages whose exported names users compile against, the
// root first: every folder with Go code that is neither a program nor internal.
var surface = sync.OnceValue(publicPackages)

func publicPackages() []string {
	dirs := []string{"."}
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		switch dir := path.Dir(file); {
		case err != nil:
			return err
		case d.IsDir():
			if without := "internal testdata cmd examples e2e bench tools bin"; slices.Contains(strings.Fields(without), d.Name()) || strings.HasPrefix(d.Name(), ".") && file != "." {
				return fs.SkipDir
			}
		case strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") && !slices.Contains(dirs, dir):
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return dirs
}

const (
	apiDir       = "testdata/api"
	apiChangelog = apiDir + "/changelog.sha256" // of the text under Unreleased
	apiSurface   = apiDir + "/surface.sha256"   // of the files themselves
)

// TestSurface compares the exported names with testdata/api. After a change,
// describe it under Unreleased in CHANGELOG.md and run "make api", which does
// not record a change without an entry there.
func TestSurface(t *testing.T) {
	var unsaid []string
	updating := os.Getenv("UPDATE_API") != ""
	files := map[string]string{}
	changed := false
	for _, dir := range surface() {
		file := surfaceFile(dir)
		files[file] = exported(t, dir)
		written, err := os.ReadFile(file)
		changed = changed || string(written) != files[file]
		if !updating {
			require.NoError(t, err)
			assert.Equal(t, string(written), files[file], "the surface of %s has changed: describe it in CHANGELOG.md, then run: make api", dir)
			continue
		}
		for _, name := range changedNames(t, string(written), files[file]) {
			if !saysName(unreleased(t), name) {
				unsaid = append(unsaid, name)
			}
		}
	}
	sum := sumOfSurface(files)
	recorded, _ := os.ReadFile(apiSurface)
	if !updating {
		assert.Equal(t, sum, string(recorded), "the files of testdata/api were edited by hand, or two changes were merged: run make api")
		return
	}
	if !changed && sum == string(recorded) {
		return
	}
	require.Empty(t, unsaid, "CHANGELOG.md must name these under Unreleased, in backquotes")
	digest := sha256Line(unreleased(t))
	last, _ := os.ReadFile(apiChangelog)
	require.NotEqual(t, string(last), digest, "the surface has changed, and CHANGELOG.md has not: describe the change under Unreleased")
	require.NoError(t, os.MkdirAll(apiDir, 0o755))
	for file, text := range files {
		writeFile(t, file, text)
	}
	writeFile(t, apiChangelog, digest)
	writeFile(t, apiSurface, sum)
}

func surfaceFile(dir string) string {
	if dir == "." {
		dir = "wechatauth"
	}
	return filepath.Join(apiDir, strings.ReplaceAll(dir, "/", "_")+".txt")
}

// unreleased returns the text of CHANGELOG.md about changes that have no
// version yet.
func unreleased(t *testing.T) string {
	t.Helper()
	_, text, found := strings.Cut(readFile(t, "CHANGELOG.md"), "\n## [Unreleased]\n")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "\n## [")
	return text
}

func sha256Line(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]) + "\n"
}

func sumOfSurface(files map[string]string) string {
	var all strings.Builder
	for _, file := range slices.Sorted(maps.Keys(files)) {
		all.WriteString(files[file])
	}
	return sha256Line(all.String())
}

// saysName reports whether a line has the name in backquotes, with its type if
// it has one.
func saysName(text, name string) bool {
	return regexp.MustCompile("`[^`\n]*\\b" + regexp.QuoteMeta(name) + "\\b[^`\n]*`").MatchString(text)
}

// changedNames returns the names that only one of two surfaces has, or that
// they declare differently. Methods and fields follow their type, as in
// Auth.Check.
func changedNames(t *testing.T, before, after string) (names []string) {
	t.Helper()
	old, now := declared(t, before), declared(t, after)
	for name := range now {
		if old[name] != now[name] {
			names = append(names, name)
		}
	}
	for name := range old {
		if _, stays := now[name]; !stays {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// declared returns the names of a surface, each with its declaration.
func declared(t *testing.T, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if text == "" {
		return all // a new package
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", text, 0)
	require.NoError(t, err)
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			all[name] = node(t, d)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				declareSpec(t, all, spec)
			}
		}
	}
	return all
}

func declareSpec(t *testing.T, all map[string]string, spec ast.Spec) {
	t.Helper()
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				all[name.Name] = node(t, s)
			}
		}
	case *ast.TypeSpec:
		var members *ast.FieldList
		switch typ := s.Type.(type) {
		case *ast.StructType:
			members = typ.Fields
		case *ast.InterfaceType:
			members = typ.Methods
		default:
			all[s.Name.Name] = node(t, s)
			return
		}
		all[s.Name.Name] = fmt.Sprintf("%T", s.Type)
		for _, field := range members.List {
			if len(field.Names) == 0 {
				all[s.Name.Name] += " " + node(t, field.Type) // embedded
			}
			for _, name := range field.Names {
				if name.IsExported() {
					all[s.Name.Name+"."+name.Name] = node(t, field.Type)
				}
			}
		}
	}
}

func receiver(typ ast.Expr) string {
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	return typ.(*ast.Ident).Name
}

func TestSurface_ChangedNames(t *testing.T) {
	const before = "package p\n\nconst A = 1\n\ntype T struct {\n\tGone int\n}\n\nfunc (t *T) Stay()\n\nfunc F(a int)\n"
	for name, tt := range map[string]struct {
		after string
		names []string
	}{
		"nothing":              {before, nil},
		"a constant's value":   {strings.Replace(before, "= 1", "= 2", 1), []string{"A"}},
		"a field":              {strings.Replace(before, "Gone int", "Gone int\n\tNew int", 1), []string{"T.New"}},
		"a field that goes":    {strings.Replace(before, "\tGone int\n", "", 1), []string{"T.Gone"}},
		"a field's type":       {strings.Replace(before, "Gone int", "Gone string", 1), []string{"T.Gone"}},
		"a method's signature": {strings.Replace(before, "Stay()", "Stay() error", 1), []string{"T.Stay"}},
		"a function's name":    {strings.Replace(before, "F(", "G(", 1), []string{"F", "G"}},
		"a package":            {"package p\n", []string{"A", "F", "T", "T.Gone", "T.Stay"}},
	} {
		assert.Equal(t, tt.names, changedNames(t, before, tt.after), name)
	}
	assert.True(t, saysName("- `T.New`, which says", "T.New"))
	assert.True(t, saysName("- `T.New(ctx)`, which says", "T.New"))
	assert.False(t, saysName("- New in T.New", "T.New"), "without backquotes it is only a word")
	assert.False(t, saysName("- `T.Newer`", "T.New"))
}

// exported returns what go doc lists of a package, without the comments.
func exported(t *testing.T, dir string) string {
	t.Helper()
	p := packageDoc(t, dir)
	var out strings.Builder
	out.WriteString("package " + p.Name + "\n")
	values := func(groups []*doc.Value) {
		for _, group := range groups {
			out.WriteString("\n" + source(t, group.Decl))
		}
	}
	funcs := func(all []*doc.Func) {
		for _, f := range all {
			out.WriteString("\n" + source(t, f.Decl))
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, typ := range p.Types {
		out.WriteString("\n" + source(t, typ.Decl))
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	return out.String()
}

// source prints a declaration without its comments.
func source(t *testing.T, decl ast.Decl) string {
	t.Helper()
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			n.Doc = nil
		case *ast.FuncDecl:
			n.Doc, n.Body = nil, nil
		case *ast.TypeSpec:
			n.Doc, n.Comment = nil, nil
		case *ast.ValueSpec:
			n.Doc, n.Comment = nil, nil
		case *ast.Field:
			n.Doc, n.Comment = nil, nil
		}
		return true
	})
	return node(t, decl) + "\n"
}

// node prints a part of a file.
func node(t *testing.T, n any) string {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, (&printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}).Fprint(&buf, token.NewFileSet(), n))
	return buf.String()
}
