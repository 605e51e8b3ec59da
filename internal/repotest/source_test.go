package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
)

// Facts that only the source of the root package has.

// packageFiles parses the files of a folder that are not tests.
func packageFiles(t *testing.T, dir string) (*token.FileSet, map[string]*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	fset, files := token.NewFileSet(), map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files[name], err = parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
	}
	return fset, files
}

// rootDecl returns the value of a package variable, or the body of a function,
// by its name. A method's name follows its type's, as in Reason.status.
func rootDecl(t *testing.T, name string) (found ast.Node) {
	t.Helper()
	_, files := packageFiles(t, ".")
	for _, file := range files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				full := d.Name.Name
				if d.Recv != nil {
					full = receiver(d.Recv.List[0].Type) + "." + full
				}
				if full == name {
					found = d.Body
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == 1 && v.Names[0].Name == name {
						found = v.Values[0]
					}
				}
			}
		}
	}
	require.NotNil(t, found, "the root has no %s", name)
	return found
}

// texts returns the string literals in a node.
func texts(t *testing.T, n ast.Node) (all []string) {
	t.Helper()
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			all = append(all, text)
		}
		return true
	})
	return all
}

// reasonNames returns the constants of type Reason, by name.
func reasonNames(t *testing.T) map[string]wechatauth.Reason {
	t.Helper()
	all := map[string]wechatauth.Reason{}
	for _, typ := range packageDoc(t, ".").Types {
		if typ.Name != "Reason" {
			continue
		}
		for _, group := range typ.Consts {
			for _, spec := range group.Decl.Specs {
				value := spec.(*ast.ValueSpec)
				all[value.Names[0].Name] = wechatauth.Reason(texts(t, value)[0])
			}
		}
	}
	require.NotEmpty(t, all)
	return all
}

// A reasonRow is a row of the root's table of reasons.
type reasonRow struct {
	status        int
	level, remedy string
}

// reasonRows reads the table of reasons, which has every reason. The suites
// check the statuses of responses against it.
func reasonRows(t *testing.T) map[wechatauth.Reason]reasonRow {
	t.Helper()
	statuses := map[string]int{
		"StatusBadRequest": http.StatusBadRequest, "StatusUnauthorized": http.StatusUnauthorized, "StatusForbidden": http.StatusForbidden,
		"StatusNotFound": http.StatusNotFound, "StatusMethodNotAllowed": http.StatusMethodNotAllowed, "StatusConflict": http.StatusConflict,
		"StatusInternalServerError": http.StatusInternalServerError, "StatusBadGateway": http.StatusBadGateway,
		"StatusServiceUnavailable": http.StatusServiceUnavailable, "StatusGatewayTimeout": http.StatusGatewayTimeout,
	}
	names, all := reasonNames(t), map[wechatauth.Reason]reasonRow{}
	for _, elt := range rootDecl(t, "reasons").(*ast.CompositeLit).Elts {
		pair := elt.(*ast.KeyValueExpr)
		reason, known := names[pair.Key.(*ast.Ident).Name]
		require.True(t, known)
		cells := pair.Value.(*ast.CompositeLit).Elts
		require.Len(t, cells, 3)
		status, known := statuses[cells[0].(*ast.SelectorExpr).Sel.Name]
		require.True(t, known)
		level := strings.ToUpper(strings.TrimPrefix(cells[1].(*ast.SelectorExpr).Sel.Name, "Level"))
		all[reason] = reasonRow{status, level, strings.Join(texts(t, cells[2]), "")}
	}
	require.Len(t, all, len(names), "the table has every reason")
	return all
}
