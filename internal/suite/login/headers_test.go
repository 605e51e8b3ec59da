package login

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatauth/wechatauth"
	"github.com/wechatauth/wechatauth/environment"
	"github.com/wechatauth/wechatauth/internal/authtest"
	"github.com/wechatauth/wechatauth/internal/redistest"
	"github.com/wechatauth/wechatauth/wechattest"
)

// Headers of responses, which the code reads too.
var responseHeaders = []string{"Cache-Control", "Content-Encoding", "Expires", "Set-Cookie", "Vary"}

// Functions that read headers whose names are parameters.
var readers = map[string]bool{"navigation.Header": true, "navigation.Has": true, "accounts.ByHeader": true}

// headersRead returns the request headers that the code reads, by name.
func headersRead(t *testing.T) []string {
	t.Helper()
	var names []string
	files := 0
	require.NoError(t, fs.WalkDir(os.DirFS(authtest.Root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch dir := filepath.Dir(path); { // site is a client: it reads responses
			case path == ".", path == "internal", path == "environment", path == "accounts":
			case dir == "internal" && !slices.Contains([]string{"authtest", "faultproxy", "knob", "mutants", "redistest", "repotest", "site", "soak", "suite"}, d.Name()):
			default:
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(authtest.Root, path), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			found, dynamic := headersIn(f.Body)
			names = append(names, found...)
			if name := file.Name.Name + "." + f.Name.Name; dynamic {
				assert.True(t, readers[name], "%s in %s reads a header whose name is not in the code", name, path)
			}
		}
		return nil
	}))
	require.Greater(t, files, 50)
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range responseHeaders {
		require.Contains(t, names, name, "is read nowhere")
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(responseHeaders, name) })
}

// readBy has the methods of http.Request that read a header.
var readBy = map[string]string{
	"UserAgent": "User-Agent", "Referer": "Referer", "BasicAuth": "Authorization",
	"Cookie": "Cookie", "Cookies": "Cookie", "CookiesNamed": "Cookie",
}

var headerName = regexp.MustCompile(`^[A-Z][a-z]*(-[A-Z][a-z]*)*$`)

// headersIn returns the names of the headers that a function reads, and whether
// it reads others. A loop over names reads each of them.
func headersIn(body *ast.BlockStmt) (names []string, dynamic bool) {
	loops, written := map[string][]string{}, map[ast.Expr]bool{}
	read := func(name ast.Expr) {
		switch name := name.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(name.Value); err == nil && headerName.MatchString(text) {
				names = append(names, text)
			}
		case *ast.Ident:
			names = append(names, loops[name.Name]...)
			dynamic = dynamic || loops[name.Name] == nil
		default:
			dynamic = true
		}
	}
	isHeader := func(x ast.Expr) bool {
		switch x := x.(type) {
		case *ast.Ident:
			return x.Name == "h" || x.Name == "header"
		case *ast.SelectorExpr:
			return x.Sel.Name == "Header"
		case *ast.CallExpr: // w.Header()
			f, ok := x.Fun.(*ast.SelectorExpr)
			return ok && f.Sel.Name == "Header" && len(x.Args) == 0
		}
		return false
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.RangeStmt:
			list, ok := n.X.(*ast.CompositeLit)
			if value, named := n.Value.(*ast.Ident); ok && named {
				for _, e := range list.Elts {
					if lit, ok := e.(*ast.BasicLit); ok {
						text, _ := strconv.Unquote(lit.Value)
						loops[value.Name] = append(loops[value.Name], text)
					}
				}
			}
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				written[x] = true
			}
		case *ast.IndexExpr:
			if isHeader(n.X) && !written[n] {
				read(n.Index)
			}
		case *ast.CallExpr:
			switch f := n.Fun.(type) {
			case *ast.Ident:
				if (f.Name == "Header" || f.Name == "Has") && len(n.Args) == 2 {
					read(n.Args[1])
				}
			case *ast.SelectorExpr:
				pkg, _ := f.X.(*ast.Ident)
				switch {
				case pkg != nil && pkg.Name == "navigation" && (f.Sel.Name == "Header" || f.Sel.Name == "Has"):
					read(n.Args[1])
				case (f.Sel.Name == "Get" || f.Sel.Name == "Values") && isHeader(f.X):
					read(n.Args[0])
				case readBy[f.Sel.Name] != "" && pkg != nil && pkg.Name == "r":
					names = append(names, readBy[f.Sel.Name])
				}
			}
		}
		return true
	})
	return names, dynamic
}

// random matches what differs between two responses to the same request: states,
// sealed values, times and ids.
var random = regexp.MustCompile(`[A-Za-z0-9_-]{16,}|[0-9a-f]{8}|\d{2}:\d{2}:\d{2}|M[0-9,.-]+[^"]*Z`)

