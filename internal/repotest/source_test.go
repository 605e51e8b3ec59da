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

// Facts that stand in the source of the root package only.

// packageFiles parses the files of a folder that are no tests.
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

// texts are the string literals in a node.
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

// reasonNames are the constants of type Reason, by name.
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

// reasonStatuses are the HTTP statuses of all reasons, as Reason.status returns
// them. The requests of the other suites get the same ones.
func reasonStatuses(t *testing.T) map[wechatauth.Reason]int {
	t.Helper()
	statuses := map[string]int{
		"StatusBadRequest": http.StatusBadRequest, "StatusUnauthorized": http.StatusUnauthorized, "StatusForbidden": http.StatusForbidden,
		"StatusNotFound": http.StatusNotFound, "StatusMethodNotAllowed": http.StatusMethodNotAllowed, "StatusConflict": http.StatusConflict,
		"StatusInternalServerError": http.StatusInternalServerError, "StatusBadGateway": http.StatusBadGateway,
		"StatusServiceUnavailable": http.StatusServiceUnavailable, "StatusGatewayTimeout": http.StatusGatewayTimeout,
	}
	returned := func(body []ast.Stmt) int {
		last, ok := body[len(body)-1].(*ast.ReturnStmt)
		require.True(t, ok)
		status, known := statuses[last.Results[0].(*ast.SelectorExpr).Sel.Name]
		require.True(t, known)
		return status
	}
	names, body := reasonNames(t), rootDecl(t, "Reason.status").(*ast.BlockStmt)
	all := map[wechatauth.Reason]int{}
	for _, reason := range names {
		all[reason] = returned(body.List)
	}
	cases := 0
	ast.Inspect(body, func(n ast.Node) bool {
		if c, ok := n.(*ast.CaseClause); ok {
			for _, name := range c.List {
				cases++
				reason, known := names[name.(*ast.Ident).Name]
				require.True(t, known)
				all[reason] = returned(c.Body)
			}
		}
		return true
	})
	require.NotZero(t, cases)
	return all
}

// remedies are the sentences that the log has where an event has no detail.
func remedies(t *testing.T) map[wechatauth.Reason]string {
	t.Helper()
	names := reasonNames(t)
	all := map[wechatauth.Reason]string{}
	for _, elt := range rootDecl(t, "remedies").(*ast.CompositeLit).Elts {
		pair := elt.(*ast.KeyValueExpr)
		reason, known := names[pair.Key.(*ast.Ident).Name]
		require.True(t, known)
		all[reason] = strings.Join(texts(t, pair.Value), "")
	}
	require.NotEmpty(t, all)
	return all
}
