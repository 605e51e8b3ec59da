package repotest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// packageDoc returns what go doc shows of the package in a directory.
func packageDoc(t *testing.T, dir string) *doc.Package {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(fset, files, path.Join("github.com/wechatauth/wechatauth", dir))
	require.NoError(t, err)
	return p
}

func TestExportedNames(t *testing.T) {
	for _, dir := range surface() {
		t.Run(dir, func(t *testing.T) {
			p := packageDoc(t, dir)
			assert.Regexp(t, `^Package `+p.Name+` `, p.Doc)
			names := 0
			for _, d := range declarations(p) {
				names++
				assert.True(t, d.documented, "%s has no doc comment that says what it is", d.name)
			}
			assert.NotZero(t, names)
		})
	}
}

// TestPackageOverview checks the length of what go doc shows before the names.
// The root's overview must name everything else.
func TestPackageOverview(t *testing.T) {
	for _, dir := range surface() {
		lines := strings.Count(packageDoc(t, dir).Doc, "\n")
		assert.LessOrEqual(t, lines, 60, "the overview of %s", dir)
	}
	overview := packageDoc(t, ".").Doc
	commands, err := filepath.Glob("cmd/*")
	require.NoError(t, err)
	for _, dir := range append(commands, surface()[1:]...) {
		assert.Regexp(t, `(?s)# Other packages.*\b`+dir+`\b`, overview)
	}
}

// A declaration is an exported name, and whether it is documented.
type declaration struct {
	name       string
	documented bool
}

func declarations(p *doc.Package) (all []declaration) {
	all = append(all, values(p.Consts)...)
	all = append(all, values(p.Vars)...)
	all = append(all, functions("", p.Funcs)...)
	for _, typ := range p.Types {
		all = append(all, declaration{typ.Name, begins(typ.Doc, typ.Name)})
		all = append(all, values(typ.Consts)...)
		all = append(all, values(typ.Vars)...)
		all = append(all, functions("", typ.Funcs)...)
		all = append(all, functions(typ.Name+".", typ.Methods)...)
		all = append(all, members(typ)...)
	}
	return all
}

// begins reports whether a comment begins with the name it is on.
func begins(comment, name string) bool {
	return regexp.MustCompile(`^(An? |The )?` + name + `\b`).MatchString(comment)
}

func functions(prefix string, funcs []*doc.Func) (all []declaration) {
	for _, f := range funcs {
		all = append(all, declaration{prefix + f.Name, begins(f.Doc, f.Name)})
	}
	return all
}

func said(c *ast.CommentGroup) bool { return strings.TrimSpace(c.Text()) != "" }

// values returns the names of a group. Constants and variables may share one
// comment.
func values(groups []*doc.Value) (all []declaration) {
	for _, group := range groups {
		for _, spec := range group.Decl.Specs {
			v := spec.(*ast.ValueSpec)
			for _, name := range v.Names {
				if name.IsExported() {
					all = append(all, declaration{name.Name, group.Doc != "" || said(v.Doc) || said(v.Comment)})
				}
			}
		}
	}
	return all
}

// members returns the fields of a struct and the methods of an interface.
func members(typ *doc.Type) (all []declaration) {
	var fields *ast.FieldList
	switch x := typ.Decl.Specs[0].(*ast.TypeSpec).Type.(type) {
	case *ast.StructType:
		fields = x.Fields
	case *ast.InterfaceType:
		fields = x.Methods
	default:
		return nil
	}
	for _, field := range fields.List {
		for _, name := range field.Names {
			if name.IsExported() {
				all = append(all, declaration{typ.Name + "." + name.Name, said(field.Doc) || said(field.Comment)})
			}
		}
	}
	return all
}

// TestExamples_EntryPoints requires an example for functions, constructors and
// the methods of the types that users handle. Options and small getters are
// shown inside of them.
func TestExamples_EntryPoints(t *testing.T) {
	for _, dir := range surface() {
		p := packageDoc(t, dir)
		mainTypes := map[string]string{".": "Auth", "client": "Client"}
		var wanted []string
		want := func(prefix string, funcs []*doc.Func) {
			for _, f := range funcs {
				wanted = append(wanted, prefix+f.Name)
			}
		}
		want("", p.Funcs)
		for _, typ := range p.Types {
			if typ.Name != "Option" && typ.Name != "AuthorizeOption" && dir != "wechattest" {
				want("", typ.Funcs)
			}
			if typ.Name == mainTypes[dir] {
				want(typ.Name+"_", typ.Methods)
			}
		}
		shown := exampleNames(t, dir)
		for _, name := range wanted {
			if without := "Client_Do Client_Format Client_CheckSession Client_ResetSession NewSecret"; strings.Contains(without, name) {
				continue // they print, are for package wecom only, or are for a mini program's server that this library already has
			}
			if dir == "wechattest" && !strings.HasPrefix(name, "New") {
				continue // its package overview and README show them
			}
			assert.Contains(t, shown, name, "package %s", p.Name)
		}
	}
}

// TestExamples_Output requires an output comment: go test only compiles the
// other examples.
func TestExamples_Output(t *testing.T) {
	examples := 0
	for _, dir := range surface() {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			require.NoError(t, err)
			for _, example := range doc.Examples(file) {
				examples++
				assert.True(t, example.Output != "" || example.EmptyOutput, "%s: Example%s", dir, example.Name)
			}
		}
	}
	assert.NotZero(t, examples)
}

// exampleNames returns the examples of the package in a directory.
func exampleNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		for _, m := range regexp.MustCompile(`(?m)^func Example(\w+)\(\)`).FindAllStringSubmatch(readFile(t, file), -1) {
			names = append(names, m[1])
		}
	}
	return names
}