// A proxy blanks a header that it should remove, or adds an empty line in front
// of the client's. Neither changes a response, for any header that the code
// reads. For each of them, one of the requests gets another response with the
// header than without.
func TestEmptyHeaders(t *testing.T) {
	s := authtest.NewMiniSite(t, wechatauth.WithRedis(redistest.Start(t).Pool()),
		wechatauth.WithEnvironment(environment.Policy{environment.DesktopBrowser: environment.LoginScan}))
	https := &authtest.Site{T: t, Sim: wechattest.NewServer(), Server: httptest.NewUnstartedServer(nil), Logs: &authtest.Buffer{}, Clock: authtest.NewClock()}
	https.Start("https://" + https.Server.Listener.Addr().String())
	https.Server.Start()

	const site, mode, dest = "Sec-Fetch-Site: ", "Sec-Fetch-Mode: ", "Sec-Fetch-Dest: "
	form := []string{authtest.PageHeader, "Content-Type: application/x-www-form-urlencoded", "Content-Length: 0"}
	cookie := "Cookie: " + s.SessionCookie() + "=" + s.Session(authtest.AliceOpenID)
	phone, computer := "User-Agent: "+wechattest.IPhone, "User-Agent: "+authtest.ChromeWindows
	requests := []struct {
		at             *authtest.Site
		method, target string
		header         []string
	}{
		{s, "GET", "/a", []string{authtest.PageHeader, phone}},
		{s, "GET", "/a", []string{authtest.PageHeader, computer}},
		{s, "GET", "/a", []string{cookie}},
		{s, "GET", "/a", []string{"Authorization: Bearer " + s.MiniLogin(authtest.Person(0))}},
		{s, "GET", "/a", []string{authtest.PageHeader, "Authorization: Basic eDp5"}},
		{s, "GET", "/a", []string{site + "none", mode + "navigate", dest + "document"}},
		{s, "GET", "/a", []string{authtest.PageHeader, mode + "navigate", dest + "iframe"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "Sec-Fetch-User: ?1"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "Sec-Purpose: prefetch"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "Purpose: prefetch"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "X-Purpose: preview"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "X-Moz: prefetch"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "Upgrade: websocket"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "X-Requested-With: XMLHttpRequest"}},
		{s, "GET", "/a", []string{authtest.PageHeader, "Host: inner.example", "X-Forwarded-Host: " + s.Base.Host}},
		{https, "GET", "/a", []string{authtest.PageHeader, "X-Forwarded-Proto: http"}},
		{s, "GET", "/wechat/callback", []string{authtest.PageHeader, "Accept-Language: en"}},
		{s, "GET", authtest.CallbackOf(s.Pending("/a"), "code"), []string{authtest.PageHeader, dest + "iframe"}},
		{s, "GET", "/wechat/mini/enter?ticket=" + s.Pending("/a").State, []string{authtest.PageHeader, site + "cross-site", mode + "navigate", dest + "document"}},
		{s, "OPTIONS", "/a", []string{"Origin: https://spa.example", "Access-Control-Request-Method: POST"}},
		{s, "POST", "/pay", append(form, "Referer: "+s.Base.String()+"/cart")},
		{s, "POST", "/wechat/logout", append(form, "Origin: https://evil.example")},
		{s, "POST", "/wechat/logout", append(form, site+"cross-site")},
		{s, "POST", "/wechat/upgrade", append(form, mode+"navigate")},
	}
	responseTo := func(i int, header []string) string {
		got := requests[i].at.Wire(requests[i].method, requests[i].target, header...)
		lines := []string{got.Status}
		for _, name := range slices.Sorted(maps.Keys(got.Header)) {
			if name != "Date" && name != "Content-Length" {
				lines = append(lines, name+": "+strings.Join(got.Header[name], ", "))
			}
		}
		return random.ReplaceAllString(strings.Join(append(lines, got.Text), "\n"), "*")
	}
	names := headersRead(t)
	matters := map[string]bool{}
	for i, request := range requests {
		want := responseTo(i, request.header)
		for _, name := range names {
			isNamed := func(line string) bool { return strings.HasPrefix(line, name+": ") }
			empty := append([]string{name + ":"}, request.header...)
			assert.Equal(t, want, responseTo(i, empty), "%s %s %q, and an empty %s", request.method, request.target, request.header, name)
			if slices.ContainsFunc(request.header, isNamed) {
				without := slices.DeleteFunc(slices.Clone(request.header), isNamed)
				removed := responseTo(i, without)
				matters[name] = matters[name] || removed != want
				assert.Equal(t, removed, responseTo(i, append(without, name+":")), "%s %s %q, and %s blanked", request.method, request.target, request.header, name)
			}
		}
	}
	for _, name := range names {
		assert.True(t, matters[name], "%s is read, and changes no response: add a request to which it matters", name)
	}
	t.Logf("headers %d, requests %d: %v", len(names), len(requests), names)
}
