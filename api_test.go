package wechatauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"go/ast"
	"go/doc"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// surface are the packages whose exported names users compile against.
var surface = []string{".", "client", "store", "store/rueidisstore", "observe/wechatprom", "observe/wechatotel", "wechattest"}

const (
	apiDir       = "testdata/api"
	apiChangelog = apiDir + "/changelog.sha256"
)

// TestTheExportedSurfaceIsTheOneThatIsWrittenDown compares the exported names
// with testdata/api. After a change, say it under Unreleased in CHANGELOG.md
// and run "make api", which refuses to write a change down that is not there.
func TestTheExportedSurfaceIsTheOneThatIsWrittenDown(t *testing.T) {
	changed := map[string]string{}
	for _, dir := range surface {
		file := filepath.Join(apiDir, strings.ReplaceAll(dir, "/", "_")+".txt")
		if dir == "." {
			file = filepath.Join(apiDir, "wechatauth.txt")
		}
		got := exported(t, dir)
		if written, err := os.ReadFile(file); err != nil || string(written) != got {
			changed[file] = got
			if os.Getenv("UPDATE_API") == "" {
				require.NoError(t, err)
				assert.Equal(t, string(written), got, "the surface of %s has changed: say so in CHANGELOG.md, then run: make api", dir)
			}
		}
	}
	if os.Getenv("UPDATE_API") != "" && len(changed) > 0 {
		writeDown(t, changed)
	}
}

// writeDown updates the files, if CHANGELOG.md says more than when they were
// last updated.
func writeDown(t *testing.T, changed map[string]string) {
	t.Helper()
	_, unreleased, found := strings.Cut(readFile(t, "CHANGELOG.md"), "\n## [Unreleased]\n")
	require.True(t, found)
	unreleased, _, _ = strings.Cut(unreleased, "\n## [")
	sum := sha256.Sum256([]byte(unreleased))
	digest := hex.EncodeToString(sum[:]) + "\n"
	if last, err := os.ReadFile(apiChangelog); err == nil {
		require.NotEqual(t, string(last), digest, "the surface has changed, and CHANGELOG.md has not: say under Unreleased what users have to know")
	}
	require.NoError(t, os.MkdirAll(apiDir, 0o755))
	for file, text := range changed {
		writeFile(t, file, text)
	}
	writeFile(t, apiChangelog, digest)
}

// exported is what go doc lists of a package, without the comments.
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
	var buf bytes.Buffer
	require.NoError(t, (&printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}).Fprint(&buf, token.NewFileSet(), decl))
	return buf.String() + "\n"
}
